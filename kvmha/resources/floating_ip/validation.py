"""What no row of the table can refuse alone: forms and relations of parameters."""

from __future__ import annotations

import ipaddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from kvmha.resources.floating_ip import FloatingIP

    Ip = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

NAME_LIMIT, ALTNAME_LIMIT = 15, 127
"""Characters of a link's name and of an alternative one (IFNAMSIZ and ALTIFNAMSIZ in linux/if.h, less the NUL)."""

GONE = {
    "clusterip_hash": "one address on several nodes at a time (the kernel's CLUSTERIP target has gone)",
    "clusterip_firewall": "one address on several nodes at a time",
    "mac": "one address on several nodes at a time, with a multicast Ethernet address",
    "unique_clone_address": "an address that is counted up by the clone's number",
}
"""Parameters of ocf:heartbeat:IPaddr2 which would mean another address here if nobody said so."""


def wrong(agent: FloatingIP) -> list[str]:
    """Return a sentence for each parameter, or pair of them, that cannot be what was meant."""
    text = agent.param("ip")
    try:
        address = ipaddress.ip_address(text)
        if "%" in text:
            raise ValueError(text)
    except ValueError:
        return [f'ip="{text}" is not an IPv4 or IPv6 address such as 192.0.2.10']
    return [
        *_of_address(agent, address),
        *_of_names(agent),
        *_of_family(agent, address),
        *_of_checks(agent, address),
        *_gone(agent),
    ]


def _of_address(agent: FloatingIP, address: Ip) -> list[str]:
    found = []
    prefix = agent.param("cidr_netmask")
    if address.is_multicast or address.is_unspecified or address.is_loopback or str(address) == "255.255.255.255":
        found.append(f'ip="{address}" is not an address that a node can take over')
    if prefix is not None and prefix > address.max_prefixlen:
        found.append(f'cidr_netmask="{prefix}" is more than the {address.max_prefixlen} bits of ip={address}')
    if address.version == 6 and address.is_link_local and not agent.param("nic"):
        found.append(f'ip="{address}" is link-local, and nic must say on which link')
    return found


def _of_names(agent: FloatingIP) -> list[str]:
    found = []
    nic, label, namespace = agent.param("nic"), agent.param("iflabel"), agent.param("network_namespace")
    if nic and (len(nic.encode()) > ALTNAME_LIMIT or any(letter.isspace() or letter in "/:" for letter in nic)):
        found.append(
            f'nic="{nic}" is not a link name of at most {NAME_LIMIT} characters, or an alternative name of at most '
            f"{ALTNAME_LIMIT}"
        )
    if label and (len(label) > NAME_LIMIT - 2 or any(letter.isspace() or letter in "/:" for letter in label)):
        found.append(f'iflabel="{label}" is no label, which has at most {NAME_LIMIT} characters with nic and colon')
    if namespace in (".", "..") or "/" in namespace:
        found.append(f'network_namespace="{namespace}" is not a name as ip netns list shows it')
    return found


def _of_family(agent: FloatingIP, address: Ip) -> list[str]:
    broadcast, lifetime = agent.param("broadcast"), agent.param("preferred_lft")
    only = {4: ("lvs_ipv6_addrlabel",), 6: ("iflabel", "lvs_support")}[address.version]
    found = [
        f"{name} is set, which does nothing for an IPv{address.version} address" for name in only if agent.param(name)
    ]
    if broadcast not in ("+", "-") and _family(broadcast) != 4:
        found.append(f'broadcast="{broadcast}" is neither + nor - nor an IPv4 address')
    if lifetime != "forever" and not (lifetime.isascii() and lifetime.isdigit() and int(lifetime) < 2**32 - 1):
        found.append(f'preferred_lft="{lifetime}" is neither a number of seconds nor forever')
    return found


def _of_checks(agent: FloatingIP, address: Ip) -> list[str]:
    found = []
    gateway, probe = agent.param("check_gateway"), agent.param("start_probe")
    if gateway and _family(gateway) != address.version:
        found.append(f'check_gateway="{gateway}" is not an IPv{address.version} address')
    elif gateway and ipaddress.ip_address(gateway) == address:
        found.append(f'check_gateway="{gateway}" is the address itself')
    if probe:
        from kvmha.tools import service_probe

        try:
            service = service_probe.parse(probe)
        except ValueError:
            found.append(f'start_probe="{probe}" is not tcp://HOST:PORT or http://HOST:PORT/PATH')
        else:
            if _family(service.host) and ipaddress.ip_address(service.host) == address:
                found.append(f'start_probe="{probe}" asks at the very address that would wait for the answer')
    return found


def _gone(agent: FloatingIP) -> list[str]:
    given = agent.env.params
    return [
        f"{name} is not a parameter of this agent, which does not do {meaning}"
        for name, meaning in GONE.items()
        if given.get(name, "").strip().lower() not in ("", "0", "no", "false", "off")
    ]


def _family(text: str) -> int:
    """Return 4 or 6, or 0 for a text that is no address."""
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0
