"""What breaks while a real guest moves: the target's daemon, its QEMU, and the path, before and after the hand-over.

In each at most one guest runs, exactly one where that is possible, and the exit reason says what happened.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvmha.tools import ss
from tests.lab.moving_guest import NODE, TARGET, begin_move, call, hear, log, status, when_memory_flows

SLOW = {"migration_bandwidth": "15"}
"""MiB/s: the memory of the lab's guest takes some seconds."""

CUT = """\
add table inet cut
add chain inet cut out { type filter hook output priority 0; }
add chain inet cut in { type filter hook input priority 0; }
add rule inet cut out tcp dport { 16509, 49152-49215 } drop
add rule inet cut in tcp sport { 16509, 49152-49215 } drop
"""

CUT_PORTS = """\
add table inet cut
add chain inet cut out {{ type filter hook output priority 0; }}
add rule inet cut out tcp sport {{ {ports} }} tcp dport 16509 drop
"""


@pytest.fixture
def path(unmanaged):
    """The way from node to target, for orders and memory alone: the cluster's own links stay."""

    class Path:
        def cut(self):
            unmanaged.run(NODE, "nft", "-f", "-", given=CUT)

        def join(self, but=()):
            """Let all pass again, or all but what comes from some ports."""
            unmanaged.run(NODE, "nft", "delete", "table", "inet", "cut", ok=None)
            if but:
                unmanaged.run(NODE, "nft", "-f", "-", given=CUT_PORTS.format(ports=", ".join(but)))

    path = Path()
    yield path
    path.join()


def over(cluster, limit=90):
    """Wait until migrate_to has said how it ended, and return that."""
    cluster.wait("migrate_to is over", lambda: "ocf-exit-reason" in log(cluster), limit=limit)
    return log(cluster)


def test_a_target_whose_libvirt_dies_leaves_the_guest_where_it_was(unmanaged, census):
    before = hear(unmanaged)
    begin_move(unmanaged, **SLOW)
    when_memory_flows(unmanaged)
    unmanaged.run(TARGET, "pkill", "-KILL", "-x", "libvirtd")
    assert "the guest runs on here" in over(unmanaged)
    after = hear(unmanaged)
    assert (after.boot, after.ticks > before.ticks) == (before.boot, True)
    # libvirtd comes back by itself, and removes what had not arrived.
    unmanaged.wait("the copy has gone", lambda: not unmanaged.qemu_pids(TARGET, "web3"), limit=60)


@pytest.fixture
def narrow():
    """A control group of this machine in which processes have 40 MiB between them, and are killed beyond."""
    groups = Path("/sys/fs/cgroup")
    is_first = (groups / "memory").is_dir()
    if not is_first and "memory" not in (groups / "cgroup.subtree_control").read_text().split():
        pytest.skip("no control group of this machine limits memory")
    group = groups / ("memory" if is_first else "") / f"kvmha-test-{os.getpid()}"
    group.mkdir()
    (group / ("memory.limit_in_bytes" if is_first else "memory.max")).write_text(str(40 * 1024 * 1024))
    yield group
    group.rmdir()


def killed_in(group):
    """Return how many processes of a control group the kernel has killed for their memory."""
    name = "memory.oom_control" if (group / "memory.oom_control").exists() else "memory.events"
    return int(dict(line.split() for line in (group / name).read_text().splitlines())["oom_kill"])


def test_a_target_that_runs_out_of_memory_leaves_the_guest_where_it_was(unmanaged, census, narrow):
    """The kernel kills the copy in the midst of the move."""
    before = hear(unmanaged)
    begin_move(unmanaged, **SLOW)
    when_memory_flows(unmanaged)
    (copy,) = [copy for copy in census.copies if (copy.name, copy.node) == ("web3", TARGET)]
    (narrow / "cgroup.procs").write_text(str(copy.pid))
    assert "the guest runs on here" in over(unmanaged)
    assert killed_in(narrow) == 1
    assert hear(unmanaged).boot == before.boot
    assert [call(unmanaged, "monitor", node).rc for node in (NODE, TARGET)] == [0, 7]


def test_a_path_that_is_cut_ends_the_move_and_not_the_guest(unmanaged, census, path):
    before = hear(unmanaged)
    give_up_over_a_cut_path(unmanaged, path)
    assert hear(unmanaged).boot == before.boot
    path.join()
    unmanaged.wait("the copy has gone", lambda: not unmanaged.qemu_pids(TARGET, "web3"), limit=120)


@pytest.mark.slow
def test_what_a_cut_path_held_back_does_not_end_the_next_move(unmanaged, census, path):
    """The order to drop the first copy is on its way for minutes, and would be taken for one to drop the second."""
    before = hear(unmanaged)
    give_up_over_a_cut_path(unmanaged, path)
    late = held_back(unmanaged)
    assert late, "all was heard"
    path.join(but=late)
    unmanaged.wait("the copy has gone", lambda: not unmanaged.qemu_pids(TARGET, "web3"), limit=120)
    assert held_back(unmanaged) == late
    done = call(unmanaged, "migrate_to", timeout=60)
    assert done.rc == 0, done.err
    assert held_back(unmanaged) == []
    assert call(unmanaged, "migrate_from", TARGET).rc == 0
    assert hear(unmanaged).boot == before.boot


def give_up_over_a_cut_path(cluster, path):
    """Begin a move, cut the path in the midst of it, and see the move given up."""
    begin_move(cluster, timeout=45, migration_schedule="impatient", **SLOW)
    when_memory_flows(cluster)
    path.cut()
    said = over(cluster)
    assert "was aborted, and the guest runs on here" in said
    assert "nothing was sent for 1" in said


def held_back(cluster):
    """Return the ports of connections to the target's libvirt whose words no process holds and nobody has heard."""
    lines = cluster.run(NODE, *ss.orphans_argv(TARGET, 16509)).out.splitlines()
    return sorted(line.split()[2].rpartition(":")[2] for line in lines)


@pytest.mark.slow
def test_a_path_that_is_cut_in_post_copy_costs_the_guest_and_makes_no_second_one(unmanaged, census, path):
    """Its memory is on both sides then: it has to be stopped on both and booted, and the reason says so."""
    go_over_by_post_copy(unmanaged)
    path.cut()
    assert "post-copy" in over(unmanaged)
    path.join()
    stop_on_both(unmanaged)


@pytest.mark.slow
def test_an_agent_that_is_killed_in_post_copy_makes_no_second_guest(unmanaged, census):
    """Nobody leads the move any more, and the guest's memory is on both sides."""
    pid = go_over_by_post_copy(unmanaged)
    unmanaged.run(NODE, "kill", "-KILL", pid)
    probes = [call(unmanaged, "monitor", node).rc for node in (TARGET, NODE)]
    assert probes != [7, 7], "somewhere it is"
    stop_on_both(unmanaged)


def go_over_by_post_copy(cluster):
    """Have the guest run on the target while most of its memory is still here; return the agent's process id."""
    hear(cluster, "dirty 60 120\n")
    options = "--postcopy --postcopy-bandwidth 3"
    pid = begin_move(
        cluster, timeout=70, migration_mode="hybrid", migration_schedule="postcopy", migrate_options=options, **SLOW
    )
    cluster.wait("it runs on the target", lambda: "post-copy" in status(cluster, NODE), limit=60)
    return pid


def stop_on_both(cluster):
    """Do what Pacemaker does with a failed migrate_to: a stop on the target, then on the source."""
    for node in (TARGET, NODE):
        done = call(cluster, "stop", node, force_stop="true")
        assert (done.rc, cluster.qemu_pids(node, "web3")) == (0, []), done.err


def test_a_guest_that_writes_too_fast_arrives_where_post_copy_is_allowed(unmanaged, census):
    before = hear(unmanaged, "dirty 60 120\n")
    done = call(
        unmanaged, "migrate_to", timeout=90, migration_mode="hybrid", migration_schedule="postcopy",
        migration_bandwidth="30",
    )  # fmt: skip
    assert done.rc == 0, done.err
    assert call(unmanaged, "migrate_from", TARGET).rc == 0
    assert hear(unmanaged, "dirty 0\n").boot == before.boot
    assert [call(unmanaged, "monitor", node).rc for node in (NODE, TARGET)] == [7, 0]
