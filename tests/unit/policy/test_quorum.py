"""Votes: who goes on after a split, and by how much. What votequorum itself says stands in tests/contract."""

from __future__ import annotations

from itertools import combinations

import pytest

from kvmha.policy import quorum
from kvmha.policy.quorum import Device, Settings, Voter, judge


def settings(count: int, **more) -> Settings:
    voters = tuple(Voter(name=f"n{number}", nodeid=number) for number in range(1, count + 1))
    return Settings(voters=voters, **more)


def partitions(names: list[str]):
    """Yield every way in which nodes can fall into parts."""
    if not names:
        yield []
        return
    first, *rest = names
    for parts in partitions(rest):
        yield [[first], *parts]
        for place, part in enumerate(parts):
            yield [*parts[:place], [first, *part], *parts[place + 1 :]]


def quorate(found: quorum.Judgement) -> list[tuple[str, ...]]:
    return [verdict.part.members for verdict in found.parts if verdict.part.is_quorate]


OPTIONS = [
    {},
    {"wait_for_all": True},
    {"two_node": True},
    {"auto_tie_breaker": True},
    {"auto_tie_breaker": True, "tie_breaker": "highest", "wait_for_all": True},
    {"auto_tie_breaker": True, "tie_breaker": "2 1", "wait_for_all": True},
    {"last_man_standing": True, "wait_for_all": True},
    {"device": Device(votes=1)},
    {"device": Device(algorithm=quorum.LMS)},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_at_most_one_part_is_quorate_whatever_falls_apart_and_dies(count, options):
    names = [f"n{number}" for number in range(1, count + 1)]
    for size in range(1, count + 1):
        for alive in combinations(names, size):
            for parts in partitions(list(alive)):
                for is_cold in (False, True):
                    quorum.check_invariants(judge(settings(count, **options), parts, is_cold=is_cold))


def test_the_larger_part_goes_on_and_may_fence_the_other():
    found = judge(settings(3), [["n1"], ["n2", "n3"]])
    assert quorate(found) == [("n2", "n3")]
    assert [verdict.may_fence for verdict in found.parts] == [False, True]
    assert found.parts[0].said == ("it has 1 of 3 votes, and 2 are needed: it may start and fence nothing",)
    assert "one more failure stops everything" in found.parts[1].said


def test_both_halves_of_a_pair_with_two_node_are_quorate_and_that_is_said():
    found = judge(settings(2, two_node=True), [["n1"], ["n2"]])
    assert quorate(found) == [("n1",), ("n2",)]
    assert found.warnings == ("both halves have quorum: only fencing separates them, and the faster one wins",)


def test_the_survivor_of_a_dead_peer_is_quorate_by_two_node_and_not_without():
    assert quorate(judge(settings(2, two_node=True), [["n1"]])) == [("n1",)]
    found = judge(settings(2), [["n1"]])
    assert (quorate(found), found.down) == ([], ("n2",))
    assert found.warnings == ("no part has quorum: nothing is started or fenced until nodes come back",)


def test_the_last_of_a_pair_is_called_that():
    assert judge(settings(2, two_node=True), [["n1"]]).parts[0].said[-1] == "it is the last one"


def test_a_node_that_boots_alone_waits_for_the_others():
    found = judge(settings(2, two_node=True), [["n1"]], is_cold=True)
    assert quorate(found) == []
    assert found.parts[0].said == ("wait_for_all: it has 1 votes and waits until it has seen all 2 once",)


@pytest.mark.parametrize(
    ("device_alive", "goes_on"), [pytest.param(True, [("n1",)], id="alive"), pytest.param(False, [], id="gone")]
)
def test_a_device_decides_between_two_halves(device_alive, goes_on):
    pair = settings(2, device=Device(votes=1))
    assert quorate(judge(pair, [["n1"], ["n2"]], device_alive=device_alive)) == goes_on
    assert quorate(judge(pair, [["n2"]], device_alive=device_alive)) == ([("n2",)] if device_alive else [])


def test_with_lms_one_node_of_three_goes_on_by_the_device():
    assert quorate(judge(settings(3, device=Device(algorithm=quorum.LMS)), [["n3"]])) == [("n3",)]
    assert quorate(judge(settings(3, device=Device(votes=1)), [["n3"]])) == []


def test_last_man_standing_forgets_votes_after_its_window():
    held = quorum.rules(settings(4, last_man_standing=True, wait_for_all=True))
    part = quorum.after(held, quorum.whole(settings(4, last_man_standing=True, wait_for_all=True)), ["n1", "n2", "n3"])
    assert (part.quorum, quorum.settled(held, part).quorum) == (3, 2)
    assert quorum.after(held, quorum.settled(held, part), ["n1", "n2"]).is_quorate
    assert not quorum.after(held, part, ["n1", "n2"]).is_quorate


def test_spare_counts_the_losses_that_are_survived_one_after_the_other():
    spare = {
        count: judge(settings(count), [[f"n{n}" for n in range(1, count + 1)]]).parts[0].spare for count in (3, 4, 5)
    }
    assert spare == {3: 1, 4: 1, 5: 2}


def test_a_node_with_more_votes_is_named_when_its_loss_stops_everything():
    voters = (Voter(name="n1", nodeid=1, votes=3), Voter(name="n2", nodeid=2), Voter(name="n3", nodeid=3))
    found = judge(Settings(voters=voters), [["n1", "n2", "n3"]])
    assert found.parts[0].fatal == ("n1",)
    assert "the loss of n1 stops everything" in found.parts[0].said


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        pytest.param({"two_node": True, "device": Device(votes=1)}, "exclude each other", id="two-node-and-device"),
        pytest.param({"last_man_standing": True, "device": Device()}, "exclude each other", id="lms-and-device"),
        pytest.param({"expected_votes": 2, "device": Device()}, "needs its votes said", id="expected-and-device"),
    ],
)
def test_settings_with_which_corosync_does_not_start_are_named(options, refusal):
    assert refusal in quorum.rules(settings(2, **options)).refusal


def test_a_tie_breaker_for_an_odd_number_needs_wait_for_all():
    held = quorum.rules(settings(3, auto_tie_breaker=True))
    assert (held.breaks_ties, len(held.notes)) == (False, 1)


def test_a_tie_breaker_that_is_no_number_breaks_no_tie():
    held = settings(4, auto_tie_breaker=True, tie_breaker="\u00b2 nonsense")
    assert quorate(judge(held, [["n1", "n2"], ["n3", "n4"]])) == []
