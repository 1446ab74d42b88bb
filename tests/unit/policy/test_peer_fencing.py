"""What DRBD is told of a peer that is away."""

from __future__ import annotations

import itertools

import pytest

from kvmha.policy import peer_fencing
from kvmha.policy.peer_data import NodeView
from kvmha.policy.peer_fencing import CONSTRAIN, GIVE_UP, SHOOT, WAIT, judge
from kvmha.policy.replica import Replica, Volume

HERE = NodeView(name="n2", is_online=True)


def replica(role="Primary", disk="UpToDate"):
    return Replica(resource="r1", role=role, volumes=(Volume(number=0, minor=0, disk=disk),))


def verdict(seen, node, *, is_quorate=True, why_stale=None, excluded=False, is_source=True):
    return judge(seen, node, is_quorate=is_quorate, why_stale=why_stale, excluded=excluded, is_source=is_source)


@pytest.mark.parametrize(
    ("seen", "node", "more", "act", "code"),
    [
        pytest.param(replica(), HERE, {}, CONSTRAIN, 4, id="link-cut"),
        pytest.param(replica(), HERE.replace(is_online=False), {}, CONSTRAIN, 7, id="peer-is-off"),
        pytest.param(replica(), HERE.replace(is_online=False, is_unclean=True), {}, WAIT, 1, id="peer-is-not-fenced"),
        pytest.param(replica(), HERE.replace(is_unclean=True), {}, WAIT, 1, id="peer-is-to-be-fenced"),
        pytest.param(replica(), None, {}, WAIT, 1, id="no-cluster"),
        pytest.param(replica(), HERE, {"is_quorate": False}, WAIT, 1, id="no-quorum"),
        pytest.param(replica(), HERE, {"excluded": True}, GIVE_UP, 6, id="the-peer-was-first"),
        pytest.param(replica(), HERE.replace(is_promoted=True), {}, SHOOT, 1, id="both-primary-on-the-source"),
        pytest.param(
            replica(), HERE.replace(is_promoted=True), {"is_source": False}, WAIT, 1, id="both-primary-on-the-target"
        ),
        pytest.param(
            replica("Secondary"),
            HERE.replace(is_promoted=True),
            {},
            GIVE_UP,
            6,
            id="promotion-while-the-peer-is-promoted",
        ),
        pytest.param(replica(disk="Inconsistent"), HERE, {}, GIVE_UP, 5, id="own-data-are-old"),
        pytest.param(
            replica("Secondary", "Consistent"),
            HERE.replace(is_online=False),
            {"why_stale": "n2 may be newer"},
            GIVE_UP,
            5,
            id="the-peer-may-be-newer",
        ),
        pytest.param(
            replica("Secondary", "Consistent"), HERE.replace(is_online=False), {}, CONSTRAIN, 7, id="the-peer-is-older"
        ),
        pytest.param(None, HERE, {}, GIVE_UP, 1, id="resource-is-down"),
    ],
)
def test_verdict(seen, node, more, act, code):
    given = verdict(seen, node, **more)
    assert (given.act, given.code) == (act, code)
    assert given.reason


def test_drbd_is_never_told_that_a_peer_is_gone_which_may_be_running():
    flags = (True, False)
    nodes = [None] + [
        NodeView(name="n2", is_online=online, is_unclean=unclean, is_promoted=promoted)
        for online, unclean, promoted in itertools.product(flags, repeat=3)
    ]
    replicas = [None, *(replica(role, disk) for role in ("Primary", "Secondary") for disk in ("UpToDate", "Failed"))]
    for seen, node, quorate, excluded, source in itertools.product(replicas, nodes, flags, flags, flags):
        given = verdict(seen, node, is_quorate=quorate, excluded=excluded, is_source=source)
        peer_fencing.check_invariants(given, node, is_quorate=quorate)
        is_current_primary = seen is not None and seen.is_promoted and seen.is_up_to_date
        assert not (is_current_primary and given.code == peer_fencing.UNREACHABLE)
