"""The node of a pair that is to survive a split, and what has to be laid over the delays of fence devices for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kvmha.policy import decisions, failover, quorum, survivor
from kvmha.policy.failover import Trouble
from kvmha.policy.snapshot import (
    FENCING,
    GUEST,
    INFINITY,
    Device,
    Failure,
    Node,
    Preference,
    Replica,
    Resource,
    Snapshot,
)
from kvmha.policy.survivor import CHANGE, KEEP, REFUSE, decide


def node(name: str, *, delay: float = 0.0, usual: float = 1.0, **more) -> Node:
    fencing = (Device(name=f"fence-{name}", agent="fence_x", delay_s=delay, delay_most_s=delay, usual_s=usual),)
    return Node(**{"name": name, "fencing": fencing, "memory_mib": 8192, **more})


def guest(name: str, *nodes: str, priority: int = 0, **more) -> Resource:
    made = {"agent": "ocf:kvmha:VirtualDomain", "kind": GUEST, "nodes": nodes, "memory_mib": 512, **more}
    return Resource(name=name, priority=priority, **made)


def pair(*nodes: Node, device: quorum.Device | None = None, **more) -> Snapshot:
    voters = tuple(quorum.Voter(name=each.name, nodeid=number) for number, each in enumerate(nodes, 1))
    settings = quorum.Settings(voters=voters, two_node=len(nodes) == 2 and device is None, device=device)
    return Snapshot(nodes=nodes, quorum=settings, is_quorate=True, **more)


def replicas(*scores: int | None) -> tuple[Replica, ...]:
    return tuple(Replica(disk="r1", resource="d", node=f"n{at}", score=score) for at, score in enumerate(scores, 1))


def applied(snapshot: Snapshot, found: survivor.Survival) -> Snapshot:
    """Return the cluster after what was decided was written, as it would be read again."""

    def laid(name: str, device: Device) -> Device:
        own = (device.delay_s, device.delay_most_s) if device.unsteered is None else device.unsteered
        text = found.delays.get(device.name, "")
        if not text:
            return device.replace(delay_s=own[0], delay_most_s=own[1], steered="", unsteered=None)
        parts = dict(part.split(":") for part in text.split(";"))
        delay = float(parts.get(name, "0s").rstrip("s"))
        return device.replace(delay_s=delay, delay_most_s=max(delay, own[1]), steered=text, unsteered=own)

    return snapshot.replace(
        nodes=tuple(n.replace(fencing=tuple(laid(n.name, device) for device in n.fencing)) for n in snapshot.nodes)
    )


FRESH_ON_N2 = pair(node("n1"), node("n2"), resources=(guest("a", "n1", priority=9),), replicas=replicas(10, 10000))


def test_data_comes_first_then_faults_then_room_then_priorities():
    guests = (guest("a", "n1", priority=10), guest("b", "n2", priority=1))
    there = pair(node("n1"), node("n2"), resources=guests)
    assert survivor.favourite(there).reasons[0] == "the priority of its guests: 10 against 1"
    banned = (Preference(id="x", resource="a", node="n2", score=-INFINITY),)
    there = there.replace(resources=(guest("a", "n2", priority=1), guest("b", "n2", priority=10)))
    assert survivor.favourite(there).node == "n2"
    there = there.replace(preferences=tuple(each.replace(resource="b", node="n1") for each in banned))
    assert survivor.favourite(there).node == "n2"
    there = there.replace(preferences=tuple(each.replace(resource=r, node="n2") for each in banned for r in "ab"))
    # What runs where it may not is no reason for its node; here nothing has to find a place.
    assert survivor.favourite(there).node == "n2"
    ill = there.replace(failures=(Failure(resource="a", node="n2", operation="monitor", rc=1),))
    assert survivor.favourite(ill).reasons[0] == "faults on it: 0 against 1"
    assert survivor.favourite(ill).node == "n1"
    fresh = survivor.favourite(ill.replace(replicas=replicas(None, 10000)))
    assert (fresh.node, fresh.device) == ("n2", "fence-n2")
    assert fresh.reasons[0] == "disks that only it has up to date: 1 against 0"


def test_the_one_that_has_room_for_the_others_guests_is_kept_before_priorities():
    there = pair(
        node("n1"), node("n2", memory_mib=2048),
        resources=(guest("a", "n1", memory_mib=4096), guest("b", "n2", priority=9)),
    )  # fmt: skip
    choice = survivor.favourite(there)
    assert choice.node == "n1"
    assert choice.reasons[0] == "guests without a place if the other one is lost: 0 against 1"


def test_a_size_that_nobody_knows_speaks_for_neither():
    there = pair(node("n1"), node("n2"), resources=(guest("a", "n1", memory_mib=None), guest("b", "n2", priority=9)))
    assert survivor.favourite(there).reasons[0] == "the priority of its guests: 9 against 0"


def test_the_other_ones_shot_is_through_before_its_own_begins():
    found = decide(FRESH_ON_N2)
    assert (found.act, found.choice.node, dict(found.delays)) == (CHANGE, "n2", {"fence-n2": "n2:3s"})
    assert failover.outlook(applied(FRESH_ON_N2, found), Trouble(cut=("n1",))).acting == ("n2",)
    assert decide(applied(FRESH_ON_N2, found)).act == KEEP


def test_where_the_configuration_does_it_nothing_is_laid_over_it():
    there = pair(node("n1", delay=3.0), node("n2"), resources=(guest("a", "n1"),))
    found = decide(there)
    assert (found.act, dict(found.delays), found.head_start_s) == (KEEP, {}, 2.0)


def test_a_configured_delay_of_the_wrong_node_is_outweighed_and_not_touched():
    there = FRESH_ON_N2.replace(nodes=(node("n1", delay=4.0), node("n2")))
    found = decide(there)
    assert dict(found.delays) == {"fence-n2": "n2:7s"}
    after = applied(there, found)
    assert after.node("n1").fencing[0].delay_s == 4.0
    assert failover.outlook(after, Trouble(cut=("n1",))).acting == ("n2",)


def test_chance_in_the_wrong_nodes_delay_is_outweighed_too():
    lucky = Device(name="fence-n1", agent="fence_x", delay_s=0.0, delay_most_s=5.0, usual_s=1.0)
    assert dict(decide(FRESH_ON_N2.replace(nodes=(node("n1", fencing=(lucky,)), node("n2")))).delays) == {
        "fence-n2": "n2:8s"
    }


def test_priorities_that_speak_for_the_other_one_are_outweighed():
    there = FRESH_ON_N2.replace(properties={"priority-fencing-delay": "10s"})
    found = decide(there)
    assert dict(found.delays) == {"fence-n2": "n2:13s"}
    assert failover.outlook(applied(there, found), Trouble(cut=("n1",))).acting == ("n2",)


def test_priority_fencing_delay_alone_does_it_where_priorities_decide():
    there = pair(
        node("n1"), node("n2"), resources=(guest("a", "n1", priority=1), guest("b", "n2", priority=5)),
        properties={"priority-fencing-delay": "10s"},
    )  # fmt: skip
    assert decide(there).act == KEEP
    slow = there.replace(nodes=(node("n1", usual=4.0), node("n2")), properties={"priority-fencing-delay": "2s"})
    assert dict(decide(slow).delays) == {"fence-n2": "n2:5s"}


def test_it_follows_and_takes_back_what_it_wrote():
    written = applied(FRESH_ON_N2, decide(FRESH_ON_N2))
    turned = decide(written.replace(replicas=replicas(10000, 10)))
    assert (turned.act, dict(turned.delays), dict(turned.now)) == (CHANGE, {"fence-n1": "n1:3s"}, {"fence-n2": "n2:3s"})
    both = pair(node("n1", delay=3.0), node("n2"), resources=FRESH_ON_N2.resources, replicas=replicas(10, 10000))
    back = decide(applied(both, decide(both)).replace(replicas=replicas(10000, 10000)))
    assert (back.act, dict(back.delays)) == (CHANGE, {})


def test_guests_that_move_to_and_fro_write_nothing():
    there = pair(node("n1"), node("n2"), resources=(guest("a", "n1"), guest("b", "n1"), guest("c", "n2")))
    first = decide(there)
    assert dict(first.delays) == {"fence-n1": "n1:3s"}
    moved = applied(there, first).replace(resources=(guest("a", "n2"), guest("b", "n2"), guest("c", "n2")))
    assert decide(moved).act == KEEP


@pytest.mark.parametrize(("usual", "act"), [(0.6, KEEP), (1.0, KEEP), (2.9, KEEP), (3.1, CHANGE)])
def test_a_measured_time_that_is_another_one_writes_nothing_while_the_delay_does(usual, act):
    written = applied(FRESH_ON_N2, decide(FRESH_ON_N2))
    (device,) = written.nodes[0].fencing
    slower = written.nodes[0].replace(fencing=(device.replace(usual_s=usual),))
    assert decide(written.replace(nodes=(slower, written.nodes[1]))).act == act


def test_one_device_for_both_waits_for_one_of_them():
    shared = Device(name="sbd", agent="fence_sbd", usual_s=4.0)
    there = FRESH_ON_N2.replace(nodes=(node("n1", fencing=(shared,)), node("n2", fencing=(shared,))))
    found = decide(there)
    assert dict(found.delays) == {"sbd": "n1:0s;n2:7s"}
    assert failover.outlook(applied(there, found), Trouble(cut=("n1",))).acting == ("n2",)


def test_the_longer_name_comes_first_for_pacemaker_takes_the_first_that_fits():
    shared = Device(name="sbd", agent="fence_sbd", usual_s=4.0)
    nodes = (node("n1", fencing=(shared,)), node("n12", fencing=(shared,)))
    there = pair(*nodes, resources=(guest("a", "n1", priority=1),))
    assert dict(decide(there).delays) == {"sbd": "n12:0s;n1:7s"}


def failed(resource: str, *nodes: str) -> tuple[Failure, ...]:
    return tuple(Failure(resource=resource, node=name, operation="monitor", rc=1) for name in nodes)


FENCE = Resource(name="fence-n1", agent="stonith:fence_x", kind=FENCING, nodes=("n2",))


@pytest.mark.parametrize(
    ("there", "code"),
    [
        pytest.param(FRESH_ON_N2.replace(nodes=(node("n1", is_online=False), node("n2"))), "not-whole", id="off"),
        pytest.param(FRESH_ON_N2.replace(nodes=(node("n1", is_unclean=True), node("n2"))), "not-whole", id="unclean"),
        pytest.param(FRESH_ON_N2.replace(nodes=(node("n1", is_pending=True), node("n2"))), "not-whole", id="joining"),
        pytest.param(FRESH_ON_N2.replace(is_quorate=False), "no-quorum", id="quorum"),
        pytest.param(FRESH_ON_N2.replace(properties={"stonith-enabled": "false"}), "fencing-off", id="fencing-off"),
        pytest.param(FRESH_ON_N2.replace(nodes=(node("n1"), node("n2", fencing=()))), "no-device", id="no-device"),
        pytest.param(
            FRESH_ON_N2.replace(resources=(FENCE,), failures=failed("fence-n1", "n2")),
            "fence-device-failed", id="device-failed",
        ),
        pytest.param(
            FRESH_ON_N2.replace(resources=(guest("a", "n1", pending="Migrating"),)), "busy", id="a-guest-moves"
        ),
        pytest.param(FRESH_ON_N2.replace(failures=failed("d", "n1", "n2")), "storm", id="both-suffer-the-same"),
        pytest.param(
            FRESH_ON_N2.replace(nodes=(node("n1"), node("n2", is_standby=True))), "storm", id="the-last-healthy-one"
        ),
    ],
)  # fmt: skip
def test_nothing_is_changed_in_trouble_and_never_for_a_split_that_would_end_all(there, code):
    found = decide(there)
    assert (found.act, dict(found.delays)) == (REFUSE, {})
    assert code in {caution.code for caution in found.cautions}
    assert found.said
    before = applied(there, survivor.Survival(act=KEEP, choice=None, delays={"fence-n1": "n1:9s"}))
    assert dict(decide(before).delays) == dict(decide(before).now)


def test_a_monitor_that_is_under_way_disturbs_nobody():
    there = FRESH_ON_N2.replace(resources=(guest("a", "n1", pending="Monitoring"),))
    assert decide(there).act == CHANGE


def test_where_votes_decide_nothing_is_written_and_what_was_is_taken_away():
    triple = pair(node("n1"), node("n2"), node("n3"))
    assert (decide(triple).act, decide(triple).choice) == (KEEP, None)
    grown = applied(triple, survivor.Survival(act=KEEP, choice=None, delays={"fence-n1": "n1:3s"}))
    assert (decide(grown).act, dict(decide(grown).delays)) == (CHANGE, {})
    assert decide(pair(node("n1"), node("n2"), device=quorum.Device(votes=1))).act == KEEP


def test_a_decision_is_written_down_whole_and_made_again():
    found = decide(FRESH_ON_N2)
    inputs = {"snapshot": decisions.written(FRESH_ON_N2)}
    kind = decisions.kind_of("survivor")
    again = kind.decider()(**{name: decisions.read_back(value) for name, value in inputs.items()})
    assert decisions.written(again) == decisions.written(found)


SCORES = some.sampled_from([None, 10, 1000, 10000])
DELAYS = some.sampled_from([0.0, 1.0, 2.0, 5.0])


@given(
    delays=some.tuples(DELAYS, DELAYS),
    usual=some.tuples(some.sampled_from([0.3, 1.0, 4.0]), some.sampled_from([0.3, 1.0, 4.0])),
    scores=some.tuples(SCORES, SCORES),
    places=some.lists(some.sampled_from(["n1", "n2"]), max_size=4),
    priorities=some.lists(some.integers(0, 9), min_size=4, max_size=4),
    standby=some.booleans(),
    weight=some.sampled_from(["0s", "4s", "15s"]),
)
def test_whatever_the_pair_is_like_the_one_to_keep_survives_once_it_is_written_and_that_is_the_end_of_it(
    delays, usual, scores, places, priorities, standby, weight
):
    there = pair(
        node("n1", delay=delays[0], usual=usual[0], is_standby=standby), node("n2", delay=delays[1], usual=usual[1]),
        resources=tuple(
            guest(f"g{at}", place, priority=priorities[at]) for at, place in enumerate(places)
        ),
        replicas=replicas(*scores), properties={"priority-fencing-delay": weight},
    )  # fmt: skip
    found = decide(there)
    survivor.check_invariants(there, found)
    if found.act == REFUSE:
        return
    after = applied(there, found)
    again = decide(after)
    survivor.check_invariants(after, again)
    assert again.act == KEEP
    assert again.choice.node == found.choice.node
    look = failover.outlook(after, Trouble(cut=("n1",)))
    assert look.acting == (found.choice.node,)
    # The rival is off before its own shot begins, and so only one of the two is ever fenced.
    assert survivor.head_start(after, found.choice.node, found.choice.rival) >= 0
