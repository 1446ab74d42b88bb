"""Start: the address comes to its link when its service is there, the link leads out and nobody else has it."""

from __future__ import annotations

from kvmha.host import CommandError, CommandFailed
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.policy import network
from kvmha.policy.network import Address, Link
from kvmha.resources.floating_ip import announcing, namespace, removing, watching
from kvmha.tools import ip, rtnetlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.floating_ip import FloatingIP

POLL = 0.05
"""Seconds between two looks while waiting."""

NEGOTIATION = 5.0
"""Seconds that a network card has for its carrier after it was set up."""

SERVICE_POLL, SERVICE_RESERVE = 0.2, 5.0
"""Seconds between two questions to the service, and those of a start that remain when it does not answer."""


def start(agent: FloatingIP) -> int:
    """Configure the address and return 0, or leave nothing of it behind. Raises OcfError."""
    address, earlier = agent.ip, agent.earlier_ip()
    if earlier:
        removing.remove(agent, [earlier])
    places = agent.places(address)
    if places:
        return _take_over(agent, places)
    link, prefix = _where(agent, address)
    _wait_for_service(agent)
    link = _connected(agent, link)
    is_checked = _refuse_duplicate(agent, link, address)
    wanted = _wanted(agent, link, address, prefix, is_checked=is_checked)
    # Written first: what is interrupted after this line is found by a stop that has lost its parameters.
    _write_down(agent, link)
    agent.host.run(*ip.add_argv(wanted), timeout=_limit(agent))
    try:
        place = _usable(agent, link, address)
        owner = announcing.announce(agent, place, agent.param("arp_count"), ask=_asks(agent))
        if owner:
            raise OcfError(codes.ERR_GENERIC, f"{address} on {link.name} is in use by another machine, {owner}")
    except OcfError:
        for place in agent.places(address):
            removing.take_away(agent, place)
        raise
    _settle_in(agent, address)
    agent.report.log(f"added {wanted.address}/{wanted.prefix} to {link.name}")
    return codes.SUCCESS


def _take_over(agent: FloatingIP, places: tuple[Address, ...]) -> int:
    """Start what is here already: it stays if it is well."""
    code, reason = watching.judge(agent, places, agent.known())
    if code not in (codes.SUCCESS, codes.DEGRADED):
        agent.report.exit_reason(reason)
        return code
    _write_down(agent, agent.link(places[0].index))
    announcing.announce(agent, places[0], agent.param("arp_count"))
    return codes.SUCCESS


def _write_down(agent: FloatingIP, link: Link) -> None:
    words = namespace.words(agent)
    now = f"{agent.host.now():.3f}"
    place = {"nic": agent.param("nic"), "link": link.name, "index": str(link.index)}
    agent.remember(ip=agent.ip, started=now, trouble="", **place, **words)


def _where(agent: FloatingIP, text: str) -> tuple[Link, int]:
    """Return link and prefix length: as told, or those of the smallest network around the address, best connected."""
    import ipaddress

    address = ipaddress.ip_address(text)
    nic, prefix = agent.param("nic"), agent.param("cidr_netmask")
    link = rtnetlink.link_named(nic) if nic else None
    if nic and link is None:
        raise OcfError(codes.ERR_GENERIC, f"there is no link nic={nic} on this node")
    if link and prefix:
        return link, prefix
    found = []
    for beside in rtnetlink.addresses():
        around = ipaddress.ip_network(f"{beside.address}/{beside.prefix}", strict=False)
        if around.version != address.version or address not in around or around.prefixlen == around.max_prefixlen:
            continue
        if link is None or beside.index == link.index:
            carrier = rtnetlink.link(beside.index)
            is_cut = carrier is None or bool(network.why_cut(carrier, rtnetlink.below(carrier)))
            found.append((-beside.prefix, is_cut, beside.index))
    if not found:
        where = f"on nic={nic}" if nic else "on any link"
        raise OcfError(
            codes.ERR_GENERIC,
            f"no network that contains ip={text} {where}: set nic and cidr_netmask, or configure the network",
        )
    length, _, index = min(found)
    return agent.link(index), prefix or -length


def _wait_for_service(agent: FloatingIP) -> None:
    """Hold the address back until the service behind it answers."""
    text = agent.param("start_probe")
    if not text:
        return
    from kvmha.tools import service_probe

    service = service_probe.parse(text)
    while True:
        reason = service_probe.why_silent(agent.host, service, max(agent.left(SERVICE_RESERVE), 0.1))
        if reason is None:
            return
        if agent.left(SERVICE_RESERVE) < SERVICE_POLL:
            raise OcfError(codes.ERR_GENERIC, f"start_probe={text} does not answer: {reason}")
        agent.host.sleep(SERVICE_POLL)


def _connected(agent: FloatingIP, link: Link) -> Link:
    """Set the link up, and return it when it leads out."""
    grace = float(agent.param("link_grace"))
    if not link.is_up:
        try:
            agent.host.run(*ip.link_up_argv(link.name), timeout=_limit(agent))
        except CommandFailed as error:
            raise OcfError(codes.ERR_GENERIC, f"{link.name} cannot be set up: {error}") from None
        grace = max(grace, NEGOTIATION)
        link = agent.link(link.index)
    if not agent.param("check_link_status"):
        return link
    until = agent.host.now() + min(grace, agent.left(SERVICE_RESERVE))
    reason = network.why_cut(link, rtnetlink.below(link))
    while reason and agent.host.now() < until:
        agent.host.sleep(POLL)
        link = agent.link(link.index)
        reason = network.why_cut(link, rtnetlink.below(link))
    if reason and agent.param("on_link_down") == "failed":
        raise OcfError(codes.ERR_GENERIC, f"{agent.ip} would be cut off: {reason}")
    if reason:
        agent.report.log(f"going on, though {reason}", warning=True)
    return link


def _refuse_duplicate(agent: FloatingIP, link: Link, address: str) -> bool:
    """Refuse an address that another machine has; tell whether that could be asked here."""
    seconds = min(agent.param("duplicate_wait") / 1000, agent.left(announcing.ANNOUNCE_RESERVE))
    if not _asks(agent):
        return True
    try:
        owner = announcing.duplicate(agent, link, address, seconds)
    except OSError as error:
        agent.report.log(f"could not look for another {address} on {link.name}: {error}", warning=True)
        return False
    if owner:
        raise OcfError(codes.ERR_GENERIC, f"{address} on {link.name} is in use by another machine, {owner}")
    return bool(link.mac)


def _asks(agent: FloatingIP) -> bool:
    """Tell whether neighbours are asked for a duplicate at all."""
    return bool(agent.param("duplicate_wait")) and not (":" in agent.ip and agent.param("nodad"))


def _wanted(agent: FloatingIP, link: Link, address: str, prefix: int, *, is_checked: bool) -> ip.Wanted:
    label = agent.param("iflabel")
    # IFNAMSIZ in linux/if.h: 15 characters and the final NUL.
    if label and len(f"{link.name}:{label}") > 15:
        raise OcfError(codes.ERR_CONFIGURED, f'the label "{link.name}:{label}" has more than 15 characters')
    return ip.Wanted(
        link=link.name,
        address=address,
        prefix=prefix,
        broadcast=agent.param("broadcast"),
        label=f"{link.name}:{label}" if label else "",
        metric=agent.param("metric"),
        has_prefix_route=not agent.param("noprefixroute"),
        preferred_lft=agent.param("preferred_lft"),
        is_unchecked=is_checked,
    )


def _usable(agent: FloatingIP, link: Link, address: str) -> Address:
    """Return the address as it is on its link, when the kernel lets it be used. Raises OcfError."""
    while True:
        places = [place for place in agent.places(address) if place.index == link.index]
        if not places:
            raise OcfError(codes.ERR_GENERIC, f"{address} is not on {link.name} after it was added")
        if places[0].is_duplicate:
            reason = "is in use by another machine (duplicate address detection)"
            raise OcfError(codes.ERR_GENERIC, f"{address} on {link.name} {reason}")
        if not places[0].is_tentative:
            return places[0]
        if agent.left(announcing.ANNOUNCE_RESERVE) < POLL:
            raise OcfError(codes.ERR_GENERIC, f"{address} on {link.name} is still tentative")
        agent.host.sleep(POLL)


def _settle_in(agent: FloatingIP, address: str) -> None:
    """Do what else belongs to an address that is in service here."""
    if agent.param("lvs_ipv6_addrlabel"):
        argv = ip.label_argv("add", address, agent.param("lvs_ipv6_addrlabel_value"))
        try:
            # 2 is what ip(8) exits with where the kernel refuses, as for a label that is there already.
            agent.host.run(*argv, timeout=_limit(agent), ok=(0, 2))
        except CommandError as error:
            agent.report.log(f"could not label {address}: {error}", warning=True)
    for place in rtnetlink.places(address) if agent.param("lvs_support") else ():
        if agent.is_parked(place):
            agent.host.run(*ip.delete_argv(place, "lo"), timeout=_limit(agent), ok=None)


def _limit(agent: FloatingIP) -> float:
    return max(min(ip.TIMEOUT, agent.left()), 0.1)
