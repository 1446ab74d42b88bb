"""Whether a replica may be promoted, and how well it would serve.

Invariant: no replica is promoted while a peer may hold newer data. After a crash a disk that calls itself UpToDate may
be old, for DRBD compares disks only when it connects; so this node keeps its own account of each peer (peer_data), and
what it cannot account for counts as newer. The score is never above what DRBD itself says may be promoted.
"""

from __future__ import annotations

from kvmha.policy.peer_data import (
    AHEAD,
    BEHIND,
    CLIENT,
    EQUAL,
    HARMLESS,
    LEFT,
    PARTED,
    UNSEEN,
    Knowledge,
    NodeView,
    PeerKnowledge,
    view_of,
)
from kvmha.policy.replica import (
    CONSISTENT,
    DISKLESS,
    INCONSISTENT,
    OUTDATED,
    PASSING,
    PRIMARY,
    UP_TO_DATE,
    Peer,
    Replica,
)
from kvmha.record import Record


class Scores(Record):
    """The promotion scores of the four cases that are told apart (parameter adjust_master_score)."""

    consistent: int = 0
    remote: int = 10
    alone: int = 1000
    best: int = 10000


class Score(Record):
    """A promotion score, None for one that must not be there, and why."""

    value: int | None
    reason: str = ""


def why_stale(replica: Replica, known: Knowledge, *, has_quorum: bool = False) -> str | None:
    """Return why a peer may hold newer data than this replica.

    ``has_quorum`` says that DRBD's own quorum is configured: then nothing was acknowledged without a majority, and DRBD
    itself keeps one that lacks it from promotion.
    """
    if has_quorum:
        return None
    for peer in replica.peers:
        reason = None if peer.agrees or peer.is_client else why_newer(peer, known.of(peer.name))
        if reason:
            return reason
    return None


def why_newer(peer: Peer, knowledge: PeerKnowledge | None) -> str | None:
    standing = UNSEEN if knowledge is None else knowledge.standing
    if standing in HARMLESS:
        return None
    if standing == PARTED:
        return f"{peer.name} and this node may both have been written since they parted"
    if standing == AHEAD:
        return f"{peer.name} has newer data, or may have: it went on without this node"
    return f"{peer.name} may hold newer data: it has not been connected since this node came up"


def why_not_promote(
    replica: Replica, known: Knowledge, nodes: tuple[NodeView, ...] | None, *, has_quorum: bool = False
) -> str | None:
    """Return why a replica must not be promoted now; a peer that is away and of which nobody speaks may be running."""
    if has_quorum:
        return None
    stale = why_stale(replica, known)
    if stale:
        return stale
    for peer in replica.peers:
        reason = None if peer.agrees or peer.is_client else why_running(peer, known.of(peer.name), nodes)
        if reason:
            return reason
    return None


def why_running(peer: Peer, knowledge: PeerKnowledge | None, nodes: tuple[NodeView, ...] | None) -> str | None:
    """Return why a peer that is not connected may be writing, or have written."""
    if knowledge is not None and knowledge.standing == CLIENT:
        return None
    if nodes is None:
        return f"{peer.name} is not connected, and the cluster does not say whether it is off"
    node = view_of(peer.name, nodes)
    if node is None:
        return f"{peer.name} is not connected, and the cluster has no node of that name (see node_map)"
    if node.is_unclean:
        return f"{peer.name} is not connected, and has not been fenced yet"
    if not node.is_online:
        return None
    if node.is_promoted:
        return f"{peer.name} is promoted and not connected"
    was_writing = knowledge is not None and knowledge.standing == EQUAL and knowledge.role == PRIMARY
    if was_writing and node.word != LEFT:
        return f"{peer.name} was promoted when its connection was lost, and may have gone on before it was demoted"
    return None


def score(replica: Replica, known: Knowledge, scores: Scores, *, is_guarded: bool, has_quorum: bool = False) -> Score:
    """Return how well this replica would serve if it were promoted, or does."""
    refused = _why_impossible(replica)
    if refused:
        return Score(value=None, reason=refused)
    # What is promoted already is not driven away by doubts: its data are the ones in use.
    stale = None if replica.is_promoted or not is_guarded else why_stale(replica, known, has_quorum=has_quorum)
    if stale:
        return Score(value=None, reason=stale)
    value, reason = _wish(replica, known, scores)
    if replica.promotion_score is not None:
        value = min(value, replica.promotion_score)
    return Score(value=value if value > 0 else None, reason=reason)


def _why_impossible(replica: Replica) -> str | None:
    """Return why DRBD would not promote the replica, or keep it promoted."""
    for volume in replica.volumes:
        if volume.has_quorum is False:
            return f"volume {volume.number} has no quorum"
        if volume.disk in PASSING:
            return f"the disk of volume {volume.number} is {volume.disk}"
    if not replica.volumes:
        return "it has no volume"
    if replica.fails_io:
        return "all I/O fails since it was demoted by force"
    if replica.promotion_score == 0:
        return "DRBD's own promotion score is 0"
    is_any_promoted = replica.is_promoted or any(peer.role == PRIMARY for peer in replica.peers)
    if replica.may_promote is False and not is_any_promoted:
        return "DRBD says that it may not be promoted"
    return None


def _wish(replica: Replica, known: Knowledge, scores: Scores) -> tuple[int, str]:
    good_peers = [peer for peer in replica.peers if peer.is_up_to_date]
    if replica.is_client:
        if not good_peers:
            return 0, "it has no disk, and no peer with current data"
        are_all_good = len(good_peers) == sum(not peer.is_client for peer in replica.peers)
        # A node that has the data itself serves better than one that has them from there.
        return (scores.best if replica.is_promoted or are_all_good else scores.alone) - 1, "no disk by intention"
    if replica.is_up_to_date:
        if replica.is_promoted or all(_is_accounted_for(peer, known) for peer in replica.peers):
            return scores.best, "its data are current"
        return scores.alone, "its data are current, and a peer is away"
    if good_peers:
        return scores.remote, f"only {good_peers[0].name} has current data"
    disks = {volume.disk for volume in replica.volumes}
    if disks <= {UP_TO_DATE, CONSISTENT}:
        return scores.consistent, "its data are consistent, and perhaps not the newest"
    worst = next(disk for disk in (DISKLESS, "Failed", INCONSISTENT, OUTDATED, *sorted(disks)) if disk in disks)
    return 0, f"a disk is {worst}, and no peer has current data"


def _is_accounted_for(peer: Peer, known: Knowledge) -> bool:
    knowledge = known.of(peer.name)
    return peer.agrees or peer.is_client or (knowledge is not None and knowledge.standing in (BEHIND, CLIENT))


def check_invariants(replica: Replica, known: Knowledge, scores: Scores, given: Score) -> None:
    """Raise AssertionError where a score breaks what this module promises."""
    if given.value is None:
        return
    assert given.value > 0, "a score that is not positive stands for none, and must not be written"
    assert replica.promotion_score != 0, "DRBD says that it cannot be promoted"
    assert replica.promotion_score is None or given.value <= replica.promotion_score, "above DRBD's own score"
    assert given.value <= scores.best, "above the best score"
    assert all(volume.has_quorum is not False and volume.disk not in PASSING for volume in replica.volumes)
    if not replica.is_promoted:
        for peer in replica.peers:
            knowledge = known.of(peer.name)
            standing = UNSEEN if knowledge is None else knowledge.standing
            assert peer.agrees or peer.is_client or standing in HARMLESS, f"{peer.name} may hold newer data"
