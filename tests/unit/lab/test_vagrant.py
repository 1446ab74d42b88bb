"""What virtual machines are made of, and what is said where they cannot be made."""

from __future__ import annotations

import configparser
import io
import pathlib

import pytest

from kvmha.cluster import description, render, share
from kvmha.host import Host
from kvmha.lab import box, hypervisor, machine, nodes, recipe, uml_formation, vagrant, vagrant_site
from kvmha.lab.formation import describe, quorum_address
from kvmha.lab.machine import VAGRANT_COMMANDS, why_no_memory, why_no_vagrant
from kvmha.lab.network import ports
from kvmha.lab.plan import LabError, make_plan
from tests.fakes import FakeHost

PLAN = make_plan("a", nodes=2, kernel="vagrant")
PLUGINS = ("vagrant", "plugin", "list")


def read(name):
    return pathlib.Path(share.folder("vagrant"), name).read_text()


# ------------------------------------------------------------------ preflight


def test_nothing_lacks_where_all_is_installed():
    host = FakeHost()
    host.commands[PLUGINS] = "vagrant-libvirt (0.11.2, system)\n"
    assert why_no_vagrant(host) is None


@pytest.mark.parametrize(("program", "package"), VAGRANT_COMMANDS.items())
def test_a_program_that_lacks_is_named_with_its_package(program, package):
    host = FakeHost()
    host.which = lambda name: None if name == program else f"/usr/bin/{name}"
    assert why_no_vagrant(host) == f"not installed: {program}; apt install {package}"


def test_vagrant_without_a_way_to_libvirt_is_told():
    host = FakeHost()
    host.commands[PLUGINS] = "No plugins installed.\n"
    assert "apt install vagrant-libvirt" in why_no_vagrant(host)


def test_a_vagrant_that_does_not_work_says_why():
    host = FakeHost()
    host.commands[PLUGINS] = (1, "", "cannot load such file -- net/ssh")
    assert "cannot load such file" in why_no_vagrant(host)


def test_too_little_memory_is_told_with_what_is_needed():
    assert "2 nodes need 2.5" in why_no_memory("MemAvailable: 2000000 kB\n", 2, vagrant.MEMORY_MIB * 1024**2)
    assert why_no_memory("MemAvailable: 3000000 kB\n", 2, vagrant.MEMORY_MIB * 1024**2) is None


def test_too_little_room_is_told_before_anything_is_made(monkeypatch):
    asked = []
    monkeypatch.setattr(
        machine.image, "why_no_space", lambda folder, needed: asked.append(needed) or f"{folder} is full"
    )
    assert "KVMHA_LAB_STATE" in machine.why_no_room(FakeHost(), PLAN)
    # The disk of each machine grows, and the disk of the box is there once for all of them.
    assert asked[0] > machine.LAB_SPACE


def test_a_machine_that_is_gone_is_missed_by_name():
    host = FakeHost()
    asked = ("virsh", "--quiet", "--connect", hypervisor.uri(PLAN), "list", "--all", "--name")
    host.commands[asked] = "kvmha-n1\n\n"
    assert vagrant.why_incomplete(host, PLAN) == "the lab a has lost n2; kvmha lab down --name a removes the rest"
    host.commands[asked] = "kvmha-n1\nkvmha-n2\n"
    assert vagrant.why_incomplete(host, PLAN) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"kernel": "vagrant", "sbd": "usb"}, "not 'usb'", id="unknown"),
        pytest.param({"kernel": "uml", "sbd": "disk"}, "only nodes of --kernel vagrant", id="no-disk"),
        pytest.param({"kernel": "vagrant", "sbd": "diskless", "nodes": 2}, "--nodes 3", id="no-majority"),
        pytest.param({"kernel": "vagrant", "quorum_device": True, "nodes": 3}, "--quorum-device", id="three"),
    ],
)
def test_sbd_that_would_fence_nobody_is_refused(options, said):
    with pytest.raises(LabError, match=said):
        make_plan("a", **options)


# ------------------------------------------------------------------- the box


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_box_has_what_the_nodes_of_other_labs_have(suite):
    wanted = {recipe.INSTEAD.get(suite, {}).get(name, name) for name in recipe.PACKAGES}
    assert wanted - set(recipe.box_packages(suite)) == set(recipe.NOT_IN_BOX)


def test_another_recipe_makes_another_box(monkeypatch):
    before = box.box_of("bookworm")
    monkeypatch.setattr(recipe, "BOX_PACKAGES", (*recipe.BOX_PACKAGES, "vim"))
    after = box.box_of("bookworm")
    assert before.folder != after.folder
    assert before.name != after.name


def test_all_that_a_machine_is_made_by_is_installed_with_the_package():
    setup = configparser.ConfigParser()
    setup.read(pathlib.Path(share.folder("vagrant")).parent / "setup.cfg", encoding="utf-8")
    listed = setup["options.data_files"]
    root = pathlib.Path(share.folder("vagrant"))
    tracked = [
        path for path in root.rglob("*") if path.is_file() and "site" not in path.parts and ".vagrant" not in path.parts
    ]
    for path in tracked:
        inside = str(path.relative_to(root.parent))
        globs = [word.strip() for value in listed.values() for word in value.split(",")]
        assert any(pathlib.PurePath(inside).match(glob) for glob in globs), inside


# -------------------------------------------------------------- the machines


def test_the_vagrantfile_names_cables_and_addresses_as_the_lab_does():
    text = read("Vagrantfile")
    assert "NETWORKS = %w[link0 link1 mgmt]" in text
    assert '"#{name}-#{network}"' in text
    assert ports(PLAN.nodes[0]) == ("n1-link0", "n1-link1", "n1-mgmt")


def test_the_vagrantfile_knows_every_setting_that_the_lab_writes():
    host = FakeHost()
    host.which = lambda name: None
    written = set()
    fake = lambda _host, _plan, *words, **options: written.update(words)  # noqa: E731
    assert fake
    names = ("nodes", "suite", "box", "driver", "memory", "site", "prefix", "uri", "pool", "consoles", "networks")
    for name in names:
        assert f'  "{name}" =>' in read("Vagrantfile")


def test_a_node_is_the_emulator_that_has_its_disk():
    host = FakeHost()
    one, two = PLAN.nodes
    host.processes[7] = (
        "/usr/bin/qemu-system-x86_64",
        "-name",
        "guest=kvmha-n1",
        f'{{"driver":"file","filename":"{vagrant.disk(one)}"}}',
    )
    host.processes[8] = ("qemu-img", "info", f'"{vagrant.disk(two)}"')
    assert nodes.leader(host, PLAN, one) == 7
    assert nodes.leader(host, PLAN, two) is None
    assert nodes.processes(host, PLAN, one) == [7]


def test_a_cut_link_stays_cut_when_the_machine_gets_its_power():
    host = FakeHost()
    node = PLAN.nodes[0]
    virsh = ("virsh", "--quiet", "--connect", hypervisor.uri(PLAN))
    host.commands[(*virsh, "domstate", "kvmha-n1")] = "shut off\n"
    host.commands[(*virsh, "start", "kvmha-n1")] = ""
    ip = ("ip", "-netns", PLAN.netns)
    host.commands[(*ip, "link", "show", "dev", "n1-link0")] = ""
    host.commands[(*ip, "-batch", "-")] = ""
    host.files[f"/run/netns/{PLAN.netns}"] = b""
    host.files[f"{node.folder}/cut"] = b"0 1\n"
    nodes.start(host, PLAN, node, None)
    assert [argv[-2:] for argv in host.ran if argv[0] == "virsh"] == [("domstate", "kvmha-n1"), ("start", "kvmha-n1")]
    assert host.ran[-1] == (*ip, "-batch", "-")


def test_every_machine_has_the_addresses_of_its_node():
    for node in PLAN.nodes:
        texts = vagrant_site.networkd(node)
        assert f"Address={node.addresses[0]}/24" in texts["10-br0.network"]
        assert f"Address={node.addresses[1]}/24" in texts["10-link1.network"]
        assert f"Address={node.management}/24" in texts["10-mgmt.network"]
        for text in texts.values():
            parsed = configparser.RawConfigParser(strict=False)
            parsed.optionxform = str
            parsed.read_file(io.StringIO(text))


# -------------------------------------------------------------- the cluster


def test_the_description_puts_drbd_on_the_data_disk_and_moves_on_the_management_network():
    wanted = description.read(describe(PLAN), "cluster.yaml")
    assert [each.disk for each in wanted.drbd] == [uml_formation.DISK]
    assert f"linear {vagrant.DATA_DISK} 0" in uml_formation.DISK_UNIT.format(device=vagrant.DATA_DISK)
    assert [node.migration_address for node in wanted.nodes] == [node.management for node in PLAN.nodes]
    assert wanted.sbd is None


def test_sbd_is_the_second_level_after_the_management_controller():
    wanted = description.read(describe(make_plan("a", nodes=2, kernel="vagrant", sbd="disk")), "cluster.yaml")
    assert wanted.sbd.devices == (vagrant.SBD_DISK,)
    xml = render.cib_xml(wanted)
    assert 'index="1" devices="fence-n1"' in xml
    assert 'index="2" devices="fence-sbd"' in xml


def test_without_a_disk_the_watchdog_is_the_second_level():
    wanted = description.read(describe(make_plan("a", nodes=3, kernel="vagrant", sbd="diskless")), "cluster.yaml")
    assert wanted.sbd.devices == ()
    assert 'index="2" devices="watchdog"' in render.cib_xml(wanted)


def test_a_quorum_device_is_a_machine_with_an_address_of_its_own():
    plan = make_plan("a", nodes=2, kernel="vagrant", quorum_device=True)
    wanted = description.read(describe(plan), "cluster.yaml")
    assert wanted.quorum.device.host == quorum_address()
    others = {address for node in plan.nodes for address in (*node.addresses, node.management, node.bmc)}
    assert quorum_address() not in others


def test_by_hand_there_are_no_management_controllers_and_sbd_fences_alone():
    wanted = description.read(
        describe(make_plan("a", nodes=2, kernel="vagrant", sbd="disk"), has_bmc=False), "cluster.yaml"
    )
    assert not any(node.fencing for node in wanted.nodes)
    assert "stonith:fence_ipmilan" not in render.cib_xml(wanted)


def test_the_folder_with_the_recipe_is_there():
    assert Host().exists(f"{share.folder('vagrant')}/box/build")
