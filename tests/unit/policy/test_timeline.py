"""When the actions of a plan happen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmha.policy import timeline
from kvmha.policy.failover import Fencing, Outlook
from kvmha.policy.plan import FENCE, Action, Round
from kvmha.policy.quorum import Judgement, Settings, rules
from kvmha.policy.snapshot import GUEST, Resource, Snapshot

GUESTS = tuple(
    Resource(name=name, agent="ocf:kvmha:VirtualDomain", kind=GUEST, nodes=("n1",), memory_mib=1024, start_s=2.0)
    for name in ("web1", "web2", "web3")
)
CLUSTER = Snapshot(resources=GUESTS, properties={"migration-limit": "2"})
FENCED = Fencing(node="n1", asked_by=("n2",), devices=("f",), least_s=1.0, usual_s=3.0, most_s=20.0)


def outlook(*fencings: Fencing) -> Outlook:
    judgement = Judgement(rules=rules(Settings(voters=())), parts=(), down=())
    return Outlook(judgement=judgement, acting=("n2",), standing=("n2",), lost=("n1",), fencings=fencings)


def planned(*actions: Action, fencing: Fencing = FENCED) -> dict[tuple[str, str], timeline.Moment]:
    begins = timeline.every(1.0)
    rounds = (Round(actions=actions),)
    moments, _ = timeline.schedule(CLUSTER, outlook(fencing), rounds, begins, bandwidth=100.0)
    return {(moment.what, moment.subject): moment for moment in moments}


def test_a_start_waits_for_the_fencing_and_takes_what_the_last_one_took():
    found = planned(
        Action(id=1, operation=FENCE, node="n1"),
        Action(id=2, operation="start", resource="web1", node="n2", after=(1,)),
    )
    assert found["fence", "n1"].ends.usual_s == 4.0
    assert found["start", "web1"].begins.usual_s == pytest.approx(4.0 + timeline.STEP_S)
    assert found["start", "web1"].ends.usual_s == pytest.approx(6.0 + timeline.STEP_S)


def test_what_waits_for_a_fencing_that_fails_never_begins_and_the_rest_does():
    found = planned(
        Action(id=1, operation=FENCE, node="n1"),
        Action(id=2, operation="stop", resource="web1", node="n1", is_real=False, after=(1,)),
        Action(id=3, operation="start", resource="web1", node="n2", after=(2,)),
        Action(id=4, operation="start", resource="web2", node="n2"),
        fencing=FENCED.replace(fails=True),
    )
    assert found["start", "web1"].begins is None
    assert found["start", "web2"].begins is not None


def test_what_waits_for_something_outside_the_plan_never_begins():
    assert (
        planned(Action(id=1, operation="start", resource="web1", node="n2", after=(99,)))["start", "web1"].ends is None
    )


def test_more_moves_than_the_limit_wait_for_each_other():
    moves = [Action(id=n, operation="migrate_to", resource=f"web{n}", node="n1") for n in (1, 2, 3)]
    found = planned(*moves)
    begins = sorted(found["move away", f"web{n}"].begins.usual_s for n in (1, 2, 3))
    assert begins[0] == begins[1] < begins[2]
    assert begins[2] >= min(found["move away", f"web{n}"].ends.usual_s for n in (1, 2))


@given(
    st.lists(
        st.tuples(st.sampled_from(["start", "stop", "migrate_to", FENCE, "monitor"]), st.sets(st.integers(1, 12))),
        min_size=1,
        max_size=12,
    ),
    st.booleans(),
)
def test_nothing_begins_before_what_it_waits_for_has_ended(shape, fails):
    actions = tuple(
        Action(
            id=number,
            operation=operation,
            resource="" if operation == FENCE else "web1",
            node="n1",
            after=tuple(sorted(one for one in after if one != number)),
        )
        for number, (operation, after) in enumerate(shape, 1)
    )
    fencings = {"n1": FENCED.replace(fails=fails)}
    resources = {each.name: each for each in GUESTS}
    ends = timeline._ends(CLUSTER, actions, resources, fencings, timeline.every(0.0), 100.0)
    assert set(ends) == {action.id for action in actions}
    timeline.check_invariants(actions, ends)
