"""What a node sees of itself, and what the runner takes from it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from kvmha.drill import looking, watch
from kvmha.drill.reach import Reach, Streams
from kvmha.drill.watch import Known, Watch
from kvmha.host import Host
from kvmha.resources.drbd import window
from kvmha.tools import crm_mon, drbd, ip_address
from kvmha.tools.qemu_process import STATUS_FOLDER
from tests.fakes import FakeHost, qemu_cmdline

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
ADDRESSES = json.dumps(
    [{"ifname": "eth0", "mtu": 1500, "flags": [], "addr_info": [{"local": "192.0.2.100", "prefixlen": 24}]}]
)
KNOWN = Known(guests={UUID: "vm-web1"}, names={"web1": "vm-web1"}, addresses={"192.0.2.100": "vip"})


def used(host, pid, nanoseconds):
    host.files[f"/proc/{pid}/task/{pid}/comm"] = b"qemu-system-x86\n"
    host.files[f"/proc/{pid}/task/{pid}/schedstat"] = b"999999999999 5 5\n"
    host.files[f"/proc/{pid}/task/9{pid}/comm"] = b"CPU 0/TCG\n"
    host.files[f"/proc/{pid}/task/9{pid}/schedstat"] = f"{nanoseconds} 5 5\n".encode()


class Node(FakeHost):
    def wall_clock(self):
        return self.clock


def test_a_guest_executes_while_its_virtual_processors_do():
    host = Node()
    host.commands[ip_address.ARGV] = ADDRESSES
    cards = (
        '{"driver":"virtio-net-pci","mac":"52:54:00:6B:00:51","bus":"pci.1"}',
        "e1000,mac=52:54:00:6b:00:52,id=net1",
    )
    host.processes[700] = (*qemu_cmdline("web1", UUID), "-device", cards[0], "-device", cards[1])
    sight = looking.Sight(host)
    seen = []
    for nanoseconds in (5_000_000, 9_000_000, 9_100_000, 19_000_000):
        used(host, 700, nanoseconds)
        seen.append(sight.look())
    assert [look["guests"][UUID]["executes"] for look in seen] == [False, True, False, True]
    assert seen[0]["asked"] == {"since": 1000.0, "at": 1000.0, "addresses": ["192.0.2.100"]}
    assert ["asked" in look for look in seen] == [True, False, False, False], "asking costs processes"
    assert seen[0]["guests"][UUID]["name"] == "web1"
    assert seen[0]["guests"][UUID]["macs"] == ("52:54:00:6b:00:51", "52:54:00:6b:00:52")
    host.processes.clear()
    assert sight.look()["guests"] == {}


def test_an_ended_stream_is_begun_again_and_its_clock_is_measured():
    """Real processes, in the place of ssh."""
    script = (
        'printf \'{"at": %s, "guests": {}, "addresses": []}\\n\' "$(($(date +%s) + 3600)).5"; echo no json; sleep 0.1'
    )
    streams = Streams(Reach(Host(), "n1"), ("n1",), "sh", "-c", script)
    streams.AGAIN_S = 0.1
    found = []
    with streams:
        until = time.monotonic() + 20
        while len(found) < 3 and time.monotonic() < until:
            found += streams.read(0.2)
    assert len(found) >= 3
    assert {node for node, _ in found} == {"n1"}
    assert 3595 < streams.offsets["n1"] < 3602


class Told:
    """Streams that say what a test has them say."""

    offsets = {"n2": 100.0}  # noqa: RUF012 (nobody changes it)

    def __init__(self):
        self.lines = []

    def read(self, seconds):
        told, self.lines = self.lines, []
        return told


def look(at, *, pid=700, executes=True, addresses=(), primaries=None, took=0.0, **guest):
    guests = {UUID: {"name": "web1", "pid": pid, "executes": executes, **guest}} if pid else {}
    asked = {"since": at - took, "at": at, "addresses": list(addresses), "primaries": primaries or {}}
    return {"at": at, "since": at - took, "guests": guests, "asked": asked}


def watched(*lines):
    host = Node()
    streams = Told()
    seen = Watch(host, streams, KNOWN)
    broken = []
    for line in lines:
        streams.lines = [line]
        broken += seen.tick(0.25)
    return seen, broken


def test_a_guest_on_two_nodes_is_told_once_by_the_name_of_the_cluster():
    # n2's clock is 100 s ahead.
    lines = [(node, look(at + ahead)) for at in (1.0, 2.0, 3.0) for node, ahead in (("n1", 0.0), ("n2", 100.0))]
    _, broken = watched(*lines)
    assert [each.rule for each in broken] == [watch.TWICE]
    assert "vm-web1" in broken[0].said
    assert "n1 and n2" in broken[0].said


def test_a_guest_that_moves_is_on_one_node_at_a_time():
    moved = [
        ("n1", look(1.0)),
        ("n2", look(101.0, executes=False)),
        ("n1", look(2.0)),
        ("n1", look(3.0, executes=False)),
        ("n2", look(103.5, pid=800)),
        ("n1", look(4.0, pid=0)),
        ("n2", look(104.5, pid=800)),
    ]
    seen, broken = watched(*moved)
    assert broken == []
    assert seen.processes == {("vm-web1", "n1"): 1.0, ("vm-web1", "n2"): 3.5}
    assert seen.pid("vm-web1", "n2") == 800


def test_a_network_card_that_two_guests_have_is_told():
    lines = []
    for at in (1.0, 2.0, 3.0):
        for node, ahead, uuid in (("n1", 0.0, UUID), ("n2", 100.0, UUID.replace("01", "02"))):
            told = look(at + ahead)
            told["guests"] = {uuid: {"name": f"vm-{node}", "pid": 7, "executes": True, "macs": ["52:54:00:00:00:01"]}}
            lines.append((node, told))
    _, broken = watched(*lines)
    assert ["MAC address 52:54:00:00:00:01" in each.said for each in broken] == [True]
    assert watched(*lines[:3])[1] == []


def test_an_address_of_the_cluster_on_two_nodes_is_told_and_others_are_not():
    lines = []
    for at in (1.0, 2.0, 3.0):
        lines += [("n1", look(at, pid=0, addresses=["192.0.2.100", "192.0.2.1"]))]
        lines += [("n2", look(at + 100, pid=0, addresses=["192.0.2.100", "192.0.2.1"]))]
    _, broken = watched(*lines)
    assert ["192.0.2.100" in each.said for each in broken] == [True]


def test_a_slow_look_at_an_address_that_moves_is_no_proof():
    """Each look takes a second, and shows what was at its begin: the address went over in between."""
    lines = [
        ("n1", look(1.0, pid=0, addresses=["192.0.2.100"], took=0.9)),
        ("n1", look(2.5, pid=0, addresses=["192.0.2.100"], took=0.9)),
        ("n2", look(102.2, pid=0, addresses=["192.0.2.100"], took=0.1)),
        ("n2", look(102.9, pid=0, addresses=["192.0.2.100"], took=0.1)),
        ("n1", look(3.5, pid=0, took=0.9)),
    ]
    assert watched(*lines)[1] == []


PRIMARY, IN_WINDOW = {"web1": False}, {"web1": True}


@pytest.mark.parametrize(
    ("here", "there", "rules"),
    [
        pytest.param(PRIMARY, PRIMARY, [watch.TWICE], id="two-primaries"),
        pytest.param(IN_WINDOW, IN_WINDOW, [], id="while-it-moves"),
        pytest.param(IN_WINDOW, PRIMARY, [], id="one-side-has-closed-it"),
        pytest.param(PRIMARY, {}, [], id="one-primary"),
        pytest.param(PRIMARY, {"web2": False}, [], id="another-disk"),
    ],
)
def test_a_replicated_disk_with_two_primaries_is_told_but_while_a_guest_moves(here, there, rules):
    lines = []
    for at in (1.0, 2.0, 3.0):
        lines += [("n1", look(at, pid=0, primaries=here)), ("n2", look(at + 100, pid=0, primaries=there))]
    seen, broken = watched(*lines)
    assert [each.rule for each in broken] == rules
    assert all("the primary role of web1 (DRBD) was on n1 and n2" in each.said for each in broken)
    assert seen.promoted["web1", "n1"] == 1.0


def test_a_node_tells_which_disks_it_may_write_and_whether_two_may():
    host = Node()
    host.commands[ip_address.ARGV] = ADDRESSES
    host.files["/proc/drbd"] = b"version: 8.4.11\n"
    host.commands[drbd.events_argv()] = (
        "exists resource name:web1 role:Primary suspended:no\nexists resource name:web2 role:Secondary suspended:no\n"
        "exists resource name:a/b role:Primary suspended:no\nexists -\n"
    )
    host.files[window.mark("a/b")] = b"target\n"
    asked = looking.Sight(host).look()["asked"]
    assert asked["primaries"] == {"web1": False, "a/b": True}
    assert asked["behind"] == ["web1", "web2", "a/b"], "a resource without a disk has no current copy"
    assert looking.WINDOWS == window.FOLDER, "it is ocf:kvmha:DRBD that marks them"


WHOLE = {
    "disk": "UpToDate", "connection": "Connected", "replication": "Established", "peer_disk": "UpToDate",
}  # fmt: skip
EVENTS = """\
exists resource name:web1 role:Primary suspended:no
exists connection name:web1 peer-node-id:1 conn-name:n2 connection:{connection} role:Secondary
exists device name:web1 volume:0 minor:0 disk:{disk} client:no quorum:yes
exists peer-device name:web1 peer-node-id:1 conn-name:n2 volume:0 replication:{replication} peer-disk:{peer_disk} \
peer-client:no resync-suspended:no
exists -
"""


@pytest.mark.parametrize(
    ("changes", "behind"),
    [
        pytest.param({}, [], id="whole"),
        pytest.param({"disk": "Diskless"}, ["web1"], id="no-disk"),
        pytest.param({"peer_disk": "Inconsistent", "replication": "SyncSource"}, ["web1"], id="resync"),
        pytest.param({"connection": "Connecting", "replication": "Off", "peer_disk": "DUnknown"}, ["web1"], id="cut"),
        pytest.param({"connection": "Connecting", "replication": "Off"}, ["web1"], id="cut-just-now"),
    ],
)
def test_a_disk_of_which_not_all_copies_are_current_keeps_a_drill_from_its_end(changes, behind):
    host = Node()
    host.commands[ip_address.ARGV] = ADDRESSES
    host.files["/proc/drbd"] = b"version: 9.2.2\n"
    host.commands[drbd.events_argv()] = EVENTS.format(**{**WHOLE, **changes})
    told = looking.Sight(host).look()
    assert told["asked"]["behind"] == behind
    seen, _ = watched(("n1", told))
    assert seen.behind() == frozenset(behind)
    seen.forget("n1")
    assert seen.behind() == frozenset()


def test_libvirt_and_the_guest_agent_tell_how_far_a_guest_has_come():
    lines = [("n1", look(1.0, runs=False, agent=False)), ("n1", look(2.0, runs=True, agent=False))]
    lines += [("n1", look(3.0, runs=True, agent=True)), ("n1", look(4.0, pid=701, runs=True, agent=False))]
    seen, _ = watched(*lines[:3])
    place = ("vm-web1", "n1")
    assert (seen.processes[place], seen.running[place], seen.agents[place]) == (1.0, 2.0, 3.0)
    seen, _ = watched(*lines)
    assert (seen.processes[place], seen.running[place], place in seen.agents) == (4.0, 4.0, False)


RECORDED = Path(__file__).parents[2] / "contract" / "recorded" / "libvirt-9.0"


def test_what_libvirt_wrote_down_is_in_a_look():
    host = Node()
    host.commands[ip_address.ARGV] = ADDRESSES
    host.processes[1394] = qemu_cmdline("web1", UUID)
    for name, has_agent in (("paused-ioerror", True), ("pmsuspended", False), ("paused-user", False)):
        host.files[f"{STATUS_FOLDER}/web1.xml"] = (RECORDED / f"{name}.xml").read_bytes()
        used(host, 1394, 1)
        assert looking.Sight(host).look()["guests"][UUID]["agent"] is has_agent, name
    host.files[f"{STATUS_FOLDER}/web1.xml"] = (RECORDED / "running.xml").read_bytes().replace(b"'70'", b"'1394'")
    assert looking.Sight(host).look()["guests"][UUID]["runs"] is True
    assert looking.operations(host) == {}
    host.files[f"{STATUS_FOLDER}/web1.xml"] = (RECORDED / "paused-migration-out.xml").read_bytes()
    assert looking.operations(host) == {"web1": "migration out"}


STATUS = """<crm_mon><summary><current_dc present="true" with_quorum="true"/></summary><nodes>
<node name="n1" online="true"/><node name="n2" online="{online}" standby="{standby}"/></nodes>
<resources>
<resource id="web1" active="{active}" failed="{failed}" managed="{managed}" {pending}><node name="n2"/></resource>
</resources></crm_mon>"""
WELL = {"online": "true", "standby": "false", "active": "true", "failed": "false", "managed": "true", "pending": ""}


def status(**changes):
    return crm_mon.parse(STATUS.format(**{**WELL, **changes}))


def test_what_keeps_a_cluster_from_being_well_is_named():
    before = status()
    assert watch.why_not_well(before, status()) == ""
    assert watch.why_not_well(before, None) == "no cluster answers"
    assert watch.why_not_well(before, status(online="false")) == "n2 is not back"
    assert watch.why_not_well(before, status(standby="true")) == "n2 is in standby"
    assert watch.why_not_well(before, status(active="false")) == "web1 does not run as it did"
    assert watch.why_not_well(before, status(failed="true")) == "web1 is failed"
    assert watch.why_not_well(before, status(pending='pending="Starting"')) == "web1 is starting"


def test_what_is_left_behind_is_a_breach():
    before = status()
    assert watch.after(before, status(), set(), at=0.0) == ()
    assert [each.rule for each in watch.after(before, status(managed="false"), set(), at=0.0)] == ["unmanaged"]
    assert [each.rule for each in watch.after(before, status(active="false"), set(), at=0.0)] == ["away"]
    failed = {("web1", "n2", "monitor", 5)}
    assert [each.rule for each in watch.after(before, status(), failed, at=0.0)] == ["failed"]
