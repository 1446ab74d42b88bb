"""What a node on User Mode Linux is started with."""

from __future__ import annotations

from xml.etree import ElementTree

from kvmha.cluster import description, render
from kvmha.host import Completed
from kvmha.lab import uml, uml_formation
from kvmha.lab.formation import describe
from kvmha.lab.ground import Ground
from kvmha.lab.image import Image
from kvmha.lab.plan import make_plan
from kvmha.tools import cib
from tests.fakes import FakeHost

PLAN = make_plan("a", nodes=2, kernel="uml", state="/a folder, with: everything")


def test_no_path_of_the_machine_reaches_the_kernels_command_line():
    # A comma or a space in it would end the word.
    assert not [word for word in uml.kernel_words(PLAN.nodes[0]) if "/a folder" in word]


def test_every_interface_takes_segmented_frames():
    interfaces = [word for word in uml.kernel_words(PLAN.nodes[1]) if word.startswith("vec")]
    assert [word.partition(":")[0] for word in interfaces] == ["vec0", "vec1", "vec2"]
    assert all(word.split(":", 1)[1].split(",")[3] == "gro=1" for word in interfaces)


def test_two_nodes_share_no_hardware_address():
    macs = [word.rpartition("mac=")[2] for node in PLAN.nodes for word in uml.kernel_words(node) if "mac=" in word]
    assert len(macs) == len(set(macs)) == 6


def test_a_suite_without_such_a_kernel_is_refused_by_name(tmp_path):
    image = Image(suite="trixie", folder=str(tmp_path))
    assert "trixie has no User Mode Linux" in uml.why_not(image)
    (tmp_path / "uml").mkdir()
    (tmp_path / "uml/linux.uml").write_text("")
    assert uml.why_not(image) is None


def test_the_first_program_has_the_nodes_addresses_and_its_root_the_right_order(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/busybox").write_bytes(b"busybox")
    (tmp_path / "lib/modules").mkdir(parents=True)
    ground = Ground(layers=("/upper", str(tmp_path), str(tmp_path)), kvm=False, kernel="/linux.uml")
    content = uml._initrd(PLAN.nodes[1], ground).decode("latin-1")
    assert "address add 10.77.0.12/24 dev br0" in content
    assert "lowerdir=/layer0:/layer1:/layer2," in content
    assert "echo n2 > /root/etc/hostname" in content


def test_a_guest_on_a_block_device_keeps_nothing_in_a_cache():
    # libvirt refuses to move a guest whose source might hold what the target does not see.
    xml = uml.guest_xml(PLAN.guests[0], suite="bookworm")
    assert "<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'" in xml
    assert "<source dev='/dev/drbd0'/>" in xml


def test_a_guest_has_no_more_pages_than_a_process_of_the_machine_has_mappings():
    # vm.max_map_count is 65530 unless somebody has changed it; a page of such a node's process can be a mapping each.
    domain = ElementTree.fromstring(uml.guest_xml(PLAN.guests[0], suite="bookworm"))
    memory, code = int(domain.findtext("memory")), int(domain.findtext("features/tcg/tb-cache"))
    # What else QEMU touches was seen to be less than 64 MiB.
    assert (memory + code + 64) * 256 < 65530
    words = [word.get("value") for word in domain.iter() if word.tag.endswith("}arg")]
    assert [word for word in words if "size=" in word] == [f"memory-backend-ram,id=odd.ram,size={memory * 1024 + 8}k"]
    assert f"memory: {memory}" in describe(PLAN)


def test_every_operation_on_such_a_node_has_more_time_and_nothing_else_is_changed():
    text = render.render(description.read(describe(PLAN), "cluster.yaml"))["cib.xml"]
    found, other = cib.tree(uml_formation.patient(text)), cib.tree(text)
    times = [
        (cib.milliseconds(after.attrib.pop("timeout")), cib.milliseconds(before.attrib.pop("timeout")))
        for after, before in zip(found.iter("op"), other.iter("op"))
    ]
    assert times
    assert all(after == before * uml_formation.PATIENCE for after, before in times)
    assert cib.text_of(found) == cib.text_of(other)


SAID = (
    (102, ""),
    (0, '<pacemaker-result><node name="n1" online="true"/></pacemaker-result>'),
    (0, '<node name="n1" online="true"/><node name="n2" online="true"/><current_dc present="true"/>'),
)
"""What crm_mon says, one call after the other: no Pacemaker yet, no coordinator yet, both."""


class JoiningLab:
    """A lab whose nodes form a cluster, and which writes down what they are asked."""

    def __init__(self):
        self.host = FakeHost()
        self.asked = []
        self.said = iter(SAID)

    def run(self, node, program, *words, timeout, ok=(0,)):
        self.asked.append((node, program))
        rc, out = next(self.said) if program == "crm_mon" else (0, "")
        return Completed(argv=(program, *words), rc=rc, out=out, err="")


def test_qemu_is_looked_at_once_while_the_nodes_wait_for_a_coordinator():
    lab = JoiningLab()
    uml_formation._wait_online(lab, ["n1", "n2"])
    probe = uml_formation.PROBE_QEMU[0]
    look = ("n1", "crm_mon")
    assert lab.asked == [look, look, ("n1", probe), ("n2", probe), look]
