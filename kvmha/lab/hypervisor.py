"""The libvirt that has the machines of a lab: a daemon in the lab's own network namespace, with folders of its own.

It shares nothing with a libvirt of the machine itself: not the socket, the configuration, the networks nor the storage.
What it starts (QEMU, dnsmasq) lives in the namespace as well, by which all of it is found and removed.
"""

from __future__ import annotations

import os

from kvmha.host import CommandError
from kvmha.lab import network
from kvmha.lab.plan import MACHINE_PREFIX, MARK, LabError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Completed, Host
    from kvmha.lab.plan import LabPlan

START_TIMEOUT = 60.0
ASK_TIMEOUT = 30.0

# The network namespace has to be entered first: a sysfs shows the interfaces of the namespace that it is mounted in,
# and libvirt sets its bridges up by it.
START = """\
set -e
folder=$1
mount -t sysfs sysfs /sys
for pair in etc:/etc/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt run:/run; do
    mkdir -p "$folder/${pair%%:*}"
    mount --bind "$folder/${pair%%:*}" "${pair#*:}"
done
exec libvirtd
"""

# libvirt may change neither cgroups nor security labels on a machine that may itself be a container, and nothing has to
# be guarded from the nodes here.
FILES = {
    "etc/qemu.conf": """\
cgroup_controllers = []
namespaces = []
security_driver = "none"
user = "root"
group = "root"
remember_owner = 0
stdio_handler = "file"
""",
    "etc/libvirtd.conf": """\
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:stderr"
""",
}

NETWORK = """\
<network>
  <name>{prefix}{name}</name>
  <forward mode='bridge'/>
  <bridge name='{name}'/>
</network>
"""


def folder(plan: LabPlan) -> str:
    """Return the folder with everything that this libvirt has."""
    return f"{plan.folder}/libvirt"


def uri(plan: LabPlan) -> str:
    """Return how libvirt's clients reach it, from any namespace."""
    return f"qemu:///system?socket={folder(plan)}/run/libvirt/libvirt-sock"


def start(host: Host, plan: LabPlan) -> None:
    """Start it unless it runs, and let it know the bridges of the lab. Raises LabError, CommandError."""
    if answers(host, plan):
        return
    for path, text in FILES.items():
        host.write(f"{folder(plan)}/{path}", text)
    # fmt: off
    host.start(
        "nsenter", f"--net={network.netns_path(plan.netns)}", "--",
        "unshare", "--mount", "--propagation", "private", "sh", "-c", START, "kvmha-lab-libvirt", folder(plan),
        log=f"{plan.folder}/libvirt.log", env={MARK: plan.folder},
    )
    # fmt: on
    until = host.now() + START_TIMEOUT
    while not answers(host, plan):
        if host.now() > until:
            raise LabError(f"libvirtd does not answer within {START_TIMEOUT:.0f} s; see {plan.folder}/libvirt.log")
        host.sleep(0.2)
    _define_networks(host, plan)


def answers(host: Host, plan: LabPlan) -> bool:
    """Tell whether it runs and answers."""
    if not host.exists(f"{folder(plan)}/run/libvirt/libvirt-sock"):
        return False
    try:
        return virsh(host, plan, "uri", ok=None).rc == 0
    except CommandError:
        return False


def virsh(host: Host, plan: LabPlan, *words: str, ok: tuple[int, ...] | None = (0,)) -> Completed:
    """Run virsh(1) on it. Raises CommandError."""
    return host.run("virsh", "--quiet", "--connect", uri(plan), *words, timeout=ASK_TIMEOUT, ok=ok)


def _define_networks(host: Host, plan: LabPlan) -> None:
    for name in network.BRIDGES:
        if virsh(host, plan, "net-info", f"{MACHINE_PREFIX}{name}", ok=None).rc == 0:
            continue
        path = f"{folder(plan)}/{name}.xml"
        host.write(path, NETWORK.format(prefix=MACHINE_PREFIX, name=name))
        virsh(host, plan, "net-define", path)
        virsh(host, plan, "net-start", f"{MACHINE_PREFIX}{name}")
    os.makedirs(f"{folder(plan)}/lib/images", exist_ok=True)
