"""The disks of a guest on DRBD, as a move has to know them: by DRBD itself, or from elsewhere by promotion scores."""

from __future__ import annotations

from kvmha.cluster.facts.records import DRBD_AGENTS, PRIMARY_AGENT
from kvmha.policy import migration
from kvmha.policy.failover import UP_TO_DATE_SCORE
from kvmha.policy.snapshot import score_of
from kvmha.tools import drbd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kvmha.cli.moving.sight import Sight
    from kvmha.host import Host

MAJOR = 147
"""The major number of DRBD's devices (Linux: Documentation/admin-guide/devices.txt)."""

SCORE = "drbd-promotion-score-"
"""How the attribute of a node begins that has a replica's score (kvmha/resources/drbd)."""


def scores(attributes: Mapping[str, str]) -> dict[str, int]:
    """Return the promotion score of each DRBD resource that a node has one of; 0 for one that is no number."""
    return {name[len(SCORE) :]: score_of(text) or 0 for name, text in attributes.items() if name.startswith(SCORE)}


def up_to_date(attributes: Mapping[str, str]) -> set[str]:
    """Return the DRBD resources that a node has up to date, by the scores in its attributes."""
    return {disk for disk, score in scores(attributes).items() if score >= UP_TO_DATE_SCORE}


def of_guest(sight: Sight, guest: str, devices: list[str], *, source: str, target: str) -> tuple[migration.Disk, ...]:
    """Return the disks of a guest on DRBD; ``devices`` are the paths of its block devices."""
    if sight.here in (source, target):
        return _seen_here(sight, devices, target)
    node = sight.status.node(target)
    known = scores(node.attributes) if node is not None else {}
    return tuple(
        migration.Disk(
            name=disk,
            # A side that is up to date and has no peer has that score and no more (policy/promotion: Scores.alone).
            is_connected=known.get(disk) != UP_TO_DATE_SCORE,
            disk_there="UpToDate" if known.get(disk, 0) >= UP_TO_DATE_SCORE else "not known to be UpToDate",
        )
        for disk in sorted(set(_below(sight, guest)))
    )


def _below(sight: Sight, guest: str) -> Iterator[str]:
    """Yield the DRBD resources that a guest runs with, by DRBD's names."""
    beside = {pair.with_resource for pair in sight.cib.colocations if pair.resource == guest}
    for resource in sight.cib.primitives():
        full = sight.cib.effective(resource)
        if full.agent in (*DRBD_AGENTS, PRIMARY_AGENT) and {resource.id, resource.parent} & beside:
            yield full.params.get("drbd_resource", "")


def _seen_here(sight: Sight, devices: list[str], target: str) -> tuple[migration.Disk, ...]:
    """Return what DRBD says, which this node can ask as one of the two."""
    numbers = {path: _number(sight.host, path) for path in devices}
    minors = {minor: path for path, (major, minor) in numbers.items() if major == MAJOR}
    found: list[migration.Disk] = []
    for replica in drbd.replicas(sight.host) if minors else ():
        for minor in set(replica.minors) & set(minors):
            peers = [peer for peer in replica.peers if peer.name == target or len(replica.peers) == 1]
            if sight.here == target:
                disks = tuple(volume.disk for volume in replica.volumes)
                is_connected = any(peer.connection == "Connected" for peer in replica.peers)
            else:
                disks = tuple(volume.disk for peer in peers for volume in peer.volumes)
                is_connected = any(peer.connection == "Connected" for peer in peers)
            worst = next((disk for disk in disks if disk != "UpToDate"), "UpToDate" if disks else "unknown")
            found.append(migration.Disk(name=minors[minor], is_connected=is_connected, disk_there=worst))
    return tuple(found)


def _number(host: Host, path: str) -> tuple[int, int]:
    try:
        return host.device_number(path)
    except OSError:
        return 0, 0
