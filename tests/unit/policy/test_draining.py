"""A node is emptied only onto nodes that can take its guests, all of them together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvmha.policy.draining import Candidate, Mover, check_invariants, plan
from kvmha.policy.migration import Preflight
from kvmha.policy.movability import COLD, FORBIDS, LIVE, REFUSED, TIES, Reason


def candidate(target, verdict=LIVE, seconds=10.0):
    effect = {REFUSED: TIES, COLD: FORBIDS, LIVE: "allows"}[verdict]
    reasons = () if verdict == LIVE else (Reason(code="x", effect=effect, said=f"{target} cannot"),)
    found = Preflight(guest="g", source="n1", target=target, verdict=verdict, reasons=reasons)
    return Candidate(preflight=found, seconds=seconds)


def mover(name, memory=1024.0, *candidates, priority=0):
    return Mover(guest=name, memory_mib=memory, priority=priority, candidates=candidates or (candidate("n2"),))


def made(*movers, free=None, at_once=2, may_be_cold=False):
    found = plan(movers, {"n2": 4096.0} if free is None else free, at_once=at_once, may_be_cold=may_be_cold)
    check_invariants(found, movers, {"n2": 4096.0} if free is None else free)
    return found


def test_what_matters_more_moves_first_and_then_what_is_quick():
    found = made(mover("slow", 1.0, candidate("n2", seconds=90.0)), mover("quick", 1.0), mover("db", 1.0, priority=9))
    assert [item.guest for item in found.items] == ["db", "quick", "slow"]


def test_each_guest_fits_alone_and_not_all_of_them():
    found = made(mover("a", 3072.0), mover("b", 2048.0))
    assert [item.guest for item in found.items] == ["a"]
    assert found.refusals[0].reasons == ("n2: short of 1.0 GiB for b beside the others that go there",)


def test_guests_spread_over_the_nodes_that_have_most():
    both = (candidate("n2"), candidate("n3"))
    found = made(mover("a", 2048.0, *both), mover("b", 2048.0, *both), free={"n2": 4096.0, "n3": 3072.0})
    assert {item.guest: item.target for item in found.items} == {"a": "n2", "b": "n3"}


def test_downtime_is_for_those_who_ask_for_it():
    cold = mover("a", 1.0, candidate("n2", COLD))
    assert made(cold).refusals[0].reasons == ("n2 cannot",)
    assert [(item.guest, item.is_cold) for item in made(cold, may_be_cold=True).items] == [("a", True)]


def test_live_comes_before_room():
    guest = mover("a", 1.0, candidate("n2", COLD), candidate("n3"))
    assert made(guest, free={"n2": 9000.0, "n3": 100.0}, may_be_cold=True).items[0].target == "n3"


def test_a_guest_without_a_target_is_told():
    guest = Mover(guest="a", memory_mib=1.0, priority=0, candidates=())
    assert made(guest).refusals[0].reasons == ("there is no other node",)


def test_two_lanes_take_less_than_one_and_more_than_half():
    guests = [mover(f"g{number}", 1.0) for number in range(4)]
    assert made(*guests, at_once=1).seconds == 40.0
    assert made(*guests, at_once=2).seconds == 30.0


verdicts = st.sampled_from([LIVE, COLD, REFUSED])


@given(
    st.lists(
        st.builds(
            Mover,
            guest=st.uuids().map(str),
            memory_mib=st.floats(min_value=0, max_value=10_000),
            priority=st.integers(min_value=-5, max_value=5),
            candidates=st.lists(
                st.builds(candidate, st.sampled_from(["n2", "n3", "n4"]), verdicts),
                max_size=3,
                unique_by=lambda each: each.preflight.target,
            ).map(tuple),
        ),
        max_size=8,
        unique_by=lambda each: each.guest,
    ),
    st.fixed_dictionaries({name: st.floats(min_value=0, max_value=20_000) for name in ("n2", "n3", "n4")}),
    st.integers(min_value=1, max_value=4),
    st.booleans(),
)  # fmt: skip
def test_no_plan_promises_what_is_not_there(movers, free, at_once, may_be_cold):
    made(*movers, free=free, at_once=at_once, may_be_cold=may_be_cold)
