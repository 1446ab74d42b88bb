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
    from typing import Any

    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.resources.virtual_domain.definition import Definition


def check(agent: VirtualDomain, definition: Definition) -> None:
    """Raise OcfError with every reason that speaks against a start, the weightiest first; return if there is none."""
    guest = definition.guest
    try:
        needs = parse_needs(definition.xml)
    except DomainXmlError as error:
        raise OcfError(codes.ERR_CONFIGURED, f"{agent.source}: {error}") from None
    looks_at_memory = agent.param("memory_check")
    seen: dict[str, Any] = {
        "guest": guest.name,
        "peers": tuple(peers.look(agent, guest)) if agent.param("peer_check") else (),
        "disks": tuple(disks.look(agent, needs.disks)),
        "node": peers.own_name(agent) if looks_at_memory else "",
        "memory": tuple(room.look(agent, guest, needs)) if looks_at_memory else (),
    }
    found = start.why_not(**seen)
    if found:
        room.release(agent)
        _write_down(agent, guest.name, seen, found)
        raise OcfError(codes.ERR_GENERIC, "; ".join(found))


def _write_down(agent: VirtualDomain, guest: str, seen: dict[str, Any], found: tuple[str, ...]) -> None:
    """Keep the refusal with all that was seen, for kvmha decisions and kvmha replay."""
    from kvmha import journal

    said = f"not started: {'; '.join(found)}"
    resource = agent.env.instance.partition(":")[0]
    journal.record(
        agent.host, "start", seen, found, subject=f"start {guest}", said=said, guests=sorted({guest, resource})
    )
