"""Live migrations of a real guest, killed, hung and too slow: it never runs twice, and is where the agent says."""

from __future__ import annotations

import pytest

from tests.lab import moving_guest
from tests.lab.moving_guest import (
    begin_move,
    call,
    hear,
    log,
    signal_daemon,
    status,
    when_it_begins,
    when_it_is_handed_over,
    when_memory_flows,
)

GUEST, NODE, TARGET = moving_guest.GUEST, moving_guest.NODE, moving_guest.TARGET


@pytest.mark.parametrize(
    ("moment", "leader"),
    [
        pytest.param(when_it_begins, "", id="as-it-begins"),
        pytest.param(when_memory_flows, "", id="as-memory-flows"),
        pytest.param(when_it_is_handed_over, "", id="in-the-last-step"),
        pytest.param(when_memory_flows, "--p2p", id="as-memory-flows-led-by-libvirt"),
    ],
)
def test_after_a_killed_migrate_to_probes_and_stops_leave_no_guest_and_never_two(unmanaged, census, moment, leader):
    pid = begin_move(unmanaged, migration_speed="20", migrate_options=leader)
    moment(unmanaged)
    unmanaged.run(NODE, "kill", "-KILL", pid)
    signal_daemon(unmanaged, TARGET, "CONT")
    probes = [call(unmanaged, "monitor", node).rc for node in (TARGET, NODE)]
    assert probes != [7, 7], "somewhere it is"
    # Pacemaker stops the target of a failed migrate_to first.
    for node in (TARGET, NODE):
        done = call(unmanaged, "stop", node, force_stop="true")
        assert (done.rc, unmanaged.qemu_pids(node, GUEST)) == (0, []), done.err
    assert [call(unmanaged, "monitor", node).rc for node in (TARGET, NODE)] == [7, 7]


def test_a_guest_that_dirties_memory_faster_than_it_may_move_stays_and_runs(unmanaged, census):
    before = hear(unmanaged, "dirty 20 100\n")
    done = call(unmanaged, "migrate_to", timeout=20, migration_speed="1", migration_downtime="50")
    assert done.rc == 1
    assert "was aborted, and the guest runs on here" in done.err
    after = hear(unmanaged, "dirty 0\n")
    assert (after.boot, after.ticks > before.ticks) == (before.boot, True)
    assert [call(unmanaged, "monitor", node).rc for node in (NODE, TARGET)] == [0, 7]


def test_a_target_that_hangs_in_the_last_step_and_goes_on_later_makes_no_second_guest(unmanaged, census):
    """Half a minute is what libvirt's own keepalive has patience for; left to itself it would resume the guest here."""
    begin_move(unmanaged, timeout=50, migration_speed="50")
    when_it_is_handed_over(unmanaged)
    unmanaged.wait("the agent has given up", lambda: "ocf-exit-reason" in log(unmanaged), limit=60)
    assert f"the guest stands still here, and {TARGET} does not answer" in log(unmanaged)
    signal_daemon(unmanaged, TARGET, "CONT")
    # It carries out what it was asked to, or drops the copy, because who asked has gone.
    unmanaged.wait("the target has decided", lambda: status(unmanaged, TARGET) != "paused migration", limit=30)
    assert status(unmanaged, NODE) == "paused migration"


@pytest.mark.parametrize(
    ("name", "value"), [("migration_downtime", "500"), ("monitor_scripts", "/usr/bin/true")], ids=lambda text: text
)
def test_a_changed_tuning_parameter_is_reloaded_without_a_restart(cluster, name, value):
    give_history(cluster)
    before, reloads = hear(cluster), count_reloads(cluster)
    resource = ("crm_resource", "--resource", GUEST)
    try:
        cluster.run(NODE, *resource, "--set-parameter", name, "--parameter-value", value)
        cluster.run(NODE, "crm_resource", "--wait", "--timeout", "60s", timeout=90)
        # The log of what was done may be written a moment after the cluster is at rest.
        cluster.wait("the agent was reloaded", lambda: count_reloads(cluster) > reloads)
        assert count_reloads(cluster) == reloads + 1
        assert (cluster.places()[GUEST], hear(cluster).boot) == ((NODE,), before.boot)
    finally:
        cluster.run(NODE, *resource, "--delete-parameter", name)
        cluster.run(NODE, "crm_resource", "--wait", "--timeout", "60s", timeout=90)
    assert hear(cluster).boot == before.boot


def give_history(cluster):
    """Have Pacemaker know what may be reloaded: a probe of a guest that runs, as after a cleanup, makes it forget."""
    last = f"//node_state[@uname='{NODE}']//lrm_rsc_op[@id='{GUEST}_last_0']"
    if "op-force-restart" not in cluster.run(NODE, "cibadmin", "--query", "--xpath", last, ok=None).out:
        cluster.move(GUEST, "n2")
        cluster.move(GUEST, NODE)


def count_reloads(cluster):
    """Return how often Pacemaker had the guest's agent reload: it records that as a start, so its log tells."""
    log = cluster.run(NODE, "cat", "/var/log/pacemaker/pacemaker.log").out
    return log.count(f"Result of reload-agent operation for {GUEST} on")
