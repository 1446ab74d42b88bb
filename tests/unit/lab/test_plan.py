"""The plan of a lab: what it names does not collide, and what cannot name a lab is refused with a sentence."""

from __future__ import annotations

import json

import pytest

from kvmha.cluster import description
from kvmha.host import Host
from kvmha.lab.formation import describe
from kvmha.lab.guest import domain_xml
from kvmha.lab.layer import hosts_text
from kvmha.lab.machine import is_mount_point, why_no_commands, why_no_memory
from kvmha.lab.plan import LabError, make_plan, plan_from, why_not_name
from kvmha.record import plain


@pytest.mark.parametrize("name", ["lab", "a", "test-4711", "a-b-c", "x" * 20, "a-n"])
def test_a_plain_name_names_a_lab(name):
    assert why_not_name(name) is None


@pytest.mark.parametrize("name", ["", "Lab", "1lab", "-a", "a-", "a/b", "..", "a b", "x" * 21, "a-n1", "a\n", "a-n12"])
def test_a_name_that_would_collide_or_escape_is_refused(name):
    assert why_not_name(name)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        pytest.param({"name": "../etc"}, "--name", id="name"),
        pytest.param({"name": "a", "nodes": 4}, "--nodes", id="nodes"),
        pytest.param({"name": "a", "suite": "sid"}, "--suite", id="suite"),
        pytest.param({"name": "a", "kernel": "xen"}, "--kernel", id="kernel"),
    ],
)
def test_a_plan_that_cannot_be_names_the_option(options, field):
    with pytest.raises(LabError, match=field):
        make_plan(**options)


def test_no_two_things_of_a_lab_share_an_address():
    plan = make_plan("a")
    addresses = [plan.floating_ip, plan.watch_address, *(guest.address for guest in plan.guests)]
    for node in plan.nodes:
        addresses += [*node.addresses, node.management, node.bmc]
    assert len(addresses) == len(set(addresses))


def test_two_labs_share_neither_namespaces_nor_folders_nor_guests():
    def belongings(name):
        plan = make_plan(name)
        names = {plan.netns, plan.folder, *(guest.uuid for guest in plan.guests)}
        return names | {part for node in plan.nodes for part in (node.netns, node.folder)}

    assert not belongings("a") & belongings("b")


def test_a_guest_has_the_same_uuid_whenever_its_lab_is_made():
    assert make_plan("a").guests == make_plan("a").guests


def test_guests_of_two_nodes_prefer_both_in_turn():
    assert [guest.prefers for guest in make_plan("a", nodes=2).guests] == ["n1", "n2", "n1"]


def test_a_plan_survives_being_written_down():
    plan = make_plan("a", nodes=2, suite="trixie", kernel="uml", state="/somewhere")
    assert plan_from(json.loads(json.dumps(plain(plan)))) == plan


def test_an_unknown_node_is_named_together_with_the_known_ones():
    with pytest.raises(LabError, match="no node n3; its nodes are n1, n2"):
        make_plan("a", nodes=2).node("n3")


@pytest.mark.parametrize("nodes", [2, 3])
def test_the_cluster_yaml_of_a_lab_is_read_without_a_complaint(nodes):
    plan = make_plan("a", nodes=nodes)
    found = description.read(describe(plan), "lab")
    assert [node.name for node in found.nodes] == [node.name for node in plan.nodes]
    assert [guest.prefers for guest in found.guests] == [guest.prefers for guest in plan.guests]
    assert [floating.ip for floating in found.floating_ips] == [plan.floating_ip]


def test_a_plan_of_an_older_kvmha_is_one_of_containers():
    values = plain(make_plan("a"))
    del values["kernel"]
    assert plan_from(values) == make_plan("a", kernel="container")


@pytest.mark.parametrize("nodes", [2, 3])
def test_nodes_with_kernels_of_their_own_share_the_guests_disk_between_two(nodes):
    found = description.read(describe(make_plan("a", nodes=nodes, kernel="uml")), "lab")
    (resource,) = found.drbd
    assert resource.nodes == ("n1", "n2")
    assert [(guest.disks, guest.nodes) for guest in found.guests] == [((resource.name,), ("n1", "n2"))]


def test_nodes_know_each_other_by_the_addresses_of_link_0():
    assert "10.77.0.12 n2" in hosts_text(make_plan("a")).splitlines()


@pytest.mark.parametrize(("kvm", "kind"), [(True, "kvm"), (False, "qemu")])
def test_the_domain_of_a_guest_carries_its_identity(kvm, kind):
    from xml.etree import ElementTree

    guest = make_plan("a").guests[1]
    domain = ElementTree.fromstring(domain_xml(guest, suite="trixie", kvm=kvm))
    assert domain.get("type") == kind
    assert domain.findtext("uuid") == guest.uuid
    assert domain.find("devices/interface/mac").get("address") == guest.mac
    words = domain.findtext("os/cmdline").split()
    assert f"kvmha.address={guest.address}/24" in words
    assert "kvmha.ignore_acpi" not in words


def test_a_guest_can_be_told_to_ignore_its_power_button():
    assert "kvmha.ignore_acpi" in domain_xml(make_plan("a").guests[0], suite="bookworm", kvm=False, ignore_acpi=True)


@pytest.mark.parametrize(("gib", "nodes", "enough"), [(3, 3, True), (2.9, 3, False), (2.9, 2, True)])
def test_memory_must_be_available_for_every_node(gib, nodes, enough):
    meminfo = f"MemTotal:       99999999 kB\nMemFree:          100 kB\nMemAvailable: {int(gib * 1024 * 1024)} kB\n"
    reason = why_no_memory(meminfo, nodes)
    assert (reason is None) is enough


class HostWithout(Host):
    """A machine on which some commands are not installed."""

    def __init__(self, *missing):
        self.missing = missing

    def which(self, program):
        return None if program in self.missing else f"/usr/bin/{program}"


def test_missing_commands_are_named_with_the_packages_that_have_them(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert why_no_commands(HostWithout()) is None
    reason = why_no_commands(HostWithout("ipmi_sim", "nsenter", "unshare"))
    assert reason == "not installed: ipmi_sim, nsenter, unshare; apt install openipmi util-linux"


def test_root_is_needed_and_that_is_said(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "needs root" in why_no_commands(HostWithout())


@pytest.mark.parametrize(
    ("mountinfo", "answer"),
    [
        pytest.param("24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n", True, id="a machine"),
        pytest.param(
            "90 24 0:5 / /dev rw - devtmpfs dev rw\n91 24 0:20 / /proc rw - proc proc rw\n", False, id="a plain chroot"
        ),
        pytest.param("", False, id="a chroot without mounts"),
    ],
)
def test_a_root_that_is_no_mount_point_is_told(mountinfo, answer):
    # Seen: unshare cannot change the propagation of such a root, and said so only in a log.
    assert is_mount_point(mountinfo) is answer
