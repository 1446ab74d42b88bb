"""How much of its redundancy a DRBD resource has left, in one sentence for a person who looks at the whole cluster.

Invariant: a copy counts only if this node sees now that it is current; one that nobody sees is not counted, and said.
"""

from __future__ import annotations

from kvmha.policy.replica import CONNECTED, LOST, STANDALONE, UP_TO_DATE, WELL, Peer, Replica, health
from kvmha.policy.split_brain import amount
from kvmha.record import Record


class Redundancy(Record):
    """What one node sees of a resource's copies."""

    resource: str
    level: str
    """As in policy.replica: ``well``, ``reduced`` or ``failed``."""
    copies: int
    """Current ones that are seen from here, this node's own included."""
    wanted: int
    """Nodes that should have one."""
    is_split: bool
    sentence: str


def redundancy(
    replica: Replica, *, suspended_for: float = 0.0, patience: float = 60.0, split: tuple[str, ...] = ()
) -> Redundancy:
    """Judge it; ``split`` are the peers that DRBD has found to have been written apart from this node."""
    judged = health(replica, suspended_for=suspended_for, patience=patience, split=split)
    has_disk = not replica.is_client
    peers = [peer for peer in replica.peers if not peer.is_client]
    copies = int(replica.is_up_to_date) + sum(peer.is_up_to_date for peer in peers)
    return Redundancy(
        resource=replica.resource,
        level=judged.level,
        copies=copies,
        wanted=int(has_disk) + len(peers),
        is_split=any(peer.name in split for peer in replica.peers),
        sentence=f"{replica.resource}: {_sentence(replica, peers, split, copies, judged.level, judged.reasons)}",
    )


def _sentence(
    replica: Replica, peers: list[Peer], split: tuple[str, ...], copies: int, level: str, reasons: tuple[str, ...]
) -> str:
    if level == WELL:
        return f"{_counted(copies)}, in step" if copies > 1 else f"{_counted(copies)}, and none is wanted beside it"
    said = [_counted(copies)]
    if not replica.is_client and not replica.is_up_to_date:
        said.append(f"this node's own is {_worst(replica)}")
    said += [_of_peer(peer, is_split=peer.name in split) for peer in peers if not _is_fine(peer)]
    if replica.suspended != "no":
        said.append(f"its I/O is suspended ({replica.suspended})")
    if len(said) == 1 and reasons:
        said.append(reasons[0])
    return "; ".join(said)


def _counted(copies: int) -> str:
    return {0: "no current copy is seen", 1: "one current copy"}.get(copies, f"{copies} current copies")


def _worst(replica: Replica) -> str:
    disks = [volume.disk for volume in replica.volumes if volume.disk != UP_TO_DATE]
    return "lost" if any(disk in LOST for disk in disks) else (disks or ["unknown"])[0]


def _is_fine(peer: Peer) -> bool:
    return peer.is_up_to_date and all(volume.percent_done is None for volume in peer.volumes)


def _of_peer(peer: Peer, *, is_split: bool) -> str:
    if is_split:
        return f"split brain with {peer.name}, see kvmha drbd heal"
    if peer.connection == STANDALONE:
        return f"{peer.name} is cut off (StandAlone)"
    if peer.connection != CONNECTED:
        return f"{peer.name} is away"
    syncing = [volume for volume in peer.volumes if "Sync" in volume.replication]
    if syncing:
        done = [volume.percent_done for volume in syncing if volume.percent_done is not None]
        left = [volume.out_of_sync_kib for volume in syncing if volume.out_of_sync_kib is not None]
        words = (
            f"{peer.name} is being synchronised"
            if _gives(syncing[0].replication)
            else f"synchronising from {peer.name}"
        )
        words += f", {min(done):.0f} % done" if done else ""
        return words + (f", {amount(sum(left))} to go" if left else "")
    disks = sorted({volume.disk for volume in peer.volumes if volume.disk != UP_TO_DATE})
    return f"{peer.name}'s copy is {'/'.join(disks) or 'not known'}"


def _gives(replication: str) -> bool:
    """Tell whether this node is the one that the data come from: SyncSource, PausedSyncS and the like."""
    return replication.endswith(("Source", "SyncS", "BitMapS"))


def check_invariants(replica: Replica, found: Redundancy) -> None:
    """Raise AssertionError where the judgement breaks what this module promises."""
    seen = int(replica.is_up_to_date) + sum(peer.is_up_to_date for peer in replica.peers if not peer.is_client)
    assert found.copies == seen, "a copy counts if it is seen to be current, and only then"
    assert found.copies <= found.wanted
    assert found.level != WELL or found.copies == found.wanted, "well, with a copy missing"
    assert "\n" not in found.sentence
    assert found.sentence.startswith(found.resource)
