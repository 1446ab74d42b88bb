"""What no row of the table can refuse alone: forms and relations of parameters, and what a node lacks for them."""

from __future__ import annotations

from kvmha.host import CommandTimeout
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.resources.virtual_domain import asking, migration_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.model import GuestIdentity
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.resources.virtual_domain.definition import Definition
    from kvmha.tools.libvirtd import Libvirt

LOOK_LIMIT = 5.0
"""Seconds in which a folder shows whether it is there."""


def wrong(agent: VirtualDomain) -> list[str]:
    """Return a sentence for each parameter, or pair of them, that cannot be what was meant."""
    found = [*_of_identity(agent), *_of_what_is_kept(agent), *_of_image(agent)]
    scripts = agent.param("monitor_scripts").split()
    found += [f'monitor_scripts="{script}" is not an absolute path' for script in scripts if script[0] != "/"]
    return [*found, *asking.wrong(agent), *migration_order.wrong(agent)]


def _of_identity(agent: VirtualDomain) -> list[str]:
    found = []
    config, domain, hypervisor = agent.param("config"), agent.param("domain"), agent.param("hypervisor")
    if not config and not domain:
        found.append("neither config nor domain is set, so nothing names the guest")
    if config and domain:
        found.append(f'config="{config}" and domain="{domain}" are both set, and one of them names the guest')
    if config and not config.startswith("/"):
        found.append(f'config="{config}" is not an absolute path')
    if "/" in domain:
        found.append(f'domain="{domain}" is neither a name nor a UUID; the path of a definition belongs into config')
    if not hypervisor.startswith("qemu:///"):
        found.append(f'hypervisor="{hypervisor}" is not a local QEMU connection such as qemu:///system')
    return found


def _of_what_is_kept(agent: VirtualDomain) -> list[str]:
    found = []
    snapshot = agent.param("snapshot")
    if snapshot and not snapshot.startswith("/"):
        found.append(f'snapshot="{snapshot}" is not an absolute path')
    if snapshot and agent.param("force_stop"):
        found.append("force_stop cuts the power and snapshot saves the guest instead: only one of them can be")
    # Of a persistent domain libvirt keeps the definition, and virsh --config changes it there.
    asked = [name for name in ("save_config_on_stop", "sync_config_on_stop") if agent.param(name)]
    if agent.param("domain"):
        found += [f"{name} needs config: the definition of a persistent domain is kept by libvirt" for name in asked]
    return found


def _of_image(agent: VirtualDomain) -> list[str]:
    found = []
    backingfile, folders = agent.param("backingfile"), agent.param("copyindirs").split()
    if backingfile and not backingfile.startswith("/"):
        found.append(f'backingfile="{backingfile}" is not an absolute path')
    if backingfile and agent.param("domain"):
        found.append("backingfile needs config, beside which its image is made")
    if agent.param("stateless") and not backingfile:
        found.append("stateless needs backingfile, from which the image is made anew")
    if folders and not backingfile:
        found.append("copyindirs needs backingfile, on top of which the image is made that it fills")
    found += [f'copyindirs="{folder}" is not an absolute path' for folder in folders if not folder.startswith("/")]
    return found


def check_node(agent: VirtualDomain) -> None:
    """Look for what the parameters need on this node. Raises OcfError for the first that is not there."""
    from kvmha.resources.virtual_domain import overlay
    from kvmha.tools import csync2

    programs = overlay.programs(agent)
    if agent.param("sync_config_on_stop"):
        programs += ((csync2.PROGRAM, "sync_config_on_stop"),)
    for program, parameter in programs:
        if agent.host.which(program) is None:
            raise OcfError(codes.ERR_INSTALLED, f"{program}, which {parameter} needs, is not installed")
    # A file system that is not mounted yet is no property of the installation.
    for path, parameter in [
        (agent.param("snapshot"), "snapshot"),
        (agent.param("backingfile"), "backingfile"),
        *((folder, "copyindirs") for folder in agent.param("copyindirs").split()),
    ]:
        if path and not _is_there(agent, path):
            raise OcfError(codes.ERR_GENERIC, f"{parameter}={path} is not there")


def check_domain(libvirt: Libvirt, definition: Definition) -> None:
    """Look for what speaks in libvirt against a start of that guest by the cluster. Raises OcfError, LibvirtError."""
    from kvmha.tools.domain_xml import forgets_tpm

    guest = definition.guest
    _check_owner(libvirt, guest)
    defined = libvirt.defined(guest)
    if defined is None:
        if forgets_tpm(definition.xml):
            raise OcfError(
                codes.ERR_CONFIGURED,
                f"the TPM of {guest.name} would lose its content at every stop, as the guest is transient: set "
                "persistent_state='yes' (or 'no') in <backend type='emulator'>, or use domain",
            )
        return
    name = defined.identity.name
    if defined.starts_with_host:
        raise OcfError(
            codes.ERR_INSTALLED,
            f"autostart of {name} is on: at boot libvirt would start it here wherever the cluster has it; "
            f"virsh autostart --disable '{name}'",
        )
    if defined.is_saved:
        raise OcfError(
            codes.ERR_INSTALLED,
            f"{name} has a managed save on this node, which is older than its disks if it ran since; "
            f"virsh managedsave-remove '{name}'",
        )


def _check_owner(libvirt: Libvirt, guest: GuestIdentity) -> None:
    """Refuse a name that is another domain's, or a UUID that has another name: libvirt would as well, in few words."""
    if not guest.uuid:
        return
    by_uuid = libvirt.domain(guest)
    by_name = libvirt.domain(guest.replace(uuid=""))
    for found in (by_uuid, by_name):
        if found is not None and found.identity != guest:
            other = found.identity
            is_kept = found.is_persistent
            raise OcfError(
                codes.ERR_INSTALLED if is_kept else codes.ERR_GENERIC,
                f"libvirt has {'the domain' if is_kept else 'the running guest'} {other.name} with UUID {other.uuid} "
                f"here, and the definition says {guest.name} with {guest.uuid}",
            )


def _is_there(agent: VirtualDomain, path: str) -> bool:
    try:
        return agent.host.bounded(lambda: agent.host.exists(path), what=path, timeout=min(LOOK_LIMIT, agent.left()))
    except CommandTimeout:
        return False
