"""The handler that DRBD calls when two replicas were both written, and what is kept of it until they are one again.

DRBD calls ``split-brain`` on both nodes where it gives the connection up because nothing in its configuration says
whose data to keep (drbd.conf(5), handlers). Afterwards it shows only ``StandAlone``, as for a connection that somebody
has ended by hand; so a mark is kept.

Invariant: the handler never asks the kernel, which waits for it, and ends in its time.
"""

from __future__ import annotations

import os

from kvmha import alert
from kvmha.alert import Alert
from kvmha.host import Host
from kvmha.ocf.report import Report
from kvmha.resources.drbd import fence_peer, knowledge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from kvmha.ocf.agent import Agent
    from kvmha.policy.replica import Replica

FOLDER = "/var/lib/kvmha/drbd-split-brain"
"""Not below /run: it is not over with the boot."""

TIMEOUT = 45.0
"""Seconds for all that are to be told."""

KIND = "drbd-split-brain"


def mark(resource: str) -> str:
    """Return the path of the mark of a resource."""
    return f"{FOLDER}/{resource.replace('/', '_')}"


def peers(host: Host, resource: str) -> tuple[str, ...]:
    """Return the peers that DRBD has found to have gone their own way, and that have not been met since."""
    try:
        return tuple(host.read(mark(resource)).split())
    except OSError:
        return ()


def review(agent: Agent, replica: Replica) -> tuple[str, ...]:
    """Forget what is over, and return the peers with which it is not; a failure is only logged."""
    before = peers(agent.host, replica.resource)
    met = {peer.name for peer in replica.peers if peer.agrees}
    left = tuple(name for name in before if name not in met)
    if left != before:
        try:
            _keep(agent.host, replica.resource, left)
            over = ", ".join(name for name in before if name in met)
            agent.report.log(f"{replica.resource}: the split brain with {over} is over")
        except OSError as error:
            agent.report.log(f"{replica.resource}: the mark of a split brain remains: {error}", warning=True)
    return left


def _keep(host: Host, resource: str, names: tuple[str, ...]) -> None:
    if names:
        host.write(mark(resource), " ".join(names) + "\n", mode=0o600)
    else:
        host.remove(mark(resource))


def alert_of(host: Host, resource: str, node: str, peer: str) -> Alert:
    """Return what people are told."""
    role = knowledge.read(host, resource).role
    return Alert(
        kind=KIND,
        subject=resource,
        sentence=f"DRBD resource {resource}: split brain: {node} and {peer} were both written since they parted, and "
        f"nothing is copied between them any more. Both sides are explained by: kvmha drbd heal {resource}",
        facts={"node": node, "peer": peer, "role": role},
    )


def main() -> NoReturn:
    """Be the handler's process."""
    os._exit(run(os.environ, Host()))


def run(environ: Mapping[str, str], host: Host) -> int:
    """Serve one call. DRBD does not look at how it ends (drbd.conf(5))."""
    report = Report(agent="drbd-split-brain", instance=environ.get("DRBD_RESOURCE", "?"))
    resource, peer = environ.get("DRBD_RESOURCE", ""), fence_peer.peer_of(environ)
    if not resource or not peer:
        report.log("DRBD called without DRBD_RESOURCE, or without saying which peer", warning=True)
        return 1
    node = host.name()
    known = peers(host, resource)
    try:
        _keep(host, resource, tuple(dict.fromkeys((*known, peer))))
    except OSError as error:
        report.log(f"{resource}: the split brain cannot be marked: {error}", warning=True)
    alert.send(host, alert_of(host, resource, node, peer), seconds=TIMEOUT)
    return 0
