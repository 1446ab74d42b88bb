"""The layer between the image and the nodes of one lab: kvmha itself, the guests, and who is who.

It is made once per lab, so that the image stays the same for all of them and a new package costs seconds.
"""

from __future__ import annotations

import os
import shutil

from kvmha.host import CommandFailed
from kvmha.lab import uml, vagrant
from kvmha.lab.guest import CONFIG_FOLDER, FOLDER, domain_xml
from kvmha.lab.image import isolated_argv
from kvmha.lab.plan import LINKS, UML, LabError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.guest import Kit
    from kvmha.lab.image import Image
    from kvmha.lab.plan import LabPlan

INSTALL_TIMEOUT = 180.0

# The package has no services to start; were there any, nothing runs in the layer that could start them.
INSTALL = """\
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
cp "$3" "$2/root/tmp/kvmha.deb"
chroot "$2/root" dpkg --force-unsafe-io --install /tmp/kvmha.deb
rm "$2/root/tmp/kvmha.deb"
"""


def make(host: Host, plan: LabPlan, image: Image, kit: Kit, package: str | None) -> str:
    """Fill the layer of a lab and return its folder. Raises LabError if the package cannot be installed."""
    folder = f"{plan.folder}/layer"
    for name in ("upper", "work", "root"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
    upper = f"{folder}/upper"
    os.chmod(upper, 0o755)
    if package:
        install(host, image, folder, package)
    host.write(f"{upper}/etc/hosts", hosts_text(plan))
    for guest in plan.guests:
        if plan.has_kernels:
            domain = uml.guest_xml(guest, suite=plan.suite)
        else:
            domain = domain_xml(guest, suite=plan.suite, kvm=kit.kvm)
        host.write(f"{upper}{CONFIG_FOLDER}/{guest.name}.xml", domain)
    os.makedirs(f"{upper}{FOLDER}", exist_ok=True)
    for name in ("vmlinuz", "initrd"):
        shutil.copyfile(f"{kit.folder}/{name}", f"{upper}{FOLDER}/{name}")
    if plan.has_kernels:
        uml.prepare_layer(host, upper, "eth2" if plan.kernel == UML else vagrant.MANAGEMENT)
        return upper
    for node in plan.nodes:
        host.write(f"{node.folder}/upper/etc/hostname", f"{node.name}\n")
        os.chmod(f"{node.folder}/upper", 0o755)
    return upper


def hosts_text(plan: LabPlan) -> str:
    """Return /etc/hosts: a node's plain name is its address on link 0, ``n1-link1`` that on link 1."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    for node in plan.nodes:
        lines.append(f"{node.addresses[0]} {node.name}")
        lines += [f"{node.addresses[link]} {node.name}-link{link}" for link in LINKS]
        lines.append(f"{node.bmc} {node.name}-bmc")
    lines += [f"{guest.address} {guest.name}" for guest in plan.guests]
    return "\n".join(lines) + "\n"


def install(host: Host, image: Image, folder: str, package: str) -> None:
    """Install a package over an image: what it writes goes to ``upper`` of a folder. Raises LabError."""
    for name in ("upper", "work", "root"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
    argv = isolated_argv("sh", "-c", INSTALL, "kvmha-lab", image.root, folder, package)
    try:
        host.run(*argv, timeout=INSTALL_TIMEOUT)
    except CommandFailed as error:
        words = [line for line in error.done.err.splitlines() if line.strip()]
        said = next(
            (line for line in words if "error" in line or "depends" in line), words[-1] if words else "no reason given"
        )
        raise LabError(f"{package} cannot be installed in the nodes: {said.strip()}") from error
