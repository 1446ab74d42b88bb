"""What a node says of itself, from scripted tools; what is missing has its reason and harms nothing else."""

from __future__ import annotations

import json

import pytest

from kvmha import gather
from kvmha.host import CommandMissing, CommandTimeout
from kvmha.policy.node import NodeFacts, Watchdog, from_plain
from kvmha.record import plain
from kvmha.tools import (
    busctl,
    corosync_cmapctl,
    corosync_conf,
    drbd_conf,
    ip_address,
    quorumtool,
    sbd,
    stonith_admin,
    systemctl,
    timedatectl,
)
from tests.fakes import FakeHost

UNITS = systemctl.show_argv(*gather.UNITS)
POWER_KEY = busctl.property_argv(*busctl.LOGIND, "HandlePowerKey")

ADDRESSES = """[
 {"ifname": "lo", "flags": ["LOOPBACK", "UP"], "mtu": 65536, "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
 {"ifname": "br0", "flags": ["UP"], "mtu": 1500, "addr_info": [{"local": "10.77.0.11", "prefixlen": 24}]}
]"""

SHOWN = """\
TimeoutStartUSec=1min
TimeoutStopUSec=30min
Id=pacemaker.service
After=libvirtd.service corosync.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled

TimeoutStartUSec=infinity
TimeoutStopUSec=1min 30s
Id=virtqemud.service
After=
LoadState=not-found
ActiveState=inactive
UnitFileState=
"""

DOMAIN = b"<domain><name>web1</name><uuid>3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01</uuid><memory>2097152</memory></domain>"


@pytest.fixture
def host() -> FakeHost:
    """Return a node that is well."""
    host = FakeHost()
    host.files = {
        "/proc/sys/kernel/hostname": "n1\n",
        "/proc/meminfo": "MemTotal:   16777216 kB\n",
        corosync_conf.PATH: "totem {\n}\n",
        "/etc/libvirt/qemu/autostart/web1.xml": "",
        "/etc/kvmha/guests/web1.xml": DOMAIN,
        "/etc/default/sbd": '# a comment\nSBD_DEVICE="/dev/a;/dev/b"\nSBD_WATCHDOG_TIMEOUT=10\n',
        f"{sbd.WATCHDOGS}/watchdog0/identity": "iTCO_wdt\n",
        f"{sbd.WATCHDOGS}/watchdog0/timeout": "30\n",
    }
    host.files = {path: text if isinstance(text, bytes) else text.encode() for path, text in host.files.items()}
    host.commands.update({
        timedatectl.ARGV: "yes\n",
        POWER_KEY: 's "ignore"\n',
        UNITS: SHOWN,
        ip_address.ARGV: ADDRESSES,
        corosync_cmapctl.ARGV: "runtime.config.totem.token (u32) = 3000\nruntime.config.totem.other (str) = x\n",
        sbd.dump_argv("/dev/a"): "==Dumping header on disk /dev/a\nTimeout (watchdog) : 10\nTimeout (msgwait)  : 20\n",
        drbd_conf.dump_argv(): "",
        quorumtool.ARGV: "Quorate:          Yes\nExpected votes:   3\n",
    })  # fmt: skip
    return host


def facts(host) -> NodeFacts:
    return gather.node_facts(host, "n1", ["/etc/kvmha/guests/web1.xml", "/etc/kvmha/guests/web2.xml"])


def test_a_node_that_is_well_tells_everything(host):
    told = facts(host)
    assert told.why_unknown == {}
    assert (told.uname, told.power_key, told.is_clock_synchronised) == ("n1", "ignore", True)
    assert told.runtime == {"token": 3000}
    assert told.expected_votes == 3
    assert told.memory_mib == 16384
    assert told.autostarted == ("web1",)
    assert [(found.address, found.interface, found.mtu) for found in told.addresses] == [("10.77.0.11", "br0", 1500)]
    assert told.watchdog == Watchdog(device="/dev/watchdog0", identity="iTCO_wdt", timeout_s=30)
    assert told.sbd["SBD_DEVICE"] == "/dev/a;/dev/b"
    assert told.sbd_header == {"watchdog": 10, "msgwait": 20}


def test_units_are_told_with_their_order_and_limits(host):
    told = facts(host)
    pacemaker, modular = told.unit("pacemaker.service"), told.unit("virtqemud.service")
    assert (pacemaker.is_enabled, pacemaker.stop_timeout_s) == (True, 1800.0)
    assert "libvirtd.service" in pacemaker.after
    assert (modular.is_installed, modular.start_timeout_s, modular.stop_timeout_s) == (False, None, 90.0)
    assert told.unit("sbd.service").is_installed is False


def test_definitions_are_read_and_a_missing_one_says_so(host):
    first, second = facts(host).definitions
    assert (first.name, first.memory_mib, first.error) == ("web1", 2048, "")
    assert first.digest
    assert second.error.startswith("/etc/kvmha/guests/web2.xml: ")


@pytest.mark.parametrize(
    ("argv", "field", "said"),
    [
        pytest.param(timedatectl.ARGV, "is_clock_synchronised", "is not installed", id="clock"),
        pytest.param(POWER_KEY, "power_key", "is not installed", id="power-key"),
        pytest.param(UNITS, "units", "is not installed", id="units"),
        pytest.param(ip_address.ARGV, "addresses", "is not installed", id="addresses"),
        pytest.param(corosync_cmapctl.ARGV, "runtime", "is not installed", id="runtime"),
        pytest.param(sbd.dump_argv("/dev/a"), "sbd_header", "is not installed", id="header"),
    ],
)
def test_a_missing_tool_leaves_its_own_gap_with_a_reason(host, argv, field, said):
    host.commands[argv] = CommandMissing
    told = facts(host)
    assert getattr(told, field) is None
    assert list(told.why_unknown) == [field]
    assert said in told.why_unknown[field]


@pytest.mark.parametrize(
    ("argv", "answer", "field"),
    [
        pytest.param(timedatectl.ARGV, "perhaps\n", "is_clock_synchronised", id="clock"),
        pytest.param(POWER_KEY, "\n", "power_key", id="power-key"),
        pytest.param(ip_address.ARGV, "no JSON", "addresses", id="addresses"),
    ],
)
def test_an_answer_that_makes_no_sense_is_no_answer(host, argv, answer, field):
    host.commands[argv] = answer
    told = facts(host)
    assert getattr(told, field) is None
    assert list(told.why_unknown) == [field]


def test_a_tool_that_hangs_is_given_up(host):
    host.commands[UNITS] = CommandTimeout
    told = facts(host)
    assert told.units is None
    assert told.unit("pacemaker.service") is None
    assert host.clock == 1000.0 + gather.TIMEOUT


def test_what_drbd_keeps_secret_stays_on_the_node(host):
    host.commands[drbd_conf.dump_argv()] = 'resource r {\n    net {\n        shared-secret   "hush";\n    }\n}\n'
    assert facts(host).drbd == "resource r {\n    net {\n    }\n}\n"


def test_facts_survive_the_way_as_json(host):
    told = facts(host)
    assert from_plain(json.loads(json.dumps(plain(told)))) == told


@pytest.mark.parametrize("text", ["{}", '{"node": "n1", "strange": 1}', '{"node": "n1", "units": [{"strange": 1}]}'])
def test_json_that_is_no_facts_is_refused(text):
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_plain(json.loads(text))


def test_fence_agents_are_asked_for_their_defaults_once_each(host):
    xml = '<resource-agent><parameters><parameter name="power_wait"><content type="second" default="2"/></parameter>'
    xml += '<parameter name="ip"><content type="string"/></parameter></parameters></resource-agent>'
    host.commands[stonith_admin.metadata_argv("fence_ipmilan")] = xml
    host.commands[stonith_admin.metadata_argv("fence_gone")] = CommandMissing
    found = gather.agent_defaults(host, ["fence_ipmilan", "fence_gone", "fence_ipmilan"])
    assert found == {"fence_ipmilan": {"power_wait": "2"}}
    assert len(host.ran) == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1min 30s", 90.0), ("30min", 1800.0), ("500ms", 0.5), ("infinity", None), ("", None), ("1y", 31557600.0)],
)
def test_spans_of_systemd(text, seconds):
    assert systemctl.parse_span(text) == seconds
