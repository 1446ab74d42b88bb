"""ip(8): how addresses are added and removed. What is there is read from the kernel itself (tools/rtnetlink.py)."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.network import Address

TIMEOUT = 5.0
"""Seconds. It is one netlink request; only a machine in deep trouble takes longer."""


class Wanted(Record):
    """One address as it is to be configured."""

    link: str
    address: str
    prefix: int
    broadcast: str = "+"
    """IPv4 only; ``+`` is the one that the prefix gives, ``-`` is none."""
    label: str = ""
    metric: int | None = None
    has_prefix_route: bool = True
    preferred_lft: str = "forever"
    is_unchecked: bool = False
    """IPv6 only: the kernel does not look for a duplicate, so the address can be used at once."""


def add_argv(wanted: Wanted) -> tuple[str, ...]:
    """Configure an address on a link."""
    words = ["ip", "addr", "add", f"{wanted.address}/{wanted.prefix}"]
    if ":" not in wanted.address:
        words += ["brd", wanted.broadcast] if wanted.broadcast != "-" else []
        words += ["label", wanted.label] if wanted.label else []
    elif wanted.is_unchecked:
        words.append("nodad")
    if wanted.metric is not None:
        words += ["metric", str(wanted.metric)]
    if not wanted.has_prefix_route:
        words.append("noprefixroute")
    if wanted.preferred_lft != "forever":
        words += ["preferred_lft", wanted.preferred_lft]
    return (*words, "dev", wanted.link)


def delete_argv(address: Address, link: str) -> tuple[str, ...]:
    """Remove an address from a link."""
    # The kernel finds the address of a point-to-point link only by both ends.
    ends = (address.address, "peer", address.peer) if address.peer else (address.address,)
    return ("ip", "addr", "del", *ends[:-1], f"{ends[-1]}/{address.prefix}", "dev", link)


def link_up_argv(link: str) -> tuple[str, ...]:
    """Set a link up."""
    return ("ip", "link", "set", link, "up")


def label_argv(verb: str, address: str, value: int) -> tuple[str, ...]:
    """Give an IPv6 address a label for the choice of source addresses (``add``), or take it away (``del``)."""
    return ("ip", "addrlabel", verb, "prefix", f"{address}/128", "label", str(value))


def flush_cache_argv(address: str) -> tuple[str, ...]:
    """Forget redirects and path MTUs of the address's family."""
    return ("ip", "-6" if ":" in address else "-4", "route", "flush", "cache")
