"""The fields of cluster.yaml: the one place where each is named, explained, and checked by itself.

What fields must be to one another is checked in ``kvmha.cluster.description``.
"""

from __future__ import annotations

import ipaddress
import re

from kvmha.cluster.document import Field
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_MS = 3000
"""How long corosync waits for its token by default (corosync.conf(5), since corosync 3.1)."""

LINKS = 8
"""knet knows the links 0 to 7 (corosync.conf(5), linknumber)."""


class Fencing(Record):
    """How a node is powered off: the fence agent and its options."""

    agent: str
    options: Mapping[str, str]


class Node(Record):
    """A host of the cluster; ``addresses`` has one address for each corosync link, in the links' order."""

    name: str
    addresses: tuple[str, ...]
    fencing: Fencing


class Timing(Record):
    """Times of corosync in milliseconds."""

    token: int


class Guest(Record):
    """A guest as a resource: its domain XML on every node, and where it starts if it may choose."""

    name: str
    config: str
    prefers: str | None
    options: Mapping[str, str]


class FloatingIP(Record):
    """An address that moves; it prefers a node, or follows a guest, or goes anywhere."""

    name: str
    ip: str
    cidr_netmask: int
    nic: str
    prefers: str | None
    follows: str | None


class ClusterDescription(Record):
    """All that cluster.yaml says."""

    cluster: str
    nodes: tuple[Node, ...]
    timing: Timing
    guests: tuple[Guest, ...]
    floating_ips: tuple[FloatingIP, ...]


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


def fence_agent(text: str) -> str:
    """Return the name of an agent as `pcs stonith list` shows it."""
    return _fit(FENCE_AGENT, text)


def interface(text: str) -> str:
    """Return a name that a network interface can have."""
    return _fit(INTERFACE, text)


def address(text: str) -> str:
    """Return an IPv4 or IPv6 address, in its usual spelling, that another host can reach."""
    ip = ipaddress.ip_address(text)
    # A link-local address means nothing without its interface, which nobody else is told.
    if ip.is_unspecified or ip.is_multicast or ip.is_loopback or ip.is_link_local:
        raise ValueError(text)
    return str(ip)


def absolute_path(text: str) -> str:
    """Return a path that means the same in every working directory."""
    if not text.startswith("/") or not text.isprintable():
        raise ValueError(text)
    return text


def token_ms(text: str) -> int:
    """Return a token timeout in milliseconds that can work."""
    value = int(_fit(NUMBER, text))
    # Below half a second a host that is merely busy looks like a dead one.
    if not 500 <= value <= 60000:
        raise ValueError(text)
    return value


def prefix_length(text: str) -> int:
    """Return a prefix length; whether it suits its address is seen where both are known."""
    value = int(_fit(NUMBER, text))
    if value > 128:
        raise ValueError(text)
    return value


FROM_NODE_NAME = "is set from the node's name; leave it out"

FENCING = (
    Field(name="agent", parse=fence_agent, required=True,
          help="The fence agent that powers this node off and on, as `pcs stonith list` shows it.",
          expects="the name of a fence agent, such as fence_ipmilan"),
    Field(name="options", shape="options", default={},
          help="The agent's parameters, as `pcs stonith describe AGENT` shows them.",
          expects="the agent's options, such as {ip: 192.0.2.1, username: admin}",
          taken=(("pcmk_host_list", FROM_NODE_NAME), ("pcmk_host_map", FROM_NODE_NAME),
                 ("pcmk_host_check", FROM_NODE_NAME))),
)  # fmt: skip

NODE = (
    Field(name="name", parse=host_name, required=True,
          help="The node's name: what `uname -n` says on it, and what Pacemaker calls it.",
          expects="a host name: letters, digits and -, labels joined by dots"),
    Field(name="addresses", shape="values", parse=address, required=True,
          help="One address for each corosync link, as many on every node; link 0 is used while it works.",
          expects="an IPv4 or IPv6 address for each corosync link"),
    Field(name="fencing", shape="fields", inner=FENCING, make=Fencing, required=True,
          help="How the others power this node off, so that its guests can start elsewhere.",
          expects="agent and options of the node's fence device"),
)  # fmt: skip

TIMING = (
    Field(name="token", parse=token_ms, default=TOKEN_MS,
          help="Milliseconds without corosync's token after which a node counts as lost.",
          expects="milliseconds from 500 to 60000"),
)  # fmt: skip

GUEST = (
    Field(name="name", parse=xml_id, required=True,
          help="The name of the guest's resource.",
          expects="a letter or _, then letters, digits, dots, _ and -"),
    Field(name="config", parse=absolute_path, required=True,
          help="The guest's domain XML, under the same path on every node.",
          expects="an absolute path"),
    Field(name="prefers", parse=host_name,
          help="The node that the guest starts on when it may choose. It does not go back there by itself.",
          expects="the name of a node"),
    Field(name="options", shape="options", default={},
          help="Further parameters of ocf:kvmha:VirtualDomain.",
          expects="parameters of ocf:kvmha:VirtualDomain, such as {migration_transport: tcp}",
          taken=(("config", "is given by the guest's own field config; leave it out"),)),
)  # fmt: skip

FLOATING_IP = (
    Field(name="name", parse=xml_id, required=True,
          help="The name of the address's resource.",
          expects="a letter or _, then letters, digits, dots, _ and -"),
    Field(name="ip", parse=address, required=True,
          help="The address itself, without a prefix length.",
          expects="an IPv4 or IPv6 address"),
    Field(name="cidr_netmask", parse=prefix_length, required=True,
          help="The length of the address's network prefix.",
          expects="a prefix length, such as 24"),
    Field(name="nic", parse=interface, required=True,
          help="The interface or bridge that carries the address, under the same name on every node.",
          expects="the name of a network interface"),
    Field(name="prefers", parse=host_name,
          help="The node that the address starts on when it may choose. Not together with follows.",
          expects="the name of a node"),
    Field(name="follows", parse=xml_id,
          help="The guest whose node the address is always on. Not together with prefers.",
          expects="the name of a guest"),
)  # fmt: skip

CLUSTER = (
    Field(name="cluster", parse=cluster_name, required=True,
          help="The cluster's name.",
          expects="at most 32 letters, digits, _ and -"),
    Field(name="nodes", shape="records", inner=NODE, make=Node, required=True,
          help="The hosts, two or three of them.",
          expects="a list of nodes"),
    Field(name="timing", shape="fields", inner=TIMING, make=Timing,
          help="How fast corosync calls a node lost.",
          expects="the field token"),
    Field(name="guests", shape="records", inner=GUEST, make=Guest, default=(),
          help="The guests that Pacemaker runs.",
          expects="a list of guests"),
    Field(name="floating_ips", shape="records", inner=FLOATING_IP, make=FloatingIP, default=(),
          help="The addresses that Pacemaker moves between the nodes.",
          expects="a list of floating IPs"),
)  # fmt: skip
