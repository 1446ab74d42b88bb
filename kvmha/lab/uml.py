"""A node with a kernel of its own: User Mode Linux, which is Linux as a process of the machine.

Such a node has what containers of one kernel have to share or to do without: DRBD, the device mapper, a watchdog, and a
memory that is gone when the power is. Its root is the same overlay of the same image: the kernel reads the folders of
the machine by hostfs, and what the node writes goes to a disk of its own, a sparse file.

It has one processor; computing runs at nearly full speed, but starting a process costs ten times as much. pcs, which
starts many, takes minutes for what it does in seconds elsewhere, and so its daemon stays off.
"""

from __future__ import annotations

import os
import sys

from kvmha.lab import initramfs, network, shell_client, shell_service
from kvmha.lab.guest import domain_xml
from kvmha.lab.plan import LabError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.ground import Ground
    from kvmha.lab.image import Image
    from kvmha.lab.plan import GuestPlan, LabPlan, NodePlan

MIB = 1024**2
MEMORY_MIB = 1536
DISK_MIB = 8192
DATA_MIB = 256
"""Size of the disk that nothing is on, /dev/ubdb, small enough for a resync of all of it to take seconds."""

GUEST_DISK = "/dev/drbd0"
"""What the guest has as its disk, replicated by DRBD on the data disks."""

GUEST_MEMORY_MIB, GUEST_CODE_MIB = 128, 32
"""A guest's memory, and QEMU's for translated code. Each page that a process of such a kernel touches may be a mapping
of a process of the machine, which has 65530 of them (vm.max_map_count). Whoever needs more is killed, as was a QEMU
with 256 MiB while it read all of its guest's memory for a move."""

PROGRAM = "/usr/lib/kvmha-lab/shell_service.py"
UNIT = "kvmha-lab-shell.service"
UNIT_TEXT = f"""\
[Unit]
Description=Commands from the machine that the lab runs on
DefaultDependencies=no
[Service]
ExecStart=/usr/bin/python3 -IS {PROGRAM} {{interface}}
Restart=always
RestartSec=1
KillMode=process
OOMScoreAdjust=-1000
TasksMax=infinity
"""

MASKED = ("pcsd.service", "pcsd-ruby.service", "systemd-logind.service",
          "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-binfmt.service",
          "ldconfig.service", "systemd-hwdb-update.service")  # fmt: skip
"""What takes seconds to start on such a kernel and serves nobody here."""

MODULES = ("overlay", "bridge", "tun", "softdog")
"""Loaded before the system starts; drbd is loaded by drbdadm(8), as on any host."""

SETUP = """\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
for module in /modules/*; do $b insmod $module; done
# The name is taken by a watchdog of User Mode Linux, which wants a program on the machine; softdog is the last one.
for watchdog in /dev/watchdog[0-9]*; do $b ln -sf ${{watchdog##*/}} /dev/watchdog; done
for index in 0 1 2; do $b ip link set vec$index name eth$index; done
$b ip link add name br0 type bridge
$b ip link set br0 address {mac}
$b ip link set eth0 master br0
echo 0 > /sys/class/net/br0/bridge/multicast_snooping
for interface in lo br0 eth0 eth1 eth2; do $b ip link set $interface up; done
$b ip address add {address}/24 dev br0
$b ip address add {second}/24 dev eth1
$b ip address add {management}/24 dev eth2
$b mkdir /disk /root {layers}
$b mount -t ext4 /dev/ubda /disk
$b mkdir -p /disk/upper /disk/work
for layer in {layers}; do $b mount -t hostfs -o ro,$layer none /$layer; done
$b mount -t overlay -o lowerdir={lower},upperdir=/disk/upper,workdir=/disk/work root /root
echo {name} > /root/etc/hostname
$b mount --move /dev /root/dev
$b umount /proc /sys
exec $b switch_root /root /sbin/init
"""

# Runs in a mount namespace of its own, as that of a container does, and in a process namespace, with whose first
# process all others of the node end. The kernel traces the node's processes, which are processes of the machine; one
# that outlives its kernel, if only for an instant, runs on for real. So they all live in a root where there is nothing
# to harm: the image, which cannot be written, the node's own disks, and no capability to leave it or to mount anything.
# The kernel keeps the node's memory in a file, of a file system that is gone with the node.
BOOT = """\
set -e
root=$1 folder=$2 group=$3 netns=$4 memory=$5 kernel=$6 image=$7 layers=$8
shift 8
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$group"
echo $$ > "/sys/fs/cgroup/$group/cgroup.procs"
show() {
    if [ -d "$1" ]; then mkdir "$2"; else : > "$2"; fi
    mount --bind "$1" "$2"
}
mount --bind "$image" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o "mode=700,size=$memory" tmpfs "$root/mnt"
mkdir "$root/mnt/memory"
number=0
while [ $number -lt "$layers" ]; do
    show "$1" "$root/mnt/layer$number"
    mount -o remount,bind,ro "$root/mnt/layer$number"
    shift
    number=$((number + 1))
done
for name in disk.img data.img initrd; do show "$folder/$name" "$root/mnt/$name"; done
show "$kernel" "$root/mnt/linux.uml"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/net"
for name in null net/tun; do show "/dev/$name" "$root/dev/$name"; done
mount -t tmpfs -o mode=755 tmpfs "$root/proc"
show /proc/cpuinfo "$root/proc/cpuinfo"
exec nsenter --net="$netns" unshare --uts --ipc --pid --fork --kill-child=KILL chroot "$root" \
    setpriv --bounding-set=-all,+net_admin,+dac_override,+dac_read_search,+chown,+fowner \
    env -C /mnt TMPDIR=/mnt/memory ./linux.uml "$@"
"""


def start(host: Host, plan: LabPlan, node: NodePlan, ground: Ground, *, env: dict[str, str]) -> None:
    """Let a node that is plugged in boot; ``env`` marks its processes as those of the lab."""
    os.makedirs(f"{node.folder}/root", exist_ok=True)
    _make_disks(host, node)
    _write(f"{node.folder}/initrd", _initrd(node, ground))
    # fmt: off
    host.start(
        "unshare", "--mount", "--propagation", "slave",
        "sh", "-c", BOOT, "kvmha-lab-node",
        f"{node.folder}/root", node.folder, node.netns, network.netns_path(plan.netns),
        str((MEMORY_MIB + 64) * MIB), ground.kernel, ground.layers[-1], str(len(ground.layers)), *ground.layers,
        *kernel_words(node),
        log=f"{node.folder}/console.log", env=env,
    )
    # fmt: on


def kernel_words(node: NodePlan) -> tuple[str, ...]:
    """Return the command line of a node's kernel."""
    # fmt: off
    return (
        f"mem={MEMORY_MIB}M", f"umid={node.name}", "uml_dir=memory/", "hostfs=.", "initrd=initrd",
        "ubd0=disk.img", "ubd1=data.img", "con=null", "con0=null,fd:1",
        *(
            # Without gro=1 the interface drops segmented frames, and DRBD resynchronizes at 180 KB/s.
            f"vec{index}:transport=tap,ifname={port},depth=64,gro=1,mac={network.mac_of_cable(index, node)}"
            for index, port in enumerate(network.ports(node))
        ),
        "systemd.show_status=auto", *(f"systemd.mask={unit}" for unit in MASKED),
    )
    # fmt: on


def why_not(image: Image) -> str | None:
    """Tell that nodes of an image cannot have a kernel of their own, or return None."""
    if os.path.exists(f"{image.uml}/linux.uml"):
        return None
    return f"--kernel: {image.suite} has no User Mode Linux; take another suite, or containers"


def layers(image: Image) -> tuple[str, ...]:
    """Return the folders of an image of which the root of a node is made: the modules and the image."""
    return f"{image.uml}/layer", image.root


def guest_xml(guest: GuestPlan, *, suite: str) -> str:
    """Return the libvirt domain of a guest in such nodes, with its disk on DRBD; there is no KVM in them."""
    return domain_xml(
        guest, suite=suite, kvm=False, disk=GUEST_DISK, memory_mib=GUEST_MEMORY_MIB, code_mib=GUEST_CODE_MIB
    )


def prepare_layer(host: Host, upper: str, interface: str) -> None:
    """Put into the layer of a lab what a node needs to be reached, by its interface of that name."""
    with open(shell_service.__file__, encoding="utf-8") as file:
        host.write(f"{upper}{PROGRAM}", file.read())
    units = f"{upper}/etc/systemd/system"
    host.write(f"{units}/{UNIT}", UNIT_TEXT.format(interface=interface))
    os.makedirs(f"{units}/sysinit.target.wants", exist_ok=True)
    os.symlink(f"../{UNIT}", f"{units}/sysinit.target.wants/{UNIT}")


def enter_argv(plan: LabPlan, node: NodePlan, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that runs a command in a node."""
    # fmt: off
    return (
        "nsenter", f"--net={network.netns_path(plan.netns)}", "--",
        sys.executable, "-IS", os.path.abspath(shell_client.__file__), node.management, str(shell_service.PORT), *argv,
    )
    # fmt: on


def qemu_processes(host: Host, plan: LabPlan, node: NodePlan) -> list[tuple[str, ...]]:
    """Return the arguments of the QEMU processes in a node, which the machine does not see; none if it is silent."""
    script = "for pid in $(pgrep qemu-system); do cat /proc/$pid/cmdline && echo; done; true"
    done = host.run(*enter_argv(plan, node, ("sh", "-c", script)), timeout=20.0, ok=None)
    return [tuple(line.split("\0")[:-1]) for line in done.out.splitlines()] if done.rc == 0 else []


def copy_out(host: Host, node: NodePlan, paths: tuple[str, ...], folder: str) -> None:
    """Copy folders that a node has written, and that have reached its disk, whether it has power or not.

    ``paths`` begin at the root of the node, and go below ``folder``; what is not there is left out.
    """
    for path in paths:
        target = os.path.dirname(f"{folder}{path}")
        os.makedirs(target, exist_ok=True)
        # debugfs(8) reads a file system that is mounted elsewhere; what was not written yet it does not see.
        argv = ("debugfs", "-R", f'rdump "/upper{path}" "{target}"', f"{node.folder}/disk.img")
        host.run(*argv, timeout=60.0, ok=None)


def _make_disks(host: Host, node: NodePlan) -> None:
    """Make a node's two disks unless they are there: sparse files, the first with an empty file system."""
    disk, data = f"{node.folder}/disk.img", f"{node.folder}/data.img"
    if not host.exists(data):
        _allocate(data, DATA_MIB)
    if not host.exists(disk):
        _allocate(f"{disk}.new", DISK_MIB)
        options = ("-m", "0", "-J", "size=16", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard")
        host.run("mkfs.ext4", "-q", "-F", *options, f"{disk}.new", timeout=60.0)
        os.rename(f"{disk}.new", disk)


def _allocate(path: str, mib: int) -> None:
    with open(path, "wb") as file:
        file.truncate(mib * MIB)


def _initrd(node: NodePlan, ground: Ground) -> bytes:
    """Return what the kernel starts: it sets up the network and the root, and hands over to systemd."""
    names = [f"layer{number}" for number in range(len(ground.layers))]
    setup = SETUP.format(
        name=node.name,
        mac=network.mac_of_bridge(node),
        address=node.addresses[0],
        second=node.addresses[1],
        management=node.management,
        layers=" ".join(names),
        lower=":".join(f"/{name}" for name in names),
    )
    entries = [
        initramfs.device_entry("dev/console", 5, 1),
        initramfs.folder_entry("proc"),
        initramfs.folder_entry("sys"),
        initramfs.file_entry("init", setup.encode(), mode=0o755),
        initramfs.file_entry("bin/busybox", _read(f"{ground.layers[-1]}/bin/busybox"), mode=0o755),
    ]
    folder = initramfs.module_folder(ground.layers[-2])
    if folder is None:
        raise LabError(f"the kernel {ground.kernel} has no modules beside it; kvmha lab down and up makes it anew")
    found = initramfs.modules(folder, MODULES)
    entries += [initramfs.file_entry(f"modules/{n:02d}-{name}", content) for n, (name, content) in enumerate(found)]
    return initramfs.cpio(entries)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
