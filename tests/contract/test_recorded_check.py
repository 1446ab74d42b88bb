"""What `kvmha cluster check` reads, as the real tools printed it on a node of the lab; and corosync's own arithmetic.

The recordings are of Debian 12, from the commands that the modules of kvmha/tools name; the disk of sbd was made with
`sbd -1 10 -4 20 create`, and DRBD's dump is of tests/unit/cluster/lint/drbd/drbd.conf.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmha.cluster.facts import of_files
from kvmha.policy import timing
from kvmha.tools import (
    busctl,
    corosync_cmapctl,
    drbd_conf,
    ip_address,
    quorumtool,
    sbd,
    stonith_admin,
    systemctl,
    timedatectl,
)

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def test_our_arithmetic_is_that_of_corosync():
    """The file with which a corosync was started, and the times with which it then ran."""
    ran = corosync_cmapctl.parse(recorded("corosync-3.1.7/cmapctl"))
    totem = of_files(conf=recorded("corosync-3.1.7/corosync.conf")).ring.totem
    ours = {"token": totem.token, "consensus": totem.consensus, "hold": totem.hold, "join": totem.join,
            "token_retransmit": totem.retransmit, "token_retransmits_before_loss_const": totem.retransmits}  # fmt: skip
    for link in totem.links:
        ours[f"interface.{link.number}.knet_ping_interval"] = link.ping_interval
        ours[f"interface.{link.number}.knet_ping_timeout"] = link.ping_timeout
    assert len(totem.links) == 2
    assert {key: ran[key] for key in ours} == ours


def test_votes_are_read_from_quorumtool():
    votes = quorumtool.parse(recorded("corosync-3.1.7/quorumtool"))
    assert votes == quorumtool.Votes(is_quorate=True, expected=3, total=3, quorum=2, flags=("Quorate",))


@pytest.mark.parametrize(
    ("row", "device"),
    [
        pytest.param("         0          1            Qdevice", 1, id="votes"),
        pytest.param("         0          0            Qdevice (votes 1)", 0, id="does-not-vote"),
        pytest.param("         2          1         NR n2", None, id="not-registered"),
        pytest.param("         2          1    A,V,NMW Qdevice", None, id="a-node-of-that-name"),
    ],
)
def test_the_votes_of_a_quorum_device_are_read(row, device):
    """The row as corosync 3.1 prints it (tools/corosync-quorumtool.c, display_nodes_list)."""
    assert quorumtool.parse(f"{recorded('corosync-3.1.7/quorumtool')}{row}\n").device == device


def test_units_are_read_from_systemctl():
    units = {unit.name: unit for unit in systemctl.parse_show(recorded("systemd-252/show"))}
    assert len(units) == 6
    pacemaker = units["pacemaker.service"]
    assert (pacemaker.is_enabled, pacemaker.is_active, pacemaker.stop_timeout_s) == (True, True, 1800.0)
    assert {"libvirtd.service", "virtqemud.service"} <= set(pacemaker.after)
    assert units["libvirt-guests.service"].stop_timeout_s is None
    assert units["sbd.service"].is_enabled is False
    assert units["virtqemud.service"].is_installed is False


def test_what_the_power_button_does_and_whether_the_clock_is_synchronised():
    assert busctl.parse_property(recorded("systemd-252/power-key")) == "poweroff"
    assert timedatectl.parse_synchronised(recorded("systemd-252/synchronised")) is False


def test_addresses_are_read_with_the_size_of_packets():
    found = {each.address: each for each in ip_address.parse(recorded("iproute2-6.1.0/address.json"))}
    assert "127.0.0.1" not in found
    assert (found["10.77.1.11"].interface, found["10.77.1.11"].mtu, found["10.77.1.11"].prefix) == ("eth1", 1500, 24)


def test_the_fence_agents_own_times_are_those_that_we_assume():
    defaults = stonith_admin.parse_defaults(recorded("pacemaker-2.1.5/fence_ipmilan.xml"))
    asked, assumed = (timing.agent_times("fence_ipmilan", {}, given) for given in (defaults, None))
    assert defaults["power_wait"] == "2"
    assert asked == assumed


def test_the_times_on_a_disk_of_sbd():
    assert sbd.parse_dump(recorded("sbd-1.5.2/dump")) == {"watchdog": 10, "allocate": 2, "loop": 1, "msgwait": 20}


def test_a_dump_of_drbdadm():
    (resource,) = drbd_conf.parse(recorded("drbd-utils-9.22.0/dump"))
    assert (resource.name, resource.hosts, resource.links) == ("r1", ("n1", "n2"), ("10.77.1.11", "10.77.1.12"))
    assert resource.option("net", "fencing") == "resource-and-stonith"
    assert resource.option("handlers", "fence-peer") == "/usr/lib/kvmha/drbd-fence-peer"
    written = (Path(__file__).parents[1] / "unit/cluster/lint/drbd/drbd.conf").read_text()
    assert drbd_conf.parse(written)[0].sections == resource.sections
