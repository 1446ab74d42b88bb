"""What a domain's state means, over every state and reason that libvirt knows and some that it does not."""

from __future__ import annotations

import itertools

import pytest

from kvmha.policy.guest_state import DEGRADED, FAILED, RUNNING, STOPPED, VERDICTS, judge
from kvmha.policy.model import GuestState
from kvmha.tools.libvirtd import PAUSED_REASONS, STATES

REASONS = ("", *PAUSED_REASONS, "booted", "migrated", "unpaused", "crashed", "destroyed", "a reason of the future")
ALL = list(itertools.product((*STATES, "", "a state of the future"), REASONS, (0, 734)))


def test_every_state_and_reason_has_one_of_the_verdicts_and_a_reason_unless_all_is_well():
    for state, reason, pid in ALL:
        verdict = judge(GuestState(state=state, reason=reason, pid=pid))
        assert verdict.verdict in VERDICTS
        assert bool(verdict.reason) is (verdict.verdict in (DEGRADED, FAILED)), (state, reason, pid)


def test_a_guest_with_a_process_is_never_stopped():
    for state, reason, _ in ALL:
        assert judge(GuestState(state=state, reason=reason, pid=734)).verdict != STOPPED, (state, reason)


def test_only_shutoff_is_stopped():
    stopped = {
        state for state, reason, pid in ALL if judge(GuestState(state=state, reason=reason, pid=pid)).verdict == STOPPED
    }
    assert stopped == {"shutoff"}


def test_only_a_guest_whose_processors_may_run_is_well():
    well = {
        state for state, reason, pid in ALL if judge(GuestState(state=state, reason=reason, pid=pid)).verdict == RUNNING
    }
    assert well == {"running", "blocked", "shutdown"}


@pytest.mark.parametrize(
    "reason", ["ioerror", "watchdog", "panicked", "post-copy failed", "api error", "unknown", "a new one"]
)
def test_a_pause_that_does_not_end_by_itself_is_a_failure(reason):
    assert judge(GuestState(state="paused", reason=reason, pid=1)).verdict == FAILED


@pytest.mark.parametrize(
    "reason", ["user", "migration", "save", "dump", "snapshot", "from snapshot", "starting up", "post-copy"]
)
def test_a_pause_that_someone_ends_is_a_degradation(reason):
    assert judge(GuestState(state="paused", reason=reason, pid=1)).verdict == DEGRADED


def test_a_guest_that_suspended_itself_is_alive():
    assert judge(GuestState(state="pmsuspended", pid=1)).verdict == DEGRADED


def test_an_unknown_state_names_itself():
    assert judge(GuestState(state="dreaming", pid=1)).reason == "in the unknown state 'dreaming'"
