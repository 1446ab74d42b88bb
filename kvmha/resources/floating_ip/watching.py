"""How an address is judged. The way of a healthy one is the short way: one question to the kernel per table."""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.policy import network
from kvmha.tools import rtnetlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.network import Address, Link
    from kvmha.resources.floating_ip import FloatingIP

POLL = 0.05
"""Seconds between two looks while waiting."""

TENTATIVE_LIMIT = 3.0
"""Seconds. The kernel's duplicate address detection takes one to two (RFC 4862, sections 5.1 and 5.4.2)."""

REPORT_RESERVE = 1.0
"""Seconds of a monitor that waiting leaves alone."""


def look(agent: FloatingIP, ip: str) -> int:
    """Return a monitor's exit code, and announce the address where that is due."""
    known = agent.known()
    places = agent.places(ip)
    if not places:
        return _absent(agent, ip)
    code, reason = judge(agent, places, known)
    if code in (codes.SUCCESS, codes.DEGRADED) and not agent.env.is_probe:
        _announce(agent, places[0], known)
    if reason:
        agent.report.exit_reason(reason)
    return code


def judge(agent: FloatingIP, places: tuple[Address, ...], known: dict[str, str]) -> tuple[int, str]:
    """Return the exit code for an address that is here, and the reason for one that is not 0."""
    place = places[0]
    reason = _why_doubtful(places)
    if reason:
        return codes.ERR_GENERIC, reason
    link = agent.link(place.index)
    lower = rtnetlink.below(link)
    reason = _why_misplaced(agent, place, link, known)
    if reason:
        return codes.ERR_GENERIC, reason
    trouble = _trouble(agent, place, link, lower)
    if trouble:
        return _judge_trouble(agent, place, known, *trouble)
    if known.get("trouble"):
        _recovered(agent)
    if place.is_tentative:
        place = _settled(agent, place)
        reason = _why_doubtful((place,))
        if reason or place.is_tentative:
            still = f"{place.address} on {link.name} is tentative: its duplicate address detection does not end"
            return codes.ERR_GENERIC, reason or still
    if agent.env.check_level >= 10 and not agent.env.is_probe:
        from kvmha.resources.floating_ip import announcing

        owner = announcing.find_other(agent, place)
        if owner:
            announcing.defend(agent, place)
            return _code_of(agent.param("on_conflict")), f"{place.address} is also at {owner}: another machine has it"
    remark = _remark(agent, place, link, lower)
    return (codes.DEGRADED, remark) if remark else (codes.SUCCESS, "")


def _absent(agent: FloatingIP, ip: str) -> int:
    """Answer for an address that is nowhere; what this resource started otherwise before must be nowhere too."""
    earlier, space = agent.earlier_ip(), agent.earlier_namespace()
    reason = _why_still(agent, earlier, "ip was changed") if earlier else None
    if not reason and space and agent.enter_namespace(space):
        reason = _why_still(agent, ip, f"it was started in network_namespace={space}")
    if reason:
        agent.report.exit_reason(reason)
        return codes.ERR_GENERIC
    return codes.NOT_RUNNING


def _why_still(agent: FloatingIP, ip: str, why: str) -> str | None:
    for place in agent.places(ip):
        return f"{place.address}, which this resource started, is still on {rtnetlink.name_of(place.index)}: {why}"
    return None


def _why_doubtful(places: tuple[Address, ...]) -> str | None:
    """Return why the node cannot use the address, or should not, whatever the parameters say."""
    place, name = places[0], rtnetlink.name_of
    for one in places:
        if one.is_duplicate:
            return f"{one.address} on {name(one.index)} is in use by another machine (duplicate address detection)"
    if len(places) > 1:
        where = " and on ".join(f"{name(one.index)} with /{one.prefix}" for one in places[:4])
        return f"{place.address} is configured {len(places)} times: on {where}"
    return None


def _why_misplaced(agent: FloatingIP, place: Address, link: Link, known: dict[str, str]) -> str | None:
    """Return how the address is not where it was put, or should have been; another name of its link is no matter."""
    nic, prefix = agent.param("nic"), agent.param("cidr_netmask")
    # Without any parameter, as after the cluster has lost its record, what was written down is what was told.
    is_told = known.get("nic", "") == nic or not agent.param("ip")
    was_here = known.get("index") == str(link.index) and is_told
    if nic and not was_here and not _is_named(link, nic):
        return f"{place.address} is on {link.name} and not on nic={nic}"
    if not nic and known.get("index") and not was_here:
        return f"{place.address} is on {link.name}, and was started on {known.get('link')}"
    if prefix and place.prefix != prefix:
        return f"{place.address} on {link.name} has the prefix length {place.prefix} and not cidr_netmask={prefix}"
    return None


def _is_named(link: Link, nic: str) -> bool:
    return nic == link.name or nic in link.altnames


def _trouble(agent: FloatingIP, place: Address, link: Link, lower: tuple[Link, ...]) -> tuple[str, str] | None:
    """Return the parameter that judges what keeps the address from the network, and a sentence of what that is."""
    if agent.param("check_link_status"):
        cut = network.why_cut(link, lower)
        if cut:
            return "on_link_down", f"{place.address}: {cut}"
    if agent.param("check_gateway"):
        from kvmha.resources.floating_ip import announcing

        silent = announcing.why_gateway_silent(agent, place)
        if silent:
            return "on_gateway_down", f"{place.address}: {silent}"
    return None


def _judge_trouble(
    agent: FloatingIP, place: Address, known: dict[str, str], policy: str, reason: str
) -> tuple[int, str]:
    """Judge a link or gateway that is away: degraded within link_grace, and then as the parameter says."""
    code, grace = _code_of(agent.param(policy)), float(agent.param("link_grace"))
    if code != codes.ERR_GENERIC or not grace or agent.env.action == "start" or agent.env.is_probe:
        return code, reason
    now = agent.host.now()
    since = min(_seconds(known.get("trouble", "")) or now, now)
    if not known.get("trouble"):
        _note(agent, ip=agent.ip, trouble=f"{now:.3f}")
    end = since + grace
    if end > now + agent.env.interval:
        return codes.DEGRADED, f"{reason}, for {now - since:.0f} s; link_grace is {grace:.0f} s"
    # The next monitor would come too late, so this one sees how it ends.
    while agent.host.now() < end and agent.left(REPORT_RESERVE) > POLL:
        agent.host.sleep(POLL)
        link = agent.link(place.index)
        if _trouble(agent, place, link, rtnetlink.below(link)) is None:
            _recovered(agent)
            return codes.SUCCESS, ""
    return code, f"{reason}, for {agent.host.now() - since:.0f} s"


def _recovered(agent: FloatingIP) -> None:
    """Forget the trouble, and have the next monitors announce the address: switches may have forgotten it too."""
    _note(agent, trouble="", started=f"{agent.host.now():.3f}")


def _note(agent: FloatingIP, **words: str) -> None:
    """Write down what a monitor has seen; where that cannot be written the monitor's answer is still the truth."""
    try:
        agent.remember(**words)
    except OSError as error:
        agent.report.log(f"could not write down what the monitor saw: {error}", warning=True)


def _settled(agent: FloatingIP, place: Address) -> Address:
    """Return an IPv6 address as it is when the kernel has finished its own search for a duplicate, or in its time."""
    until = agent.host.now() + min(TENTATIVE_LIMIT, agent.left(REPORT_RESERVE))
    while place.is_tentative and not place.is_duplicate and agent.host.now() < until:
        agent.host.sleep(POLL)
        for one in rtnetlink.places(place.address):
            if one.index == place.index:
                place = one
    return place


def _remark(agent: FloatingIP, place: Address, link: Link, lower: tuple[Link, ...]) -> str | None:
    """Return what is not as it should be about an address that works."""
    if agent.param("check_link_status") and agent.param("on_member_down") == "degraded":
        dead = network.dead_members(link, lower)
        if dead:
            return f"{place.address} works, but {dead[0]}"
    nic, label = agent.param("nic"), agent.param("iflabel")
    if nic and not _is_named(link, nic):
        return f"{place.address}: its link nic={nic} is called {link.name} now"
    if label and not place.label.endswith(f":{label}"):
        return f"{place.address} on {link.name} does not have iflabel={label}"
    return None


def _announce(agent: FloatingIP, place: Address, known: dict[str, str]) -> None:
    """Announce the address as often as every monitor should, and once more for a while after a start."""
    count, started = agent.param("arp_count_refresh"), _seconds(known.get("started", ""))
    if started is not None and 0 <= agent.host.now() - started < agent.param("announce_time"):
        count = max(count, 1)
    if count:
        from kvmha.resources.floating_ip import announcing

        announcing.announce(agent, place, count)


def _code_of(word: str) -> int:
    return {"degraded": codes.DEGRADED, "running": codes.SUCCESS}.get(word, codes.ERR_GENERIC)


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
