"""What a cluster's configuration consists of, before it is XML, pcs's words or crmsh's.

Every id is given here, so that all three write the same configuration and a later look finds each thing by its id.
"""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    Pairs = tuple[tuple[str, str], ...]

INFINITY = "INFINITY"


class Setting(Record):
    """A property or default with the reason for its value; one that the operator chose says so."""

    name: str
    value: str
    why: str


class Operation(Record):
    """An operation of a resource; times as Pacemaker writes them, options such as OCF_CHECK_LEVEL."""

    name: str
    interval: str
    timeout: str
    options: Pairs = ()
    on_fail: str = ""
    """What the cluster does where it fails; empty for its own choice."""


class Primitive(Record):
    """A resource: its agent as ``ocf:kvmha:VirtualDomain`` or ``stonith:fence_ipmilan``, and all that it is given."""

    id: str
    agent: str
    params: Pairs
    operations: tuple[Operation, ...]
    meta: Pairs = ()
    utilization: Pairs = ()

    @property
    def is_fence_device(self) -> bool:
        """Tell whether Pacemaker uses it to power nodes off."""
        return self.agent.startswith("stonith:")


class Clone(Record):
    """Copies of one primitive on several nodes."""

    id: str
    meta: Pairs


class Location(Record):
    """A resource likes a node, or not: by name and score."""

    id: str
    resource: str
    node: str
    score: str
    kind: str = "location"


class AttributeRule(Record):
    """A resource's place hangs on a node attribute: on its value as a score, or on whether it is there."""

    id: str
    resource: str
    attribute: str
    operation: str
    score: str | None = None
    kind: str = "rule"


class Colocation(Record):
    """A resource is where another one is, or where it is not."""

    id: str
    resource: str
    with_resource: str
    score: str
    kind: str = "colocation"


class Order(Record):
    """A resource starts after another one, and stops before it."""

    id: str
    first: str
    then: str
    kind: str = "order"


class TicketConstraint(Record):
    """A resource runs only while this site holds a ticket."""

    id: str
    resource: str
    ticket: str
    loss_policy: str
    kind: str = "ticket"


if TYPE_CHECKING:
    from typing import Union

    Constraint = Union[Location, AttributeRule, Colocation, Order, TicketConstraint]


class Part(Record):
    """What is made in one step: a resource, its clone, and the constraints that it brings along."""

    title: str
    primitive: Primitive
    clone: Clone | None = None
    constraints: tuple[Constraint, ...] = ()


class Level(Record):
    """Fence devices that are tried together for a node, after those of lower levels have failed."""

    id: str
    node: str
    index: int
    devices: tuple[str, ...]


class AlertPart(Record):
    """A program that is told what happens."""

    id: str
    path: str
    options: Pairs
    timeout: str
    recipients: Pairs


class NodePart(Record):
    """A node: its id, its name, what its guests may use, and what it has for them by name."""

    id: int
    name: str
    utilization: Pairs
    attributes: Pairs = ()


class Configuration(Record):
    """All that goes into the CIB; the parts are in an order in which each refers only to those before it."""

    properties: tuple[Setting, ...]
    resource_defaults: tuple[Setting, ...]
    nodes: tuple[NodePart, ...]
    parts: tuple[Part, ...]
    levels: tuple[Level, ...]
    alerts: tuple[AlertPart, ...]

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Return the constraints of all parts, in their order."""
        return tuple(constraint for part in self.parts for constraint in part.constraints)
