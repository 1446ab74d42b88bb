"""A move that is looked at while it is under way: pushed, handed over or aborted, and told."""

from __future__ import annotations

import pytest

from kvmha import journal
from kvmha.ocf import codes
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.policy import decisions
from kvmha.resources.virtual_domain import VirtualDomain
from kvmha.tools.libvirtd import LibvirtError, Progress
from kvmha.tools.libvirtd.progress import progress_of
from tests.fakes import HANGS, REFUSES, FakeHost, FakeLibvirt
from tests.unit.resources.virtual_domain.calls import CONFIG, definition, reason

N2 = "qemu+tcp://n2/system"


@pytest.fixture
def target(host, libvirt) -> FakeLibvirt:
    """Return the libvirt of n2, whose answers cost our time."""
    host.files[CONFIG] = definition().encode()
    own = FakeHost()
    own.now, own.sleep, own.after = host.now, host.sleep, host.after
    libvirt.elsewhere[N2] = FakeLibvirt(own)
    return libvirt.elsewhere[N2]


def move(host, *, timeout=120.0, **params):
    begun = host.clock
    params = {"config": CONFIG, "migration_transport": "tcp", **params}
    env = OcfEnv(
        action="migrate_to", instance="web1", params=params, timeout=timeout, migrate_source="n1", migrate_target="n2"
    )
    code = perform(VirtualDomain, env, host)
    assert host.clock - begun <= timeout
    return code


def endless(seconds):
    """A guest that writes 300 MiB/s where 100 MiB/s can be sent: a round of two seconds after the other."""
    return Progress(
        elapsed_s=seconds, total_mib=256, processed_mib=100 * seconds, remaining_mib=200, speed_mib_s=100,
        dirty_mib_s=300, round=1 + int(seconds / 2), downtime_ms=2000, throttle=0, post_copy_requests=0, setup_ms=10,
        is_post_copy=False,
    )  # fmt: skip


def silent(seconds):
    return endless(min(seconds, 5.0))


def test_a_guest_that_writes_too_fast_gets_its_whole_pause_and_not_more_and_stays(host, libvirt, target, capfd):
    guest = libvirt.run_guest()
    libvirt.migration, libvirt.course = None, endless
    assert move(host, migration_downtime="1000") == codes.ERR_GENERIC
    assert (libvirt.orders[0].downtime_ms, libvirt.downtimes) == (350, [600, 1000])
    assert (guest.state, guest.is_moving, target.guests) == ("running", False, [])
    assert reason(capfd) == (
        "migration of web1 to n2 was aborted, and the guest runs on here: it had not ended after 100 s: 200 MiB left, "
        "300 MiB/s written and 100 MiB/s sent"
    )
    # What cannot be taken back is in the journal, whole; a longer pause is not.
    (entry,) = journal.entries(host)
    assert (entry.kind, entry.subject, entry.guests) == ("push", "migrate web1 n2", ("web1",))
    assert entry.said.startswith("abort: it had not ended after 100 s")
    assert decisions.again(entry).is_same


def test_where_post_copy_is_allowed_such_a_guest_goes_over(host, libvirt, target):
    libvirt.run_guest()
    libvirt.migration, libvirt.course = None, endless
    assert move(host, migration_mode="hybrid") == codes.SUCCESS
    assert (libvirt.calls.count("start_post_copy"), "abort_job" in libvirt.calls) == (1, False)
    assert [guest.state for guest in target.guests] == ["running"]
    assert [entry.said.partition(":")[0] for entry in journal.entries(host)] == ["post-copy"]


def test_a_guest_that_has_gone_over_is_not_called_back(host, libvirt, target, capfd):
    libvirt.run_guest()
    libvirt.migration = 1000.0
    libvirt.course = lambda seconds: endless(seconds).replace(is_post_copy=True)
    libvirt.abort_works = False
    move(host, migration_mode="hybrid", migration_schedule="postcopy")
    # The call that moves is given up in the end, and whoever asks libvirt to abort then hears its refusal.
    assert "post-copy" in reason(capfd)


def test_a_path_on_which_nothing_moves_any_more_is_given_up(host, libvirt, target, capfd):
    libvirt.run_guest()
    libvirt.migration, libvirt.course = None, silent
    begun = host.clock
    assert move(host, timeout=600.0) == codes.ERR_GENERIC
    assert "was aborted, and the guest runs on here: nothing was sent for 120 s" in reason(capfd)
    assert host.clock - begun < 140.0


@pytest.mark.parametrize("trouble", [HANGS, REFUSES])
@pytest.mark.parametrize("method", ["progress", "set_max_downtime", "start_post_copy", "abort_job"])
def test_a_libvirt_that_does_not_do_what_is_due_does_not_make_it_late(host, libvirt, target, method, trouble):
    libvirt.run_guest()
    libvirt.migration, libvirt.course = None, endless
    libvirt.trouble[method] = trouble
    move(host, migration_mode="hybrid")


def test_a_refused_step_is_taken_at_the_next_look(host, libvirt, target):
    libvirt.run_guest()
    libvirt.migration, libvirt.course = 60.0, endless
    libvirt.trouble["set_max_downtime"] = REFUSES
    host.after(20.0, libvirt.trouble.clear)
    assert move(host) == codes.SUCCESS
    assert libvirt.downtimes == [300]


def test_a_target_that_drops_its_copy_late_is_waited_for(host, libvirt, target, capfd):
    libvirt.run_guest()

    def fail(guest, there):
        guest.is_moving = False
        there.put_state(there.run_guest(), "paused", "migration")
        host.after(3.0, lambda: there.end(there.guests[0]))
        raise LibvirtError("says: operation failed: migration out job: unexpectedly failed")

    libvirt.hand_over = fail
    assert move(host) == codes.ERR_GENERIC
    assert "failed, and the guest runs on here: " in reason(capfd)
    assert target.guests == []


def test_a_copy_that_does_not_go_is_told(host, libvirt, target, capfd):
    libvirt.run_guest()

    def fail(guest, there):
        guest.is_moving = False
        there.put_state(there.run_guest(), "paused", "migration")
        raise LibvirtError("says: operation failed: migration out job: unexpectedly failed")

    libvirt.hand_over = fail
    assert move(host) == codes.ERR_GENERIC
    assert "the guest runs on here; n2 has a copy that does not run" in reason(capfd)


def test_a_move_in_its_last_step_is_neither_pushed_nor_called_back(host, libvirt, target):
    libvirt.run_guest()
    libvirt.migration = 80.0
    libvirt.course = lambda seconds: silent(seconds).replace(is_handed_over=seconds > 5.0)
    assert move(host) == codes.SUCCESS
    assert "abort_job" not in libvirt.calls


def test_a_guest_that_never_moves_live_is_refused_before_libvirt_is_asked(host, libvirt, target, capfd):
    libvirt.run_guest()
    assert move(host, migration_mode="cold") == codes.ERR_GENERIC
    assert "does not move live (migration_mode=cold)" in reason(capfd)
    assert libvirt.calls == []


def test_what_libvirt_counts_is_read_in_its_units():
    stats = {
        "type": 2, "operation": 5, "time_elapsed": 1500, "memory_total": 256 << 20, "memory_processed": 100 << 20,
        "memory_remaining": 156 << 20, "memory_bps": 64 << 20, "memory_dirty_rate": 512, "memory_page_size": 4096,
        "memory_iteration": 2, "downtime": 230, "auto_converge_throttle": 20, "setup_time": 9,
    }  # fmt: skip
    assert progress_of(stats, is_post_copy=False) == Progress(
        elapsed_s=1.5, total_mib=256, processed_mib=100, remaining_mib=156, speed_mib_s=64, dirty_mib_s=2, round=2,
        downtime_ms=230, throttle=20, post_copy_requests=0, setup_ms=9, is_post_copy=False,
    )  # fmt: skip
    assert progress_of({"type": 0}, is_post_copy=False) is None
    assert progress_of({**stats, "operation": 2}, is_post_copy=False) is None
