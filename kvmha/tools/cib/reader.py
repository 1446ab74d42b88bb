"""One walk over one document of the CIB; what nobody asked for is collected."""

from __future__ import annotations

from kvmha.tools.cib import constraints
from kvmha.tools.cib.records import (
    INFINITY,
    Alert,
    Cib,
    Expression,
    FencingLevel,
    Node,
    Operation,
    OptionSet,
    Recipient,
    Resource,
    Rule,
    Tag,
    Unread,
)  # fmt: skip
from kvmha.tools.cib.steering import STEERING
from kvmha.tools.cib.words import role_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any as Element

OPERATION_FIELDS = ("name", "interval", "timeout", "role", "on-fail", "enabled")
CONTAINERS = ("docker", "podman", "rkt")
BLOCKS = {"instance_attributes": "params", "meta_attributes": "meta", "utilization": "utilization"}
RESOURCES = ("primitive", "template", "group", "clone", "master", "bundle")
CONSTRAINTS = ("rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket")
EXPRESSIONS = ("expression", "date_expression", "rsc_expression", "op_expression")
SECTIONS = (
    "crm_config", "rsc_defaults", "op_defaults", "nodes", "resources", "constraints", "fencing-topology", "alerts",
    "tags",
)  # fmt: skip
# What is read where it is needed, and so no surprise below these elements.
PASSED_OVER = {
    **dict.fromkeys(("cluster_property_set", "meta_attributes", "instance_attributes", "utilization"), ("rule",)),
    **dict.fromkeys(CONSTRAINTS, ("rule", "lifetime")),
}


class Reader:
    """Reads each element once; ``text_of`` turns one back into text."""

    def __init__(self, root: Element, text_of: Callable[[Element], str]) -> None:
        self.root, self.text_of = root, text_of
        self.ids: dict[str, Element] = {}
        for element in root.find("configuration").iter("*"):
            self.ids.setdefault(element.get("id", ""), element)
        self.unread: list[Unread] = []

    def aim(self, element: Element) -> Element:
        """Return the element that an id-ref means, else the element itself."""
        reference = element.get("id-ref")
        return self.ids.get(reference, element) if reference else element

    def cib(self) -> Cib:
        sections = self._sections()
        properties = self._blocks(sections.get("crm_config"), "cluster_property_set")
        # cib-bootstrap-options always counts first (pe_sort_op_attributes and its kin in Pacemaker's lib/pengine).
        properties.sort(key=lambda block: block.id != "cib-bootstrap-options")
        resource_defaults = self._blocks(sections.get("rsc_defaults"), "meta_attributes")
        operation_defaults = self._blocks(sections.get("op_defaults"), "meta_attributes")
        resources = [self.resource(each, "") for each in self.children(sections.get("resources"), RESOURCES)]
        limits: dict[str, list[Element]] = {name: [] for name in CONSTRAINTS}
        for each in self.children(sections.get("constraints"), CONSTRAINTS):
            limits[each.tag].append(each)
        return Cib(
            attributes=dict(self.root.attrib),
            properties=_unconditional(properties),
            property_sets=tuple(properties),
            resource_defaults=_unconditional(resource_defaults),
            resource_default_sets=tuple(resource_defaults),
            operation_defaults=_unconditional(operation_defaults),
            operation_default_sets=tuple(operation_defaults),
            nodes=tuple(self._node(each) for each in self.children(sections.get("nodes"), ("node",))),
            resources=tuple(each for each in resources if each.kind != "template"),
            templates=tuple(each for each in resources if each.kind == "template"),
            locations=tuple(constraints.location(self, each) for each in limits["rsc_location"]),
            colocations=tuple(constraints.colocation(self, each) for each in limits["rsc_colocation"]),
            orders=tuple(constraints.order(self, each) for each in limits["rsc_order"]),
            tickets=tuple(constraints.ticket(self, each) for each in limits["rsc_ticket"]),
            levels=tuple(_level(each) for each in self.children(sections.get("fencing-topology"), ("fencing-level",))),
            alerts=tuple(self._alert(each) for each in self.children(sections.get("alerts"), ("alert",))),
            tags=tuple(self._tag(each) for each in self.children(sections.get("tags"), ("tag",))),
            unread=tuple(self.unread),
        )

    def _sections(self) -> dict[str, Element]:
        configuration = self.root.find("configuration")
        return {each.tag: each for each in self.children(configuration, SECTIONS)}

    def children(self, parent: Element | None, known: Iterable[str]) -> list[Element]:
        """Return the child elements of these names, references followed; others are noted as not read."""
        found: list[Element] = []
        if parent is None:
            return found
        for child in parent.iterchildren("*"):
            if child.tag in known:
                found.append(self.aim(child))
            elif child.tag not in PASSED_OVER.get(parent.tag, ()):
                self._note(child)
        return found

    def _note(self, element: Element) -> None:
        path = [each.get("id") or each.tag for each in (element, *element.iterancestors())]
        place = "/".join(reversed([element.tag, *path[1:-2]]))
        self.unread.append(Unread(place=place, text=self.text_of(element).strip()))

    # ---------------------------------------------------------- names and values

    def _blocks(self, parent: Element | None, tag: str) -> list[OptionSet]:
        """Return the blocks of one kind below an element, that which counts first at the front."""
        found = [] if parent is None else list(parent.iterchildren(tag))
        if parent is not None and parent.tag in ("crm_config", "rsc_defaults", "op_defaults"):
            self.children(parent, (tag,))
        blocks = [self._block(self.aim(each)) for each in found]
        blocks.sort(key=lambda block: -_number(block.score))
        return blocks

    def _block(self, element: Element) -> OptionSet:
        values: dict[str, str] = {}
        renamed: dict[str, str] = {}
        for pair in element.iterchildren("*"):
            if pair.tag != "nvpair":
                if pair.tag not in PASSED_OVER.get(element.tag, ()):
                    self._note(pair)
                continue
            aimed = self.aim(pair)
            values.setdefault(aimed.get("name", ""), aimed.get("value", ""))
            # A reference may give the value of another pair a name of its own.
            if aimed is not pair and pair.get("name"):
                renamed[pair.get("name", "")] = aimed.get("value", "")
        values.update(renamed)
        rule = element.find("rule")
        return OptionSet(
            id=element.get("id", ""),
            values=values,
            score=element.get("score", ""),
            rule=None if rule is None else self.rule(rule),
        )

    def rule(self, element: Element) -> Rule:
        element = self.aim(element)
        expressions: list[Expression | Rule] = []
        for each in self.children(element, ("rule", *EXPRESSIONS)):
            if each.tag == "rule":
                expressions.append(self.rule(each))
                continue
            attributes = {name: value for name, value in each.attrib.items() if name != "id"}
            for child in each.iterchildren("*"):
                inner = {f"{child.tag}.{name}": value for name, value in child.attrib.items()}
                attributes.update({name: value for name, value in inner.items() if not name.endswith(".id")})
            expressions.append(Expression(kind=each.tag, attributes=attributes))
        return Rule(
            id=element.get("id", ""),
            join=element.get("boolean-op", "and"),
            score=element.get("score", ""),
            score_attribute=element.get("score-attribute", ""),
            role=role_of(element.get("role", "")),
            expressions=tuple(expressions),
        )

    # ----------------------------------------------------------------- resources

    def resource(self, element: Element, parent: str) -> Resource:
        """Read a resource with what is inside it; ``parent`` is the id around it, or empty."""
        kind = "clone" if element.tag == "master" else element.tag
        name = element.get("id", "")
        own = {word: self._blocks(element, tag) for tag, word in BLOCKS.items()}
        children, operations, container = [], [], {}
        for each in self.children(element, (*RESOURCES, "operations", *CONTAINERS, "network", "storage", *BLOCKS)):
            if each.tag in RESOURCES:
                children.append(self.resource(each, name))
            elif each.tag == "operations":
                operations += [self._operation(op) for op in self.children(each, ("op",))]
            elif each.tag not in BLOCKS:
                container.update(_flat(each))
        steering = [block for block in own["params"] if block.id.endswith(STEERING)]
        meta = _unconditional(own["meta"])
        if element.tag == "master":
            meta["promotable"] = "true"
        return Resource(
            id=name,
            kind=kind,
            agent=":".join(filter(None, (element.get("class"), element.get("provider"), element.get("type")))),
            params=_unconditional([block for block in own["params"] if block not in steering]),
            meta=meta,
            utilization=_unconditional(own["utilization"]),
            operations=tuple(operations),
            children=tuple(children),
            parent=parent,
            template=element.get("template", ""),
            description=element.get("description", ""),
            conditional=tuple((word, block) for word, blocks in own.items() for block in blocks if block.rule),
            container=container,
            steering=_unconditional(steering),
        )

    def _operation(self, element: Element) -> Operation:
        fixed = (*OPERATION_FIELDS, "id", "description")
        options = {name: value for name, value in element.attrib.items() if name not in fixed}
        for each in self.children(element, ("instance_attributes", "meta_attributes")):
            options.update(self._block(each).values)
        # Operations once kept their fields among their meta attributes as well, where the attributes win.
        fields = {name: element.get(name) or options.pop(name, "") for name in OPERATION_FIELDS}
        return Operation(
            id=element.get("id", ""),
            name=fields["name"],
            interval=fields["interval"] or "0",
            timeout=fields["timeout"],
            role=role_of(fields["role"]),
            on_fail=fields["on-fail"],
            enabled=fields["enabled"],
            options=options,
        )

    def _node(self, element: Element) -> Node:
        found = {tag: self._blocks(element, tag) for tag in ("instance_attributes", "utilization")}
        return Node(
            id=element.get("id", ""),
            name=element.get("uname", ""),
            kind=element.get("type", ""),
            attributes=_unconditional(found["instance_attributes"]),
            utilization=_unconditional(found["utilization"]),
        )

    # ---------------------------------------------------------------------- rest

    def _alert(self, element: Element) -> Alert:
        children = self.children(element, ("instance_attributes", "meta_attributes", "select", "recipient"))
        events = [event.tag for each in children if each.tag == "select" for event in each.iterchildren("*")]
        return Alert(
            id=element.get("id", ""),
            path=element.get("path", ""),
            description=element.get("description", ""),
            params=_unconditional(self._blocks(element, "instance_attributes")),
            meta=_unconditional(self._blocks(element, "meta_attributes")),
            events=tuple(sorted(events)),
            recipients=tuple(
                Recipient(
                    id=each.get("id", ""),
                    value=each.get("value", ""),
                    params=_unconditional(self._blocks(each, "instance_attributes")),
                    meta=_unconditional(self._blocks(each, "meta_attributes")),
                )
                for each in children
                if each.tag == "recipient"
            ),
        )

    def _tag(self, element: Element) -> Tag:
        references = (each.get("id", "") for each in self.children(element, ("obj_ref",)))
        return Tag(id=element.get("id", ""), references=tuple(references))


def _level(element: Element) -> FencingLevel:
    target = element.get("target", "")
    if element.get("target-pattern"):
        target = f"pattern:{element.get('target-pattern')}"
    elif element.get("target-attribute"):
        target = f"attribute:{element.get('target-attribute')}={element.get('target-value', '')}"
    devices = tuple(device.strip() for device in element.get("devices", "").split(","))
    return FencingLevel(id=element.get("id", ""), target=target, index=element.get("index", ""), devices=devices)


def _flat(element: Element) -> dict[str, str]:
    """Return a bundle's container, network or storage as names with dots."""
    first = "container" if element.tag in CONTAINERS else element.tag
    values = {f"{first}.{name}": value for name, value in element.attrib.items()}
    if first == "container":
        values["container.type"] = element.tag
    for child in element.iterchildren("*"):
        inside = f"{first}.{child.get('id') or child.tag}"
        values.update({f"{inside}.{name}": value for name, value in child.attrib.items() if name != "id"})
    return values


def _unconditional(blocks: list[OptionSet]) -> dict[str, str]:
    values: dict[str, str] = {}
    for block in blocks:
        if block.rule is None:
            for name, value in block.values.items():
                values.setdefault(name, value)
    return values


def _number(score: str) -> float:
    if score.lstrip("+-") == INFINITY:
        return -1_000_000.0 if score.startswith("-") else 1_000_000.0
    try:
        return float(int(score or "0"))
    except ValueError:
        return 0.0
