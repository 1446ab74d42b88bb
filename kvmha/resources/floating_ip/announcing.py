"""What is said to the neighbours of an address, and what is heard from them."""

from __future__ import annotations

from kvmha.tools import neighbour, rtnetlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.network import Address, Link
    from kvmha.resources.floating_ip import FloatingIP
    from kvmha.tools.neighbour import ArpPort, NdpPort

PROBES = 3
"""As many questions as RFC 5227 asks (section 1.1); the time between them is ours."""

CONFLICT_WAIT = 0.5
"""Seconds for which a monitor listens for another owner."""

GATEWAY_TRIES, GATEWAY_WAIT = 3, 0.4
"""Questions to a gateway, and seconds for each of them."""

ANNOUNCE_RESERVE = 2.0
"""Seconds of an action that announcements leave alone."""


def port_of(agent: FloatingIP, link: Link, ip: str) -> ArpPort | NdpPort | None:
    """Return a port for the address's family, or None on a link without neighbours. Raises OSError."""
    if not link.mac or not any(link.mac):
        return None
    if ":" not in ip:
        return neighbour.ArpPort(agent.host, link.name, link.mac)
    try:
        forwarding = agent.host.read(f"/proc/sys/net/ipv6/conf/{link.name}/forwarding")
    except OSError:
        forwarding = ""
    is_router = forwarding.strip() not in ("", "0")
    return neighbour.NdpPort(agent.host, link.name, link.index, link.mac, is_router=is_router)


def duplicate(agent: FloatingIP, link: Link, ip: str, seconds: float) -> str | None:
    """Return who has an address on a link, asked before it is taken there."""
    port = port_of(agent, link, ip)
    if port is None:
        return None
    try:
        for turn in range(PROBES):
            port.probe(ip)
            # The last question is given as much time to be answered as the others together.
            share = 0.5 if turn == PROBES - 1 else 0.5 / (PROBES - 1)
            owner = _foreign(agent, link, port, ip, seconds * share)
            if owner:
                return owner
    finally:
        port.close()
    return None


def find_other(agent: FloatingIP, place: Address) -> str | None:
    """Return who else has an address that is configured here; what cannot be asked is no conflict."""
    link = agent.link(place.index)
    try:
        return duplicate(agent, link, place.address, min(CONFLICT_WAIT, agent.left(ANNOUNCE_RESERVE)))
    except OSError as error:
        agent.report.log(f"could not look for another {place.address} on {link.name}: {error}", warning=True)
        return None


def defend(agent: FloatingIP, place: Address) -> None:
    """Tell the neighbours once more whose an address is (RFC 5227, section 2.4)."""
    announce(agent, place, 1)


def announce(agent: FloatingIP, place: Address, count: int, *, ask: bool = False) -> str | None:
    """Announce an address and listen meanwhile; return who contradicts, and with ``ask`` who has it as well.

    Linux does not contradict an announcement, and answers a question.

    The address works without it: neighbours with an old entry find the new place when that ages.
    """
    interval = agent.param("arp_interval") / 1000
    # However many are wished for, the action has to end in its time.
    count = min(count, 1 + int(agent.left(ANNOUNCE_RESERVE) / interval))
    link = agent.link(place.index)
    try:
        port = port_of(agent, link, place.address)
        if port is None:
            return None
        try:
            for turn in range(count):
                port.announce(place.address)
                if ask:
                    port.probe(place.address)
                owner = _foreign(agent, link, port, place.address, interval) if turn + 1 < count else None
                if owner:
                    return owner
        finally:
            port.close()
    except OSError as error:
        agent.report.log(f"could not announce {place.address} on {link.name}: {error}", warning=True)
    return None


def why_gateway_silent(agent: FloatingIP, place: Address) -> str | None:
    """Return why the gateway cannot be reached from an address's link, or None where it answers."""
    gateway = agent.param("check_gateway")
    link = agent.link(place.index)
    try:
        port = port_of(agent, link, place.address)
        if port is None:
            return None
        try:
            for _ in range(GATEWAY_TRIES):
                port.ask(gateway, place.address)
                if port.hear(gateway, min(GATEWAY_WAIT, agent.left())):
                    return None
        finally:
            port.close()
    except OSError as error:
        return f"cannot ask check_gateway={gateway} on {link.name}: {error.strerror or error}"
    return f"check_gateway={gateway} does not answer on {link.name}"


def _foreign(agent: FloatingIP, link: Link, port: ArpPort | NdpPort, ip: str, seconds: float) -> str | None:
    """Return the next other machine with an address, or None when the time is over.

    Our own frames may come back by another leg of a bond. Of two that ask at one time the one with the lower Ethernet
    address goes on, so that not both of them give up.
    """
    until = agent.host.now() + seconds
    own: set[str] = set()
    while True:
        heard = port.hear(ip, max(until - agent.host.now(), 0))
        if heard is None:
            return None
        own = own or {other.mac.hex(":") for other in rtnetlink.links()}
        if heard.who not in own and not (heard.is_probe and heard.who > link.mac.hex(":")):
            return heard.who or "another machine that asks for it"
