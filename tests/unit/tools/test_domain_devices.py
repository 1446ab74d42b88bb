"""Definitions of guests, device by device: what each means for a move."""

from __future__ import annotations

import pytest

from kvmha.policy.movability import ALLOWS, COLD, DEPENDS, FORBIDS, KINDS, LIVE, REFUSED, TIES, Device, judge, verdict
from kvmha.tools.domain_devices import parse


def definition(devices="", *, head="<uuid>3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01</uuid>", machine="pc-q35-7.2"):
    system = f"<os><type arch='x86_64' machine='{machine}'>hvm</type></os>"
    return f"<domain type='kvm'><name>web1</name>{head}{system}<devices>{devices}</devices></domain>"


DISK = "<disk type='{0}' device='{1}'><driver name='qemu' cache='{2}'/><source {3}/><target dev='vda'/></disk>"
CASES = [
    (DISK.format("file", "disk", "none", "file='/srv/x.qcow2'"), ["disk-file"], LIVE),
    (DISK.format("file", "disk", "writeback", "file='/srv/x'"), ["disk-file", "disk-unsafe-cache"], LIVE),
    (DISK.format("block", "disk", "none", "dev='/dev/drbd0'"), ["disk-block"], LIVE),
    (DISK.format("volume", "disk", "none", "pool='p' volume='v'"), ["disk-volume"], LIVE),
    (DISK.format("network", "disk", "writeback", "protocol='rbd' name='p/x'"), ["disk-shared"], LIVE),
    (DISK.format("nvme", "disk", "none", "type='pci' namespace='1'"), ["disk-nvme"], REFUSED),
    (DISK.format("vhostuser", "disk", "none", "type='unix' path='/s'"), ["disk-vhost"], COLD),
    (DISK.format("future", "disk", "none", "x='y'"), ["disk-unknown"], COLD),
    (DISK.format("file", "cdrom", "none", "file='/srv/x.iso'"), ["cdrom-local"], LIVE),
    (DISK.format("file", "floppy", "none", "file='/srv/x.img'"), ["floppy-local"], LIVE),
    ("<disk type='file' device='cdrom'><target dev='sda'/></disk>", [], LIVE),
    ("<disk type='file'><driver type='vmdk'/><source file='/x'/></disk>", ["disk-format", "disk-file"], COLD),
    (
        "<disk type='file'><driver type='qcow2'/><source file='/x'/><backingStore type='file'><format type='vdi'/>"
        "<source file='/y'/></backingStore></disk>",
        ["disk-format", "disk-file"],
        COLD,
    ),
    ("<disk type='file'><driver type='qcow2'/><source file='/x'/></disk>", ["disk-file"], LIVE),
    ("<disk type='file'><source file='/x'/><transient/></disk>", ["disk-transient", "disk-file"], COLD),
    ("<crypto model='virtio' type='qemu'><backend model='builtin'/></crypto>", ["device-unknown"], COLD),
    ("<teleporter/>", ["device-unknown"], COLD),
    ("<memory model='sgx-epc'/>", ["device-unknown"], COLD),
    ("<memory model='dimm'/><memory model='virtio-mem'/>", [], LIVE),
    ("<input type='passthrough' bus='virtio'><source evdev='/dev/input/event1'/></input>", ["input-host"], COLD),
    ("<input type='evdev'><source dev='/dev/input/event1'/></input>", ["chardev-host"], LIVE),
    ("<input type='tablet' bus='usb'/><input type='keyboard' bus='ps2'/>", [], LIVE),
    ("<sound model='usb'/>", ["usb-stuck"], COLD),
    ("<sound model='ich9'/><audio id='1' type='none'/>", [], LIVE),
    (
        "<interface type='bridge'><source bridge='b'/><model type='usb-net'/></interface>",
        ["interface-bridge", "usb-stuck"],
        COLD,
    ),
    ("<serial type='pty'><target type='usb-serial' port='0'/></serial>", ["usb-stuck"], COLD),
    ("<video><model type='virtio'><acceleration accel3d='yes'/></model></video>", ["video-3d"], COLD),
    ("<video><model type='virtio'><acceleration accel3d='no'/></model></video>", [], LIVE),
    ("<smartcard mode='host'/>", ["smartcard-host"], COLD),
    ("<smartcard mode='passthrough' type='spicevmc'/>", [], LIVE),
    ("<rng model='virtio'><backend model='random'>/dev/hwrng</backend></rng>", ["chardev-host"], LIVE),
    ("<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>", [], LIVE),
    (
        "<emulator>/usr/bin/kvm</emulator><controller type='usb'/><hub type='usb'/><memballoon model='virtio'/>"
        "<watchdog model='i6300esb'/><panic model='isa'/><vsock model='virtio'/><iommu model='intel'/>"
        "<redirfilter/><lease/><channel type='unix'/><console type='pty'/><parallel type='pty'/>",
        [],
        LIVE,
    ),
    ("<hostdev mode='subsystem' type='pci'><source><address bus='3'/></source></hostdev>", ["host-pci"], COLD),
    ("<hostdev mode='subsystem' type='mdev'><source><address uuid='u'/></source></hostdev>", ["host-mdev"], COLD),
    ("<hostdev mode='subsystem' type='usb'><source/></hostdev>", ["host-usb"], COLD),
    ("<hostdev mode='subsystem' type='new'><source/></hostdev>", ["host-new"], COLD),
    (
        "<hostdev type='pci'><source/><teaming type='transient' persistent='ua-x'/></hostdev>",
        ["host-pci-failover"],
        LIVE,
    ),
    ("<redirdev bus='usb' type='spicevmc'/>", ["redirected-usb"], LIVE),
    ("<interface type='bridge'><source bridge='br0'/></interface>", ["interface-bridge"], LIVE),
    ("<interface type='network'><source network='lan'/></interface>", ["interface-network"], LIVE),
    ("<interface type='direct'><source dev='eth0' mode='bridge'/></interface>", ["interface-direct"], LIVE),
    ("<interface type='user'/>", ["interface-user"], COLD),
    ("<interface type='hostdev'><source/></interface>", ["interface-hostdev"], COLD),
    ("<interface type='vhostuser'><source type='unix' path='/s'/></interface>", ["interface-vhostuser"], LIVE),
    ("<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>", ["interface-vdpa"], COLD),
    ("<interface type='ethernet'/>", ["interface-other"], LIVE),
    ("<shmem name='s'/>", ["shmem"], COLD),
    ("<filesystem type='mount'><source dir='/a'/><target dir='t'/></filesystem>", ["filesystem-9p"], COLD),
    ("<filesystem type='mount'><driver type='virtiofs'/><target dir='t'/></filesystem>", ["filesystem-virtiofs"], COLD),
    ("<tpm><backend type='passthrough'/></tpm>", ["tpm-passthrough"], REFUSED),
    ("<tpm><backend type='emulator' version='2.0'/></tpm>", ["tpm-emulated"], LIVE),
    ("<memory model='nvdimm'><source><path>/n</path></source></memory>", ["nvdimm"], LIVE),
    ("<memory model='nvdimm'><source><path>/n</path><pmem/></source></memory>", ["nvdimm-pmem"], COLD),
    ("<serial type='dev'><source path='/dev/ttyS0'/></serial>", ["serial-host"], COLD),
    ("<serial type='file'><source path='/log'/></serial>", ["chardev-host"], LIVE),
    ("<serial type='pty'/>", [], LIVE),
    ("<graphics type='vnc' listen='192.0.2.1'/>", ["graphics-address"], LIVE),
    ("<graphics type='vnc' listen='0.0.0.0'/>", [], LIVE),
]


@pytest.mark.parametrize(
    ("devices", "kinds", "wanted"), CASES, ids=lambda value: value[:40] if isinstance(value, str) else ""
)
def test_a_device_is_known_and_judged(devices, kinds, wanted):
    found = parse(definition(devices))
    assert [device.kind for device in found] == kinds
    assert verdict(judge(found)) == wanted


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("", "no-uuid"),
        ("<uuid>u</uuid><cpu mode='host-passthrough'/>", "cpu-passthrough"),
        ("<uuid>u</uuid><cpu mode='host-model'/>", "cpu-host-model"),
        ("<uuid>u</uuid><cpu mode='maximum'/>", "cpu-maximum"),
        (
            "<uuid>u</uuid><cpu mode='custom'><model>x</model><feature policy='require' name='invtsc'/></cpu>",
            "cpu-invtsc",
        ),
        ("<uuid>u</uuid><memoryBacking><hugepages/></memoryBacking>", "huge-pages"),
        ("<uuid>u</uuid><launchSecurity type='sev'/>", "sev"),
    ],
)
def test_a_setting_that_matters_is_known(head, kind):
    assert [device.kind for device in parse(definition(head=head))] == [kind]


def test_an_alias_of_a_machine_and_the_nvram_are_known():
    assert [device.kind for device in parse(definition(machine="q35"))] == ["machine-alias"]
    xml = definition().replace("</os>", "<nvram>/var/lib/libvirt/qemu/nvram/x.fd</nvram></os>")
    assert parse(xml) == (Device(kind="nvram", name="/var/lib/libvirt/qemu/nvram/x.fd"),)


@pytest.mark.parametrize("system", ["<os firmware='efi'>", "<os><loader readonly='yes' type='pflash'>/f</loader>"])
def test_firmware_with_variables_has_them_though_the_definition_does_not_say_where(system):
    xml = definition().replace("<os>", system)
    assert [device.kind for device in parse(xml)] == ["nvram"]


def test_what_nobody_knows_does_not_move_live():
    reason = judge((Device(kind="teleporter", name="t"),))[0]
    assert (reason.effect, reason.said) == (FORBIDS, "t is not known to move")


def test_the_gravest_comes_first():
    kinds = ("disk-shared", "nvram", "shmem", "tpm-passthrough")
    found = judge(tuple(Device(kind=kind) for kind in kinds))
    assert [reason.effect for reason in found] == [TIES, FORBIDS, DEPENDS, ALLOWS]


def test_every_kind_that_is_read_is_judged():
    read = {kind for _, kinds, _ in CASES for kind in kinds} - {"host-new"}
    read |= {"host-scsi", "no-uuid", "cpu-passthrough", "cpu-host-model", "cpu-maximum", "cpu-invtsc", "huge-pages",
             "sev", "machine-alias", "nvram"}  # fmt: skip
    assert read == set(KINDS)


@pytest.mark.parametrize("text", ["", "<domain", "<network/>"])
def test_what_is_no_definition_is_refused(text):
    with pytest.raises(ValueError, match=r"it is not well-formed|its root is"):
        parse(text)
