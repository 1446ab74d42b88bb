"""Promotion scores, and what keeps a replica from promotion."""

from __future__ import annotations

import itertools

import pytest

from kvmha.policy import promotion
from kvmha.policy.data_loss import what_may_be_lost
from kvmha.policy.peer_data import STANDINGS, Knowledge, NodeView, PeerKnowledge, foretell, learn, set_behind
from kvmha.policy.promotion import Score, Scores, check_invariants, score, why_not_promote
from kvmha.policy.replica import Peer, PeerVolume, Replica, Volume

SCORES = Scores()


def peer(disk="UpToDate", *, name="n2", connection="Connected", role="Secondary", is_client=False):
    replication = "Established" if connection == "Connected" else "Off"
    volume = PeerVolume(number=0, replication=replication, disk=disk, is_client=is_client)
    return Peer(name=name, connection=connection, role=role, volumes=(volume,))


AWAY = peer("DUnknown", connection="Connecting", role="Unknown")


def replica(disk="UpToDate", *peers, role="Secondary", volume=None, **more):
    volumes = (Volume(number=0, minor=0, disk=disk, **(volume or {})),)
    return Replica(resource="r0", role=role, volumes=volumes, peers=peers or (peer(),), **more)


def known(standing="equal", role="Secondary", **more):
    return Knowledge(life="l", peers=(PeerKnowledge(name="n2", standing=standing, role=role, **more),))


def given(seen, knowledge=None, **more):
    found = score(seen, knowledge or Knowledge(), SCORES, is_guarded=more.pop("is_guarded", True), **more)
    check_invariants(seen, knowledge or Knowledge(), SCORES, found)
    return found.value


@pytest.mark.parametrize(
    ("seen", "knowledge", "value"),
    [
        pytest.param(replica(), None, 10000, id="both-current"),
        pytest.param(replica(role="Primary"), None, 10000, id="promoted"),
        pytest.param(replica("UpToDate", peer("Inconsistent")), None, 10000, id="peer-behind"),
        pytest.param(replica("UpToDate", AWAY), known("equal"), 1000, id="peer-away"),
        pytest.param(replica("UpToDate", AWAY), known("behind"), 10000, id="peer-away-and-behind"),
        pytest.param(replica("UpToDate", AWAY), known("ahead"), None, id="peer-ahead"),
        pytest.param(replica("UpToDate", AWAY), known("parted"), None, id="parted"),
        pytest.param(replica("UpToDate", AWAY), known("unseen"), None, id="unseen"),
        pytest.param(replica("UpToDate", AWAY), None, None, id="nothing-known"),
        pytest.param(replica("UpToDate", AWAY, role="Primary"), None, 10000, id="promoted-already"),
        pytest.param(replica("Inconsistent"), None, 10, id="data-on-the-peer-only"),
        pytest.param(replica("Diskless"), None, 10, id="disk-lost"),
        pytest.param(replica("Inconsistent", peer("Inconsistent")), None, None, id="data-nowhere"),
        pytest.param(replica("Outdated", AWAY), known("behind"), None, id="outdated"),
        pytest.param(replica("Consistent", AWAY), known("behind"), None, id="consistent"),
        pytest.param(replica("Attaching"), None, None, id="attaching"),
        pytest.param(replica("Negotiating"), None, None, id="negotiating"),
        pytest.param(replica("Diskless", volume={"is_client": True}), None, 9999, id="client"),
        pytest.param(
            replica("Diskless", peer(), peer("Outdated", name="n3"), volume={"is_client": True}),
            None,
            999,
            id="client-of-some",
        ),
        pytest.param(
            replica("Diskless", peer("Outdated"), volume={"is_client": True}), None, None, id="client-of-nobody"
        ),
    ],
)
def test_the_score_of_each_state_of_8_4(seen, knowledge, value):
    assert given(seen, knowledge) == value


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(
            replica("Negotiating", AWAY, may_promote=False, promotion_score=0, volume={"has_quorum": True}),
            id="negotiating",
        ),
        pytest.param(
            replica(
                "Diskless",
                peer(),
                may_promote=False,
                promotion_score=0,
                volume={"is_client": True, "has_quorum": False},
            ),
            id="diskless-client-without-quorum",
        ),
        pytest.param(replica(may_promote=False, promotion_score=0), id="score-0"),
        pytest.param(replica(may_promote=False, promotion_score=10101), id="may-not-and-nobody-is-promoted"),
        pytest.param(replica(fails_io=True, may_promote=False, promotion_score=0), id="io-fails"),
        pytest.param(replica(promotion_score=10102, may_promote=True, volume={"has_quorum": False}), id="no-quorum"),
    ],
)
def test_what_drbd_would_not_promote_has_no_score(seen):
    assert given(seen, known("equal")) is None


def test_the_score_is_never_above_drbds_own():
    seen = replica(may_promote=True, promotion_score=10102)
    assert given(seen) == 10000
    assert given(replica("UpToDate", peer("Outdated"), may_promote=True, promotion_score=101)) == 101


def test_a_peer_that_is_promoted_does_not_take_the_score_away():
    assert given(replica("UpToDate", peer(role="Primary"), may_promote=False, promotion_score=10102)) == 10000


def test_without_the_guard_only_drbd_decides():
    assert given_unguarded(replica("UpToDate", AWAY)) == 1000


def given_unguarded(seen):
    return score(seen, Knowledge(), SCORES, is_guarded=False).value


def test_drbds_quorum_takes_the_place_of_the_account():
    found = score(replica("UpToDate", AWAY), Knowledge(), SCORES, is_guarded=True, has_quorum=True)
    assert found.value == 1000
    assert why_not_promote(replica("UpToDate", AWAY), Knowledge(), None, has_quorum=True) is None


def test_the_invariants_can_fail():
    seen = replica(promotion_score=5)
    with pytest.raises(AssertionError, match="above DRBD's own"):
        check_invariants(seen, Knowledge(), SCORES, Score(value=10))
    with pytest.raises(AssertionError, match="may hold newer"):
        check_invariants(replica("UpToDate", AWAY), known("ahead"), SCORES, Score(value=10))


DISKS = ("UpToDate", "Consistent", "Outdated", "Inconsistent", "Diskless", "Failed", "Attaching", "Negotiating", "Odd")


def test_every_state_keeps_the_invariants():
    peers = [
        peer(disk, connection=connection, role=role, is_client=is_client)
        for disk in (*DISKS, "DUnknown")
        for connection in ("Connected", "Connecting", "StandAlone")
        for role in ("Primary", "Secondary", "Unknown")
        for is_client in (False, True)
    ]
    bounds = [(None, None), (True, 10102), (False, 10102), (False, 0), (True, 101)]
    for disk, other, (may, bound), standing in itertools.product(DISKS, peers, bounds, (*STANDINGS, None)):
        knowledge = known(standing) if standing else Knowledge()
        seen = replica(disk, other, may_promote=may, promotion_score=bound)
        check_invariants(seen, knowledge, SCORES, score(seen, knowledge, SCORES, is_guarded=True))


def node(**more):
    return (NodeView(name="n2", **{"is_online": True, **more}),)


@pytest.mark.parametrize(
    ("knowledge", "nodes", "word"),
    [
        pytest.param(known("equal"), None, "does not say whether it is off", id="no-cluster"),
        pytest.param(known("equal"), (), "no node of that name", id="unknown-name"),
        pytest.param(known("equal"), node(is_online=False, is_unclean=True), "not been fenced", id="unfenced"),
        pytest.param(known("equal"), node(is_promoted=True), "is promoted and not connected", id="promoted"),
        pytest.param(known("equal", "Primary"), node(), "may have gone on", id="was-writing-and-lives"),
        pytest.param(known("equal", "Primary"), node(word="left"), None, id="left-in-step"),
        pytest.param(known("equal", "Primary"), node(is_online=False), None, id="fenced"),
        pytest.param(known("equal"), node(), None, id="unpromoted-and-lives"),
        pytest.param(known("behind"), node(is_online=False), None, id="behind-and-off"),
        pytest.param(known("behind"), node(is_online=False, is_unclean=True), "not been fenced", id="behind-unfenced"),
        pytest.param(known("client"), None, None, id="client"),
        pytest.param(known("unseen"), node(is_online=False), "has not been connected since", id="unseen"),
        pytest.param(known("ahead"), node(is_online=False), "went on without this node", id="ahead"),
    ],
)
def test_what_speaks_against_a_promotion_while_a_peer_is_away(knowledge, nodes, word):
    reason = why_not_promote(replica("UpToDate", AWAY), knowledge, nodes)
    assert (reason is None) is (word is None)
    assert word is None or word in reason


def test_a_peer_that_is_connected_has_agreed():
    assert why_not_promote(replica(), Knowledge(), None) is None


def test_names_with_and_without_a_domain_are_one_node():
    views = (NodeView(name="n2.example.com", is_online=False),)
    assert why_not_promote(replica("UpToDate", AWAY), known("equal"), views) is None


def test_a_peer_that_will_be_promoted_while_away_gets_ahead():
    seen = replica("UpToDate", AWAY)
    assert foretell(known("equal"), seen, ("n2",), now=5.0).of("n2").standing == "ahead"
    assert foretell(known("equal"), seen, ("n3",), now=5.0) == known("equal")
    assert foretell(known("equal"), replica(), ("n2",), now=5.0) == known("equal")


def test_a_look_that_finds_nothing_new_changes_nothing():
    first = learn(Knowledge(), replica(), life="l", now=5.0)
    assert learn(first, replica(), life="l", now=9.0) == first


def test_two_promoted_nodes_that_lose_each_other_have_parted():
    both = learn(Knowledge(), replica("UpToDate", peer(role="Primary"), role="Primary"), life="l", now=1.0)
    assert learn(both, replica("UpToDate", AWAY, role="Primary"), life="l", now=2.0).of("n2").standing == "parted"


@pytest.mark.parametrize("role", ["Primary", "Secondary"])
def test_a_connection_that_drbd_gave_up_stands_for_split_brain(role):
    cut_off = peer("DUnknown", connection="StandAlone", role="Unknown")
    before = known("behind")
    after = learn(before, replica("UpToDate", cut_off, role=role), life="l", now=1.0)
    assert after.of("n2").standing == "parted"
    reason = why_not_promote(replica("UpToDate", cut_off), after, node(is_online=False))
    assert reason == "n2 and this node may both have been written since they parted"
    accepted = set_behind(after, ("n2",), now=2.0).replace(accepted=2.0)
    assert learn(accepted, replica("UpToDate", cut_off), life="l", now=3.0).of("n2").standing == "behind"


def test_a_client_of_the_resource_never_counts():
    first = learn(Knowledge(), replica("UpToDate", peer("Diskless", is_client=True)), life="l", now=1.0)
    assert learn(first, replica("UpToDate", AWAY), life="other", now=2.0).of("n2").standing == "client"


def test_drbds_own_word_for_an_older_peer_is_taken():
    away = peer("Outdated", connection="Connecting", role="Unknown")
    assert learn(Knowledge(), replica("UpToDate", away), life="l", now=1.0).of("n2").standing == "behind"


def test_what_may_be_lost_is_said_with_figures():
    (loss,) = what_may_be_lost(replica("UpToDate", AWAY), known("ahead", lost=100.0), None, now=160.0)
    assert (loss.code, loss.peer, loss.seconds) == ("newer-data", "n2", 60.0)
    assert loss.sentence.endswith("what it wrote in the last 60 s may be lost")
    (loss,) = what_may_be_lost(replica("UpToDate", AWAY), Knowledge(), None, now=160.0)
    assert (loss.seconds, loss.code) == (None, "newer-data")
    codes = [loss.code for loss in what_may_be_lost(replica("Outdated", AWAY), known("parted"), None, now=160.0)]
    assert codes == ["split-brain", "disk"]
    assert what_may_be_lost(replica("UpToDate", AWAY), known("behind"), node(is_online=False), now=9.0) == ()


def test_who_was_fenced_is_behind():
    assert set_behind(Knowledge(), ("n2",), now=7.0).of("n2") == PeerKnowledge(
        name="n2", standing="behind", since=7.0, lost=7.0
    )
    assert promotion.why_stale(replica("UpToDate", AWAY), set_behind(known("ahead"), ("n2",), now=7.0)) is None
