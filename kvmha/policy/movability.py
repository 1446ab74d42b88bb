"""What of a guest's definition allows a live move, what forbids it, and what depends on the target.

Invariant: a device that is not known to move counts as one that does not. Each entry says what the device is, in words
that follow its name, and what can be done about it. Where the device holds state of the host that stops with it, not
even a cold move is possible, and the verdict is REFUSED.

Sources: libvirt's formatdomain and its checks before a migration (qemuMigrationSrcIsAllowed, libvirt 9.0), QEMU's
migration blockers (migrate_add_blocker, 7.2).
"""

from __future__ import annotations

from kvmha.record import Record

LIVE, COLD, REFUSED = "live", "cold", "refused"
VERDICTS = (LIVE, COLD, REFUSED)
"""COLD: only with downtime, by a shutdown, a move and a start."""

ALLOWS, DEPENDS, FORBIDS, TIES = "allows", "depends on the target", "forbids a live move", "rules it out"
EFFECTS = (ALLOWS, DEPENDS, FORBIDS, TIES)


class Device(Record):
    """A device or setting of a definition that matters for a move."""

    kind: str
    """A key of KINDS."""
    name: str = ""
    """Which one: a path, an address, a name of a network."""


class Reason(Record):
    """One finding of a preflight."""

    code: str
    effect: str
    """One of EFFECTS."""
    said: str
    numbers: dict[str, float] = {}  # noqa: RUF012 (a default that nobody changes: records are frozen)


UNKNOWN = (FORBIDS, "is not known to move")

# The kind of a device, its effect, and a sentence about it.
KINDS = {
    "disk-shared": (ALLOWS, "is reached over the network by both nodes"),
    "disk-file": (DEPENDS, "must be the same file on the target: a file system that both nodes mount"),
    "disk-block": (DEPENDS, "must be the same device on the target: SAN, iSCSI, or DRBD that is UpToDate there"),
    "disk-volume": (DEPENDS, "must be in a pool of that name on the target, and the same volume"),
    "disk-nvme": (TIES, "is an NVMe device of its host, and its data is there alone"),
    "disk-vhost": (FORBIDS, "is served by a vhost-user process of its host"),
    "disk-unsafe-cache": (DEPENDS, "is cached by the host: libvirt refuses the move unless the file system is a "
                          "cluster's, or the cache is none or directsync"),
    "disk-unknown": (FORBIDS, "is of a kind that is not known to move"),
    "disk-format": (FORBIDS, "is an image of a format that QEMU does not move; qemu-img convert makes qcow2 of it"),
    "disk-transient": (FORBIDS, "forgets what is written to it (transient), and libvirt does not move that"),
    "cdrom-local": (DEPENDS, "must lie at the same path on the target; eject it otherwise"),
    "floppy-local": (DEPENDS, "must lie at the same path on the target"),
    "host-pci": (FORBIDS, "is a PCI device of its host; a start there needs one at the same address"),
    "host-pci-failover": (DEPENDS, "is a PCI device with a virtio interface beside it (teaming): it is unplugged for "
                          "the move, and the target needs one as well"),
    "host-mdev": (FORBIDS, "is a mediated device of its host (some vGPUs can move; libvirt does not try)"),
    "host-usb": (FORBIDS, "is a USB device of its host; a start there needs one like it"),
    "host-scsi": (FORBIDS, "is a SCSI device or adapter of its host; a start there needs the same"),
    "redirected-usb": (ALLOWS, "is a USB redirection to a viewer, which reconnects"),
    "interface-bridge": (DEPENDS, "must be a bridge on the target, in the same network"),
    "interface-network": (DEPENDS, "must be a network of libvirt's on the target, and active"),
    "interface-direct": (DEPENDS, "is a macvtap on a card that the target must have by the same name"),
    "interface-user": (FORBIDS, "is QEMU's own user network, whose connections end with the process"),
    "interface-hostdev": (FORBIDS, "is a virtual function of its host's card; a start there needs one"),
    "interface-vhostuser": (DEPENDS, "is served by a switch in user space, at the same socket on the target"),
    "interface-vdpa": (FORBIDS, "is a vDPA device of its host"),
    "interface-other": (DEPENDS, "must be possible on the target in the same way"),
    "shmem": (FORBIDS, "is memory shared with processes of its host"),
    "filesystem-9p": (FORBIDS, "is a folder of its host, passed through (9p)"),
    "filesystem-virtiofs": (FORBIDS, "is a folder of its host, passed through (virtiofs)"),
    "tpm-passthrough": (TIES, "is the TPM of its host"),
    "tpm-emulated": (DEPENDS, "its state moves with the guest, and a cold start on the target has an empty one "
                     "unless its folder is shared"),
    "nvram": (DEPENDS, "is moved live with the guest, and must be reachable from the target for a start there"),
    "nvdimm": (DEPENDS, "must be the same file or device on the target"),
    "nvdimm-pmem": (FORBIDS, "is persistent memory of its host"),
    "sev": (FORBIDS, "encrypts the guest's memory with a key of its host"),
    "cpu-passthrough": (DEPENDS, "needs the same processor, microcode and kernel on the target; a named model moves "
                        "between more hosts"),
    "cpu-host-model": (DEPENDS, "needs the features of this host's processor on the target"),
    "cpu-maximum": (DEPENDS, "needs the same version of QEMU, and the same processor, on the target"),
    "cpu-invtsc": (FORBIDS, "ties the guest's clock to its host's processor (invtsc without a fixed frequency)"),
    "huge-pages": (DEPENDS, "must be free on the target"),
    "serial-host": (FORBIDS, "is a device or file of its host"),
    "chardev-host": (DEPENDS, "must exist at the same path on the target"),
    "machine-alias": (DEPENDS, "is an alias that each QEMU reads in its own way; libvirt fixes it at the start"),
    "graphics-address": (DEPENDS, "listens on an address that the target must have"),
    "input-host": (FORBIDS, "is an input device of its host"),
    "smartcard-host": (FORBIDS, "is a card or certificate of its host"),
    "usb-stuck": (FORBIDS, "is a USB device that QEMU does not move; another model does"),
    "video-3d": (FORBIDS, "draws with the graphics card of its host (accel3d)"),
    "device-unknown": UNKNOWN,
    "no-uuid": (DEPENDS, "the definition has no UUID: each start makes another, and nothing tells a second copy"),
}  # fmt: skip


def judge(devices: tuple[Device, ...]) -> tuple[Reason, ...]:
    """Return what each device and setting means for a move, the gravest first."""
    found = []
    for device in devices:
        effect, sentence = KINDS.get(device.kind, UNKNOWN)
        name = f"{device.name} " if device.name else ""
        found.append(Reason(code=device.kind, effect=effect, said=f"{name}{sentence}"))
    return tuple(sorted(found, key=lambda reason: (-EFFECTS.index(reason.effect), reason.code, reason.said)))


def verdict(reasons: tuple[Reason, ...]) -> str:
    """Return the verdict that some reasons come to."""
    effects = {reason.effect for reason in reasons}
    if TIES in effects:
        return REFUSED
    return COLD if FORBIDS in effects else LIVE
