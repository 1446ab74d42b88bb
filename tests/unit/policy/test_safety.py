"""The invariants of a transition: over every set of lost nodes, and after every step at which it may be interrupted."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmha.policy import expectation, safety
from kvmha.policy.safety import FENCE, MIGRATE_FROM, MIGRATE_TO, START, STOP, Step, Unsafe
from kvmha.policy.snapshot import (
    FENCING,
    GUEST,
    INFINITY,
    PRIMARY,
    Node,
    Pairing,
    Preference,
    Replica,
    Resource,
    Snapshot,
)
from tests.unit.policy.placement.test_survival import PHASES

DEVICE = Resource(name="fence", agent="stonith:fence_ipmilan", kind=FENCING)


def guest(name: str, *nodes: str, **more) -> Resource:
    return Resource(**{"name": name, "agent": "ocf:kvmha:VirtualDomain", "kind": GUEST, "nodes": nodes, **more})


def snapshot(*resources: Resource, lost: tuple[str, ...] = (), **more) -> Snapshot:
    nodes = tuple(Node(name=name, is_online=name not in lost, is_unclean=name in lost) for name in ("n1", "n2", "n3"))
    return Snapshot(**{"nodes": nodes, "resources": (*resources, DEVICE), "is_quorate": True, **more})


@pytest.mark.parametrize(
    ("there", "steps", "said"),
    [
        pytest.param(
            snapshot(guest("web1", "n1"), lost=("n1",)),
            [Step(act=START, node="n2", resource="web1")],
            "web1 starts on n2 and may be active on n1",
            id="before-the-fencing",
        ),
        pytest.param(
            snapshot(guest("web1", "n1"), lost=("n1",)),
            [Step(act=FENCE, node="n1"), Step(act=START, node="n2", resource="web1")],
            None,
            id="after-the-fencing",
        ),
        pytest.param(
            snapshot(guest("web1", "n1")),
            [Step(act=START, node="n2", resource="web1")],
            "may be active on n1",
            id="before-the-stop",
        ),
        pytest.param(
            snapshot(guest("web1", "n1")),
            [
                Step(act=MIGRATE_TO, node="n1", resource="web1"),
                Step(act=MIGRATE_FROM, node="n2", resource="web1"),
                Step(act=STOP, node="n1", resource="web1"),
                Step(act=START, node="n1", resource="web1"),
            ],
            "web1 starts on n1 and may be active on n2",
            id="after-the-move",
        ),
        pytest.param(
            snapshot(guest("web1", "n1")),
            [Step(act=MIGRATE_FROM, node="n2", resource="web1")],
            "may be active on n1",
            id="arrival-without-departure",
        ),
        pytest.param(
            snapshot(guest("web1"), is_quorate=False),
            [Step(act=START, node="n2", resource="web1")],
            "web1 starts on n2 without quorum",
            id="no-quorum",
        ),
        pytest.param(
            snapshot(guest("web1"), is_quorate=None),
            [Step(act=START, node="n2", resource="web1")],
            "without quorum",
            id="quorum-unknown",
        ),
        pytest.param(
            snapshot(guest("web1", "n1"), lost=("n1",), is_quorate=False),
            [Step(act=FENCE, node="n1")],
            "n1 is fenced by a partition without quorum",
            id="fencing-without-quorum",
        ),
        pytest.param(
            snapshot(guest("primary", kind=PRIMARY, disks=("r1",))),
            [Step(act=START, node="n1", resource="primary")],
            "n1, whose replica has no promotion score",
            id="promotion-of-an-unknown-replica",
        ),
        pytest.param(
            snapshot(
                guest("primary", kind=PRIMARY, disks=("r1",)),
                replicas=(Replica(disk="r1", resource="drbd", node="n1", score=10),),
            ),
            [Step(act=START, node="n1", resource="primary")],
            None,
            id="promotion",
        ),
        pytest.param(
            snapshot(guest("web1", "n1"), lost=("n1",)),
            [Step(act=FENCE, node="n1"), Step(act=START, node="n1", resource="web1")],
            "n1, which was fenced",
            id="start-on-a-fenced-node",
        ),
    ],
)
def test_a_step(there, steps, said):
    if said is None:
        safety.check(there, steps)
    else:
        with pytest.raises(Unsafe, match=said):
            safety.check(there, steps)


def test_with_fencing_off_a_lost_node_counts_as_off_which_is_why_it_must_not_be_off():
    there = snapshot(guest("web1", "n1"), lost=("n1",), properties={"stonith-enabled": "false"})
    safety.check(there, [Step(act=START, node="n2", resource="web1")])


def drawn(seed: int) -> Snapshot:
    """Make a cluster of three nodes of a number, with guests, one of them on DRBD, that run somewhere or nowhere."""
    chance = random.Random(seed)
    names = ("n1", "n2", "n3")
    guests = [f"web{number}" for number in range(1, chance.randint(2, 4))]
    replicas = tuple(
        Replica(disk="r1", resource="drbd", node=name, score=chance.choice((None, 10, 10000)))
        for name in chance.sample(names, 2)
    )
    scored = [each.node for each in replicas if each.score]
    writer = chance.choice(scored) if scored and chance.random() < 0.7 else ""
    on = (writer,) if writer else ()
    resources = [
        Resource(
            name="drbd", agent="ocf:kvmha:DRBD", is_clone=True, nodes=tuple(sorted(each.node for each in replicas))
        ),
        guest("primary", *on, kind=PRIMARY, disks=("r1",), is_movable=True),
        guest("db", *on, is_movable=True, stickiness=chance.choice((0, 100))),
        *(
            guest(
                name,
                *((chance.choice(names),) if chance.random() < 0.8 else ()),
                is_movable=chance.random() < 0.5,
                is_managed=chance.random() < 0.95,
                priority=chance.choice((0, 0, 5)),
            )
            for name in guests
        ),
    ]
    preferences = [
        Preference(id=f"known-{name}", resource="primary", node=name, score=each.score if each.score else -INFINITY)
        for name in names
        for each in [
            next((one for one in replicas if one.node == name), Replica(disk="", resource="", node="", score=None))
        ]
    ]
    preferences += [
        Preference(id=name, resource=name, node=chance.choice(names), score=chance.choice((50, 100, -50, -INFINITY)))
        for name in guests
        if chance.random() < 0.4
    ]
    pairings = [
        Pairing(id="a", resource="primary", with_resource="drbd", score=INFINITY),
        Pairing(id="b", resource="db", with_resource="primary", score=INFINITY),
    ]
    if len(guests) > 1 and chance.random() < 0.4:
        score = chance.choice((INFINITY, -INFINITY, 100, -100))
        pairings.append(Pairing(id="c", resource=guests[1], with_resource=guests[0], score=score))
    return snapshot(
        *resources,
        preferences=tuple(preferences),
        pairings=tuple(pairings),
        replicas=replicas,
        is_quorate=chance.choice((True, True, True, False, None)),
        properties={"no-quorum-policy": chance.choice(("stop", "freeze", "ignore", "demote"))},
    )


@settings(max_examples=60, deadline=None, phases=PHASES)
@given(st.integers(0, 2**32))
def test_over_all_subsets_and_every_interruption(seed):
    """Any nodes are lost; the transition ends after any step; then any other nodes are lost, and it begins anew."""
    there = drawn(seed)
    names = [node.name for node in there.nodes]
    for number in range(len(names)):
        for lost in combinations(names, number):
            begun = safety.Walk(there).now(lost)
            found = expectation.foresee(begun)
            expectation.check_invariants(begun, found)
            walk = safety.Walk(begun)
            for step in safety.steps_of(begun, found):
                walk.take(step)
                for second in names:
                    interrupted = walk.now((*lost, second))
                    again = expectation.foresee(interrupted)
                    expectation.check_invariants(interrupted, again)
                    safety.check(interrupted, safety.steps_of(interrupted, again))


@settings(max_examples=100, deadline=None, phases=PHASES)
@given(st.integers(0, 2**32))
def test_after_a_transition_nobody_is_left_to_be_fenced(seed):
    there = safety.Walk(drawn(seed)).now(("n1",))
    found = expectation.foresee(there)
    after = safety.check(there, safety.steps_of(there, found)).now()
    acts = there.is_quorate or there.properties["no-quorum-policy"] == "ignore"
    assert found.fenced == (("n1",) if acts else ())
    assert expectation.foresee(after).fenced == ()
