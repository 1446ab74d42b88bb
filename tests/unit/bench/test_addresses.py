"""What the bench makes of what was seen of addresses."""

from __future__ import annotations

import pytest

from tests.bench import address_cases, address_takeover
from tests.bench.address_takeover import Missed, Takeover


def test_values_are_told_in_the_words_of_the_case():
    words = ("stop", "the address is left")
    assert address_cases.told(words, [0, False]) == "stop 0; the address is left: no"
    assert address_cases.told(words, [1, True]) == "stop 1; the address is left: yes"


@pytest.mark.parametrize("case", address_cases.CASES, ids=lambda case: case.key)
def test_a_case_has_a_word_for_each_value(case):
    assert len(case.words) == len(case.values)


def test_no_case_is_named_twice():
    keys = [case.key for case in address_cases.CASES]
    assert sorted(set(keys)) == sorted(keys)


SEEN = [{"failed": [0.2, 0.3]}, {"failed": None}, {"failed": [0.4, 0.5]}]


def test_what_clients_missed_is_the_middle_of_the_runs_that_were_answered():
    found = address_takeover.missed(SEEN, "failed")
    assert (found.runs, found.answered) == (3, 2)
    assert (found.to_answer, found.to_answer_p90, found.silence) == pytest.approx((0.3, 0.4, 0.4))


def test_a_client_that_was_never_answered_has_no_times():
    found = address_takeover.missed([{"failed": None}], "failed")
    assert (found.answered, found.to_answer, found.to_answer_p90, found.silence) == (0, None, None, None)


def takeover(ours, shell=1.0, event="failed"):
    made = [
        Missed(runs=1, answered=1, to_answer=seconds, to_answer_p90=seconds, silence=seconds)
        for seconds in (shell, ours)
    ]
    return Takeover(family="IPv4", event=event, shell=made[0], ours=made[1])


@pytest.mark.parametrize(("ours", "is_reached"), [(0.49, True), (0.5, False)])
def test_the_aim_is_less_than_half_of_the_shell_agents_time(ours, is_reached):
    assert [aim.is_reached for aim in address_takeover.aims((takeover(ours), takeover(0.9, event="moved")))] == [
        is_reached
    ]


def test_without_an_answer_there_is_no_share():
    assert takeover(None).ratio is None
    assert address_takeover.aims((takeover(None),)) == ()


@pytest.mark.parametrize(
    ("ours", "shell", "is_in_noise"),
    [
        ((0.064, 0.080), (0.067, 0.085), True),
        ((0.068, 0.076), (2.079, 2.104), False),
        ((0.064, 0.066), (0.1, 0.102), False),
    ],
)
def test_what_differs_less_than_the_runs_do_is_noise_and_no_aim(ours, shell, is_in_noise):
    seen = [
        Missed(runs=6, answered=6, to_answer=median, to_answer_p90=p90, silence=median) for median, p90 in (shell, ours)
    ]
    found = (Takeover(family="IPv4", event="failed", shell=seen[0], ours=seen[1]),)
    assert (len(address_takeover.noise(found)), len(address_takeover.aims(found))) == (
        (1, 0) if is_in_noise else (0, 1)
    )
