"""What Vagrant's machines are given when they are provisioned: one archive, the same for all of them.

In it ``all`` goes into the root of every machine and ``nodes/NAME`` into that of one; beside them lie kvmha's package,
cluster.yaml, and the names of the nodes. vagrant/provision says what is done with it.
"""

from __future__ import annotations

import os
import shutil
import tarfile

from kvmha.lab import guest, image, layer, network, package, vagrant
from kvmha.lab.formation import describe, quorum_address
from kvmha.lab.plan import DISK, QUORUM_DEVICE, VAGRANT, make_plan
from kvmha.lab.uml_formation import DISK_UNIT, UNIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.image import Progress
    from kvmha.lab.plan import LabPlan, NodePlan

# systemd-networkd would take the addresses away while a link is cut, which no switch does.
KEEP = "[Network]\nLinkLocalAddressing=no\nConfigureWithoutCarrier=yes\nIgnoreCarrierLoss=yes\n"

BRIDGE = """\
[NetDev]
Name=br0
Kind=bridge
MACAddress={mac}
[Bridge]
STP=no
ForwardDelaySec=0
MulticastSnooping=no
"""

FILES = "files"
LIBRARY, CODE = "/usr/lib/python3/dist-packages/kvmha", "__pycache__"

SSH_CONFIG = "StrictHostKeyChecking yes\nConnectTimeout 20\n"


def make(
    host: Host, folder: str, *, nodes: int, suite: str, quorum_device: bool, progress: Progress
) -> None:  # fmt: skip
    """Write the site for machines that are made by hand, without a lab and so without BMCs. Raises LabError."""
    plan = make_plan(
        "site", nodes=nodes, suite=suite, kernel=VAGRANT, sbd=DISK, quorum_device=quorum_device,
        state=os.path.abspath(folder),
    )  # fmt: skip
    found = package.find(None)
    built = image.ensure(host, suite, progress)
    kit = guest.ensure(host, built, progress)
    own = layer.make(host, plan, built, kit, None)
    write(host, plan, folder, own, has_bmc=False)
    add_package(host, built, folder, found)
    pack(folder)
    shutil.rmtree(plan.folder)


def write(host: Host, plan: LabPlan, folder: str, own: str, *, has_bmc: bool = True) -> None:
    """Put the files of a site into a folder; ``own`` is the folder with what all machines have beside their box."""
    files = f"{folder}/{FILES}"
    shutil.rmtree(files, ignore_errors=True)
    shutil.copytree(own, f"{files}/all", symlinks=True)
    host.write(f"{files}/all/etc/systemd/system/{UNIT}", DISK_UNIT.format(device=vagrant.DATA_DISK))
    _keys(host, f"{files}/all/root/.ssh")
    for node in plan.nodes:
        for name, text in networkd(node).items():
            host.write(f"{files}/nodes/{node.name}/etc/systemd/network/{name}", text)
    if plan.quorum_device:
        texts = {"10-mgmt.network": f"[Match]\nName=eth3\n{KEEP}Address={quorum_address()}/24\n"}
        for name, text in texts.items():
            host.write(f"{files}/nodes/{QUORUM_DEVICE}/etc/systemd/network/{name}", text)
        # Nobody makes certificates for machines that live for an hour.
        host.write(f"{files}/nodes/{QUORUM_DEVICE}/etc/default/corosync-qnetd", 'COROSYNC_QNETD_OPTIONS="-s off"\n')
    host.write(f"{files}/cluster.yaml", describe(plan, has_bmc=has_bmc), mode=0o600)
    host.write(f"{files}/nodes.txt", " ".join(node.name for node in plan.nodes) + "\n")


def add_package(host: Host, built: image.Image, folder: str, deb: str) -> None:
    """Add kvmha's package, and its byte code made ahead: where the processor is emulated that would take minutes.

    py3compile(1) leaves byte code alone that fits its source, and the package always unpacks with the same times.
    """
    shutil.copyfile(deb, f"{folder}/{FILES}/kvmha.deb")
    layer.install(host, built, f"{folder}/compiled", deb)
    upper = f"{folder}/compiled/upper"
    for path, names, _ in os.walk(f"{upper}{LIBRARY}"):
        if CODE in names:
            shutil.copytree(f"{path}/{CODE}", f"{folder}/{FILES}/all{path[len(upper) :]}/{CODE}")
    shutil.rmtree(f"{folder}/compiled")


def pack(folder: str) -> None:
    """Turn the files of a site into site.tar."""
    with tarfile.open(f"{folder}/site.tar.new", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(f"{folder}/{FILES}", arcname=".", filter=_of_root)
    os.replace(f"{folder}/site.tar.new", f"{folder}/site.tar")
    shutil.rmtree(f"{folder}/{FILES}")


def networkd(node: NodePlan) -> dict[str, str]:
    """Return the files of systemd.network(5) for a machine: br0 on link 0, link 1, and the management network."""
    found = {"10-br0.netdev": BRIDGE.format(mac=network.mac_of_bridge(node))}
    found["10-br0.network"] = f"[Match]\nName=br0\n{KEEP}Address={node.addresses[0]}/24\n"
    found["10-link0.network"] = "[Match]\nName=eth1\n[Network]\nBridge=br0\nLinkLocalAddressing=no\n"
    found["10-link1.network"] = f"[Match]\nName=eth2\n{KEEP}Address={node.addresses[1]}/24\n"
    found["10-mgmt.network"] = f"[Match]\nName=eth3\n{KEEP}Address={node.management}/24\n"
    return found


def _keys(host: Host, folder: str) -> None:
    """Make the key by which root of one node reaches root of the others."""
    os.makedirs(folder)
    host.run(
        "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kvmha-lab", "-f", f"{folder}/id_ed25519", timeout=20.0
    )
    shutil.copyfile(f"{folder}/id_ed25519.pub", f"{folder}/authorized_keys")
    host.write(f"{folder}/config", SSH_CONFIG)


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
