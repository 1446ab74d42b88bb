"""What a promotion against the guard's advice may lose."""

from __future__ import annotations

from kvmha.policy.peer_data import PARTED, Knowledge, NodeView, PeerKnowledge
from kvmha.policy.promotion import why_newer, why_running
from kvmha.policy.replica import CONSISTENT, UP_TO_DATE, Peer, Replica
from kvmha.record import Record


class Loss(Record):
    """What a forced promotion may lose."""

    code: str
    """``newer-data``, ``split-brain``, ``unfenced`` or ``disk``."""
    peer: str
    sentence: str
    seconds: float | None = None
    """For how long the peer may have written without this node."""
    out_of_sync_kib: int | None = None
    """What DRBD knows to differ between the two."""


def what_may_be_lost(
    replica: Replica, known: Knowledge, nodes: tuple[NodeView, ...] | None, *, now: float
) -> tuple[Loss, ...]:
    """Return what may be lost if this replica is promoted now all the same, worst first for each peer."""
    found = [_loss_of(peer, known.of(peer.name), nodes, now) for peer in replica.peers if not peer.agrees]
    found += [
        Loss(
            code="disk",
            peer="",
            sentence=f"the disk of volume {volume.number} is {volume.disk}: its own data are not current",
        )
        for volume in replica.volumes
        if volume.disk not in (UP_TO_DATE, CONSISTENT) and not volume.is_client
    ]
    return tuple(loss for loss in found if loss is not None)


def _loss_of(
    peer: Peer, knowledge: PeerKnowledge | None, nodes: tuple[NodeView, ...] | None, now: float
) -> Loss | None:
    missing = [volume.out_of_sync_kib for volume in peer.volumes if volume.out_of_sync_kib is not None]
    kib = sum(missing) if missing else None
    is_running = why_running(peer, knowledge, nodes)
    reason = why_newer(peer, knowledge)
    if reason is None and is_running is None:
        return None
    begin = 0.0 if knowledge is None else (knowledge.lost or knowledge.since)
    seconds = max(now - begin, 0.0) if begin else None
    code = "unfenced" if reason is None else "newer-data"
    if knowledge is not None and knowledge.standing == PARTED:
        code = "split-brain"
    sentence = reason or is_running or ""
    if seconds is not None:
        sentence += f"; what it wrote in the last {seconds:.0f} s may be lost"
    else:
        sentence += "; nothing is known of what it wrote, and all of that may be lost"
    return Loss(code=code, peer=peer.name, sentence=sentence, seconds=seconds, out_of_sync_kib=kib)
