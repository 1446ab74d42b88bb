"""A fault is undone by what was written down before it was made, by whoever comes first."""

from __future__ import annotations

import json

import pytest

from kvmha.drill import faults
from kvmha.drill.faults import GRACE_S, STATE, UNIT, Fault, making
from kvmha.drill.faults.daemons import PACEMAKER_DAEMONS
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.tools import cib, corosync_conf, ip_address
from tests.fakes import FakeHost, qemu_cmdline

CONF = b"""
totem {
  version: 2
}
nodelist {
  node {
    name: n1
    ring0_addr: 10.77.0.11
    ring1_addr: 10.77.1.11
  }
  node {
    name: n2
    ring0_addr: 10.77.0.12
    ring1_addr: 10.77.1.12
  }
}
"""
ADDRESSES = json.dumps([
    {"ifname": f"eth{n}", "mtu": 1500, "flags": [], "addr_info": [{"local": f"10.77.{n}.12", "prefixlen": 24}]}
    for n in (0, 1)
])  # fmt: skip
NFT_DELETE = ("nft", "delete", "table", "inet", faults.TABLE)
STOP_TIMER = ("systemctl", "stop", f"{UNIT}.timer")
UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"


class Node(FakeHost):
    """A node whose commands answer, unless they are told to fail; it keeps what was there when each one ran."""

    def __init__(self):
        super().__init__()
        self.files["/proc/sys/kernel/hostname"] = b"n2\n"
        self.files[corosync_conf.PATH] = CONF
        self.commands[ip_address.ARGV] = ADDRESSES
        self.failing = {}
        self.given = {}
        self.state_at = {}
        self.started = []

    def wall_clock(self):
        return self.clock

    def run(self, *argv, given="", **options):
        self.given[argv] = given
        self.state_at[argv] = STATE in self.files
        if argv not in self.commands or argv in self.failing:
            self.commands[argv] = self.failing.get(argv, "")
        return super().run(*argv, given=given, **options)

    def start(self, *argv, log, env=None):
        self.started.append(argv)
        return 4711


def fault(name, **values):
    return Fault(name=name, id="d1", hold_s=20.0, **values)


PIDS = {pid: f"/usr/lib/pacemaker/{name}" for pid, name in enumerate(PACEMAKER_DAEMONS, 60)}
MEMINFO = b"MemTotal:       16384000 kB\nMemFree: 1 kB\nMemAvailable:   8192000 kB\n"
DRBD_DUMP = """resource r0 { on n1 { device /dev/drbd0 minor 0; disk /dev/vg/r0; address ipv4 10.77.0.11:7790; }
on n2 { device /dev/drbd0 minor 0; disk /dev/vg/r0; address ipv4 10.77.0.12:7790; } }"""
MOUNTS = b"""overlay / overlay rw 0 0
tmpfs /small tmpfs rw 0 0
nas:/vm /var/lib/libvirt/images nfs4 rw,vers=4.2,addr=10.77.0.9 0 0
"""
DM_INFO = ("dmsetup", "info", "--columns", "--noheadings", "--options", "name,major,minor", "--separator", " ")
QUORUM = b"quorum {\n device {\n  model: net\n  net {\n   host: arbiter\n  }\n }\n}\n"


def furnish(host):
    """Give a node all that faults can be made of."""
    host.files[corosync_conf.PATH] = CONF + QUORUM
    host.commands["tc", "qdisc", "show", "dev", "eth1", "root"] = "qdisc noqueue 0: dev eth1 root refcnt 2\n"
    host.commands["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "100ms"] = ""
    host.commands["systemd-detect-virt", "--container"] = (1, "none\n", "")
    host.commands["drbdadm", "dump", "all"] = DRBD_DUMP
    host.commands["getent", "ahosts", "10.77.0.9"] = "10.77.0.9 STREAM nas\n10.77.0.9 DGRAM\n"
    host.commands["getent", "ahosts", "arbiter"] = "10.77.0.5 STREAM arbiter\n"
    host.commands["getent", "ahosts", "10.77.9.2"] = "10.77.9.2 STREAM 10.77.9.2\n"
    host.commands[(*DM_INFO, "/dev/vg/r0")] = "vg-r0 253 4\n"
    host.commands["dmsetup", "table", "--showkeys", "vg-r0"] = "0 2048 linear 8:1 0\n"
    host.commands[cib.query_argv()] = FENCE_CIB
    host.files["/proc/self/mounts"] = MOUNTS
    host.files["/proc/self/mountinfo"] = b"22 1 0:20 / / rw - overlay overlay rw\n"
    host.files["/sys/dev/block/253:4/holders/drbd0"] = b""
    host.files["/proc/sysrq-trigger"] = b""
    host.files["/proc/meminfo"] = MEMINFO
    host.files["/proc/cpuinfo"] = b"processor\t: 0\nprocessor\t: 1\n"
    host.files["/var/tmp/x"] = b""
    host.files["/small/x"] = b""
    host.programs.update(PIDS)
    for pid in PIDS:
        host.processes[pid] = (PIDS[pid],)
    host.processes[700] = qemu_cmdline("web1", UUID)


FENCE_CIB = """<cib><configuration><crm_config/>
<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes><resources>
<primitive id="fence-n2" class="stonith" type="fence_ipmilan"><instance_attributes id="a">
<nvpair id="b" name="ip" value="10.77.9.2"/><nvpair id="c" name="pcmk_host_list" value="n2"/></instance_attributes>
</primitive></resources><constraints/></configuration><status/></cib>"""

PATHS = {"device-full": "/small", "disk-error": "/dev/vg/r0"}
LASTING = [
    "corosync-stopped", "libvirt-stopped", "pacemakerd-stopped", "pacemaker-controld-stopped", "links-cut", "link-cut",
    "link-one-way", "links-one-way", "link-loss", "link-delay", "link-mtu", "qdevice-lost", "fencing-lost",
    "drbd-cut", "disk-error", "device-full", "nfs-lost", "cpu-load", "memory-load", "io-load", "network-load",
    "agent-killed-monitor", "agent-killed-start", "agent-killed-stop", "agent-killed-migrate-to", "kernel-crash",
]  # fmt: skip


def struck(host, name):
    furnish(host)
    links = ("1",) if name.startswith("link-") else ()
    values = {"links": links, "percent": 20, "delay_ms": 100, "target": "n2", "path": PATHS.get(name, "")}
    return faults.strike(host, "n2", fault(name, name_of_guest="web1", uuid=UUID, **values))


def changes(host):
    """Return the commands that change something, but for the timer that undoes."""
    asks = ("show", "is-active", "info", "table", "dump", "ahosts", "--container", "-json", "unshare")
    known = (cib.query_argv(),)
    return [
        argv for argv in host.ran if not set(asks) & set(argv) and f"--unit={UNIT}" not in argv and argv not in known
    ]


@pytest.mark.parametrize("name", LASTING)
def test_how_it_is_undone_and_the_timer_are_there_before_it_is_made(name):
    host = Node()
    made = struck(host, name)
    assert made.at - host.clock in (0, faults.BREATH_S)
    timer = next(argv for argv in host.ran if f"--unit={UNIT}" in argv)
    assert f"--on-active={20 + GRACE_S:g}" in timer
    assert timer[-3:] == ("drill", "at-node", "undo")
    act = changes(host)[0]
    assert host.ran.index(timer) < host.ran.index(act)
    assert host.state_at[act]
    told = json.loads(host.files[STATE])
    assert told["fault"] == name
    assert told["undo"]


@pytest.mark.parametrize("name", LASTING)
def test_it_is_undone_once_and_asking_again_does_nothing(name):
    host = Node()
    struck(host, name)
    host.ran.clear()
    assert faults.undo(host) == (name,)
    assert STATE not in host.files
    assert STOP_TIMER in host.ran
    host.ran.clear()
    assert faults.undo(host) == ()
    assert host.ran == []


def test_what_could_not_be_undone_is_tried_again():
    host = Node()
    struck(host, "link-cut")
    host.failing[NFT_DELETE] = (1, "", "Error: Could not process rule: Device or resource busy")
    with pytest.raises(CommandError, match="Device or resource busy"):
        faults.undo(host)
    assert STATE in host.files
    host.failing.clear()
    host.commands[NFT_DELETE] = ""
    assert faults.undo(host) == ("link-cut",)


def test_what_is_gone_already_is_undone():
    host = Node()
    struck(host, "link-cut")
    host.failing[NFT_DELETE] = (1, "", "Error: Could not process rule: No such file or directory")
    assert faults.undo(host) == ("link-cut",)
    assert STATE not in host.files


def test_a_kernel_without_netem_is_named_and_nothing_is_left():
    host = Node()
    add = ("tc", "qdisc", "add", "dev", "eth1", "root", "netem", "delay", "100ms")
    host.failing[add] = (2, "", "Error: Specified qdisc kind is unknown.")
    # What tc of Debian 12 says where the interface has no qdisc of that name.
    host.failing["tc", "qdisc", "del", "dev", "eth1", "root", "netem"] = (
        2, "", "Error: Invalid qdisc name: must match existing qdisc."
    )  # fmt: skip
    with pytest.raises(CommandError, match="qdisc kind is unknown"):
        struck(host, "link-delay")
    assert STATE not in host.files


def test_a_fault_that_cannot_be_made_is_undone_at_once():
    host = Node()
    host.failing["nft", "-f", "-"] = (1, "", "Error: Operation not supported")
    with pytest.raises(CommandError, match="Operation not supported"):
        struck(host, "link-cut")
    assert STATE not in host.files
    assert NFT_DELETE in host.ran


def test_without_a_timer_nothing_is_made():
    host = Node()
    timer = ("systemd-run", "--quiet", "--collect", f"--unit={UNIT}", "--on-active=25",
             "--timer-property=AccuracySec=100ms", "--property=Restart=on-failure", "--property=RestartSec=5",
             "/usr/bin/kvmha", "drill", "at-node", "undo")  # fmt: skip
    host.failing[timer] = (1, "", "Failed to connect to bus")
    with pytest.raises(CommandError, match="Failed to connect to bus"):
        struck(host, "links-cut")
    assert not any(argv[0] == "nft" for argv in host.ran)


def test_a_cut_drops_both_directions_on_the_interfaces_of_the_links_alone():
    host = Node()
    struck(host, "links-cut")
    # It is made a moment later, when the answer has gone out.
    assert host.ran[-1][-3:] == ("nft", "-f", "-")
    rules = host.files[making.GIVEN].decode()
    assert all(f'{way}ifname "{name}" drop;' in rules for way in "io" for name in ("eth0", "eth1"))
    host = Node()
    struck(host, "link-cut")
    assert "eth0" not in host.given["nft", "-f", "-"]


def test_a_queueing_discipline_of_the_administrator_is_left_alone():
    host = Node()
    host.commands["tc", "qdisc", "show", "dev", "eth1", "root"] = "qdisc htb 1: dev eth1 root refcnt 2\n"
    with pytest.raises(UserError, match="a queueing discipline of its own"):
        faults.strike(host, "n2", fault("link-delay", links=("1",), delay_ms=100))
    assert STATE not in host.files


def test_a_hang_spares_who_ends_it():
    host = Node()
    faults.strike(host, "n2", fault("hang"))
    ((shell, _, script),) = host.started
    assert faults.LOG in host.files, "a folder that is not there yet would keep it from starting"
    assert shell == "/bin/sh"
    assert script.index("-STOP -1") < script.index("sleep 20.0") < script.index("-CONT -1")


def test_only_the_one_qemu_of_the_guest_is_killed():
    host = Node()
    host.processes[700] = qemu_cmdline("web1", UUID)
    host.processes[701] = qemu_cmdline("web2", UUID.replace("01", "02"))
    faults.strike(host, "n2", fault("qemu-killed", name_of_guest="web1", uuid=UUID))
    assert host.killed == [(700, 9)]
    with pytest.raises(UserError, match="0 QEMU processes"):
        faults.strike(host, "n2", fault("qemu-killed", name_of_guest="web1", uuid=UUID))


@pytest.mark.parametrize(
    ("node", "asked", "said"),
    [
        pytest.param("n1", fault("link-cut", links=("1",)), "the fault is for n1, and this is n2", id="another-node"),
        pytest.param("n2", fault("link-cut", links=("7",)), "there is no link 7 of n2; the links are 0, 1", id="link"),
        pytest.param("n2", fault("flood"), 'there is no fault "flood"', id="fault"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_made(node, asked, said):
    host = Node()
    with pytest.raises(UserError, match=said):
        faults.strike(host, node, asked)
    assert not any(argv[0] == "nft" for argv in host.ran)


def test_a_node_is_in_one_drill_at_a_time():
    host = Node()
    struck(host, "link-cut")
    with pytest.raises(UserError, match="in a drill already"):
        struck(host, "links-cut")
