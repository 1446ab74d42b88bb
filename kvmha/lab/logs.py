"""Collect what a lab's nodes have written down, the dead ones' too, into one folder for reading afterwards."""

from __future__ import annotations

import os
import shutil

from kvmha.host import CommandError
from kvmha.lab import uml
from kvmha.lab.ground import read_ground
from kvmha.lab.image import isolated_argv
from kvmha.lab.plan import CONTAINER, VAGRANT, LabError
from kvmha.tools import crm_mon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.lab import Lab
    from kvmha.lab.plan import NodePlan

# A node's journal lies in its own folder, whether it has power or not. It is read by the journalctl of the image, since
# that of the machine may be older than the journal.
READ_JOURNAL = """\
mount --bind "$1" "$2/mnt" && exec chroot "$2" journalctl --directory=/mnt --output=short-precise --no-pager > "$3"
"""

FILES = ("var/log/pacemaker/pacemaker.log", "var/log/corosync/corosync.log", "var/log/cluster/corosync.log",
         "var/log/pcsd/pcsd.log", "etc/corosync/corosync.conf", "var/lib/pacemaker/cib/cib.xml",
         "root/kvmha-cluster/cluster.yaml", "root/kvmha-cluster/pcs.log")  # fmt: skip
FOLDERS = ("var/log/libvirt/qemu",)
BESIDE = ("console.log", "journal.txt", "bmc/chassis.log", "bmc/chassis.err", "bmc/ipmi_sim.log")
"""Of the node's folder on the machine: what its system said on its console, and its BMC."""


def collect(host: Host, lab: Lab, folder: str) -> None:
    """Copy journals, logs and the cluster's view of all nodes into ``folder``, which is made, and emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    for node in lab.plan.nodes:
        place = f"{folder}/{node.name}"
        os.makedirs(place)
        upper = _written(host, lab, node)
        if lab.plan.kernel != VAGRANT:
            _journal(host, lab, upper, f"{place}/journal.txt")
        for path in [f"{upper}/{name}" for name in FILES] + [f"{node.folder}/{name}" for name in BESIDE]:
            if os.path.isfile(path):
                shutil.copyfile(path, f"{place}/{os.path.basename(path)}")
        for name in FOLDERS:
            if os.path.isdir(f"{upper}/{name}"):
                shutil.copytree(f"{upper}/{name}", f"{place}/{os.path.basename(name)}", dirs_exist_ok=True)
        _ask(host, lab, node, f"{place}/crm_mon.xml", crm_mon.ARGV)
        _ask(host, lab, node, f"{place}/processes.txt", ("ps", "axfww"))


def _written(host: Host, lab: Lab, node: NodePlan) -> str:
    """Return the folder that holds what a node has written, as seen from its root."""
    if lab.plan.kernel == CONTAINER:
        return f"{node.folder}/upper"
    folder = f"{node.folder}/written"
    shutil.rmtree(folder, ignore_errors=True)
    if lab.plan.kernel == VAGRANT:
        _fetch(lab, node, folder)
        return folder
    if lab.leader(node.name) is not None:
        # What it has not written yet is in its own memory.
        _try(lab, node, ("sync",))
    uml.copy_out(host, node, ("/var/log", "/etc/corosync", "/var/lib/pacemaker/cib", "/root"), folder)
    return folder


def _fetch(lab: Lab, node: NodePlan, folder: str) -> None:
    """Ask a virtual machine for its files: of one without power there is only what it said on its serial line."""
    for path in FILES:
        said = _try(lab, node, ("cat", f"/{path}"))
        lab.host.write(f"{folder}/{path}", said)
    lab.host.write(
        f"{node.folder}/journal.txt", _try(lab, node, ("journalctl", "--output=short-precise", "--no-pager"))
    )


def _journal(host: Host, lab: Lab, upper: str, path: str) -> None:
    journal = f"{upper}/var/log/journal"
    if not os.path.isdir(journal):
        return
    root = read_ground(host, lab.plan).layers[-1]
    argv = isolated_argv("sh", "-c", READ_JOURNAL, "kvmha-lab", journal, root, path)
    done = host.run(*argv, timeout=60.0, ok=None)
    if done.rc != 0:
        host.write(path, f"the journal could not be read: {done.err}")


def _ask(host: Host, lab: Lab, node: NodePlan, path: str, argv: tuple[str, ...]) -> None:
    host.write(path, _try(lab, node, argv))


def _try(lab: Lab, node: NodePlan, argv: tuple[str, ...]) -> str:
    try:
        done = lab.run(node.name, *argv, timeout=20.0, ok=None)
    except (CommandError, LabError) as error:
        # It is just because something is broken that somebody reads this.
        return f"{error}\n"
    return done.out + done.err
