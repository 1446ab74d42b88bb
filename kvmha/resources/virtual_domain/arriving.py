"""The end of a guest's way from another node: it runs here, or it did not arrive."""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.resources.virtual_domain import migration_order
from kvmha.resources.virtual_domain.moving import PEER_LIMIT, POLL, is_incoming
from kvmha.tools import libvirtd, qemu_process
from kvmha.tools.libvirtd import LibvirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.model import GuestIdentity, GuestState
    from kvmha.resources.virtual_domain import VirtualDomain

PATIENCE = 5.0
"""Seconds in which a guest that has arrived runs; after that the source is asked what it has, again and again."""


def arrive(agent: VirtualDomain) -> int:
    """Take over the guest that has come, and return how well it is. Raises OcfError if it does not run here.

    migrate_to succeeds only when the guest runs here, so that a guest which is not here at all will not come any more.
    """
    from kvmha.resources.virtual_domain import utilization

    guest = agent.guest() or agent.define().guest
    seen = _wait(agent, guest)
    libvirt = agent.libvirt()
    # Not with what its definition was: the file of this node may be older than a change made on the source.
    agent.remember(guest)
    code = agent.code_of(guest, seen)
    if code == codes.SUCCESS:
        utilization.write(agent, guest, libvirt)
    return codes.SUCCESS if code == codes.DEGRADED else code


def _wait(agent: VirtualDomain, guest: GuestIdentity) -> GuestState:
    """Return the guest's state once it no longer waits for anything. Raises OcfError."""
    host = agent.host
    source = agent.env.migrate_source or "another node"
    ask_at = host.now() + min(PATIENCE, agent.left() * 0.3)
    while True:
        seen = qemu_process.read_status(host, guest)
        if seen is not None and not is_incoming(seen):
            return seen
        if seen is None and not qemu_process.find(host, guest):
            raise OcfError(codes.ERR_GENERIC, f"{guest.label} did not arrive from {source}")
        if agent.left() < POLL:
            raise OcfError(codes.ERR_GENERIC, f"{guest.label} came from {source}, and did not begin to run here")
        if seen is not None and host.now() >= ask_at:
            _resume_what_is_left(agent, guest)
            ask_at = host.now() + PATIENCE
        host.sleep(POLL)


def _resume_what_is_left(agent: VirtualDomain, guest: GuestIdentity) -> None:
    """Have a guest go on that waits for the word to run, if the source says that it has no copy of it.

    libvirt refuses that for one whose memory is not here as a whole.
    """
    source = agent.env.migrate_source
    if not source:
        return
    try:
        peer = libvirtd.Libvirt(agent.host, migration_order.peer_uri(agent, source), agent.left)
        there = peer.domain(guest, limit=PEER_LIMIT)
        if there is None or not there.is_active:
            agent.libvirt().resume(guest)
            agent.report.log(f"resumed {guest.label}, of which {source} has no copy", warning=True)
    except LibvirtError as error:
        agent.report.log(f"{guest.label} waits for the word to run: {error}", warning=True)
