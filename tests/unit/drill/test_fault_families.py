"""What is peculiar to single faults: what they refuse, and what exactly they do."""

from __future__ import annotations

import json

import pytest

from kvmha.drill import faults, hunting
from kvmha.drill.faults import making, storage
from kvmha.drill.faults.plan import HUNT_FOUND
from kvmha.errors import UserError
from kvmha.tools import cib, corosync_conf
from tests.unit.drill.test_faults import CONF, FENCE_CIB, UUID, Node, fault, furnish


@pytest.fixture
def node():
    host = Node()
    furnish(host)
    return host


def rules(host):
    return host.given["nft", "-f", "-"]


def without_quorum_device(host):
    host.files[corosync_conf.PATH] = CONF


def without_nfs(host):
    host.files["/proc/self/mounts"] = b"/dev/sda1 / ext4 rw 0 0\n"


def in_container(host):
    host.commands["systemd-detect-virt", "--container"] = "systemd-nspawn\n"


def without_drbd(host):
    host.failing["drbdadm", "dump", "all"] = (1, "", "no resources defined!")


def without_mapper(host):
    argv = next(argv for argv in host.commands if argv[:2] == ("dmsetup", "info"))
    host.failing[argv] = (1, "", "Device /dev/vg/r0 not found\nCommand failed.\n")


def mounted(host):
    host.files["/proc/self/mountinfo"] = b"22 1 253:4 / /srv rw - ext4 /dev/vg/r0 rw\n"


def unused(host):
    del host.files["/sys/dev/block/253:4/holders/drbd0"]
    host.commands[
        "dmsetup", "info", "--columns", "--noheadings", "--options", "open", "--major", "253", "--minor", "4"
    ] = "0\n"  # fmt: skip


def without_netem(host):
    argv = ("unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "0ms")
    host.failing[argv] = (2, "", "Error: Specified qdisc kind is unknown.\n")


def by_watchdog(host):
    host.commands[cib.query_argv()] = FENCE_CIB.replace('name="ip"', 'name="other"')


def without_controller(host):
    host.programs.clear()
    host.processes.clear()


def as_it_is(host):
    pass


@pytest.mark.parametrize(
    ("name", "change", "path", "said"),
    [
        pytest.param("kernel-crash", in_container, "", r"n2 is a container \(systemd-nspawn\)", id="crash"),
        pytest.param("qdevice-lost", without_quorum_device, "", "no quorum device of model net", id="qdevice"),
        pytest.param("fencing-lost", by_watchdog, "", r"fence-n2 \(fence_ipmilan\) has no option ip", id="fencing"),
        pytest.param("link-delay", without_netem, "", "netem.*qdisc kind is unknown", id="netem"),
        pytest.param("drbd-cut", without_drbd, "", "no DRBD resource that could lose its peer", id="drbd"),
        pytest.param("nfs-lost", without_nfs, "", "nothing mounted by NFS", id="nfs"),
        pytest.param("disk-error", as_it_is, "", "wants --path", id="no-device"),
        pytest.param(
            "disk-error", without_mapper, "/dev/vg/r0", "device mapper.*: Device /dev/vg/r0 not found$", id="no-mapper"
        ),
        pytest.param("disk-error", mounted, "/dev/vg/r0", "is mounted at /srv", id="mounted"),
        pytest.param("disk-error", unused, "/dev/vg/r0", "nobody uses /dev/vg/r0", id="unused"),
        pytest.param("device-full", as_it_is, "/var/tmp", "whose space is not this node's alone", id="overlay"),
        pytest.param("device-full", as_it_is, "/nowhere", "n2 has no folder /nowhere", id="no-folder"),
        pytest.param("pacemaker-controld-killed", without_controller, "", "has 0 processes here", id="no-daemon"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason_and_nothing_is_made(node, name, change, path, said):
    change(node)
    with pytest.raises(UserError, match=said):
        faults.strike(node, "n2", fault(name, path=path, target="n2", links=("1",)))
    assert faults.STATE not in node.files
    assert not any(argv[0] in ("nft", "systemd-run", "kill") for argv in node.ran)


@pytest.mark.parametrize(
    ("name", "wanted", "unwanted"),
    [
        pytest.param("link-one-way", ['iifname "eth1" drop'], ["oifname"], id="one-way"),
        pytest.param(
            "link-mtu", ['iifname "eth1" meta length > 1000', 'oifname "eth1" meta length > 1000'], ["eth0"], id="mtu"
        ),
        pytest.param("qdevice-lost", ["ip daddr 10.77.0.5 tcp dport 5403 drop"], ["ifname"], id="qdevice"),
        pytest.param("fencing-lost", ["ip daddr 10.77.9.2 drop", "ip saddr 10.77.9.2 drop"], ["ifname"], id="fencing"),
        pytest.param("drbd-cut", ["tcp dport { 7790 } drop", "tcp sport { 7790 } drop"], ["ifname"], id="drbd"),
        pytest.param("nfs-lost", ["ip daddr 10.77.0.9 tcp dport 2049 drop"], ["ifname"], id="nfs"),
    ],
)
def test_a_rule_drops_what_it_is_about_and_nothing_else(node, name, wanted, unwanted):
    links = ("1",) if name.startswith("link") else ()
    faults.strike(node, "n2", fault(name, links=links, target="n2"))
    assert all(each in rules(node) for each in wanted)
    assert not any(each in rules(node) for each in unwanted)


def partition(node, **values):
    return faults.strike(node, "n2", fault("partition", **{"at": node.clock + 10.0, **values}))


def test_a_partition_comes_at_the_moment_that_was_agreed_and_ends_by_itself(node):
    made = partition(node)
    assert made.at == node.clock + 10.0
    late = next(argv for argv in node.ran if f"--unit={making.LATE_UNIT}" in argv)
    assert late[-3:] == (f"{made.at:.3f}", "20", faults.TABLE)
    timer = next(argv for argv in node.ran if f"--unit={faults.UNIT}" in argv)
    assert f"--on-active={10 + 20 + faults.GRACE_S:g}" in timer


@pytest.mark.parametrize(
    ("after", "waits"),
    [pytest.param(5.0, 0.0, id="before"), pytest.param(12.0, 18.0, id="during"), pytest.param(40.0, 0.0, id="after")],
)
def test_a_node_heals_no_sooner_than_the_others(node, after, waits):
    partition(node)
    node.clock += after
    before = node.clock
    assert faults.undo(node) == ("partition",)
    assert node.clock - before == waits


def test_an_order_that_comes_too_late_is_refused(node):
    with pytest.raises(UserError, match="came too late"):
        partition(node, at=node.clock + 0.5)
    assert faults.STATE not in node.files


def test_a_full_disk_is_emptied_and_pacemaker_told(node):
    faults.strike(node, "n2", fault("device-full", path="/small"))
    node.ran.clear()
    faults.undo(node)
    assert ("rm", "-f", "/small/.kvmha-drill-fill") in node.ran
    assert ("sh", "-c", storage.WRITE_AGAIN) in node.ran


def test_what_cannot_be_undone_keeps_nothing_else_from_being_undone(node):
    faults.strike(node, "n2", fault("disk-error", path="/dev/vg/r0"))
    load = ("dmsetup", "load", "vg-r0", storage.KEPT_TABLE)
    node.failing[load] = (1, "", "device-mapper: reload ioctl failed: Device or resource busy")
    with pytest.raises(faults.making.CommandError, match="Device or resource busy"):
        faults.undo(node)
    assert ("dmsetup", "resume", "vg-r0") in node.ran
    assert node.files[storage.KEPT_TABLE] == b"0 2048 linear 8:1 0\n"
    node.failing.clear()
    node.commands[load] = ""
    assert faults.undo(node) == ("disk-error",)


def test_memory_that_is_not_there_is_not_taken(node):
    node.files["/proc/meminfo"] = b"MemTotal: 4096000 kB\nMemAvailable: 900000 kB\n"
    with pytest.raises(UserError, match="878 MiB of memory free, which is too little"):
        faults.strike(node, "n2", fault("memory-load"))
    with pytest.raises(UserError, match="too little"):
        faults.strike(node, "n2", fault("memory-load", size_mib=2000))
    assert faults.strike(node, "n2", fault("memory-load", size_mib=200)).said.startswith("200 MiB of memory are taken")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        pytest.param("/small/a/b", ("/small", "tmpfs"), id="below"),
        pytest.param("/small", ("/small", "tmpfs"), id="itself"),
        pytest.param("/smaller", ("/", "overlay"), id="only-the-same-letters"),
        pytest.param("/my disk/x", ("/my disk", "xfs"), id="blank"),
    ],
)
def test_the_file_system_of_a_path_is_found(path, wanted):
    mounts = "overlay / overlay rw 0 0\ntmpfs /small tmpfs rw 0 0\n/dev/sdb /my\\040disk xfs rw 0 0\n"
    assert storage.file_system(mounts, path) == wanted


def test_drbd_s_ports_are_read_in_both_ways_of_writing_them():
    text = """resource a { on n1 { address ipv4 10.0.0.1:7789; } on n2 { address ipv6 [fd00::2]:7789; }
    connection { host n1 address ipv4 10.0.0.1:7801; host n2 address 10.0.0.2:7802; } }"""
    assert storage.drbd_ports(text) == ("7789", "7801", "7802")


# ------------------------------------------------------------------- who waits for an agent


def agent(host, pid, action, *, guest="web1", program="/usr/lib/ocf/resource.d/kvmha/VirtualDomain"):
    host.processes[pid] = ("/usr/bin/python3", "-IS", program, action)
    host.files[f"/proc/{pid}/environ"] = f"PATH=/bin\0OCF_RESOURCE_INSTANCE={guest}\0".encode()


def test_the_agent_of_this_guest_in_this_action_is_killed_and_no_other(node):
    agent(node, 900, "monitor", guest="web2")
    agent(node, 901, "start")
    agent(node, 902, "monitor", program="/usr/lib/ocf/resource.d/kvmha/FloatingIP")
    node.after(3.0, lambda: agent(node, 903, "monitor"))
    at = hunting.hunt(node, "web1", "monitor")
    assert [pid for pid, _ in node.killed] == [903]
    assert at >= 1003.0
    assert hunting.found_at(node) == at


def test_a_process_that_becomes_an_agent_later_is_seen(node):
    node.processes[903] = ("/usr/lib/pacemaker/pacemaker-execd",)
    node.after(0.1, lambda: agent(node, 903, "stop"))
    hunting.hunt(node, "web1", "stop")
    assert [pid for pid, _ in node.killed] == [903]


def test_what_an_earlier_drill_has_met_does_not_count(node):
    node.files[HUNT_FOUND] = json.dumps({"at": 5.0, "pid": 3}).encode()
    faults.strike(node, "n2", fault("agent-killed-stop", name_of_guest="web1", uuid=UUID))
    assert hunting.found_at(node) is None
    assert [pid for pid, _ in node.killed] == [700], "the guest fails, so that it is stopped"
    hunter = next(argv for argv in node.ran if "hunt" in argv)
    assert hunter[-5:] == ("hunt", "--guest", "web1", "--action", "stop")
