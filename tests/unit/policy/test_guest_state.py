"""What a domain's state means, over every state and reason that libvirt knows and some that it does not."""

from __future__ import annotations

import itertools

import pytest

from kvmha.policy.guest_state import (
    DEFAULTS,
    DEGRADED,
    FAILED,
    RESUME,
    RUNNING,
    STOPPED,
    VERDICTS,
    Settings,
    is_passing,
    judge,
)
from kvmha.policy.model import GuestState
from kvmha.resources.virtual_domain.params import PARAMS
from kvmha.tools.libvirtd import REASONS, STATES

WORDS = sorted({"", "a reason of the future", *(word for words in REASONS.values() for word in words)})
ALL = list(itertools.product((*STATES, "", "a state of the future"), WORDS, (0, 734)))
OPERATIONS = (None, "", "migration in", "migration out", "save")
CHOICES = (RUNNING, DEGRADED, FAILED)
SETTINGS = [
    Settings(on_paused=paused, on_ioerror=error, on_pmsuspended=asleep, on_crashed=crashed)
    for paused, error, asleep, crashed in itertools.product(CHOICES, (*CHOICES, RESUME), CHOICES, CHOICES)
]


def of(state, reason="", pid=734):
    return GuestState(state=state, reason=reason, pid=pid)


def test_the_defaults_are_those_of_the_parameters():
    assert {param.name: param.default for param in PARAMS if param.name in Settings._fields} == {
        name: getattr(DEFAULTS, name) for name in Settings._fields
    }


def test_whatever_an_operator_chooses_a_guest_with_a_process_is_never_stopped():
    for settings, operation in itertools.product(SETTINGS, OPERATIONS):
        for state, reason, _ in ALL:
            assert judge(of(state, reason), settings, operation).verdict != STOPPED, (state, reason, settings)


def test_every_state_and_reason_has_one_of_the_verdicts_and_a_reason_unless_all_is_well():
    for settings, operation in itertools.product(SETTINGS, OPERATIONS):
        for state, reason, pid in ALL:
            verdict = judge(of(state, reason, pid), settings, operation)
            assert verdict.verdict in VERDICTS
            assert bool(verdict.reason) is (verdict.verdict in (DEGRADED, FAILED)), (state, reason, pid)


def test_only_shutoff_is_stopped():
    stopped = {state for state, reason, pid in ALL if judge(of(state, reason, pid)).verdict == STOPPED}
    assert stopped == {"shutoff"}


def test_by_default_only_a_guest_whose_processors_may_run_is_well():
    well = {state for state, reason, pid in ALL if judge(of(state, reason, pid)).verdict == RUNNING}
    assert well == {"running", "blocked", "shutdown"}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        *(("paused", reason) for reason in ("ioerror", "watchdog", "panicked", "shutdown", "post-copy failed")),
        *(("paused", reason) for reason in ("api error", "unknown", "", "a new one")),
        ("running", "post-copy failed"),
        ("crashed", "unknown"), ("crashed", "panicked"), ("nostate", "unknown"), ("shutoff", "crashed"),
    ],
)  # fmt: skip
def test_by_default_this_is_a_failure(state, reason):
    assert judge(of(state, reason)).verdict == FAILED


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("paused", "user"), ("paused", "from snapshot"), ("paused", "starting up"), ("pmsuspended", "unknown"),
        ("running", "crashed"),
    ],
)  # fmt: skip
def test_by_default_this_is_a_degradation(state, reason):
    assert judge(of(state, reason)).verdict == DEGRADED


@pytest.mark.parametrize(
    ("setting", "states"),
    [
        ("on_paused", {("paused", "user"), ("paused", "from snapshot")}),
        ("on_ioerror", {("paused", "ioerror")}),
        ("on_pmsuspended", {("pmsuspended", word) for word in WORDS}),
        ("on_crashed", {("paused", "panicked"), *(("crashed", word) for word in WORDS)}),
    ],
)
@pytest.mark.parametrize("choice", CHOICES)
def test_each_setting_decides_on_its_states_and_on_no_others(setting, states, choice):
    settings = DEFAULTS.replace(**{setting: choice})
    for state, reason, _ in ALL:
        want = choice if (state, reason) in states else judge(of(state, reason)).verdict
        assert judge(of(state, reason), settings).verdict == want, (state, reason)


def test_until_it_was_told_to_go_on_a_guest_with_an_io_error_counts_as_failed():
    assert judge(of("paused", "ioerror"), Settings(on_ioerror=RESUME)).verdict == FAILED


PASSING = ("migration", "post-copy", "save", "dump", "snapshot")


@pytest.mark.parametrize("reason", PASSING)
@pytest.mark.parametrize("operation", [None, "migration out", "an operation of the future"])
def test_a_pause_for_an_operation_that_goes_on_or_may_go_on_is_a_degradation(reason, operation):
    assert judge(of("paused", reason), operation=operation).verdict == DEGRADED


@pytest.mark.parametrize("reason", PASSING)
def test_a_pause_for_an_operation_that_is_over_is_a_failure(reason):
    found = judge(of("paused", reason), Settings(on_paused=RUNNING), operation="")
    assert (found.verdict, found.reason.startswith("left paused by a ")) == (FAILED, True)


def test_only_those_pauses_pass():
    assert {(state, reason) for state, reason, _ in ALL if is_passing(of(state, reason))} == {
        ("paused", reason) for reason in PASSING
    }


def test_an_unknown_state_names_itself():
    assert judge(of("dreaming")).reason == "in the unknown state 'dreaming'"
