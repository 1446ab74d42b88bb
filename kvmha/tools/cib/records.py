"""What Pacemaker's configuration says, as plain values.

Names follow the schema of the CIB (pacemaker-3.9.rng and its parts, and *Pacemaker Explained*). Roles are spelt as
Pacemaker 2.1 and later do, Promoted and Unpromoted, however the document spells them. Numbers and times stay the text
that was written, because a wrong one must be shown as it is; ``milliseconds`` reads a time.
"""

from __future__ import annotations

from functools import cached_property

from kvmha.record import Record
from kvmha.tools.cib.words import is_true, milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

INFINITY = "INFINITY"
STONITH = "stonith"
"""The class of fence devices among the agents."""


class Expression(Record):
    """One condition of a rule: its kind, the name of its element, and its attributes without the id."""

    kind: str
    attributes: Mapping[str, str]


class Rule(Record):
    """When something holds: expressions and further rules, joined by ``and`` or ``or``."""

    id: str
    join: str
    score: str
    score_attribute: str
    role: str
    expressions: tuple[Expression | Rule, ...]


class OptionSet(Record):
    """One block of names and values; with a rule it holds only where and while the rule does."""

    id: str
    values: Mapping[str, str]
    score: str = ""
    rule: Rule | None = None


class Operation(Record):
    """One operation of a resource. ``options`` is all that has no field: start-delay, OCF_CHECK_LEVEL and the like."""

    id: str
    name: str
    interval: str
    timeout: str
    role: str
    on_fail: str
    enabled: str
    options: Mapping[str, str]


class Resource(Record):
    """A primitive, group, clone, bundle or template, with what is inside it.

    The maps hold what the element itself says without conditions; ``Cib.effective`` adds its template and the
    cluster's defaults. ``conditional`` are the blocks with a rule, by the map they belong to.
    """

    id: str
    kind: str
    """primitive, group, clone, bundle or template. The legacy element master is a clone with promotable=true."""
    agent: str
    """class:provider:type or class:type, such as stonith:fence_ipmilan; empty for all but primitives and templates."""
    params: Mapping[str, str]
    meta: Mapping[str, str]
    utilization: Mapping[str, str]
    operations: tuple[Operation, ...]
    children: tuple[Resource, ...]
    parent: str
    """The id of the group, clone or bundle around it, or empty."""
    template: str
    """The id of the template that it is made from, or empty."""
    description: str
    conditional: tuple[tuple[str, OptionSet], ...]
    container: Mapping[str, str]
    """Of a bundle: its attributes as container.image, network.ip-range-start and so on."""
    steering: Mapping[str, str] = {}
    """What ``kvmha.tools.cib.steering`` has laid over the parameters, which are without it."""

    @property
    def is_fence_device(self) -> bool:
        """Whether it is a fence device."""
        return self.agent.startswith(f"{STONITH}:")

    @property
    def is_promotable(self) -> bool:
        """Whether it is a clone whose instances can be promoted."""
        return self.kind == "clone" and is_true(self.meta.get("promotable", ""))


class ResourceSet(Record):
    """Resources that a constraint names together."""

    id: str
    resources: tuple[str, ...]
    sequential: str
    require_all: str
    ordering: str
    action: str
    role: str
    score: str
    kind: str


class Location(Record):
    """Where a resource may or prefers to run: by node and score, or by rules; of ``resource``, ``pattern``, or sets."""

    id: str
    resource: str
    pattern: str
    node: str
    score: str
    role: str
    discovery: str
    rules: tuple[Rule, ...]
    sets: tuple[ResourceSet, ...]


class Colocation(Record):
    """That one resource runs where another does, or where it does not; or sets of them. No score counts as 0."""

    id: str
    resource: str
    with_resource: str
    score: str
    role: str
    with_role: str
    influence: str
    node_attribute: str
    sets: tuple[ResourceSet, ...]


class Order(Record):
    """That one action follows another. Where nothing is said, ``kind`` is Mandatory and the actions are start."""

    id: str
    first: str
    then: str
    first_action: str
    then_action: str
    kind: str
    score: str
    """The older spelling of kind: 0 is Optional, all else is Mandatory."""
    symmetrical: str
    require_all: str
    sets: tuple[ResourceSet, ...]


class Ticket(Record):
    """That a resource runs only at the site that has a ticket."""

    id: str
    resource: str
    role: str
    ticket: str
    loss_policy: str
    sets: tuple[ResourceSet, ...]


class FencingLevel(Record):
    """The devices that are tried together, in the turn of ``index``, for a node."""

    id: str
    target: str
    """The node's name; what stands behind ``pattern:`` or ``attribute:`` (as name=value) where it is not one node."""
    index: str
    devices: tuple[str, ...]


class Recipient(Record):
    """To whom an alert goes."""

    id: str
    value: str
    params: Mapping[str, str]
    meta: Mapping[str, str]


class Alert(Record):
    """A program that is told of events. ``events`` are the kinds selected; none means all but attributes."""

    id: str
    path: str
    description: str
    params: Mapping[str, str]
    meta: Mapping[str, str]
    events: tuple[str, ...]
    recipients: tuple[Recipient, ...]


class Tag(Record):
    """A name for several things."""

    id: str
    references: tuple[str, ...]


class Node(Record):
    """A node as the configuration knows it, with its permanent attributes."""

    id: str
    name: str
    kind: str
    """member, remote or ping; empty counts as member."""
    attributes: Mapping[str, str]
    utilization: Mapping[str, str]


class Unread(Record):
    """A part of the document that this reader does not know: where it is, and its text."""

    place: str
    text: str


class Cib(Record):
    """The whole configuration."""

    attributes: Mapping[str, str]
    """Those of the root: epoch, admin_epoch, num_updates, validate-with, crm_feature_set, have-quorum, dc-uuid..."""
    properties: Mapping[str, str]
    """Cluster properties that hold without conditions, of all sets; that of cib-bootstrap-options counts first."""
    property_sets: tuple[OptionSet, ...]
    resource_defaults: Mapping[str, str]
    resource_default_sets: tuple[OptionSet, ...]
    operation_defaults: Mapping[str, str]
    operation_default_sets: tuple[OptionSet, ...]
    nodes: tuple[Node, ...]
    resources: tuple[Resource, ...]
    """What stands at the top: those in groups and clones are their children. Templates are not among them."""
    templates: tuple[Resource, ...]
    locations: tuple[Location, ...]
    colocations: tuple[Colocation, ...]
    orders: tuple[Order, ...]
    tickets: tuple[Ticket, ...]
    levels: tuple[FencingLevel, ...]
    alerts: tuple[Alert, ...]
    tags: tuple[Tag, ...]
    unread: tuple[Unread, ...]

    def walk(self) -> Iterator[Resource]:
        """Yield all resources, parents before their children, without templates."""
        waiting = list(reversed(self.resources))
        while waiting:
            resource = waiting.pop()
            yield resource
            waiting.extend(reversed(resource.children))

    def primitives(self) -> tuple[Resource, ...]:
        """Return all primitives, wherever they stand."""
        return self._primitives

    # With thousands of resources these three are asked for by everyone who reads the configuration.

    @cached_property
    def _primitives(self) -> tuple[Resource, ...]:
        return tuple(resource for resource in self.walk() if resource.kind == "primitive")

    @cached_property
    def _by_id(self) -> dict[str, Resource]:
        found: dict[str, Resource] = {}
        for resource in self.walk():
            found.setdefault(resource.id, resource)
        return found

    @cached_property
    def _effective(self) -> dict[int, tuple[Resource, Resource]]:
        """By the identity of a resource, itself, so that nobody else gets that identity, and what came of it."""
        return {}

    def resource(self, name: str) -> Resource | None:
        """Return the resource of that id, or None."""
        return self._by_id.get(name)

    def effective(self, resource: Resource) -> Resource:
        """Return a resource with what its template and the defaults add: the element, its template, then the defaults.

        Meta attributes of groups and clones reach their members; an operation of the template is there unless the
        resource has one of that name and interval.
        """
        known = self._effective.get(id(resource))
        if known is None:
            known = self._effective[id(resource)] = resource, self._completed(resource)
        return known[1]

    def _completed(self, resource: Resource) -> Resource:
        template = _named(self.templates, resource.template) if resource.template else None
        around = []
        parent = self.resource(resource.parent) if resource.parent else None
        while parent is not None:
            around.append(parent.meta)
            parent = self.resource(parent.parent) if parent.parent else None
        own = [resource, template] if template is not None else [resource]
        seen = {(op.name, milliseconds(op.interval)) for op in resource.operations}
        inherited = template.operations if template is not None else ()
        return resource.replace(
            agent=resource.agent or (template.agent if template is not None else ""),
            params=_merged(*(each.params for each in own)),
            meta=_merged(*(each.meta for each in own), *around, self.resource_defaults),
            utilization=_merged(*(each.utilization for each in own)),
            operations=(
                *resource.operations,
                *(op for op in inherited if (op.name, milliseconds(op.interval)) not in seen),
            ),
        )

    def operation(self, resource: Resource, name: str, interval: str = "0s") -> Operation | None:
        """Return an operation as it would be executed, its timeout filled in from the defaults; None if not there."""
        for op in self.effective(resource).operations:
            if op.name == name and milliseconds(op.interval) == milliseconds(interval):
                return op.replace(timeout=op.timeout or self.operation_defaults.get("timeout", ""))
        return None


def _merged(*maps: Mapping[str, str]) -> dict[str, str]:
    """Join maps; the first that has a name gives its value."""
    values: dict[str, str] = {}
    for each in maps:
        for name, value in each.items():
            values.setdefault(name, value)
    return values


def _named(found: Iterable[Resource], name: str) -> Resource | None:
    return next((each for each in found if each.id == name), None)
