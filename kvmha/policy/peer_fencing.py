"""What a node may do that has lost the connection to a DRBD peer while it is promoted, or is about to be.

Invariant: DRBD is told that the peer is out of the way (exit codes 4 and 7 of its fence-peer handler) only if the peer
is powered off, or the cluster has been kept from promoting it. Never because nobody knows; and never 5, which lets a
promoted node with current data go on, for a peer that may be running.
"""

from __future__ import annotations

from kvmha.policy.replica import CONSISTENT, UP_TO_DATE
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.peer_data import NodeView
    from kvmha.policy.replica import Replica

# Exit codes of a fence-peer handler (drbd.conf(5), handlers).
BROKEN = 1
"""Any code that is not listed there: DRBD keeps the I/O frozen."""
OUTDATED = 4
UNREACHABLE = 5
"""For a node without current data of its own DRBD then does nothing, and refuses the promotion."""
PEER_IS_PRIMARY = 6
FENCED = 7

WAIT, CONSTRAIN, SHOOT, GIVE_UP = "wait", "constrain", "shoot", "give up"


class Verdict(Record):
    """What to do now."""

    act: str
    """WAIT: look again; CONSTRAIN: keep the cluster from promoting the peer, then end with ``code``; SHOOT: have the
    peer fenced, and look again; GIVE_UP: end with ``code``.
    """
    code: int
    """How to end; with WAIT and SHOOT, how to end when the time is over."""
    reason: str


def judge(
    replica: Replica | None,
    node: NodeView | None,
    *,
    is_quorate: bool,
    why_stale: str | None,
    excluded: bool,
    is_source: bool,
) -> Verdict:
    """Return what to do about a peer that is away.

    ``node`` is what the cluster says of the peer, None where no cluster answers; ``excluded`` says that a constraint
    already keeps this node itself from promotion for this peer's sake; ``is_source`` that a guest is just moving from
    this node to the peer.
    """
    if replica is None:
        return Verdict(act=GIVE_UP, code=BROKEN, reason="the resource is not up on this node")
    if excluded:
        return Verdict(act=GIVE_UP, code=PEER_IS_PRIMARY, reason="the peer has had this node excluded")
    disks = {volume.disk for volume in replica.volumes}
    if not disks or not disks <= {UP_TO_DATE, CONSISTENT}:
        return Verdict(act=GIVE_UP, code=UNREACHABLE, reason="this node's own data are not current")
    if not replica.is_promoted and why_stale:
        return Verdict(act=GIVE_UP, code=UNREACHABLE, reason=why_stale)
    if node is None:
        return Verdict(act=WAIT, code=BROKEN, reason="the cluster says nothing of the peer")
    if not is_quorate:
        return Verdict(act=WAIT, code=BROKEN, reason="this part of the cluster has no quorum")
    if node.is_unclean:
        return Verdict(act=WAIT, code=BROKEN, reason=f"{node.name} is lost and not fenced yet")
    if not node.is_online:
        return Verdict(act=CONSTRAIN, code=FENCED, reason=f"{node.name} is off")
    if node.is_promoted and replica.is_promoted:
        return _judge_two_primaries(node, is_source=is_source)
    if node.is_promoted:
        return Verdict(act=GIVE_UP, code=PEER_IS_PRIMARY, reason=f"{node.name} is promoted")
    return Verdict(act=CONSTRAIN, code=OUTDATED, reason=f"{node.name} is in the cluster and not promoted")


def _judge_two_primaries(node: NodeView, *, is_source: bool) -> Verdict:
    """Two nodes that can both write have lost each other: one has to go, and the guest is still on the source."""
    reason = f"{node.name} is promoted as well"
    return Verdict(act=SHOOT if is_source else WAIT, code=BROKEN, reason=reason)


def check_invariants(verdict: Verdict, node: NodeView | None, *, is_quorate: bool) -> None:
    """Raise AssertionError where a verdict breaks what this module promises."""
    if verdict.act != CONSTRAIN:
        assert verdict.code not in (OUTDATED, FENCED), "the peer is not out of the way"
        return
    assert node is not None, "nobody has said that the peer is out of the way"
    assert is_quorate, "without quorum nobody can say it"
    assert not node.is_unclean, "an unfenced peer is a running peer"
    assert verdict.code == (OUTDATED if node.is_online else FENCED)
