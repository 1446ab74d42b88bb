"""A guest's way to another node: it arrives, or it stays where it was, for a stated reason."""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.resources.virtual_domain import migration_order
from kvmha.tools import qemu_process
from kvmha.tools.libvirtd import LibvirtError, LibvirtUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.model import GuestIdentity
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.tools.libvirtd import Domain, Libvirt

RESERVE = 15.0
"""Seconds kept of the action to abort the move and see the guest run here again."""

POLL = 0.25
"""Seconds between two looks while waiting."""


def move(agent: VirtualDomain, domain: Domain, libvirt: Libvirt, target: str) -> None:
    """Move an active guest live to the target. Raises OcfError, which says what became of the guest."""
    name = domain.identity.name
    reserve = min(RESERVE, agent.left() * 0.3)
    try:
        libvirt.migrate(domain.identity, migration_order.order(agent, domain, target), timeout=agent.left(reserve))
    except LibvirtUnreachable as error:
        outcome = _step_back(agent, domain.identity, libvirt)
        raise OcfError(codes.ERR_GENERIC, f"migration of {name} to {target} {outcome}: {error}") from None
    except LibvirtError as error:
        raise OcfError(codes.ERR_GENERIC, f"migration of {name} to {target} failed: {error}") from None
    while qemu_process.find(agent.host, domain.identity):
        if agent.left() < POLL:
            raise OcfError(codes.ERR_GENERIC, f"{name} moved to {target}, but its QEMU process is still here")
        agent.host.sleep(POLL)


def _step_back(agent: VirtualDomain, guest: GuestIdentity, libvirt: Libvirt) -> str:
    """Abort a migration until the guest runs here again or time is up; return what came of it."""
    while True:
        try:
            if libvirt.migrating_out(guest):
                libvirt.abort_job(guest)
            else:
                seen = qemu_process.read_status(agent.host, guest)
                if seen is not None and seen.state == "running":
                    return "was aborted and the guest runs here"
        except LibvirtError:
            # Whatever it is, the guest itself decides what there is to say when the time is up.
            pass
        if not qemu_process.find(agent.host, guest):
            return "did not end in time and the guest does not run here any more"
        if agent.left() < POLL:
            return "did not end in time and may still be under way"
        agent.host.sleep(POLL)
