"""Fencing is proven path by path, and only for a while."""

from __future__ import annotations

import itertools

import pytest

from kvmha.policy import fencing_proof
from kvmha.policy.fencing_proof import FAILED, FRESH_S, OFF, ON, Path, Trial

NOW = 1_800_000_000.0
FIRST = Path(device="fence-n1", target="n1", node="n2")
SECOND = Path(device="fence-n2", target="n2", node="n1")


def trial(path: Path = FIRST, *, age: float = 60.0, state: str = ON, seconds=(0.1,), said="") -> Trial:
    return Trial(
        device=path.device, target=path.target, node=path.node, at=NOW - age, state=state, seconds=seconds, said=said
    )  # fmt: skip


@pytest.mark.parametrize(
    ("trials", "proven"),
    [
        pytest.param([], False, id="never-tried"),
        pytest.param([trial()], True, id="tried-now"),
        pytest.param([trial(state=OFF)], True, id="a-target-without-power-can-be-fenced-too"),
        pytest.param([trial(age=FRESH_S + 1)], False, id="too-long-ago"),
        pytest.param([trial(age=-3600)], False, id="from-the-future"),
        pytest.param([trial(age=-5)], True, id="by-a-clock-that-is-seconds-ahead"),
        pytest.param([trial(state=FAILED)], False, id="failed"),
        pytest.param([trial(age=500), trial(state=FAILED)], False, id="failed-after-it-had-worked"),
        pytest.param([trial(age=500, state=FAILED), trial()], True, id="works-again"),
        pytest.param([trial(SECOND)], False, id="another-path-proves-nothing"),
    ],
)
def test_the_last_trial_of_a_path_counts_while_it_is_fresh(trials, proven):
    (judged,) = fencing_proof.judge([FIRST], trials, now=NOW)
    assert judged.is_proven is proven


def test_nothing_is_said_to_be_proven_that_is_not():
    kinds = [trial(path, age=age, state=state)
             for path in (FIRST, SECOND) for age in (0, 1000, FRESH_S + 5) for state in (ON, FAILED)]  # fmt: skip
    for size in range(4):
        for chosen in itertools.permutations(kinds, size):
            judged = fencing_proof.judge([FIRST, SECOND], chosen, now=NOW)
            fencing_proof.check_invariants(judged, now=NOW)
            is_proven, _ = fencing_proof.sentence(judged, now=NOW)
            assert (is_proven is True) == all(each.is_proven for each in judged)


def test_what_is_written_is_read_back():
    made = (trial(seconds=(0.1, 0.25)), trial(SECOND, state=FAILED, seconds=(), said='says "no", and more'))
    text = fencing_proof.written(made[:1])
    assert fencing_proof.read("n2", text) == made[:1]
    attributes = {
        "n2": {fencing_proof.ATTRIBUTE: text},
        "n1": {fencing_proof.ATTRIBUTE: fencing_proof.written(made[1:])},
    }
    assert set(fencing_proof.trials_of(attributes)) == set(made)


@pytest.mark.parametrize("text", ["", "on", "[]", "{}", '{"a": 1}', "[1]", '[["d","n1",5,"maybe",[],""]]', "[[1,2]]"])
def test_what_is_no_proof_proves_nothing(text):
    assert fencing_proof.read("n1", text) == ()


def test_times_of_earlier_days_are_kept_and_paths_that_are_gone_are_not():
    before = [trial(age=FRESH_S, seconds=(0.1,) * 8), trial(SECOND)]
    (found,) = fencing_proof.merged(before, [trial(seconds=(0.5, 0.6))], [FIRST])
    assert (found.at, found.seconds) == (NOW - 60, (*(0.1,) * 7, 0.5, 0.6))


@pytest.mark.parametrize(("percent", "want"), [(0, 1.0), (50, 5.0), (90, 9.0), (91, 10.0), (100, 10.0)])
def test_percentiles_are_times_that_were_measured(percent, want):
    assert fencing_proof.percentile([float(n) for n in range(10, 0, -1)], percent) == want
    assert fencing_proof.percentile([], percent) == 0.0


def test_a_power_cycle_is_remembered_through_the_trials_of_every_day():
    cycled = fencing_proof.cycled(FIRST, at=NOW - 5000)
    (kept,) = fencing_proof.merged(
        [trial(age=9000).replace(start_s=0.2), cycled], [trial(age=60, seconds=(0.3,))], [FIRST]
    )
    assert (kept.cycled_at, kept.at, kept.seconds, kept.start_s) == (NOW - 5000, NOW - 60, (0.1, 0.3), 0.2)
    assert fencing_proof.read("n2", fencing_proof.written([kept])) == (kept.replace(cycled_at=float(int(NOW - 5000))),)
    (older,) = fencing_proof.read("n2", '[["f","n1",5,"on",[0.1],""]]')
    assert older.cycled_at == 0.0, "what an older version has written is still read"
