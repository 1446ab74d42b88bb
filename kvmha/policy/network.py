"""Addresses and links of a node, and which links lead out of it.

Invariant: a link leads out only if it is up and has a carrier, and so have the links below it. Of a bond or a team at
least one member must, of a bridge at least one port of the kind that leads furthest out, for the ports of the guests
have a carrier whatever becomes of the cable.
"""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# The flags of an address, IFA_F_* in linux/if_addr.h.
SECONDARY, DAD_FAILED, TENTATIVE = 0x01, 0x08, 0x40

BUNDLES = ("bond", "team")
"""Kinds of links that need one of their members only."""

STACKED = ("vlan", "macvlan", "macvtap", "ipvlan", "ipvtap")
"""Kinds of links that are cut when the one link below them is."""

_DEPTH = 8
"""Links below links; the kernel allows as many (MAX_NEST_DEV in linux/netdevice.h)."""


class Address(Record):
    """One address as it is configured on one link."""

    index: int
    """The link's number, which stays when the link gets another name."""
    address: str
    prefix: int
    """Length of the network part in bits; with a peer, of the peer's network."""
    peer: str = ""
    """The other end, for an address of a point-to-point link."""
    label: str = ""
    flags: int = 0

    @property
    def is_tentative(self) -> bool:
        """Tell whether the kernel still checks that nobody else has the address."""
        return bool(self.flags & TENTATIVE)

    @property
    def is_duplicate(self) -> bool:
        """Tell whether the kernel has found another machine with the address."""
        return bool(self.flags & DAD_FAILED)

    @property
    def is_secondary(self) -> bool:
        """Tell whether the kernel removes an IPv4 address together with the first one of its network."""
        return bool(self.flags & SECONDARY)


class Link(Record):
    """One link, as the kernel describes it."""

    index: int
    name: str
    altnames: tuple[str, ...] = ()
    kind: str = ""
    """The kernel's word for a virtual link (``bridge``, ``bond``, ``vlan``, ``tun``); empty for a network card."""
    is_up: bool = True
    """An administrator has not set it down."""
    has_carrier: bool = True
    below: int = 0
    """The index of the link that a VLAN and its like lie on, 0 for none in this network namespace."""
    master: int = 0
    """The index of the bridge, bond or team that the link belongs to."""
    mac: bytes = b""
    """The Ethernet address; empty for a link without one."""

    @property
    def gathers(self) -> bool:
        """Tell whether the link lives by the links that belong to it."""
        return self.kind == "bridge" or self.kind in BUNDLES


def why_cut(link: Link, links: tuple[Link, ...], depth: int = _DEPTH) -> str | None:
    """Return why a link does not lead out, or None if it does; ``links`` are those below it."""
    if not link.is_up:
        return f"{link.name} is set down"
    if not link.has_carrier:
        return f"{link.name} has no carrier"
    if depth == 0:
        return None
    if link.kind in STACKED:
        for lower in links:
            if lower.index == link.below:
                reason = why_cut(lower, links, depth - 1)
                return f"{link.name} lies on {lower.name}, and {reason}" if reason else None
    members = _outermost(link, links)
    reasons = [why_cut(member, links, depth - 1) for member in members]
    if members and all(reasons):
        more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        return f"nothing leads out of {link.name}: {reasons[0]}{more}"
    return None


def dead_members(link: Link, links: tuple[Link, ...], depth: int = _DEPTH) -> tuple[str, ...]:
    """Return why members of the bonds and teams at or below a link do not lead out, one sentence each."""
    if depth == 0:
        return ()
    found = []
    for lower in _lower(link, links):
        if link.kind in BUNDLES:
            reason = why_cut(lower, links, depth - 1)
            if reason:
                found.append(f"{reason} in {link.name}")
                continue
        found += dead_members(lower, links, depth - 1)
    return tuple(found)


def _lower(link: Link, links: tuple[Link, ...]) -> Iterator[Link]:
    if link.kind in STACKED:
        yield from (lower for lower in links if lower.index == link.below)
    else:
        yield from _outermost(link, links)


def _outermost(link: Link, links: tuple[Link, ...]) -> list[Link]:
    """Return the members of a link that lead out of the node, as far as their kinds tell.

    A guest's port (tun) and its like lead nowhere else; one of a container (veth) may where nothing better is there.
    """
    if not link.gathers:
        return []
    members = [member for member in links if member.master == link.index]
    if link.kind == "bridge" and members:
        best = min(map(_distance, members))
        return [member for member in members if _distance(member) == best]
    return members


def _distance(port: Link) -> int:
    return {"veth": 1, "tun": 2, "dummy": 2, "ifb": 2}.get(port.kind, 0)
