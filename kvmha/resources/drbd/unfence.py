"""Taking back the constraint that keeps a DRBD peer from promotion, once the peer has the data again.

DRBD's own handler does it as a rule. What it leaves behind, because it was killed or the cluster did not answer, is
found by the mark that the constraint's writer keeps on its own disk, and removed by the monitor of the promoted node.
"""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.tools import cibadmin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.ocf.agent import Agent
    from kvmha.policy.replica import Replica

FOLDER = "/var/lib/kvmha/drbd-fenced"
"""Not below /run: the constraint outlives a boot."""

LIMIT = 10.0
"""Seconds for one command to the cluster."""


def mark(resource: str) -> str:
    """Return the path of the mark of a resource."""
    return f"{FOLDER}/{resource.replace('/', '_')}"


def is_marked(host: Host, resource: str) -> bool:
    """Tell whether this node has kept a peer from promotion and not taken that back."""
    return host.exists(mark(resource))


def remember(host: Host, resource: str) -> None:
    """Leave the mark. Raises OSError."""
    host.write(mark(resource), "", mode=0o600)


def repair(agent: Agent, replica: Replica) -> None:
    """Remove what was left behind, if this node is promoted and every peer has its data; a failure is only logged."""
    if not replica.is_promoted or not all(peer.is_up_to_date or peer.is_client for peer in replica.peers):
        return
    try:
        release(agent, replica.resource)
    except (CommandError, OSError, ValueError) as error:
        agent.report.log(f"{replica.resource}: a constraint of its fencing remains: {error}", warning=True)


def release(agent: Agent, resource: str, *, between: tuple[str, str] | None = None) -> None:
    """Remove the constraint between two nodes of the cluster, or all of the resource; then the mark.

    Raises CommandError, OSError, ValueError.
    """
    only = None if between is None else cibadmin.identity(resource, *between)
    limit = min(LIMIT, max(agent.left(), 1.0))
    seen = cibadmin.read(agent.host, resource, timeout=limit)
    for exclusion in seen.exclusions:
        if only is not None and exclusion.identity != only:
            continue
        agent.host.run(*cibadmin.delete_argv(exclusion.identity), timeout=limit)
        agent.report.log(f"{resource}: {exclusion.node} may be promoted again")
    agent.host.remove(mark(resource))
