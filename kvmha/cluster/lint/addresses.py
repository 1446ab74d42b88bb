"""Floating addresses."""

from __future__ import annotations

from kvmha.cluster.facts.records import ADDRESS_AGENTS
from kvmha.cluster.lint.rule import CIB, ERROR, RING, WARNING, Fault, Rule
from kvmha.tools.cib import milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.lint.rule import Seen

AREA = "addresses"


def _same_address(facts: Facts) -> Iterator[Seen]:
    seen: dict[str, str] = {}
    for resource in facts.resources(ADDRESS_AGENTS):
        ip = resource.params.get("ip", "")
        if ip and seen.setdefault(ip, resource.id) != resource.id:
            yield Fault(
                subject=resource.id,
                said=f"{seen[ip]} has the same address, and two nodes would answer for it",
                chain=f"ip {ip}",
                yaml="floating_ips: an ip of its own for each",
                commands=(f"pcs resource delete {resource.id}",),
            )


def _of_node(facts: Facts) -> Iterator[Seen]:
    ring = facts.ring
    addresses = {address: node.name for node in ring.nodes for _, address in node.addresses} if ring else {}
    for resource in facts.resources(ADDRESS_AGENTS):
        owner = addresses.get(resource.params.get("ip", ""))
        if owner:
            yield Fault(
                subject=resource.id,
                said=f"it is the address of {owner} itself: where it starts, {owner} falls out of the cluster",
                chain=f"ip {resource.params['ip']}",
                yaml="floating_ips: an ip that no node has",
                commands=(f"pcs resource update {resource.id} ip=ADDRESS",),
            )


def _no_order(facts: Facts) -> Iterator[Seen]:
    if facts.cib is None:
        return
    orders = {(each.first, each.then) for each in facts.cib.orders}
    guests = {guest.id for guest in facts.guests}
    for resource in facts.resources(ADDRESS_AGENTS):
        for colocation in facts.cib.colocations:
            guest = colocation.with_resource
            if colocation.resource == resource.id and guest in guests and (guest, resource.id) not in orders:
                yield Fault(
                    subject=resource.id,
                    said=f"it follows {guest} and waits for nothing: clients come before the guest is there",
                    chain=f"{colocation.id}, and no order {guest} then {resource.id}",
                    yaml="floating_ips: follows sets both; render and apply them",
                    commands=(f"pcs constraint order start {guest} then start {resource.id}",),
                )


def _unset(facts: Facts) -> Iterator[Seen]:
    for resource in facts.resources(ADDRESS_AGENTS):
        found = [op for op in resource.operations if op.name == "monitor" and milliseconds(op.interval)]
        if not found:
            yield Fault(
                subject=resource.id,
                said="nobody looks whether the address is still there",
                chain="no monitor operation with an interval",
                commands=(f"pcs resource op add {resource.id} monitor interval=10s timeout=20s",),
            )


RULES = (
    Rule(id="same-address", severity=ERROR, area=AREA, needs=(CIB,), find=_same_address,
         looks_at="The addresses of all floating IPs.",
         why="An address is at one place."),
    Rule(id="address-of-node", severity=ERROR, area=AREA, needs=(RING, CIB), find=_of_node,
         looks_at="The addresses of the floating IPs against those of the nodes.",
         why="A node needs its own."),
    Rule(id="address-order", severity=WARNING, area=AREA, needs=(CIB,), find=_no_order,
         looks_at="The order of an address after the guest that it follows.",
         why="Being together is not the same as coming after."),
    Rule(id="address-unwatched", severity=WARNING, area=AREA, needs=(CIB,), find=_unset,
         looks_at="The monitor of each floating IP.",
         why="What nobody looks at is not recovered."),
)  # fmt: skip
