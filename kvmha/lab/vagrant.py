"""A node that is a whole virtual machine, made by Vagrant from a box: a real kernel, and what a host has of devices.

Vagrant makes and provisions the machines, once; from then on libvirt starts them, and a node loses its power as its
process is killed. vagrant/Vagrantfile says what a machine has; it is the same one that people use by hand.
"""

from __future__ import annotations

import os
import shutil

from kvmha.cluster import share
from kvmha.lab import hypervisor, lines, network
from kvmha.lab.lock import Lock
from kvmha.lab.plan import MACHINE_PREFIX, MARK, LabError, cache_folder, state_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host
    from kvmha.lab.box import Box
    from kvmha.lab.image import Progress
    from kvmha.lab.plan import LabPlan, NodePlan

MANAGEMENT = "eth3"
"""A machine's interface on the management network; eth0 is Vagrant's own."""

MEMORY_MIB = 1280
DISK_SPACE = 2 * 1024**3
"""What the disk of a machine may grow to beside that of the box, which is there once for all of them; bytes."""
DATA_MIB, SBD_MIB = 256, 16
DATA_DISK = "/dev/vdb"
SBD_DISK = "/dev/vdc"

WATCHDOG_S = 20
"""After how long without a sign of life a watchdog resets its machine, which may have a fifth of a slow processor."""

SEEN_TIMEOUT = 20.0
"""Seconds for libvirt to notice that a machine has ended; it reads that off a socket."""

UP_TIMEOUT = 1800.0


def start(host: Host, plan: LabPlan, node: NodePlan) -> None:
    """Give a machine its power. Raises CommandError."""
    name = domain(node)
    until = host.now() + SEEN_TIMEOUT
    while hypervisor.virsh(host, plan, "domstate", name).out.strip() != "shut off" and host.now() < until:
        host.sleep(0.1)
    hypervisor.virsh(host, plan, "start", name)
    # libvirt has made the cables anew, and joined all of them.
    network.join(host, plan, node, network.cut_links(host, node), joined=False)


def domain(node: NodePlan) -> str:
    """Return what libvirt calls the machine of a node."""
    return f"{MACHINE_PREFIX}{node.name}"


def process(host: Host, node: NodePlan) -> int | None:
    """Return the process id of a node's machine; None if it has no power."""
    return next((pid for pid in host.pids() if is_machine(host, node, pid)), None)


def is_machine(host: Host, node: NodePlan, pid: int) -> bool:
    """Tell whether a process is a node's machine: a QEMU with its disk."""
    words = host.cmdline(pid)
    return bool(words) and "qemu-system" in words[0] and any(f'"{disk(node)}"' in word for word in words)


def disk(node: NodePlan) -> str:
    """Return the file with a machine's first disk, which Vagrant names after it."""
    return f"{os.path.dirname(node.folder)}/libvirt/images/{domain(node)}.img"


def why_incomplete(host: Host, plan: LabPlan) -> str | None:
    """Tell that machines of a lab are gone from its libvirt, as by hand, or return None."""
    known = hypervisor.virsh(host, plan, "list", "--all", "--name").out.split()
    gone = [node.name for node in plan.nodes if domain(node) not in known]
    if not gone:
        return None
    return f"the lab {plan.name} has lost {', '.join(gone)}; kvmha lab down --name {plan.name} removes the rest"


def make(host: Host, plan: LabPlan, box: Box, *, kvm: bool, progress: Progress) -> None:
    """Have Vagrant make the machines of a lab and provision them. Raises LabError, CommandError."""
    import json

    _add_box(host, plan, box, progress)
    for node in plan.nodes:
        os.makedirs(node.folder, exist_ok=True)
    _make_disks(host, plan)
    # YAML takes JSON as it is.
    settings = {
        "nodes": len(plan.nodes), "quorum_device": plan.quorum_device, "suite": plan.suite, "box": box.name,
        "driver": "kvm" if kvm else "qemu", "memory": MEMORY_MIB, "site": f"{plan.folder}/site",
        "prefix": MACHINE_PREFIX, "uri": hypervisor.uri(plan), "pool": f"{hypervisor.folder(plan)}/images",
        "consoles": plan.folder, "networks": "given",
    }  # fmt: skip
    host.write(_settings(plan), json.dumps(settings, indent=1))
    run(host, plan, "up", "--provider=libvirt", progress=progress)


def run(host: Host, plan: LabPlan, *words: str, progress: Progress, phase: str = "machines") -> None:
    """Run vagrant(1) for the machines of a lab, and tell what it says. Raises LabError, CommandError."""
    last: list[str] = []

    def each(line: str) -> None:
        # A line that is written over and over, as on a terminal, counts by its end.
        said = line.rpartition("\x1b[K")[2].strip()
        if said:
            last[:] = [*last[-4:], said.removeprefix("==> ")]
            progress(phase, last[-1])

    log = _logged(host, f"{plan.folder}/vagrant.log", each)
    code = lines.run(host, *argv(plan, *words), each=log, timeout=UP_TIMEOUT, env=environment(plan))
    if code != 0:
        said = " ".join(last)[-400:]
        raise LabError(f"vagrant {words[0]} failed: {said}; the whole story was in {plan.folder}/vagrant.log")


def argv(plan: LabPlan, *words: str) -> tuple[str, ...]:
    """Return the command that runs vagrant(1) where it reaches the machines of a lab."""
    return ("nsenter", f"--net={network.netns_path(plan.netns)}", "--", "vagrant", *words)


def environment(plan: LabPlan) -> dict[str, str]:
    """Return what vagrant(1) needs to know; all that it writes goes below the folder of the lab."""
    folder = f"{plan.folder}/vagrant"
    return {
        MARK: plan.folder,
        "KVMHA_VAGRANT": _settings(plan),
        "HOME": folder,
        "VAGRANT_HOME": f"{folder}/home",
        "VAGRANT_DOTFILE_PATH": f"{folder}/machines",
        "VAGRANT_CWD": share.folder("vagrant"),
        "VAGRANT_DEFAULT_PROVIDER": "libvirt",
        "VAGRANT_NO_COLOR": "1",
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_BOX_UPDATE_CHECK_DISABLE": "1",
    }


def _add_box(host: Host, plan: LabPlan, box: Box, progress: Progress) -> None:
    """Let a lab's Vagrant have the boxes of all labs, and this one among them."""
    boxes = f"{cache_folder()}/boxes"
    home = f"{plan.folder}/vagrant/home"
    os.makedirs(boxes, exist_ok=True)
    os.makedirs(home, exist_ok=True)
    if not os.path.islink(f"{home}/boxes"):
        os.symlink(boxes, f"{home}/boxes")
    with Lock(host, f"{cache_folder()}/boxes.lock", wait=UP_TIMEOUT, busy="another run is adding a box"):
        # Machines are given their kernel from the box at every boot.
        settings = [f"{state_folder()}/{name}/vagrant/lab.yaml" for name in host.names(state_folder())]
        used = " ".join(host.read(path) for path in settings if host.exists(path))
        for name in host.names(boxes):
            if name.startswith(f"kvmha-{box.suite}-") and name != box.name and name not in used:
                shutil.rmtree(f"{boxes}/{name}")
        if box.name not in host.names(boxes):
            run(host, plan, "box", "add", "--name", box.name, box.file, progress=progress)


def _make_disks(host: Host, plan: LabPlan) -> None:
    """Put the disks of the machines, sparse files, where they are looked for, and among them the site.

    By ssh the site takes minutes where the processor is emulated.
    """
    folder = f"{hypervisor.folder(plan)}/images"
    os.makedirs(folder, exist_ok=True)
    sizes = {f"{domain(node)}-data.img": DATA_MIB for node in plan.nodes}
    for name, mib in {**sizes, f"{MACHINE_PREFIX}sbd.img": SBD_MIB}.items():
        with open(f"{folder}/{name}", "wb") as file:
            file.truncate(mib * 1024**2)
    os.rename(f"{plan.folder}/site/site.tar", f"{folder}/{MACHINE_PREFIX}site.img")


def _settings(plan: LabPlan) -> str:
    return f"{plan.folder}/vagrant/lab.yaml"


def _logged(host: Host, path: str, each: Callable[[str], None]) -> Callable[[str], None]:
    """Return what also writes each line to a log, with the seconds since the command began."""
    begun = host.now()

    def both(line: str) -> None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{host.now() - begun:7.1f} {line}\n")
        each(line)

    return both
