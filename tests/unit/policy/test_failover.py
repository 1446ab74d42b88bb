"""Who goes on after a failure, who is fenced, who of a pair survives, and when fencing is not advised."""

from __future__ import annotations

from itertools import combinations

import pytest

from kvmha.policy import failover, quorum
from kvmha.policy.failover import Trouble, outlook
from kvmha.policy.snapshot import GUEST, Device, Node, Resource, Snapshot


def node(name: str, *, delay: float = 0.0, devices: bool = True, **more) -> Node:
    fencing = (Device(name=f"fence-{name}", agent="fence_ipmilan", delay_s=delay, delay_most_s=delay, usual_s=1.0),)
    return Node(name=name, fencing=fencing if devices else (), **more)


def guest(name: str, *nodes: str, priority: int = 0, **more) -> Resource:
    return Resource(name=name, agent="ocf:kvmha:VirtualDomain", kind=GUEST, nodes=nodes, priority=priority, **more)


def cluster(*nodes: Node, device: quorum.Device | None = None, **more) -> Snapshot:
    voters = tuple(quorum.Voter(name=each.name, nodeid=number) for number, each in enumerate(nodes, 1))
    settings = quorum.Settings(voters=voters, two_node=len(nodes) == 2 and device is None, device=device)
    return Snapshot(nodes=nodes, quorum=settings, **more)


TRIPLE = cluster(node("n1"), node("n2"), node("n3"), resources=(guest("web1", "n1"), guest("web2", "n2")))


def codes(found: failover.Outlook) -> set[str]:
    return {caution.code for caution in found.warnings}


def test_the_others_go_on_and_fence_the_dead_node():
    found = outlook(TRIPLE, Trouble(dead=("n1",)))
    assert (found.acting, found.lost) == (("n2", "n3"), ("n1",))
    (fencing,) = found.fencings
    assert (fencing.node, fencing.asked_by, fencing.devices, fencing.fails) == (
        "n1",
        ("n2", "n3"),
        ("fence-n1",),
        False,
    )


def test_a_fencing_that_fails_is_said_and_fails():
    found = outlook(TRIPLE, Trouble(dead=("n1",), unfenceable=("n1",)))
    assert found.fencings[0].fails
    assert "not-fenced" in codes(found)


@pytest.mark.parametrize(("alive", "acting"), [(None, ("n2",)), (True, ("n2",)), (False, ())])
def test_a_quorum_device_that_does_not_vote_saves_nobody(alive, acting):
    pair = cluster(node("n1"), node("n2"), device=quorum.Device(votes=1), is_device_alive=alive)
    assert outlook(pair, Trouble(dead=("n1",))).acting == acting


def test_a_node_without_a_device_is_never_fenced():
    bare = cluster(node("n1", devices=False), node("n2"), node("n3"))
    found = outlook(bare, Trouble(dead=("n1",)))
    assert found.fencings[0].fails
    assert any("nothing can fence it" in caution.said for caution in found.warnings)


def test_a_fencing_that_was_never_seen_is_unproven_and_one_that_was_is_not():
    assert "fencing-unproven" in codes(outlook(TRIPLE, Trouble(dead=("n1",))))
    proven = TRIPLE.replace(nodes=tuple(each.replace(fenced_at=1.0) for each in TRIPLE.nodes))
    assert "fencing-unproven" not in codes(outlook(proven, Trouble(dead=("n1",))))


def test_without_quorum_nobody_acts_and_nobody_is_fenced():
    found = outlook(TRIPLE, Trouble(dead=("n1", "n2")))
    assert (found.acting, found.standing, found.fencings) == ((), ("n3",), ())


def test_a_part_that_ignores_quorum_acts_and_that_is_an_error():
    found = outlook(TRIPLE.replace(properties={"no-quorum-policy": "ignore"}), Trouble(dead=("n1", "n2")))
    assert found.acting == ("n3",)
    assert "no-quorum-ignored" in codes(found)


def test_the_node_that_is_cut_off_keeps_its_guests_and_that_is_said():
    frozen = TRIPLE.replace(properties={"no-quorum-policy": "freeze"})
    said = outlook(frozen, Trouble(cut=("n1",))).said
    assert "n1: no-quorum-policy=freeze: without quorum it keeps what it runs and starts nothing" in said


@pytest.mark.parametrize(
    ("delays", "survivor"),
    [
        pytest.param((5.0, 0.0), "n1", id="first-is-favoured"),
        pytest.param((0.0, 5.0), "n2", id="second-is-favoured"),
    ],
)
def test_the_side_whose_fencing_is_delayed_survives_the_split(delays, survivor):
    pair = cluster(node("n1", delay=delays[0]), node("n2", delay=delays[1]))
    found = outlook(pair, Trouble(cut=("n1",)))
    assert found.acting == (survivor,)
    assert "survives" in found.race


def test_a_split_without_a_delay_is_left_to_chance_and_that_is_said():
    assert "left to chance" in outlook(cluster(node("n1"), node("n2")), Trouble(cut=("n1",))).race


def test_priority_fencing_delay_favours_the_node_with_the_guests_that_count():
    pair = cluster(
        node("n1"), node("n2"), resources=(guest("a", "n1", priority=1), guest("b", "n2", priority=10)),
        properties={"priority-fencing-delay": "15s"},
    )  # fmt: skip
    assert outlook(pair, Trouble(cut=("n1",))).acting == ("n2",)
    # A dead node does not shoot: the delay is only lost time then.
    assert outlook(pair, Trouble(dead=("n2",))).fencings[0].usual_s == 16.0
    assert outlook(pair, Trouble(dead=("n1",))).fencings[0].usual_s == 1.0


def test_fencing_is_not_advised_for_a_shared_cause_or_the_last_healthy_node():
    shared = failover.why_not_fence(TRIPLE, "n1", ("n1", "n2"))
    assert shared.startswith("n1 and n2 suffer the same, 2 of 3 nodes: the cause is shared")
    assert failover.why_not_fence(TRIPLE, "n1", ("n1",)) is None
    rest = cluster(node("n1"), node("n2", is_standby=True), node("n3", is_online=False))
    assert "last node that can run anything" in failover.why_not_fence(rest, "n1", ())


def test_who_is_lost_at_the_same_time_is_no_other_place_for_guests():
    assert failover.why_not_fence(TRIPLE, "n1", (), gone=("n2",)) is None
    assert "last node that can run anything" in failover.why_not_fence(TRIPLE, "n1", (), gone=("n2", "n3"))


@pytest.mark.parametrize("trouble", [Trouble(cut=("n1", "n2")), Trouble(without_storage=("n1", "n2"))])
def test_a_cause_that_nodes_share_is_said_of_each_of_them(trouble):
    found = [caution for caution in outlook(TRIPLE, trouble).warnings if caution.code == "shared-cause"]
    assert [caution.subject for caution in found] == ["n1", "n2"]


def test_one_node_that_loses_its_storage_is_no_storm():
    assert codes(outlook(TRIPLE, Trouble(without_storage=("n1",)))) == set()


def test_the_fencing_of_the_last_healthy_node_is_not_to_be_tried():
    rest = cluster(node("n1"), node("n2", is_standby=True), node("n3", is_standby=True))
    (said,) = [c.said for c in outlook(rest, Trouble(dead=("n1",))).warnings if c.code == "fencing-unproven"]
    assert "do not try it now: n1 is the last node that can run anything" in said
    (said,) = [c.said for c in outlook(TRIPLE, Trouble(dead=("n1",))).warnings if c.code == "fencing-unproven"]
    assert "try it before it is needed" in said


def test_no_corosync_conf_is_said_where_votes_are_assumed():
    assert "votes-assumed" in codes(outlook(TRIPLE.replace(quorum=None), Trouble(dead=("n1",))))


def test_fencing_that_is_off_is_an_error():
    off = TRIPLE.replace(properties={"stonith-enabled": "false"})
    assert "fencing-off" in codes(outlook(off, Trouble(dead=("n1",))))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_whatever_dies_or_is_cut_off_no_part_without_quorum_fences(count):
    names = [f"n{number}" for number in range(1, count + 1)]
    whole = cluster(*(node(name) for name in names), resources=tuple(guest(f"g-{name}", name) for name in names))
    for size in range(count + 1):
        for dead in combinations(names, size):
            rest = [name for name in names if name not in dead]
            for cuts in range(len(rest) + 1):
                for cut in combinations(rest, cuts):
                    found = outlook(whole, Trouble(dead=dead, cut=cut))
                    failover.check_invariants(whole, found, {})
                    assert set(found.standing) <= set(rest)
