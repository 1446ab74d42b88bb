"""What is left of the acceptance list: cases of ./dev bench agents that no other file here proves by its name."""

from __future__ import annotations

import pytest

from tests.bench import calls
from tests.bench.calls import OURS, Call

GUEST, NODE, TARGET = "web3", "n3", "n2"
CONFIG = f"/etc/kvmha/guests/{GUEST}.xml"


@pytest.fixture
def unmanaged(cluster):
    """The guest's own agent calls, with the cluster looking away."""
    cluster.look_away(GUEST, NODE)
    yield cluster
    call(cluster, "start")
    cluster.look_again(GUEST, NODE)


def call(cluster, action, *, timeout=30, meta=(), env=(), **params):
    return cluster.agent(
        NODE, "VirtualDomain", action, instance=GUEST, meta=(("timeout", timeout * 1000), *meta), env=env,
        timeout=timeout + 20, config=CONFIG, migration_transport="tcp", **params,
    )  # fmt: skip


def test_a_definition_that_was_written_anew_in_one_line_hides_no_running_guest(unmanaged):
    text = unmanaged.run(NODE, "cat", CONFIG).out
    unmanaged.lab.copy_in(NODE, CONFIG, "".join(line.strip() for line in text.splitlines()))
    try:
        assert call(unmanaged, "monitor").rc == 0
        assert call(unmanaged, "stop", force_stop="true").rc == 0
        assert unmanaged.qemu_pids(NODE, GUEST) == []
        assert call(unmanaged, "start").rc == 0
        assert len(unmanaged.qemu_pids(NODE, GUEST)) == 1
    finally:
        unmanaged.lab.copy_in(NODE, CONFIG, text)


def test_start_and_migrate_to_end_in_their_time_with_a_reason_while_libvirt_is_stuck(unmanaged):
    before = unmanaged.qemu_pids(NODE, GUEST)
    daemon = unmanaged.run(NODE, "pidof", "libvirtd").out.strip()
    unmanaged.run(NODE, "kill", "-STOP", daemon)
    try:
        moved = call(unmanaged, "migrate_to", timeout=15, meta=(("migrate_source", NODE), ("migrate_target", TARGET)))
        assert (moved.rc, unmanaged.qemu_pids(NODE, GUEST)) == (1, before)
        assert "ocf-exit-reason:" in moved.err
        assert call(unmanaged, "stop", force_stop="true").rc == 0
        started = call(unmanaged, "start", timeout=15)
        assert (started.rc, unmanaged.qemu_pids(NODE, GUEST)) == (1, [])
        assert "did not answer" in started.err
    finally:
        unmanaged.run(NODE, "kill", "-CONT", daemon)
    # What libvirt was asked while it hung may have been carried out since: then it is found, and once.
    assert call(unmanaged, "start").rc == 0
    assert len(unmanaged.qemu_pids(NODE, GUEST)) == 1


def test_what_libvirt_writes_to_stderr_changes_no_answer(unmanaged):
    talk = (("LIBVIRT_DEBUG", "1"), ("LIBVIRT_LOG_OUTPUTS", "1:stderr"))
    assert call(unmanaged, "monitor", env=talk).rc == 0
    # Level 10 asks libvirt, and so there is something to hear.
    deeper = call(unmanaged, "monitor", env=(*talk, ("OCF_CHECK_LEVEL", "10")))
    assert (deeper.rc, "virDomain" in deeper.err) == (0, True)


def test_a_healthy_monitor_is_one_process_of_one_thread_in_less_than_16_mib(cluster):
    calls.install(cluster.lab)
    monitor = Call(action="monitor", instance=GUEST, params={"config": CONFIG}, timeout=30, interval=10)
    ran = calls.run(cluster.lab, NODE, [calls.job(OURS, monitor, NODE, "counted")])[0]
    assert (ran.rc, ran.processes, ran.threads, ran.programs, ran.out, ran.err) == (0, 1, 0, 1, "", "")
    assert ran.largest_kib < 16 * 1024
