"""Stop: the address leaves every link, and nothing else does."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.policy.network import Address
from kvmha.tools import conntrack, ip, rtnetlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.floating_ip import FloatingIP


def remove(agent: FloatingIP, ips: list[str]) -> None:
    """Remove addresses from every link of the network namespace that we are in. Raises OcfError where one stays."""
    for one in ips:
        removed = agent.places(one)
        if agent.param("lvs_support") and removed:
            _park(agent, one)
        for place in removed:
            take_away(agent, place)
        left = agent.places(one)
        if left:
            link = rtnetlink.name_of(left[0].index)
            raise OcfError(codes.ERR_GENERIC, f"{left[0].address} is still on {link} after its removal")
        if removed:
            _tidy(agent, removed[0].address)


def take_away(agent: FloatingIP, place: Address) -> None:
    """Remove one address from one link, with care for the others of its network."""
    link = rtnetlink.name_of(place.index)
    others = _that_go_with(place)
    if others:
        _keep(agent, place, link)
    # Another hand, or the link's own end, may be faster than we are; what counts is the look afterwards.
    agent.host.run(*ip.delete_argv(place, link), timeout=_limit(agent), ok=None)
    agent.report.log(f"removed {place.address}/{place.prefix} from {link}")
    _give_back(agent, link, others)


def _that_go_with(place: Address) -> list[Address]:
    """Return the addresses that the kernel removes together with this one, unless it is told to keep them.

    The first IPv4 address of a network on a link carries the later ones, its secondaries (ip-sysctl.rst,
    promote_secondaries).
    """
    wanted = rtnetlink.packed(place.address) or b""
    if place.is_secondary or len(wanted) != 4:
        return []
    shift = 32 - place.prefix
    network = int.from_bytes(wanted, "big") >> shift
    return [
        other
        for other in rtnetlink.addresses()
        if other.index == place.index
        and other.is_secondary
        and other.prefix == place.prefix
        and int.from_bytes(rtnetlink.packed(other.address) or b"", "big") >> shift == network
    ]


def _keep(agent: FloatingIP, place: Address, link: str) -> None:
    """Have the kernel keep the secondaries; it stays so, for two agents that put it back would do it too soon."""
    try:
        rtnetlink.keep_secondaries(place.index)
        agent.report.log(f"set promote_secondaries=1 on {link}, so that it keeps its other addresses")
    except OSError as error:
        agent.report.log(f"could not set promote_secondaries on {link}: {error}", warning=True)


def _give_back(agent: FloatingIP, link: str, others: list[Address]) -> None:
    """Add what went all the same."""
    if not others:
        return
    here = {(one.index, one.address, one.prefix) for one in rtnetlink.addresses()}
    for other in others:
        if (other.index, other.address, other.prefix) not in here:
            label = other.label if ":" in other.label else ""
            again = ip.Wanted(link=link, address=other.address, prefix=other.prefix, label=label)
            agent.host.run(*ip.add_argv(again), timeout=_limit(agent), ok=None)
            agent.report.log(
                f"added {other.address}/{other.prefix} to {link} again, which had gone with it", warning=True
            )


def _park(agent: FloatingIP, address: str) -> None:
    """Leave the address on lo, for what a director of LVS sends to this node."""
    if not any(agent.is_parked(place) for place in rtnetlink.places(address)):
        agent.host.run(
            *ip.add_argv(ip.Wanted(link="lo", address=address, prefix=32, broadcast="-")), timeout=_limit(agent)
        )


def _tidy(agent: FloatingIP, address: str) -> None:
    """Do what was wished for after the removal. The address has gone, so nothing of it fails the stop."""
    if agent.param("lvs_ipv6_addrlabel"):
        _try(agent, "label", ip.label_argv("del", address, agent.param("lvs_ipv6_addrlabel_value")))
    if agent.param("flush_routes"):
        _try(agent, "routes", ip.flush_cache_argv(address))
    if agent.param("drop_connections"):
        try:
            done = agent.host.run(*conntrack.delete_argv(address), timeout=_limit(agent), ok=conntrack.OK)
            reason = conntrack.why_failed(done.rc, done.err)
        except CommandError as error:
            reason = str(error)
        if reason:
            agent.report.log(f"could not forget the tracked connections to {address}: {reason}", warning=True)


def _try(agent: FloatingIP, what: str, argv: tuple[str, ...]) -> None:
    try:
        agent.host.run(*argv, timeout=_limit(agent))
    except CommandError as error:
        agent.report.log(f"could not tidy up the {what}: {error}", warning=True)


def _limit(agent: FloatingIP) -> float:
    return max(min(ip.TIMEOUT, agent.left()), 0.1)
