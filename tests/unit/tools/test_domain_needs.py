"""What a definition asks of the node that it is started on."""

from __future__ import annotations

import pytest

from kvmha.tools.domain_xml import DiskNeed, DomainXmlError, Needs, parse_needs

MIB, GIB = 1024, 1024 * 1024


def needs(text):
    return parse_needs(f"<domain type='kvm'><name>web1</name>{text}</domain>")


@pytest.mark.parametrize(
    ("text", "kib"),
    [
        ("<memory>262144</memory>", 262144),
        ("<memory unit='KiB'>262144</memory>", 262144),
        ("<memory unit='b'>1025</memory>", 2),
        ("<memory unit='MB'>1024</memory>", 1000000),
        ("<memory unit='G'>2</memory>", 2 * GIB),
        ("<memory unit='TiB'>\n 1 </memory>", 1024 * GIB),
        ("", 0),
        ("<memory unit='GiB'>8</memory><currentMemory unit='GiB'>2</currentMemory>", 2 * GIB),
        ("<memory unit='GiB'>2</memory><currentMemory unit='GiB'>8</currentMemory>", 2 * GIB),
    ],
)
def test_the_memory_is_read_in_every_unit(text, kib):
    assert needs(text) == Needs(memory_kib=kib)


BALLOON = "<memory unit='GiB'>8</memory><currentMemory unit='GiB'>2</currentMemory>"


@pytest.mark.parametrize(
    "pinned",
    [
        "<memoryBacking><locked/></memoryBacking>",
        "<memoryBacking><allocation mode='immediate'/></memoryBacking>",
        "<devices><hostdev type='pci'/></devices>",
        "<devices><memballoon model='none'/></devices>",
    ],
)
def test_memory_that_is_there_from_the_first_moment_counts_in_full(pinned):
    assert needs(BALLOON + pinned).memory_kib == 8 * GIB


HUGE = "<memory unit='GiB'>8</memory><memoryBacking><hugepages>{}</hugepages></memoryBacking>"
CELLS = "<cpu><numa><cell id='0' memory='6' unit='GiB'/><cell id='1' memory='2' unit='GiB'/></numa></cpu>"


@pytest.mark.parametrize(
    ("text", "pages", "ordinary"),
    [
        pytest.param(HUGE.format(""), {0: 8 * GIB}, 0, id="the-nodes-own-size"),
        pytest.param(HUGE.format("<page size='1' unit='G'/>"), {GIB: 8 * GIB}, 0, id="one-size"),
        pytest.param(HUGE.format("<page size='2048' nodeset='0'/>"), {2048: 8 * GIB}, 0, id="a-guest-without-cells"),
        pytest.param(
            HUGE.format("<page size='1' unit='G' nodeset='1'/><page size='2048'/>") + CELLS,
            {2048: 6 * GIB, GIB: 2 * GIB}, 0, id="two-sizes",
        ),
        pytest.param(
            HUGE.format("<page size='1' unit='G' nodeset='1'/>") + CELLS, {GIB: 2 * GIB}, 6 * GIB, id="one-cell-only"
        ),
    ],
)  # fmt: skip
def test_huge_pages_are_taken_by_size(text, pages, ordinary):
    found = needs(text)
    assert (found.huge_pages, found.memory_kib) == (pages, ordinary)


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("<memory mode='strict' nodeset='0-2,^1,5'/>", (0, 2, 5)),
        ("<memory mode='strict' nodeset='1'/>", (1,)),
        ("<memory mode='preferred' nodeset='1'/>", ()),
        ("<memory mode='strict' placement='auto'/>", ()),
        ("", ()),
    ],
)
def test_the_numa_nodes_that_memory_must_come_from(text, nodes):
    assert needs(f"<numatune>{text}</numatune>").numa_nodes == nodes


DISKS = """
<devices>
 <disk type='file'><driver type='qcow2'/><source file='/a.qcow2'/><backingStore><source file='/base'/></backingStore></disk>
 <disk type='block'><source dev='/dev/vg/a'/><shareable/></disk>
 <disk type='file' device='cdrom'><source file='/a.iso' startupPolicy='optional'/></disk>
 <disk type='file' device='cdrom'/>
 <disk type='dir'><source dir='/srv'/><readonly/></disk>
 <disk type='network'><source protocol='rbd' name='pool/a'><host name='m'/></source></disk>
</devices>
"""  # noqa: E501


def test_disks_are_read_with_how_the_guest_opens_them():
    assert needs(DISKS).disks == (
        DiskNeed(kind="file", path="/a.qcow2"),
        DiskNeed(kind="block", path="/dev/vg/a", is_shareable=True),
        DiskNeed(kind="file", path="/a.iso", is_read_only=True, is_optional=True),
        DiskNeed(kind="file", path="", is_read_only=True),
        DiskNeed(kind="dir", path="/srv", is_read_only=True),
        DiskNeed(kind="network", path=""),
    )


@pytest.mark.parametrize(
    "text",
    [
        "<memory>lots</memory>",
        "<memory unit='pages'>1</memory>",
        "<memory>-1</memory>",
        "<numatune><memory mode='strict' nodeset='a'/></numatune>",
        "<memory>",
    ],
)
def test_what_cannot_be_read_is_said(text):
    with pytest.raises(DomainXmlError):
        needs(text)
