"""What the text of a field may be: each function takes it, or raises ValueError."""

from __future__ import annotations

import ipaddress
import re

from kvmha.tools import service_probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _matching(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


CLUSTER_NAME = _matching(r"[A-Za-z0-9_-]{1,32}")
"""What pcs takes without --force: GFS2 and DLM use the cluster's name, and take no more."""
HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST_NAME = _matching(rf"(?=.{{1,253}}\Z){HOST_LABEL}(?:\.{HOST_LABEL})*")
XML_ID = _matching(r"[A-Za-z_][A-Za-z0-9._-]*")
"""The part of XML's NCName that is ASCII; the CIB keeps names as ids of that type."""
FENCE_AGENT = _matching(r"fence_[A-Za-z0-9_]+")
INTERFACE = _matching(r"(?!\.{1,2}\Z)[^\s/:%]{1,15}")
"""The kernel's dev_valid_name(): 15 bytes, no slash, colon or white space; % would make it a pattern."""
NUMBER = _matching(r"[0-9]{1,9}")
TICKET_NAME = _matching(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
"""Booth keeps names of 63 characters, and Pacemaker takes a ticket's name as an id."""
SUFFIX = _matching(r"-[A-Za-z0-9-]{0,30}[A-Za-z0-9]")
OFFER = _matching(r"[A-Za-z0-9_./:@+-]{1,200}")
"""Names of networks and pools, paths, addresses and UUIDs, without what an attribute or a shell would take apart."""
MODULE = _matching(r"[A-Za-z0-9_-]{1,64}")


def _fit(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def cluster_name(text: str) -> str:
    """Return a name that corosync, pcs and DLM all take."""
    return _fit(CLUSTER_NAME, text)


def host_name(text: str) -> str:
    """Return a host name after RFC 1123, which a bare address is not."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _fit(HOST_NAME, text)
    raise ValueError(text)


def xml_id(text: str) -> str:
    """Return a name that can be an id in the CIB."""
    return _fit(XML_ID, text)


def ticket_name(text: str) -> str:
    """Return a name that booth and Pacemaker both take."""
    return _fit(TICKET_NAME, text)


def fence_agent(text: str) -> str:
    """Return the name of an agent as `pcs stonith list` shows it."""
    return _fit(FENCE_AGENT, text)


def interface(text: str) -> str:
    """Return a name that a network interface can have."""
    return _fit(INTERFACE, text)


def suffix(text: str) -> str:
    """Return what can follow the first label of a host's name."""
    return _fit(SUFFIX, text)


def offer(text: str) -> str:
    """Return the name of something that a node has for guests; several of them stand in one attribute of the node."""
    return _fit(OFFER, text)


def module(text: str) -> str:
    """Return a name that a kernel module can have."""
    return _fit(MODULE, text)


def address(text: str) -> str:
    """Return an IPv4 or IPv6 address, in its usual spelling, that another host can reach."""
    ip = ipaddress.ip_address(text)
    # A link-local address means nothing without its interface, which nobody else is told.
    if ip.is_unspecified or ip.is_multicast or ip.is_loopback or ip.is_link_local:
        raise ValueError(text)
    return str(ip)


def host(text: str) -> str:
    """Return a host name, or an address that another host can reach."""
    try:
        return address(text)
    except ValueError:
        return host_name(text)


def absolute_path(text: str) -> str:
    """Return a path that means the same in every working directory."""
    if not text.startswith("/") or not text.isprintable():
        raise ValueError(text)
    return text


def device_path(text: str) -> str:
    """Return the path of a device; DRBD and sbd read it as one word."""
    if not text.startswith("/dev/") or not text.isprintable() or set(text) & set(" \t\"'\\;{}#"):
        raise ValueError(text)
    return text


def probe(text: str) -> str:
    """Return how a service is asked: an address, or the path of a command without white space."""
    if text.startswith("/"):
        if not text.isprintable() or " " in text:
            raise ValueError(text)
        return text
    service_probe.parse(text)
    return text


def one_of(*words: str) -> Callable[[str], str]:
    """Return what takes one of these words and no other."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return parse


def number(least: int, most: int) -> Callable[[str], int]:
    """Return what takes a whole number between the two."""

    def parse(text: str) -> int:
        value = int(_fit(NUMBER, text))
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return parse
