"""A drill is run only where every gate is open; what is not known keeps one closed."""

from __future__ import annotations

import itertools

import pytest

from kvmha.policy import drill_gates
from kvmha.policy.drill_gates import (
    BACKUP,
    DISKS,
    DRILLS,
    FENCING,
    MIGRATION,
    NODES,
    PLACE,
    QUORUM,
    REST,
    ROOM,
    WINDOW,
    Around,
    Backup,
)
from kvmha.policy.snapshot import REPLICA, Failure, Replica, Resource
from tests.unit.policy.test_protection import FENCES, NOW, TRIALS, WEB1, WHOLE
from tests.unit.policy.test_protection import NODES as MEMBERS

IDLE = {node.name: {} for node in MEMBERS}


def judged(snapshot, *, target="n2", takes_node=True, may_harm=False, **around):
    values = {"here": "n1", "now": NOW, "minute": 60, "operations": IDLE, **around}
    gates = drill_gates.judge(snapshot, Around(**values), target=target, takes_node=takes_node, may_harm=may_harm)
    drill_gates.check_invariants(gates, takes_node=takes_node, may_harm=may_harm)
    return gates


def closed(snapshot, **changes) -> set[str]:
    return {gate.name for gate in judged(snapshot, **changes) if not gate.is_open}


def with_web1(**changes):
    return WHOLE.replace(resources=(*FENCES, WEB1.replace(**changes)))


DRBD = Resource(name="drbd-r1", agent="d", kind=REPLICA, nodes=("n1", "n2"), is_clone=True)
STALE = tuple(Replica(disk="r1", resource="drbd-r1", node=n, score=s) for n, s in (("n1", 10000), ("n2", 10)))


def test_a_cluster_that_lacks_nothing_opens_all():
    assert closed(WHOLE) == set()


@pytest.mark.parametrize(
    ("snapshot", "gate"),
    [
        pytest.param(WHOLE.replace(nodes=(MEMBERS[0].replace(is_standby=True), *MEMBERS[1:])), NODES, id="standby"),
        pytest.param(WHOLE.replace(nodes=(MEMBERS[0].replace(is_online=False), *MEMBERS[1:])), NODES, id="offline"),
        pytest.param(WHOLE.replace(is_quorate=False), QUORUM, id="no-quorum"),
        pytest.param(WHOLE.replace(is_quorate=None), QUORUM, id="quorum-not-known"),
        pytest.param(WHOLE.replace(quorum=None), QUORUM, id="votes-not-known"),
        pytest.param(with_web1(memory_mib=9000), ROOM, id="no-room"),
        pytest.param(with_web1(memory_mib=None), ROOM, id="size-not-known"),
        pytest.param(with_web1(pending="Starting"), REST, id="under-way"),
        pytest.param(with_web1(pending="Migrating"), MIGRATION, id="moves"),
        pytest.param(with_web1(is_managed=False), REST, id="unmanaged"),
        pytest.param(with_web1(nodes=()), REST, id="a-guest-is-down"),
        pytest.param(
            WHOLE.replace(failures=(Failure(resource="web1", node="n1", operation="start", rc=1),)), REST, id="failed"
        ),
        pytest.param(WHOLE.replace(resources=(*FENCES, WEB1, DRBD), replicas=STALE), DISKS, id="stale-disk"),
        pytest.param(WHOLE.replace(fence_trials=()), FENCING, id="fencing-never-tried"),
        pytest.param(WHOLE.replace(fence_paths=()), FENCING, id="no-fence-device"),
        pytest.param(WHOLE.replace(properties={"stonith-enabled": "false"}), FENCING, id="fencing-off"),
    ],
)
def test_what_is_amiss_closes_its_gate(snapshot, gate):
    assert gate in closed(snapshot)


def test_a_replica_that_is_not_current_is_named_and_what_to_do():
    (gate,) = [each for each in judged(WHOLE.replace(resources=(*FENCES, WEB1, DRBD), replicas=STALE))
               if each.name == DISKS]  # fmt: skip
    assert (gate.said, gate.remedy) == ("r1 is not up to date on two nodes", "kvmha drbd sync shows how far it is")
    whole = tuple(each.replace(score=10000) for each in STALE)
    assert closed(WHOLE.replace(resources=(*FENCES, WEB1, DRBD), replicas=whole)) == set()


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        pytest.param({**IDLE, "n2": {"web1": "migration out"}}, "migration out of web1 is under way on n2", id="move"),
        pytest.param({**IDLE, "n3": {"web1": "save"}}, "save of web1 is under way on n3", id="save"),
        pytest.param({**IDLE, "n3": None}, "it is not known whether a guest moves on n3", id="not-said"),
        pytest.param({}, "it is not known whether a guest moves on n1, n2, n3", id="nobody-said"),
    ],
)
def test_a_move_that_the_cluster_does_not_know_of_closes_it_too(operations, said):
    assert closed(WHOLE, operations=operations) == {MIGRATION}
    assert [gate.said for gate in judged(WHOLE, operations=operations) if gate.name == MIGRATION] == [said]


def test_a_drill_of_another_node_keeps_this_one_away():
    assert closed(WHOLE, drills={"n3": "20261124T030000-hang"}) == {DRILLS}
    assert closed(WHOLE, drills={}) == set()


def test_a_backup_matters_only_where_it_is_demanded():
    assert BACKUP not in {gate.name for gate in judged(WHOLE)}
    assert closed(WHOLE, backup=Backup(is_fresh=False, said="it is old")) == {BACKUP}
    assert closed(WHOLE, backup=Backup(is_fresh=True, said="it is new")) == set()


def test_only_the_paths_to_the_target_count():
    others = tuple(each for each in TRIALS if each.target == "n2")
    assert closed(WHOLE.replace(fence_trials=others)) == set()
    assert closed(WHOLE.replace(fence_trials=others), target="n3") == {FENCING}


def test_whoever_runs_it_may_not_take_himself_away():
    assert closed(WHOLE, target="n1") == {PLACE}
    assert closed(WHOLE, target="n1", takes_node=False) == set()
    assert closed(WHOLE, target="n1", takes_node=False, may_harm=True) == set()


@pytest.mark.parametrize(
    ("snapshot", "gate"),
    [
        pytest.param(WHOLE.replace(fence_trials=()), FENCING, id="fencing-never-tried"),
        pytest.param(WHOLE.replace(properties={"stonith-enabled": "false"}), FENCING, id="fencing-off"),
        pytest.param(with_web1(memory_mib=9000), ROOM, id="no-room"),
    ],
)
def test_what_may_lead_to_fencing_is_not_done_where_that_would_fail(snapshot, gate):
    assert closed(snapshot, takes_node=False, may_harm=True) == {gate}
    assert closed(snapshot, takes_node=False) == set()


@pytest.mark.parametrize(
    ("window", "minute", "is_open"),
    [
        ("22:00-04:00", 23 * 60, True), ("22:00-04:00", 3 * 60 + 59, True), ("22:00-04:00", 4 * 60, False),
        ("01:00-02:00", 60, True), ("01:00-02:00", 59, False), ("01:00-01:00", 60, False), ("1-2", 90, False),
        ("25:00-26:00", 60, False),
    ],
)  # fmt: skip
def test_a_window_is_open_within_it(window, minute, is_open):
    assert (WINDOW not in closed(WHOLE, window=window, minute=minute)) is is_open


def test_nothing_that_is_amiss_is_hidden_by_something_else():
    flaws = {
        QUORUM: {"is_quorate": False}, FENCING: {"fence_trials": ()},
        REST: {"failures": (Failure(resource="web1", node="n1", operation="start", rc=1),)},
    }  # fmt: skip
    for size in range(len(flaws) + 1):
        for chosen in itertools.combinations(flaws, size):
            values = {name: value for gate in chosen for name, value in flaws[gate].items()}
            assert closed(WHOLE.replace(**values)) == set(chosen)
