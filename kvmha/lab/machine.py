"""What a lab needs of the machine that it is made on, and what to do where that is missing."""

from __future__ import annotations

import os

from kvmha.host import CommandError
from kvmha.lab import image, uml, vagrant
from kvmha.lab.plan import CONTAINER, UML, VAGRANT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.plan import LabPlan

NODE_MEMORY = image.GIB
LAB_SPACE = image.GIB

COMMANDS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "ipmi_sim": "openipmi",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "chroot": "coreutils",
    "mkfs.ext4": "e2fsprogs",
    "debugfs": "e2fsprogs",
}
"""What a lab starts on the machine itself, and the Debian package that has it."""

VAGRANT_COMMANDS = {
    "vagrant": "vagrant",
    "libvirtd": "libvirt-daemon-system",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "dnsmasq": "dnsmasq-base",
    "ssh-keygen": "openssh-client",
}
"""What virtual machines need beside that."""


def why_no_commands(host: Host) -> str | None:
    """Tell that labs cannot be made by this user or with what is installed here, or return None."""
    if os.geteuid() != 0:
        return "a lab is made of containers and network namespaces, which needs root: run it with sudo"
    if not is_mount_point(host.read("/proc/self/mountinfo")):
        return (
            "the root folder is that of a plain chroot, in which the lab cannot keep its mounts to itself: "
            "mount --bind that folder on itself before the chroot"
        )
    missing = [name for name in COMMANDS if host.which(name) is None]
    if not missing:
        return None
    packages = sorted({COMMANDS[name] for name in missing})
    return f"not installed: {', '.join(missing)}; apt install {' '.join(packages)}"


def why_no_vagrant(host: Host) -> str | None:
    """Tell that virtual machines cannot be made with what is installed here, or return None."""
    missing = [name for name in VAGRANT_COMMANDS if host.which(name) is None]
    if missing:
        packages = sorted({VAGRANT_COMMANDS[name] for name in missing})
        return f"not installed: {', '.join(missing)}; apt install {' '.join(packages)}"
    try:
        known = host.run("vagrant", "plugin", "list", timeout=60.0, env={"VAGRANT_NO_COLOR": "1"}).out
    except CommandError as error:
        return f"vagrant does not work here: {error}"
    if "vagrant-libvirt" not in known:
        return "Vagrant has no way to libvirt; apt install vagrant-libvirt"
    return None


def is_mount_point(mountinfo: str, path: str = "/") -> bool:
    """Tell whether a path is a mount point, by the text of /proc/self/mountinfo (proc(5): the fifth field)."""
    return any(line.split()[4:5] == [path] for line in mountinfo.splitlines())


def why_no_room(host: Host, plan: LabPlan) -> str | None:
    """Tell that the machine is too small for a lab at the moment, or return None."""
    disks = vagrant.DISK_SPACE * (len(plan.nodes) + 1) if plan.kernel == VAGRANT else 0
    space = image.why_no_space(plan.folder, LAB_SPACE + disks)
    if space:
        return f"no room for the lab: {space}; free some, or name another folder in KVMHA_LAB_STATE"
    each = {CONTAINER: NODE_MEMORY, UML: uml.MEMORY_MIB * uml.MIB, VAGRANT: vagrant.MEMORY_MIB * uml.MIB}[plan.kernel]
    return why_no_memory(host.read("/proc/meminfo"), len(plan.nodes), each)


def why_no_memory(meminfo: str, count: int, each: int = NODE_MEMORY) -> str | None:
    """Tell that there is too little memory for that many nodes, from the text of /proc/meminfo, or return None."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            available, needed = int(line.split()[1]) * 1024, count * each
            if available < needed:
                has, wants = f"{available / image.GIB:.1f}", f"{needed / image.GIB:.2g}"
                return f"{has} GiB of memory are available, and {count} nodes need {wants}; free some or take --nodes 2"
    return None
