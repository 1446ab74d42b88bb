"""The lab itself: what it makes it removes, whatever happened in between."""

from __future__ import annotations

import os
import select
import sys

import pytest

from kvmha.host import Host
from kvmha.lab import nodes
from kvmha.lab.lab import Lab, find
from kvmha.lab.plan import KERNELS, LabError, make_plan


@pytest.fixture
def names():
    """Two names that nobody else uses; whatever a test leaves of such labs is removed."""
    names = (f"trace-{os.getpid()}", f"other-{os.getpid()}")
    yield names
    for name in names:
        Lab(Host(), make_plan(name)).down()


def silent(_phase, _text):
    pass


def traces(names):
    """Return all that exists of labs of these names: namespaces, mounts, processes, files, cgroups."""
    host = Host()
    found = {f"netns {netns}" for netns in host.names("/run/netns") if any(name in netns for name in names)}
    found |= {
        f"mount {line}" for line in host.read("/proc/self/mountinfo").splitlines() if any(n in line for n in names)
    }
    for pid in host.pids():
        if pid == os.getpid():
            continue
        try:
            environment = host.read_bytes(f"/proc/{pid}/environ").decode("utf-8", "replace")
        except OSError:
            environment = ""
        if any(name in environment or name in " ".join(host.cmdline(pid)) for name in names):
            found.add(f"process {' '.join(host.cmdline(pid))}")
    for folder in ("/var/lib/kvmha/lab", "/run", "/tmp", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        found |= {f"file {folder}/{entry}" for entry in host.names(folder) if any(name in entry for name in names)}
    return found


@pytest.mark.slow
def test_two_labs_run_side_by_side_and_leave_no_trace(names):
    host = Host()
    labs = [Lab(host, make_plan(name, nodes=2, kernel=kernel)) for name, kernel in zip(names, KERNELS)]
    for lab in labs:
        lab.up(silent, bare=True)
    # Both have the same addresses, each in namespaces of its own.
    for lab in labs:
        assert lab.run("n1", "hostname", timeout=20).out.strip() == "n1"
        assert lab.run("n1", "ping", "-c", "1", "-W", "5", lab.plan.node("n2").addresses[1], timeout=20).rc == 0
    assert traces(names), "the search for traces finds nothing even while the labs are up"
    labs[0].down()
    assert labs[1].run("n2", "true", timeout=20).rc == 0
    labs[1].down()
    labs[1].down()
    assert traces(names) == set()


@pytest.mark.parametrize(
    ("kernel", "seconds"),
    [("container", 0.5), ("container", 2.0), ("container", 4.0), ("uml", 1.0), ("uml", 5.0), ("uml", 15.0)],
)
def test_down_removes_what_an_up_that_was_killed_has_made(names, checkout, kernel, seconds):
    host = Host()
    pid, fd = host.stream(
        sys.executable, "-m", "kvmha", "lab", "up", "--bare", "--nodes", "2", "--name", names[0], "--kernel", kernel,
        env={"PYTHONPATH": str(checkout)},
    )  # fmt: skip
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    # The lab is being made from its first words on; what it has made after that is for chance to say.
    assert poll.poll(60_000), "kvmha lab up says nothing"
    host.sleep(seconds)
    host.kill(pid, 9, still=lambda: True, wait=10)
    host.wait(pid, timeout=5)
    os.close(fd)
    Lab(host, make_plan(names[0])).down()
    assert traces(names) == set()


@pytest.mark.slow
def test_a_node_with_a_kernel_of_its_own_keeps_its_disk_and_loses_its_memory(names):
    host = Host()
    lab = Lab(host, make_plan(names[0], nodes=2, kernel="uml"))
    lab.up(silent, bare=True)
    other = lab.plan.node("n2").addresses[0]

    def reaches():
        return lab.run("n1", "ping", "-c", "1", "-W", "5", other, timeout=60, ok=None).rc == 0

    assert reaches()
    lab.cut("n2", 0)
    assert not reaches()
    lab.heal("n2")
    assert reaches()
    lab.run("n2", "sh", "-c", "echo kept > /root/disk && sync && echo lost > /run/memory", timeout=60)
    assert lab.run("n2", "modprobe", "drbd", timeout=60).rc == 0
    assert lab.run("n2", "test", "-c", "/dev/watchdog", timeout=60).rc == 0
    lab.cut("n2", 1)
    lab.power("n2", "off")
    assert lab.leader("n2") is None
    with pytest.raises(LabError, match="the node n2 has no power"):
        lab.run("n2", "true", timeout=5)
    lab.power("n2", "on")
    lab.wait_booted("n2")
    assert lab.run("n2", "cat", "/root/disk", timeout=60).out == "kept\n"
    assert lab.run("n2", "cat", "/run/memory", timeout=60, ok=None).rc != 0
    # A cable that was unplugged is unplugged after the boot as well.
    assert reaches()
    assert lab.run("n1", "ping", "-c", "1", "-W", "2", "n2-link1", timeout=60, ok=None).rc != 0


def test_nothing_of_a_node_can_harm_the_machine_even_if_its_kernel_is_gone(names):
    # Seen: processes whose kernel was killed ran on as root of the machine, and mounted what they had been about to.
    host = Host()
    lab = Lab(host, make_plan(names[0], nodes=2, kernel="uml"))
    lab.up(silent, bare=True)
    node = lab.plan.node("n1")
    pids = [pid for pid in host.pids() if nodes.in_cgroup(host, node, pid) and host.exe(pid).endswith("linux.uml")]
    assert pids
    for pid in pids:
        status = dict(line.split(":\t", 1) for line in host.read(f"/proc/{pid}/status").splitlines() if ":\t" in line)
        # capability.h: 21 is CAP_SYS_ADMIN, 27 CAP_MKNOD, 22 CAP_SYS_BOOT, 18 CAP_SYS_CHROOT, 16 CAP_SYS_MODULE.
        assert not any(int(status["CapBnd"], 16) >> number & 1 for number in (16, 18, 21, 22, 27)), status
        for space in ("mnt", "pid", "uts", "ipc", "net"):
            assert os.readlink(f"/proc/{pid}/ns/{space}") != os.readlink(f"/proc/self/ns/{space}")
        assert sorted(os.listdir(f"/proc/{pid}/root/dev")) == ["net", "null"]


def test_power_cut_and_heal_are_idempotent_and_a_node_without_power_says_so(names):
    host = Host()
    lab = Lab(host, make_plan(names[0], nodes=2))
    lab.up(silent, bare=True)
    before = lab.leader("n1")
    lab.power("n1", "on")
    assert lab.leader("n1") == before
    lab.power("n2", "off")
    lab.power("n2", "off")
    with pytest.raises(LabError, match="the node n2 has no power"):
        lab.run("n2", "true", timeout=5)
    lab.cut("n1", 1)
    lab.cut("n1", 1)
    assert find(host, names[0]).status()["nodes"][0]["cut_links"] == [1]
    lab.heal("n1")
    lab.heal("n1")
    lab.up(silent, bare=True)
    assert lab.run("n1", "ping", "-c", "1", "-W", "5", lab.plan.node("n2").addresses[1], timeout=20).rc == 0
    assert lab.leader("n1") == before


def test_a_nodes_power_does_not_change_the_address_of_the_other_nodes_bmcs(names):
    # Seen: the bridge on which the BMCs answer took its address from a port, and fencing failed for 24 s after a cut.
    host = Host()
    lab = Lab(host, make_plan(names[0], nodes=2))
    lab.up(silent, bare=True)

    def bridges():
        text = host.run("ip", "-netns", lab.plan.netns, "-o", "link", "show", "type", "bridge", timeout=10).out
        return sorted((line.split()[1], line.split("link/ether ")[1].split()[0]) for line in text.splitlines())

    before = bridges()
    for node in ("n1", "n2"):
        lab.power(node, "off")
        assert bridges() == before
        lab.power(node, "on")
        assert bridges() == before


def kvmha(checkout, *words):
    """Run the command as a user does."""
    env = {"PYTHONPATH": str(checkout)}
    return Host().run(sys.executable, "-m", "kvmha", *words, timeout=120, ok=None, env=env)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("status", "--name", "nobody"), "there is no lab named nobody", id="a lab that does not exist"),
        pytest.param(("up", "--name", "A b"), "'A b' cannot name a lab", id="a name that cannot be one"),
        pytest.param(("up", "--nodes", "4"), "2 or 3 nodes, not 4", id="a size that cannot be"),
        pytest.param(("up", "--suite", "buzz"), "not 'buzz'", id="a suite that is none"),
        pytest.param(("image", "--suite", "buzz"), "not 'buzz'", id="an image of a suite that is none"),
        pytest.param(
            ("up", "--name", "nobody", "--package", "/none.deb"), "there is no file /none.deb", id="no package"
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2_and_leaves_nothing(checkout, words, said):
    done = kvmha(checkout, "lab", *words)
    assert (done.rc, done.err.count("\n"), done.out) == (2, 1, "")
    assert said in done.err
    assert traces(["nobody"]) == set()


def test_an_unknown_node_is_one_sentence_and_exit_code_2(cluster, checkout):
    done = kvmha(checkout, "lab", "power", "--name", cluster.plan.name, "n9", "off")
    assert done.rc == 2
    assert "has no node n9; its nodes are n1, n2, n3" in done.err


def test_status_shows_nodes_guests_and_where_they_run(cluster, checkout):
    text = kvmha(checkout, "lab", "status", "--name", cluster.plan.name).out
    assert "n1  power on" in text
    assert "web1  10.77.0.51  runs on n1" in text
