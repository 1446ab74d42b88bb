"""A promise is said to be kept only where that is known."""

from __future__ import annotations

import itertools

import pytest

from kvmha.policy import ledger
from kvmha.policy.ledger import BREAKS, KEEPS, NOTHING, UNKNOWN, Known, Measured
from kvmha.policy.protection import GuestRecovery

NOW = 1_800_000_000.0


def guest(foretold=None, limit=None, said=""):
    return GuestRecovery(name="web1", nodes=("n1",), state="running", usual_s=foretold, limit_s=limit, said=said)


def measured(*seconds):
    return [Measured(guest="web1", seconds=value, at=NOW - 100 + n, drill="hang") for n, value in enumerate(seconds)]


@pytest.mark.parametrize(
    ("foretold", "limit", "times", "said", "verdict"),
    [
        pytest.param(10.0, None, (), "", NOTHING, id="nothing-promised"),
        pytest.param(10.0, 30.0, (), "", KEEPS, id="foretold"),
        pytest.param(10.0, 30.0, (50.0, 12.0), "", KEEPS, id="the-last-one-counts"),
        pytest.param(40.0, 30.0, (12.0,), "", BREAKS, id="a-change-of-configuration"),
        pytest.param(10.0, 30.0, (12.0, 31.0), "", BREAKS, id="it-took-longer"),
        pytest.param(None, 30.0, (), "", UNKNOWN, id="nothing-known"),
        pytest.param(None, 30.0, (5.0,), "", UNKNOWN, id="measured-once-and-not-foretold-today"),
        pytest.param(None, 30.0, (), "it would not come back: its node cannot be fenced", BREAKS, id="never"),
    ],
)
def test_a_promise_is_kept_by_prediction_and_by_the_last_measurement(foretold, limit, times, said, verdict):
    (entry,) = ledger.ledger([guest(foretold, limit, said)], measured(*times), now=NOW)
    assert entry.verdict == verdict
    assert entry.count == len(times)


def test_no_combination_is_said_to_be_kept_that_is_not():
    for foretold, limit, times in itertools.product(
        (None, 5.0, 50.0), (None, 30.0), ((), (5.0,), (50.0,), (5.0, 50.0))
    ):
        entries = ledger.ledger([guest(foretold, limit)], measured(*times), now=NOW)
        ledger.check_invariants(entries)


def test_the_median_and_the_age_are_of_what_was_measured():
    (entry,) = ledger.ledger([guest(10.0, 30.0)], measured(20.0, 8.0, 16.0, 10.0), now=NOW)
    assert (entry.last_s, entry.median_s, entry.age_s) == (10.0, 13.0, 97.0)
    (slow,) = ledger.ledger([guest(10.0, 30.0)], measured(20.0), now=NOW)
    assert slow.said == "measured 2.0 times what is foretold"


def known(foretold, verdict):
    return {"web1": Known(foretold_s=foretold, verdict=verdict, at=NOW - 1000)}


@pytest.mark.parametrize(
    ("foretold", "before", "is_news"),
    [
        pytest.param(40.0, {}, True, id="nobody-has-looked-yet"),
        pytest.param(40.0, known(20.0, KEEPS), True, id="a-change-has-pushed-it-beyond"),
        pytest.param(40.0, known(40.0, BREAKS), False, id="as-it-was"),
        pytest.param(41.0, known(40.0, BREAKS), False, id="hardly-worse"),
        pytest.param(60.0, known(40.0, BREAKS), True, id="worse-again"),
        pytest.param(20.0, known(40.0, BREAKS), False, id="it-keeps-it-again"),
        pytest.param(None, known(20.0, KEEPS), False, id="not-known-any-more"),
        pytest.param(40.0, known(None, UNKNOWN), True, id="it-was-not-known"),
    ],
)
def test_people_are_told_of_a_change_and_not_of_what_stays(foretold, before, is_news):
    entries = ledger.ledger([guest(foretold, 30.0)], [], now=NOW)
    found = ledger.news(entries, before)
    assert bool(found) is is_news
    assert all(told == before.get("web1") for _, told in found)
