"""kvmha drbd sync: how far a synchronisation has come, and how long it will take."""

from __future__ import annotations

import json
import sys

from kvmha.errors import UserError
from kvmha.policy import progress
from kvmha.policy.progress import Progress, Sample
from kvmha.policy.replica import CONNECTED, STANDALONE
from kvmha.policy.split_brain import amount, span
from kvmha.tools import drbd
from kvmha.tools.drbd import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from kvmha.host import Host
    from kvmha.policy.replica import Replica

POLL = 1.0
"""Seconds between two looks."""

PATIENCE = 60.0
"""Seconds for which a connection that is away may come back."""


def run(args: argparse.Namespace, host: Host) -> int:
    """Show it until it is over; 0 where both sides are up to date."""
    if drbd.replica(host, args.resource) is None:
        raise UserError(f'DRBD resource "{args.resource}" is not up on this node')
    return follow(host, args.resource, once=args.once, as_json=args.json)


def follow(host: Host, resource: str, *, once: bool = False, as_json: bool = False) -> int:
    """Show how it goes until all is up to date, or cannot get there."""
    samples: tuple[Sample, ...] = ()
    away_since = None
    while True:
        replica = drbd.replica(host, resource, statistics=True)
        now = host.now()
        if replica is None or any(peer.connection == STANDALONE for peer in replica.peers):
            return end(f"{resource} cannot go on: {'it is down' if replica is None else 'StandAlone'}", 1, as_json)
        samples = progress.recent(samples, Sample(at=now, remaining_kib=remaining_kib(host, replica)))
        at = progress.progress(samples, total_kib=size_kib(replica))
        show(resource, words_of(replica), at, as_json=as_json)
        if is_done(replica):
            return end(f"{resource} is up to date on all sides", 0, as_json)
        if once:
            return 0
        is_there = all(peer.connection == CONNECTED for peer in replica.peers)
        away_since = None if is_there else (away_since if away_since is not None else now)
        if away_since is not None and now - away_since > PATIENCE:
            return end(f"{resource}: a peer has been away for {span(now - away_since)}", 1, as_json)
        host.sleep(POLL)


def is_done(replica: Replica) -> bool:
    """Tell whether all sides that have disks are connected and current."""
    return (replica.is_up_to_date or replica.is_client) and all(
        peer.is_up_to_date or peer.is_client for peer in replica.peers
    )


def remaining_kib(host: Host, replica: Replica) -> float:
    """Return what remains to be synchronised, or verified."""
    under_way = proc.read(host)
    minors = {volume.number: volume.minor for volume in replica.volumes}
    sizes = {volume.number: volume.size_kib or 0 for volume in replica.volumes}
    left = 0.0
    for peer in replica.peers:
        for volume in peer.volumes:
            at = under_way.get(minors.get(volume.number, -1))
            if at is not None:
                left += at.remaining_kib
            elif volume.replication.startswith("Verify") and volume.percent_done is not None:
                left += sizes.get(volume.number, 0) * (1 - volume.percent_done / 100)
            else:
                left += volume.out_of_sync_kib or 0
    return left


def size_kib(replica: Replica) -> float | None:
    """Return the size of all volumes, once for each peer; None where it is not told."""
    sizes = [volume.size_kib for volume in replica.volumes]
    if not sizes or any(size is None for size in sizes):
        return None
    return float(sum(size or 0 for size in sizes) * max(len(replica.peers), 1))


def words_of(replica: Replica) -> str:
    """Return what goes on, in DRBD's words."""
    words = {volume.replication for peer in replica.peers for volume in peer.volumes}
    away = {peer.connection for peer in replica.peers if peer.connection != CONNECTED}
    return ", ".join(sorted(words - {"Established", "Off"} or away or words or {"Off"}))


def show(resource: str, words: str, at: Progress, *, as_json: bool) -> None:
    """Print one look: over the last one on a terminal, else a line."""
    if as_json:
        told = {name: getattr(at, name) for name in Progress._fields}
        print(json.dumps({"resource": resource, "state": words, **told}), flush=True)
        return
    said = f"{resource}: {words}"
    if at.done_percent is not None:
        said += f", {at.done_percent:.1f} % done"
    said += f", {amount(at.remaining_kib)} to go"
    if at.speed_kib is not None:
        said += f", {amount(at.speed_kib)}/s"
    if at.seconds_left is not None:
        said += f", {span(at.seconds_left)} left"
    print(f"\r\033[K{said}" if sys.stdout.isatty() else said, end="" if sys.stdout.isatty() else "\n", flush=True)


def end(said: str, code: int, as_json: bool) -> int:
    """Say how it ended."""
    if not as_json:
        print(f"\n{said}" if sys.stdout.isatty() else said, flush=True)
    return code
