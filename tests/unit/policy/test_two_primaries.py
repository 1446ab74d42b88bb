"""Two primaries, for a move only."""

from __future__ import annotations

import itertools

import pytest

from kvmha.policy import two_primaries
from kvmha.policy.peer_data import NodeView
from kvmha.policy.replica import Peer, PeerVolume, Replica, Volume
from kvmha.policy.two_primaries import PATIENCE, SOURCE, TARGET, why_not_join, why_not_open


def peer(name="n2", *, connection="Connected", role="Secondary", disk="UpToDate", replication="Established"):
    volume = PeerVolume(number=0, replication=replication, disk=disk)
    return Peer(name=name, connection=connection, role=role, volumes=(volume,))


def replica(*peers, role="Primary", disk="UpToDate", suspended="no"):
    volume = Volume(number=0, minor=0, disk=disk)
    return Replica(resource="r1", role=role, suspended=suspended, volumes=(volume,), peers=peers)


def test_two_sides_in_step_may_both_be_primary_for_a_move():
    assert why_not_open(replica(peer()), peer(), None) is None
    source = peer("n1", role="Primary")
    assert why_not_join(replica(source, role="Secondary"), source, None) is None


def test_a_guest_leaves_live_a_node_whose_disk_is_gone():
    """Its score falls there, so that the cluster moves it: what speaks against the move would restart the guest."""
    assert why_not_open(replica(peer(), disk="Diskless"), peer(), None) is None
    source = peer("n1", role="Primary", disk="Diskless")
    assert why_not_join(replica(source, role="Secondary"), source, None) is None
    assert "no disk" in why_not_join(replica(peer("n1"), role="Secondary", disk="Diskless"), peer("n1"), None)


@pytest.mark.parametrize(
    ("seen", "target", "said"),
    [
        pytest.param(replica(peer(), role="Secondary"), peer(), "this node is Secondary itself", id="not-the-primary"),
        pytest.param(replica(), None, "no connection to the other node", id="no-such-peer"),
        pytest.param(
            replica(peer(connection="Connecting")), peer(connection="Connecting"), "not connected", id="not-connected"
        ),
        pytest.param(
            replica(peer(replication="SyncSource")), peer(replication="SyncSource"), "not in step", id="resync"
        ),
        pytest.param(replica(peer(disk="Inconsistent")), peer(disk="Inconsistent"), "data of n2", id="peer-is-old"),
        pytest.param(replica(peer(), disk="Outdated"), peer(), "data of this node", id="old-here"),
        pytest.param(replica(peer(disk="Diskless")), peer(disk="Diskless"), "n2 has no disk", id="no-disk-there"),
        pytest.param(replica(peer(), suspended="fencing"), peer(), "I/O is suspended", id="suspended"),
        pytest.param(replica(peer(), peer("n3", role="Primary")), peer(), "n3 is promoted too", id="third-primary"),
        pytest.param(
            replica(peer(), peer("n3", connection="Connecting")),
            peer(),
            "the cluster does not tell",
            id="third-unknown",
        ),
    ],
)
def test_what_stands_against_it_is_named(seen, target, said):
    assert said in why_not_open(seen, target, None)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        pytest.param(NodeView(name="n3", is_online=False), None, id="off"),
        pytest.param(NodeView(name="n3", is_online=True), "was not fenced", id="online"),
        pytest.param(NodeView(name="n3", is_online=False, is_unclean=True), "was not fenced", id="unclean"),
    ],
)
def test_a_third_replica_that_is_away_must_be_off(node, said):
    answer = why_not_open(replica(peer(), peer("n3", connection="Connecting")), peer(), (node,))
    assert answer is None if said is None else said in answer


def test_the_target_joins_nobody_but_the_source():
    source = peer("n1", role="Secondary")
    seen = replica(source, peer("n3", role="Primary"), role="Secondary")
    assert "n3 is promoted" in why_not_join(seen, source, None)


def test_the_one_peer_of_8_4_is_meant_whatever_it_is_called():
    assert two_primaries.peer_of(replica(peer("peer")), "n2", lambda name: name).name == "peer"


@pytest.mark.parametrize("node", ["n3", "n3.example.org"])
def test_a_peer_is_found_by_the_clusters_name_of_it(node):
    found = two_primaries.peer_of(replica(peer("n2"), peer("drbd-c")), node, {"n2": "n2", "drbd-c": "n3"}.__getitem__)
    assert found.name == "drbd-c"
    assert two_primaries.peer_of(replica(peer("n2"), peer("n3")), "n4", lambda name: name) is None


@pytest.mark.parametrize(
    ("role", "peer_role", "side", "age", "is_over"),
    [
        pytest.param("Primary", "Primary", SOURCE, 9999, False, id="both-are-primary"),
        pytest.param("Primary", "Primary", TARGET, 9999, False, id="both-are-primary-seen-from-the-target"),
        pytest.param("Primary", "Secondary", SOURCE, PATIENCE - 1, False, id="the-target-is-about-to-be-promoted"),
        pytest.param("Primary", "Secondary", SOURCE, PATIENCE + 1, True, id="the-target-was-never-promoted"),
        pytest.param("Secondary", "Primary", SOURCE, 1, True, id="the-source-has-been-demoted"),
        pytest.param("Primary", "Secondary", TARGET, 1, True, id="the-guest-has-arrived"),
        pytest.param("Primary", "Unknown", TARGET, 1, True, id="the-source-went-away"),
        pytest.param("Secondary", "Primary", TARGET, PATIENCE - 1, False, id="this-side-is-about-to-be-promoted"),
        pytest.param("Secondary", "Primary", TARGET, PATIENCE + 1, True, id="this-side-was-never-promoted"),
    ],
)
def test_when_the_window_may_be_closed(role, peer_role, side, age, is_over):
    seen = replica(peer(role=peer_role), role=role)
    assert two_primaries.is_over(seen, side, age=age) is is_over
    assert two_primaries.is_over(seen, side, age=age, now=True) is not (role == peer_role == "Primary")


def test_a_permission_never_has_a_third_primary_or_old_data():
    words = itertools.product(
        ("Primary", "Secondary"),
        ("UpToDate", "Outdated", "Diskless"),
        ("Connected", "Connecting"),
        ("Primary", "Secondary", "Unknown"),
        ("UpToDate", "Inconsistent", "Diskless"),
        ("Primary", "Secondary"),
        ("Connected", "StandAlone"),
    )
    for role, disk, connection, peer_role, peer_disk, third_role, third_connection in words:
        other = peer(connection=connection, role=peer_role, disk=peer_disk)
        seen = replica(other, peer("n3", connection=third_connection, role=third_role), role=role, disk=disk)
        for why_not in (why_not_open, why_not_join):
            two_primaries.check_invariants(seen, other, why_not(seen, other, None))
