"""The begin of a guest: first what speaks against it, then libvirt, and what is remembered around that."""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.tools import qemu_process
from kvmha.tools.libvirtd import LibvirtSilent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.model import GuestIdentity
    from kvmha.resources.virtual_domain import VirtualDomain


def start(agent: VirtualDomain) -> int:
    """Start the guest and return the exit code; a guest that is here already is left as it is."""
    running = agent.remembered()
    if running is not None and qemu_process.find(agent.host, running.guest):
        return _already_here(agent, running.guest)
    definition = agent.define()
    guest = definition.guest
    if qemu_process.find(agent.host, guest):
        agent.remember(guest)
        return _already_here(agent, guest)
    # Written first: whatever becomes of us in the middle, the next stop knows whom to look for.
    agent.remember(guest, is_starting=True)
    try:
        domain = agent.libvirt().create(definition.xml)
    except LibvirtSilent:
        # It may still be carried out, so the doubt stays written down.
        raise
    except BaseException:
        if not qemu_process.find(agent.host, guest):
            agent.forget()
        raise
    agent.remember(domain.identity)
    if agent.code_of(guest, domain.seen) not in (codes.SUCCESS, codes.DEGRADED):
        return codes.ERR_GENERIC
    agent.report.log(f"started {guest.name} ({domain.identity.uuid})")
    return codes.SUCCESS


def _already_here(agent: VirtualDomain, guest: GuestIdentity) -> int:
    code = agent.monitor()
    if code == codes.NOT_RUNNING:
        raise OcfError(codes.ERR_GENERIC, f"{guest.name} ended while it was looked at")
    return codes.SUCCESS if code == codes.DEGRADED else code
