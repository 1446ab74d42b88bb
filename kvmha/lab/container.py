"""A node that is a container: it boots systemd from an overlay of the image, on the kernel of the machine."""

from __future__ import annotations

import os

from kvmha.lab import network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.ground import Ground
    from kvmha.lab.plan import LabPlan, NodePlan

# Runs in a mount namespace of its own, so that no mount of a node is ever seen on the machine or outlives the node.
# There it puts a version 2 cgroup hierarchy in place, whatever the machine has: nspawn and the node's systemd then need
# no help on any machine, and a cgroup per node keeps the systemds of the nodes out of each other's way. nspawn has an
# option for the network namespace, but mounts the node's /sys before it enters that: /sys/class/net would be ours.
# With --keep-unit it ends with 133 when its node reboots, for whoever started it to start it again (systemd-nspawn(1)).
BOOT = """\
set -e
root=$1 layers=$2 upper=$3 work=$4 group=$5 netns=$6 firmware=$7
shift 7
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$group"
echo $$ > "/sys/fs/cgroup/$group/cgroup.procs"
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$upper,workdir=$work" "$root"
code=133
while [ "$code" = 133 ]; do
    sleep "$firmware"
    code=0
    nsenter --net="$netns" systemd-nspawn "$@" || code=$?
done
exit "$code"
"""

FIRMWARE = "firmware"
"""A file in the folder of the lab: the seconds between a node's power and its boot, in which a server tests itself."""

# A node may set what belongs to its network namespace, in /proc/sys/net (systemd's docs/ENVIRONMENT.md).
WRITABLE = {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}


def start(host: Host, plan: LabPlan, node: NodePlan, ground: Ground, *, env: dict[str, str]) -> None:
    """Let a node that is plugged in boot; ``env`` marks its processes as those of the lab."""
    for name in ("root", "upper", "work"):
        os.makedirs(f"{node.folder}/{name}", exist_ok=True)
    devices = ["--bind=/dev/net/tun", *(["--bind=/dev/kvm"] if ground.kvm else [])]
    # fmt: off
    host.start(
        "unshare", "--mount", "--propagation", "slave",
        "sh", "-c", BOOT, "kvmha-lab-node",
        f"{node.folder}/root", ":".join(ground.layers), f"{node.folder}/upper", f"{node.folder}/work", node.netns,
        network.netns_path(node.netns), _firmware(host, plan),
        "--quiet", "--register=no", "--keep-unit", f"--directory={node.folder}/root", f"--machine={node.netns}",
        f"--hostname={node.name}", *devices, "--capability=all", "--link-journal=no",
        "--resolv-conf=off", "--timezone=off", "--boot",
        log=f"{node.folder}/console.log", env={**env, **WRITABLE},
    )
    # fmt: on


def _firmware(host: Host, plan: LabPlan) -> str:
    path = f"{plan.folder}/{FIRMWARE}"
    return host.read(path).strip() if host.exists(path) else "0"


def enter_argv(pid: int, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that runs a command in the node with that leader.

    Its root is taken from the leader: where this very machine is a chroot, that of the mount namespace is another one.
    """
    return ("nsenter", "--target", str(pid), "--all", "--root", "--wd", "--", *argv)
