"""Constraints of the CIB."""

from __future__ import annotations

from kvmha.tools.cib.records import Colocation, Location, Order, ResourceSet, Ticket
from kvmha.tools.cib.words import role_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Element

    from kvmha.tools.cib.reader import Reader


def location(reader: Reader, element: Element) -> Location:
    """Read an rsc_location."""
    # A lifetime holds the rules in documents of an older schema.
    rules = [*element.iterchildren("rule"), *(rule for each in element.iterchildren("lifetime") for rule in each)]
    return Location(
        id=element.get("id", ""),
        resource=element.get("rsc", ""),
        pattern=element.get("rsc-pattern", ""),
        node=element.get("node", ""),
        score=element.get("score", ""),
        role=role_of(element.get("role", "")),
        discovery=element.get("resource-discovery", ""),
        rules=tuple(reader.rule(each) for each in rules),
        sets=_sets(reader, element),
    )


def colocation(reader: Reader, element: Element) -> Colocation:
    """Read an rsc_colocation."""
    return Colocation(
        id=element.get("id", ""),
        resource=element.get("rsc", ""),
        with_resource=element.get("with-rsc", ""),
        score=element.get("score", ""),
        role=role_of(element.get("rsc-role", "")),
        with_role=role_of(element.get("with-rsc-role", "")),
        influence=element.get("influence", ""),
        node_attribute=element.get("node-attribute", ""),
        sets=_sets(reader, element),
    )


def order(reader: Reader, element: Element) -> Order:
    """Read an rsc_order."""
    return Order(
        id=element.get("id", ""),
        first=element.get("first", ""),
        then=element.get("then", ""),
        first_action=element.get("first-action", ""),
        then_action=element.get("then-action", ""),
        kind=element.get("kind", ""),
        score=element.get("score", ""),
        symmetrical=element.get("symmetrical", ""),
        require_all=element.get("require-all", ""),
        sets=_sets(reader, element),
    )


def ticket(reader: Reader, element: Element) -> Ticket:
    """Read an rsc_ticket."""
    return Ticket(
        id=element.get("id", ""),
        resource=element.get("rsc", ""),
        role=role_of(element.get("rsc-role", "")),
        ticket=element.get("ticket", ""),
        loss_policy=element.get("loss-policy", ""),
        sets=_sets(reader, element),
    )


def _sets(reader: Reader, constraint: Element) -> tuple[ResourceSet, ...]:
    return tuple(
        ResourceSet(
            id=each.get("id", ""),
            resources=tuple(ref.get("id", "") for ref in reader.children(each, ("resource_ref",))),
            sequential=each.get("sequential", ""),
            require_all=each.get("require-all", ""),
            ordering=each.get("ordering", ""),
            action=each.get("action", ""),
            role=role_of(each.get("role", "")),
            score=each.get("score", ""),
            kind=each.get("kind", ""),
        )
        for each in reader.children(constraint, ("resource_set",))
    )
