"""Each drill of the catalogue on a real cluster; what its nodes, which are containers, cannot do is refused."""

from __future__ import annotations

import re

import pytest

from kvmha.drill import catalogue, faults, journal
from kvmha.drill.records import CLUSTER, LEFT
from tests.lab.test_drill import GATES, RUNNER, TARGET, drill, logged_in

__all__ = ["drill", "logged_in"]

SMALL = "/var/lib/pacemaker/pengine"
"""Where the scheduler keeps what it was asked, in the lab's test a file system of its own."""

REFUSED = {
    "kernel-crash": "n2 is a container (systemd-nspawn): its kernel is the machine's",
    "qdevice-lost": "corosync.conf has no quorum device of model net",
    "drbd-cut": "n2 has no DRBD resource that could lose its peer",
    "disk-error": "/dev/vg0/none is no device of the device mapper",
    "device-full": "/var/lib/pacemaker lies in /, a file system of kind overlay, whose space is not this node's alone",
    "nfs-lost": "n2 has nothing mounted by NFS",
}
MORE = {
    "disk-error": ("--path", "/dev/vg0/none"),
    "memory-load": ("--size", "1024"),
    "io-load": ("--size", "64"),
    "hang": ("--hold", "40"),
    "rolling-reboot": ("--limit", "400"),
}
"""What the machine below can bear."""

EVERY = [each.name for each in catalogue.DRILLS if each.name not in (*REFUSED, catalogue.LINK_DELAY)]


OTHERS_OF_STORAGE = ("drbd-cut", "device-full", "nfs-lost")
"""One refusal of each family is enough for every day."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in OTHERS_OF_STORAGE)) for name in REFUSED]
)
def test_what_these_nodes_cannot_do_is_refused_and_nothing_is_done(drill, name):
    before = drill.cluster.run(RUNNER, "ls", journal.FOLDER, ok=None).out
    done = drill("run", name, *drill.target_words(name), *GATES, *MORE.get(name, ()), ok=(2,))
    assert f"target: {REFUSED[name]}" in done.err
    assert drill.cluster.run(RUNNER, "ls", journal.FOLDER, ok=None).out == before
    assert drill.cluster.run(TARGET, "ls", faults.STATE, ok=None).rc != 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", EVERY)
def test_every_drill_that_a_container_can_do_ends_as_it_should(drill, name):
    outcome = drill.run(name, *MORE.get(name, ()))
    assert (outcome["result"], outcome["breaches"]) == ("passed", []), (outcome["said"], outcome["log"])
    nothing_left(drill.cluster)


def nothing_left(cluster):
    """Check that no node shows that there ever was a drill."""
    for node in cluster.nodes:
        assert cluster.run(node, "ls", faults.STATE, ok=None).rc != 0
        assert faults.TABLE not in cluster.run(node, "nft", "list", "tables").out
        units = cluster.run(node, "systemctl", "list-units", "--all", "--plain", "--no-legend", "kvmha-drill-*").out
        assert not units.strip(), f"{node}: {units}"
        stopped = cluster.run(node, "sh", "-c", "ps -eo stat,comm | grep '^T' || true").out
        assert not stopped.strip(), f"{node}: {stopped}"
        commands = cluster.run(node, "sh", "-c", f"grep -lsz '^{journal.MARK}=' /proc/[0-9]*/environ || true").out
        assert not commands.strip(), f"{node}: what a drill has started runs on: {commands}"
    said = cluster.run(RUNNER, "cibadmin", "--query").out
    assert "cli-" not in said, "a move has left a constraint"
    assert 'name="standby" value="on"' not in said


@pytest.mark.slow
def test_a_full_file_system_is_emptied_again(drill):
    cluster = drill.cluster
    options = "size=32m,uid=hacluster,gid=haclient,mode=750"
    cluster.run(TARGET, "mount", "-t", "tmpfs", "-o", options, "tmpfs", SMALL)
    try:
        outcome = drill.run("device-full", "--path", SMALL)
        assert (outcome["result"], outcome["breaches"]) == ("passed", []), outcome["said"]
        assert f"{TARGET}: {SMALL} is full" in " ".join(outcome["log"])
        free = cluster.run(TARGET, "df", "--output=avail", "--block-size=1M", SMALL).out.split()[-1]
        assert int(free) > 24
        nothing_left(cluster)
    finally:
        cluster.run(TARGET, "umount", "--lazy", SMALL)


CONF = "/etc/corosync/corosync.conf"
SERVER = "n3"
DEVICE = """\
    device {
        model: net
        net {
            host: %s
            algorithm: lms
            tls: off
        }
    }
"""


@pytest.fixture
def with_quorum_device(drill):
    """A quorum device for the cluster. Its machine is one of the nodes, which is enough to lose it."""
    cluster = drill.cluster
    before = cluster.run(RUNNER, "cat", CONF).out
    device = DEVICE % cluster.plan.node(SERVER).addresses[0]
    changed = re.sub(r"(?m)^quorum\s*\{\n", lambda found: found[0] + device, before)

    def spread(text):
        for node in cluster.nodes:
            cluster.run(node, "sh", "-c", f"cat >{CONF}", given=text)
        cluster.run(RUNNER, "corosync-cfgtool", "-R")

    # Nobody makes certificates for a device that lives for a minute.
    start = "echo 'COROSYNC_QNETD_OPTIONS=\"-s off\"' >/etc/default/corosync-qnetd; systemctl start corosync-qnetd"
    try:
        cluster.run(SERVER, "sh", "-c", start)
        spread(changed)
        for node in cluster.nodes:
            cluster.run(node, "systemctl", "start", "corosync-qdevice")
        cluster.wait("all nodes have it", lambda: all(has_device(cluster, node) for node in cluster.nodes), limit=60)
        yield
    finally:
        for node in cluster.nodes:
            cluster.run(node, "systemctl", "stop", "corosync-qdevice", ok=None)
        spread(before)
        cluster.run(SERVER, "systemctl", "stop", "corosync-qnetd", ok=None)


def has_device(cluster, node):
    return "Connected" in cluster.run(node, "corosync-qdevice-tool", "-s", ok=None).out


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nobody_notices_that_the_quorum_device_is_lost(drill, with_quorum_device):
    cluster = drill.cluster
    begun = int(float(cluster.run(RUNNER, "date", "+%s").out))
    outcome = drill.run("qdevice-lost")
    assert (outcome["result"], outcome["breaches"]) == ("passed", []), (outcome["said"], outcome["log"])
    for node in cluster.nodes:
        journal_of = ("journalctl", "--unit=corosync-qdevice", "--no-pager", f"--since=@{begun}")
        assert "echo reply" in cluster.run(node, *journal_of).out, "its server was never missed"
    cluster.wait("all nodes have it again", lambda: all(has_device(cluster, node) for node in cluster.nodes), limit=60)
    nothing_left(cluster)


KILLED = """\
kvmha drill run {words} >/tmp/drill.log 2>&1 &
for _ in $(seq 300); do
    grep -q '"state": "{state}"' {folder}/*-{name}.json 2>/dev/null && break
    sleep 0.1
done
kill -KILL $!
wait
cat /tmp/drill.log
"""

DEATHS = [
    ("cpu-load", journal.STRUCK),
    ("libvirt-stopped", journal.STRUCK),
    ("pacemaker-execd-stopped", journal.STRUCK),
    ("agent-killed-monitor", journal.STRIKING),
    ("fencing-lost", journal.STRIKING),
    ("drain", journal.STRUCK),
    ("reboot", journal.STRIKING),
]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "state"), DEATHS)
def test_the_runner_is_killed_and_nothing_is_left(drill, name, state):
    cluster = drill.cluster
    cluster.run(RUNNER, "sh", "-c", f"rm -f {journal.FOLDER}/*-{name}.*")
    words = ["run", name, *drill.target_words(name), *GATES]
    if catalogue.find(name).hold_s:
        words += ["--hold", "20"]
    script = KILLED.format(words=" ".join(words[1:]), state=state, name=name, folder=journal.FOLDER)
    said = cluster.run(RUNNER, "bash", "-c", script, timeout=200, ok=None).out
    told = cluster.run(RUNNER, "sh", "-c", f"cat {journal.FOLDER}/*-{name}.json", ok=None).out
    assert '"state": "str' in told, f"it was killed too early or too late: {said} {told}"
    assert "had lost its runner" in drill("abort", timeout=400).out
    cluster.wait("the cluster is well", cluster.is_well)
    cluster.wait("no node shows anything of it", lambda: is_clean(cluster), limit=60)
    cluster.restore()


def is_clean(cluster):
    try:
        nothing_left(cluster)
    except AssertionError:
        return False
    return True


def test_the_whole_cluster_is_named_where_a_drill_is_about_it(drill):
    names = [each.name for each in catalogue.DRILLS if each.aim == CLUSTER]
    assert {"partition", "qdevice-lost", "migrate-all", "rolling-reboot"} == set(names)
    done = drill("run", "partition", "--node", TARGET, "--destructive", "--confirm", TARGET, *GATES, ok=(2,))
    assert "partition is about the whole cluster, and takes no --node" in done.err
    done = drill("run", "rolling-reboot", "--destructive", "--confirm", TARGET, *GATES, ok=(2,))
    assert f'"{TARGET}" is not {drill.cluster.plan.name}' in done.err
    assert catalogue.find("rolling-reboot").leads_to == LEFT
