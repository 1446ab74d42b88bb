"""What is looked at before a guest is started, so that a start is refused for a reason and never harms what runs.

Each look is bounded, and none changes anything. A refusal is an ordinary failure (1) even where it will last: the
cluster then tries another node.
"""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.policy import start
from kvmha.resources.virtual_domain import disks, peers, room
from kvmha.tools.domain_xml import DomainXmlError, parse_needs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.resources.virtual_domain.definition import Definition


def check(agent: VirtualDomain, definition: Definition) -> None:
    """Raise OcfError with every reason that speaks against a start, the weightiest first; return if there is none."""
    guest = definition.guest
    try:
        needs = parse_needs(definition.xml)
    except DomainXmlError as error:
        raise OcfError(codes.ERR_CONFIGURED, f"{agent.source}: {error}") from None
    reasons = []
    if agent.param("peer_check"):
        reasons += [start.why_not_beside(guest.name, peer) for peer in peers.look(agent, guest)]
    reasons += [start.why_not_from(disk) for disk in disks.look(agent, needs.disks)]
    if agent.param("memory_check"):
        node = peers.own_name(agent)
        reasons += [start.why_not_within(memory, guest.name, node) for memory in room.look(agent, guest, needs)]
    found = [reason for reason in reasons if reason]
    if found:
        room.release(agent)
        raise OcfError(codes.ERR_GENERIC, "; ".join(found))
