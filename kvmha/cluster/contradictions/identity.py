"""Nothing has the name, the address or the number of something else."""

from __future__ import annotations

import ipaddress

from kvmha.cluster.contradictions.reading import group, listed, numbered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Faults = Iterator[tuple[str, str]]

BOOTH_IDS = ("booth", "booth-ip")
"""The resources that a cluster with a second site gets."""


def fence_device(node: str, number: int = 0, name: str | None = None) -> str:
    """Return the id of a node's fence device: its own name, or one made of the node's."""
    if name:
        return name
    return f"fence-{node}-{number + 1}" if number else f"fence-{node}"


def device_of(name: str) -> str:
    """Return the id of the resource that is a DRBD resource's device on one node."""
    return f"drbd-{name}"


def clone_of(name: str) -> str:
    """Return the id of the clone that is its device on all nodes, as pcs calls it."""
    return f"{device_of(name)}-clone"


def primary_of(name: str) -> str:
    """Return the id of the resource that is its Primary role."""
    return f"primary-{name}"


def wrong_addresses(values: dict[str, Any]) -> Faults:
    """An address belongs to one node, floating IP or site; a prefix is no longer than its address."""
    seen: dict[str, str] = {}
    for place, address in _addresses(values):
        if seen.setdefault(address, place) != place:
            yield place, f'"{address}" is also {seen[address]}; expected an address of its own'
    for place, item in numbered(values, "floating_ips"):
        yield from _wrong_prefix(f"{place}.cidr_netmask", item.get("ip"), item.get("cidr_netmask"))
    booth = group(values, "booth")
    here = [site.get("address") for site in booth.get("sites") or () if site.get("name") == booth.get("here")]
    if here:
        yield from _wrong_prefix("booth.cidr_netmask", here[0], booth.get("cidr_netmask"))


def _addresses(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for place, node in numbered(values, "nodes"):
        for link, address in listed(node, "addresses"):
            yield f"{place}.addresses[{link}]", address
        if node.get("migration_address") and node["migration_address"] not in (node.get("addresses") or ()):
            yield f"{place}.migration_address", node["migration_address"]
    for place, item in numbered(values, "floating_ips"):
        if item.get("ip"):
            yield f"{place}.ip", item["ip"]
    booth = group(values, "booth")
    for place, item in numbered(booth, "sites"):
        if item.get("address"):
            yield f"booth.{place}.address", item["address"]
    for number, address in listed(booth, "arbitrators"):
        yield f"booth.arbitrators[{number}]", address


def _wrong_prefix(place: str, ip: str | None, length: int | None) -> Faults:
    if ip is None or length is None:
        return
    address = ipaddress.ip_address(ip)
    if length > address.max_prefixlen:
        said = f'"{length}" is longer than an IPv{address.version} address'
        yield place, f"{said}; expected at most {address.max_prefixlen}"


def wrong_names(values: dict[str, Any]) -> Faults:
    """No two nodes, and no two resources, have one name; the fence devices are resources as well."""
    nodes: dict[str, str] = {}
    for place, node in numbered(values, "nodes"):
        name = node.get("name")
        if name and nodes.setdefault(name.lower(), f"{place}.name") != f"{place}.name":
            yield f"{place}.name", f'"{name}" is also {nodes[name.lower()]}; expected a name of its own'
    ids = dict(_made_names(values))
    for place, name in _given_names(values):
        if ids.setdefault(name, place) != place:
            yield place, f'"{name}" is also {ids[name]}; expected a name of its own'


def _made_names(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for _, node in numbered(values, "nodes"):
        for number, device in enumerate(node.get("fencing") or ()):
            if node.get("name") and not device.get("name"):
                nth = f" (number {number + 1})" if number else ""
                yield fence_device(node["name"], number), f"the fence device of {node['name']}{nth}"
    if group(values, "sbd").get("devices"):
        yield "fence-sbd", "the fence device of sbd"
    if values.get("booth"):
        yield from ((name, "a resource of booth") for name in BOOTH_IDS)
    for _, item in numbered(values, "drbd"):
        if item.get("name"):
            for made in (device_of(item["name"]), clone_of(item["name"]), primary_of(item["name"])):
                yield made, f"a resource of the DRBD resource {item['name']}"


def _given_names(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for place, node in numbered(values, "nodes"):
        for number, device in enumerate(node.get("fencing") or ()):
            if device.get("name"):
                yield f"{place}.fencing[{number}].name", device["name"]
    for kind in ("guests", "floating_ips", "alerts"):
        for place, item in numbered(values, kind):
            if item.get("name"):
                yield f"{place}.name", item["name"]


def wrong_disk_names(values: dict[str, Any]) -> Faults:
    """DRBD resources have names of their own, which are none of the cluster's."""
    seen: dict[str, str] = {}
    for place, item in numbered(values, "drbd"):
        name = item.get("name")
        if name and seen.setdefault(name, f"{place}.name") != f"{place}.name":
            yield f"{place}.name", f'"{name}" is also {seen[name]}; expected a name of its own'


def wrong_numbers(values: dict[str, Any]) -> Faults:
    """DRBD resources share no device, no port and no disk."""
    for field, kind in (("minor", "number"), ("port", "port"), ("disk", "disk")):
        seen: dict[Any, str] = {}
        for place, item in numbered(values, "drbd"):
            value = item.get(field)
            if value is not None and seen.setdefault(value, f"{place}.{field}") != f"{place}.{field}":
                yield f"{place}.{field}", f'"{value}" is also {seen[value]}; expected a {kind} of its own'


RULES = (wrong_addresses, wrong_names, wrong_disk_names, wrong_numbers)
