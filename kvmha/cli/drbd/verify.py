"""kvmha drbd verify: comparing the sides of a resource while it is in use."""

from __future__ import annotations

import json
import sys

from kvmha.cli.drbd import sync
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.policy import progress
from kvmha.policy.progress import Sample
from kvmha.policy.replica import CONNECTED
from kvmha.policy.split_brain import amount, span
from kvmha.record import Record, plain
from kvmha.tools import drbd
from kvmha.tools.drbd import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from kvmha.host import Host
    from kvmha.policy.replica import Replica

IDLE = "Established"
"""What DRBD calls a replication that does nothing else."""

LIMIT = 20.0
"""Seconds for DRBD to begin."""


class Verified(Record):
    """How one comparison ended."""

    resource: str
    size_kib: float
    differs_kib: int | None
    """None: it was not compared to the end."""
    seconds: float
    trouble: str = ""


def run(args: argparse.Namespace, host: Host) -> int:
    """Compare, one resource after the other; 0 where all sides are equal."""
    if bool(args.resource) == args.everything:
        raise UserError("name one resource, or say --all")
    names = _promoted(host) if args.everything else [args.resource]
    results = [compare(host, name, is_quiet=args.json) for name in names]
    if args.json:
        print(json.dumps({"verified": [plain(result) for result in results]}))
    else:
        print("\n".join(table(results)))
    return 0 if all(result.differs_kib == 0 for result in results) else 1


def _promoted(host: Host) -> list[str]:
    """Return what this node compares: each resource is promoted on one node, so that none is compared twice."""
    return [replica.resource for replica in drbd.replicas(host) if replica.is_promoted]


def why_not(replica: Replica) -> str | None:
    """Return why the sides of a resource cannot be compared now."""
    for peer in replica.peers:
        if peer.connection != CONNECTED:
            return f"{peer.name} is not connected ({peer.connection})"
        for volume in peer.volumes:
            if volume.replication != IDLE:
                return f"volume {volume.number} is busy ({volume.replication})"
    return None if replica.peers else "it has no peer"


def compare(host: Host, resource: str, *, is_quiet: bool = False) -> Verified:
    """Compare one resource."""
    replica = drbd.replica(host, resource, statistics=True)
    if replica is None:
        raise UserError(f'DRBD resource "{resource}" is not up on this node')
    begin = host.now()
    size = sync.size_kib(replica) or 0.0
    trouble = why_not(replica) or _begin(host, resource)
    differs, total = None, size
    samples: tuple[Sample, ...] = ()
    while not trouble:
        replica = drbd.replica(host, resource, statistics=True)
        trouble = "it went down" if replica is None else _interrupted(replica)
        if replica is None or trouble:
            break
        if not is_running(replica):
            differs = out_of_sync_kib(replica)
            break
        samples = progress.recent(samples, Sample(at=host.now(), remaining_kib=sync.remaining_kib(host, replica)))
        if not is_quiet:
            sync.show(resource, "comparing", progress.progress(samples, total_kib=total), as_json=False)
        host.sleep(sync.POLL)
    if samples and not is_quiet and sys.stdout.isatty():
        print()
    return Verified(
        resource=resource, size_kib=size, differs_kib=differs, seconds=host.now() - begin, trouble=trouble or ""
    )


def _begin(host: Host, resource: str) -> str:
    try:
        host.run(*commands.verify_argv(resource), timeout=LIMIT)
    except CommandError as error:
        return str(error)
    return ""


def _interrupted(replica: Replica) -> str:
    away = [peer for peer in replica.peers if peer.connection != CONNECTED]
    if away:
        return f"{away[0].name} went away ({away[0].connection})"
    return ""


def is_running(replica: Replica) -> bool:
    """Tell whether a comparison goes on."""
    return any(volume.replication.startswith("Verify") for peer in replica.peers for volume in peer.volumes)


def out_of_sync_kib(replica: Replica) -> int:
    """Return what differs."""
    return sum(volume.out_of_sync_kib or 0 for peer in replica.peers for volume in peer.volumes)


def table(results: list[Verified]) -> list[str]:
    """Return the results for a person."""
    if not results:
        return ["no resource is promoted on this node"]
    said = [f"{'resource':<20} {'size':>10} {'differs':>10} {'took':>12}"]
    for result in results:
        differs = "-" if result.differs_kib is None else amount(result.differs_kib)
        line = f"{result.resource:<20} {amount(result.size_kib):>10} {differs:>10} {span(result.seconds):>12}"
        said.append(f"{line}  {result.trouble}".rstrip())
    said += [
        f"{result.resource}: what differs is copied from the promoted side with the next connection: on the other node "
        f"drbdadm disconnect {result.resource}, then drbdadm connect {result.resource}"
        for result in results
        if result.differs_kib
    ]
    return said
