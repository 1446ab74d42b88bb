"""What one node knows of its peers' data, through crashes.

Invariant: nothing that is not known counts as harmless. A peer counts as equal only while this node was up without a
gap since both sides were connected and current, and as behind only where this node itself has gone on without it, or
DRBD's own metadata say so.

What the account cannot see is a peer that went on alone for the seconds between the loss of the connection and its own
end. DRBD closes that gap where it is told to (``fencing resource-and-stonith``, or quorum): the peer then acknowledges
nothing until the other side has been dealt with.
"""

from __future__ import annotations

from kvmha.policy.replica import OLDER, PRIMARY, STANDALONE, Peer, Replica
from kvmha.record import Record

EQUAL, BEHIND, AHEAD, PARTED, UNSEEN, CLIENT = "equal", "behind", "ahead", "parted", "unseen", "client"
"""How a peer's data stand to ours: the same; older than ours; newer; both written since; not known; it has none."""

STANDINGS = (EQUAL, BEHIND, AHEAD, PARTED, UNSEEN, CLIENT)
HARMLESS = (EQUAL, BEHIND, CLIENT)
"""Standings of a peer that holds nothing newer."""

LEFT, WENT_ON = "left", "went-on"
"""What a node tells the others through the cluster: its replica was stopped unpromoted, while all sides were connected
and current; or it has been promoted without a peer."""

SURE = 10.0
"""Seconds for which a peer that was promoted must be seen alive without its connection, before it counts as one that
went on. DRBD may notice the death of a node some seconds before the cluster does."""


class NodeView(Record):
    """What the cluster says of a node."""

    name: str
    is_online: bool
    is_unclean: bool = False
    """It is lost and has not been fenced yet, or is to be fenced."""
    is_promoted: bool = False
    """The cluster has this resource promoted there."""
    word: str = ""
    """What the node itself told: LEFT, WENT_ON, or nothing."""


class PeerKnowledge(Record):
    """What this node has seen of a peer's data."""

    name: str
    standing: str
    """One of STANDINGS."""
    role: str = "Unknown"
    """The peer's role when it was last connected."""
    since: float = 0.0
    """When it came to stand so, in seconds since the epoch."""
    lost: float = 0.0
    """When it was first seen to be away, 0 while it is connected."""


class Knowledge(Record):
    """What this node knows of one resource, and keeps through a crash."""

    life: str = ""
    """What stands for this time of being up: it ends with the resource's stop and with the node's boot."""
    role: str = "Unknown"
    """This node's own role, and since when."""
    since: float = 0.0
    peers: tuple[PeerKnowledge, ...] = ()
    accepted: float = 0.0
    """When an administrator accepted that data may be lost, 0 if nobody did since the peers last agreed."""

    def of(self, name: str) -> PeerKnowledge | None:
        """Return what is known of a peer, or None."""
        for peer in self.peers:
            if peer.name == name:
                return peer
        return None


def learn(
    known: Knowledge, replica: Replica, *, life: str, now: float, nodes: tuple[NodeView, ...] | None = None
) -> Knowledge:
    """Return what is known after a look at the replica; the same value where nothing has changed.

    ``nodes`` is what the cluster says, None where it was not asked or did not answer.
    """
    peers = tuple(_learn_of(peer, known, replica, life, now, nodes) for peer in replica.peers)
    all_agree = bool(peers) and all(peer.standing == EQUAL and not peer.lost for peer in peers)
    return Knowledge(
        life=life,
        role=replica.role,
        since=known.since if known.role == replica.role else now,
        peers=peers,
        accepted=0.0 if all_agree else known.accepted,
    )


def needs_nodes(known: Knowledge, replica: Replica) -> bool:
    """Tell whether the next ``learn`` depends on what the cluster says of a peer."""
    if replica.is_promoted:
        return False
    for peer in replica.peers:
        before = known.of(peer.name)
        if before is not None and before.standing == EQUAL and not peer.agrees:
            return True
    return False


def _learn_of(
    peer: Peer,
    known: Knowledge,
    replica: Replica,
    life: str,
    now: float,
    nodes: tuple[NodeView, ...] | None,
) -> PeerKnowledge:
    before = known.of(peer.name) or PeerKnowledge(name=peer.name, standing=UNSEEN)
    if peer.agrees:
        standing = _compared(replica, peer)
        is_same = before.standing == standing and before.role == peer.role and not before.lost
        return PeerKnowledge(name=peer.name, standing=standing, role=peer.role, since=before.since if is_same else now)
    standing = _after_parting(before, known, replica, peer, life, now, nodes)
    is_same = standing == before.standing
    return before.replace(
        standing=standing,
        since=before.since if is_same else (before.lost or now),
        lost=before.lost or now,
    )


def _compared(replica: Replica, peer: Peer) -> str:
    """Return how a peer that is connected stands to us: DRBD has compared the disks."""
    if peer.is_client:
        return CLIENT
    mine, theirs = replica.is_up_to_date, peer.is_up_to_date
    if mine:
        return EQUAL if theirs else BEHIND
    return AHEAD if theirs else PARTED


def _after_parting(
    before: PeerKnowledge,
    known: Knowledge,
    replica: Replica,
    peer: Peer,
    life: str,
    now: float,
    nodes: tuple[NodeView, ...] | None,
) -> str:
    """Return how a peer stands to us that is not connected."""
    if before.standing == CLIENT:
        return CLIENT
    if peer.connection == STANDALONE and not known.accepted:
        # DRBD gives a connection up where both sides have data that the other lacks, and 8.4 promotes all the same.
        return AHEAD if before.standing == AHEAD else PARTED
    if any(volume.disk in OLDER for volume in peer.volumes) and before.standing != AHEAD:
        # DRBD keeps in its own metadata that it has outdated that peer, or never had it in step.
        return BEHIND
    if replica.is_promoted:
        return _after_going_on(before, were_both_promoted=before.role == known.role == PRIMARY)
    if before.standing != EQUAL:
        return before.standing
    if known.life != life:
        # We were away, and nobody told us what happened meanwhile.
        return UNSEEN
    node = view_of(peer.name, nodes)
    if node is None or not node.is_online or node.word == LEFT:
        return EQUAL
    went_on = before.role == PRIMARY or node.is_promoted
    is_sure = bool(before.lost) and now - before.lost >= SURE
    return AHEAD if node.word == WENT_ON or (went_on and is_sure) else EQUAL


def _after_going_on(before: PeerKnowledge, *, were_both_promoted: bool) -> str:
    """Return how a peer stands to us that is not connected, while we are promoted and may write."""
    if before.standing == EQUAL and were_both_promoted:
        return PARTED
    return BEHIND if before.standing in (EQUAL, UNSEEN) else before.standing


def foretell(known: Knowledge, replica: Replica, names: tuple[str, ...], *, now: float) -> Knowledge:
    """Return what is known once the cluster has said that it will promote these peers: one that is away gets ahead."""
    away = {peer.name for peer in replica.peers if not peer.agrees}
    peers = tuple(
        peer.replace(standing=PARTED if replica.is_promoted else AHEAD, since=now, lost=peer.lost or now)
        if peer.name in away and peer.name in names and peer.standing in (EQUAL, BEHIND, UNSEEN)
        else peer
        for peer in known.peers
    )
    return known.replace(peers=peers)


def accept(known: Knowledge, names: tuple[str, ...], *, now: float) -> Knowledge:
    """Return what is known after an administrator has decided that this node's data are the ones to go on with."""
    return set_behind(known, names, now=now).replace(accepted=now)


def set_behind(known: Knowledge, names: tuple[str, ...], *, now: float) -> Knowledge:
    """Return what is known once these peers are kept from going on while this node does."""
    others = tuple(peer for peer in known.peers if peer.name not in names)
    found = {peer.name: peer for peer in known.peers}
    before = [found.get(name) or PeerKnowledge(name=name, standing=UNSEEN) for name in names]
    behind = tuple(
        peer if peer.standing == BEHIND else peer.replace(standing=BEHIND, since=now, lost=peer.lost or now)
        for peer in before
    )
    return known.replace(peers=tuple(sorted((*others, *behind), key=lambda peer: peer.name)))


def view_of(name: str, nodes: tuple[NodeView, ...] | None) -> NodeView | None:
    """Return the node of that name, with or without its domain, or None."""
    for node in nodes or ():
        if node.name == name:
            return node
    short = [node for node in nodes or () if node.name.partition(".")[0] == name.partition(".")[0]]
    return short[0] if len(short) == 1 else None
