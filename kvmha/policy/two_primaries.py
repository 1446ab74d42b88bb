"""Whether a DRBD resource may be written on two nodes for a while, so that a guest can move live.

Invariant: two primaries only while a guest moves between two replicas that are connected and hold the same current
data, or from one whose disk is gone to the one that has its data. A third node that could write meanwhile, because it
is promoted, or is away and was not fenced, forbids it. What is not known counts as a reason against it; and an end is
always allowed, except while both sides are promoted.
"""

from __future__ import annotations

from kvmha.policy.peer_data import view_of
from kvmha.policy.replica import CONNECTED, DISKLESS, IN_STEP, PRIMARY, UP_TO_DATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.policy.peer_data import NodeView
    from kvmha.policy.replica import Peer, Replica

PATIENCE = 90.0
"""Seconds that either side of a move may wait for the target to be promoted, before the permission is taken back; and
that two sides which parted during a move may take to find together again."""

NOT_OLD = {UP_TO_DATE, DISKLESS}
"""Disks that hold nothing old; a guest whose own disk has failed lives on that of the peer."""

SOURCE, TARGET = "source", "target"
"""The two sides of a move."""


def why_not_open(replica: Replica, target: Peer | None, nodes: tuple[NodeView, ...] | None) -> str | None:
    """Return why two primaries may not be allowed on the source of a move, or None.

    ``nodes`` is what the cluster says, None where it was not asked; it matters only for a third node that is away.
    """
    if not replica.is_promoted:
        return f"this node is {replica.role} itself"
    refused = _why_not_both(replica, target, nodes)
    if refused is None and target is not None and not target.is_up_to_date:
        return f"{target.name} has no disk of its own"
    return refused


def why_not_join(replica: Replica, source: Peer | None, nodes: tuple[NodeView, ...] | None) -> str | None:
    """Return why the target of a move may not be promoted beside its source, or None."""
    refused = _why_not_both(replica, source, nodes)
    if refused is None and not replica.is_up_to_date:
        return "this node has no disk of its own"
    if refused is None and source is not None and source.role != PRIMARY and any_promoted(replica):
        return f"{source.name} is {source.role}, and another node is promoted"
    return refused


def _why_not_both(replica: Replica, other: Peer | None, nodes: tuple[NodeView, ...] | None) -> str | None:
    if other is None:
        return "DRBD has no connection to the other node of the move"
    if other.connection != CONNECTED:
        return f"{other.name} is not connected ({other.connection})"
    for volume in other.volumes:
        if volume.replication not in IN_STEP:
            return f"volume {volume.number} is not in step with {other.name} ({volume.replication})"
    disks = {volume.disk for volume in replica.volumes}, {volume.disk for volume in other.volumes}
    for name, found in zip(("this node", other.name), disks):
        if not found or not found <= NOT_OLD:
            return f"the data of {name} are not current"
    if replica.suspended != "no":
        return f"I/O is suspended ({replica.suspended})"
    for peer in replica.peers:
        if peer.name != other.name:
            refused = _why_not_with(peer, nodes)
            if refused:
                return refused
    return None


def _why_not_with(third: Peer, nodes: tuple[NodeView, ...] | None) -> str | None:
    if third.role == PRIMARY:
        return f"{third.name} is promoted too, and would be the third"
    if third.connection == CONNECTED:
        return None
    node = view_of(third.name, nodes)
    if node is None:
        return f"{third.name} is not connected ({third.connection}), and the cluster does not tell of it"
    if node.is_online or node.is_unclean:
        return f"{third.name} is not connected ({third.connection}), and was not fenced"
    return None


def needs_nodes(replica: Replica, other: Peer | None) -> bool:
    """Tell whether the answers above depend on what the cluster says."""
    return any(peer.connection != CONNECTED for peer in replica.peers if other is None or peer.name != other.name)


def any_promoted(replica: Replica) -> bool:
    """Tell whether any peer is promoted, as far as this node sees."""
    return any(peer.role == PRIMARY for peer in replica.peers)


def peer_of(replica: Replica, node: str, cluster_name: Callable[[str], str]) -> Peer | None:
    """Return the connection to a node of the cluster; ``cluster_name`` turns DRBD's name of a node into the cluster's.

    DRBD 8.4 has one peer and tells no name of it: that one is meant.
    """
    if len(replica.peers) == 1:
        return replica.peers[0]
    for peer in replica.peers:
        name = cluster_name(peer.name)
        if node in (name, name.partition(".")[0]) or name == node.partition(".")[0]:
            return peer
    return None


def is_over(replica: Replica, side: str, *, age: float, now: bool = False) -> bool:
    """Tell whether a permission of ``age`` seconds can be taken back: no move uses it, or will soon.

    ``now`` says that this side's part in the move has ended. Until then the target may be about to be promoted, while
    a monitor of the same replica looks at it.
    """
    if replica.is_promoted and any_promoted(replica):
        return False
    waits_for_target = replica.is_promoted if side == SOURCE else not replica.is_promoted
    return now or not waits_for_target or age > PATIENCE


def is_rejoined(replica: Replica, *, age: float) -> bool:
    """Tell whether the two sides are together again after a move, or will not be for a reason of their own."""
    return all(peer.connection == CONNECTED for peer in replica.peers) or age > 2 * PATIENCE


def check_invariants(replica: Replica, other: Peer | None, refused: str | None) -> None:
    """Raise AssertionError where a permission breaks what this module promises."""
    if refused is not None:
        return
    assert other is not None
    assert replica.is_up_to_date or other.is_up_to_date, "one side must have all data on its own disk"
    disks = {volume.disk for volume in replica.volumes} | {volume.disk for volume in other.volumes}
    assert disks <= NOT_OLD, "no side may have old data"
    assert not any(peer.role == PRIMARY for peer in replica.peers if peer.name != other.name), "a third primary"
