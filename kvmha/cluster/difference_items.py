"""A configuration as things with fields, so that two of them can be compared field by field.

Invariant: two configurations that mean the same give the same items, however they are written; ids of constraints, the
spelling of times and scores, and what the cluster itself notes among its properties make no difference.
"""

from __future__ import annotations

from kvmha.record import Record
from kvmha.tools.cib import records as cib
from kvmha.tools.cib import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PROPERTIES, RESOURCE_DEFAULTS, OPERATION_DEFAULTS = "properties", "resource-defaults", "operation-defaults"

COROSYNC = "corosync"
FENCE_DEVICE, RESOURCE, NODE, CONSTRAINT, LEVEL, ALERT, TAG, TEMPLATE = (
    "fence device", "resource", "node", "constraint", "fencing level", "alert", "tag", "template",
)  # fmt: skip

OWN = ("cluster-infrastructure", "cluster-name", "dc-version", "have-watchdog", "last-lrm-refresh")
"""Properties that the cluster sets by itself."""


class Item(Record):
    """One thing of a configuration: its id, what kind of thing it is, and its fields by name.

    A field is named by where it stands: ``params.config``, ``meta.priority``, ``op monitor.timeout``; ``agent``,
    ``members`` and those of constraints have no dot.
    """

    id: str
    kind: str
    title: str
    fields: Mapping[str, str]
    parent: str = ""
    refers: tuple[str, ...] = ()
    """Other items that it cannot be without."""


def items(wanted: cib.Cib) -> dict[str, Item]:
    """Return all items of a configuration by their ids, in an order in which they can be made."""
    found = [
        Item(id=PROPERTIES, kind=PROPERTIES, title="cluster properties", fields=_properties(wanted)),
        Item(
            id=RESOURCE_DEFAULTS, kind=RESOURCE_DEFAULTS, title="resource defaults",
            fields=dict(wanted.resource_defaults),
        ),
        Item(
            id=OPERATION_DEFAULTS, kind=OPERATION_DEFAULTS, title="operation defaults",
            fields=dict(wanted.operation_defaults),
        ),
    ]  # fmt: skip
    found += [_node(node) for node in wanted.nodes]
    found += [_resource(each) for each in (*wanted.templates, *wanted.walk())]
    found += [_location(each) for each in wanted.locations]
    found += [_colocation(each) for each in wanted.colocations]
    found += [_order(each) for each in wanted.orders]
    found += [_ticket(each) for each in wanted.tickets]
    found += [_level(each) for each in wanted.levels]
    found += [_alert(each) for each in wanted.alerts]
    found += [
        Item(
            id=each.id, kind=TAG, title=f"tag {each.id}", refers=each.references,
            fields={"members": ",".join(sorted(each.references))},
        )
        for each in wanted.tags
    ]  # fmt: skip
    trials = {each.id for each in wanted.walk() if TRIAL in each.meta}
    return {item.id: item for item in found if item.id not in trials and not trials & {*item.refers}}


TRIAL = "kvmha-trial"
"""The name in the meta attributes of a fence device that is only there to be tried; it belongs to nobody else."""


def same(field: str, left: str, right: str) -> bool:
    """Tell whether two values of a field mean the same."""
    if left == right:
        return True
    name = field.rpartition(".")[2]
    if name in TIMES:
        return words.milliseconds(left) == words.milliseconds(right)
    if name == "score":
        return _score(left) == _score(right)
    if name in BOOLEANS:
        return words.is_true(left) == words.is_true(right)
    return False


TIMES = (
    "interval", "timeout", "start-delay", "failure-timeout", "priority-fencing-delay", "stonith-timeout",
    "stonith-watchdog-timeout", "cluster-recheck-interval", "dc-deadtime", "cluster-delay", "shutdown-escalation",
    "fence-reaction-delay", "power_wait", "pcmk_delay_base", "pcmk_delay_max",
)  # fmt: skip
BOOLEANS = (
    "stonith-enabled", "start-failure-is-fatal", "symmetrical-cluster", "maintenance-mode", "allow-migrate",
    "interleave",
    "notify", "promotable", "is-managed", "maintenance", "enabled", "symmetrical", "require-all", "sequential",
)  # fmt: skip


def _score(text: str) -> str:
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text.lstrip("+"))
    is_infinite = digits.upper() in ("INF", cib.INFINITY) or (digits.isdigit() and int(digits) >= 1_000_000)
    return f"{sign}{cib.INFINITY}" if is_infinite else f"{sign}{digits or '0'}"


def _properties(wanted: cib.Cib) -> dict[str, str]:
    return {
        name: value for name, value in wanted.properties.items() if name not in OWN and not name.startswith("kvmha-")
    }


def _node(node: cib.Node) -> Item:
    # What kvmha itself notes of a node, such as the trials of fence devices, is nobody's wish.
    wishes = {name: value for name, value in node.attributes.items() if not name.startswith("kvmha-")}
    fields = {**_under("attributes", wishes), **_under("utilization", node.utilization)}
    return Item(id=f"node {node.name}", kind=NODE, title=f"node {node.name}", fields=fields)


def _resource(resource: cib.Resource) -> Item:
    fields = {
        "agent": resource.agent,
        "template": resource.template,
        "description": resource.description,
        "members": ",".join(child.id for child in resource.children),
        **_under("params", resource.params),
        **_under("meta", _lasting(resource.meta)),
        **_under("utilization", resource.utilization),
        **_under("container", resource.container),
    }
    for key, op in operations(resource).items():
        own = {"interval": op.interval, "timeout": op.timeout, "on-fail": op.on_fail, "enabled": op.enabled}
        fields.update({f"op {key}.{name}": value for name, value in {**own, **op.options}.items() if value})
    for word, block in resource.conditional:
        fields[f"{word} with rule {block.id}"] = f"{_rule_text(block.rule)}: {_pairs(block.values)}"
    kind = FENCE_DEVICE if resource.is_fence_device else TEMPLATE if resource.kind == "template" else RESOURCE
    title = f"fence device {resource.id}" if resource.is_fence_device else f"{resource.kind} {resource.id}"
    return Item(
        id=resource.id,
        kind=kind,
        title=title,
        fields={name: value for name, value in fields.items() if value},
        parent=resource.parent,
        refers=(resource.template,) if resource.template else (),
    )


def _lasting(meta: Mapping[str, str]) -> dict[str, str]:
    """Return what a resource's meta attributes say, but for what an application notes while it is under way."""
    passing = (LEAVING, "target-role") if LEAVING in meta else ()
    return {name: value for name, value in meta.items() if name not in passing}


LEAVING = "kvmha-leaving"
"""The name in the meta attributes of a resource that an application stops before it removes it."""


def operations(resource: cib.Resource) -> dict[str, cib.Operation]:
    """Return a resource's operations by what tells them apart: name, role, and depth; a second one by its interval."""
    found: dict[str, cib.Operation] = {}
    for op in resource.operations:
        depth = op.options.get("OCF_CHECK_LEVEL", "")
        key = " ".join(filter(None, (op.name, op.role, f"depth {depth}" if depth else "")))
        found[key if key not in found else f"{key} every {op.interval}"] = op
    return found


# ---------------------------------------------------------------- constraints


def _location(each: cib.Location) -> Item:
    fields = {
        "resource": each.resource, "pattern": each.pattern, "node": each.node, "score": each.score, "role": each.role,
        "discovery": each.discovery, "rules": "; ".join(_rule_text(rule) for rule in each.rules),
        "sets": _sets(each.sets),
    }  # fmt: skip
    what = each.resource or each.pattern or _sets(each.sets)
    how = f"{each.score} on {each.node}" if each.node else f"by the rule {fields['rules']}"
    return _constraint(each.id, f"{what} has {how}", fields, (each.resource, *_members(each.sets)))


def _colocation(each: cib.Colocation) -> Item:
    fields = {
        "resource": each.resource, "with": each.with_resource, "score": each.score or "0", "role": each.role,
        "with-role": each.with_role, "influence": each.influence, "node-attribute": each.node_attribute,
        "sets": _sets(each.sets),
    }  # fmt: skip
    what = f"{each.resource} with {each.with_role.lower()} {each.with_resource}".replace("  ", " ")
    title = f"{what if each.resource else _sets(each.sets)} ({each.score or '0'})"
    return _constraint(each.id, title, fields, (each.resource, each.with_resource, *_members(each.sets)))


def _order(each: cib.Order) -> Item:
    kind = each.kind or ("Optional" if _score(each.score) == "0" and each.score else "Mandatory")
    fields = {
        "first": each.first, "then": each.then, "first-action": each.first_action or ("start" if each.first else ""),
        "then-action": each.then_action or each.first_action or ("start" if each.then else ""), "kind": kind,
        "symmetrical": each.symmetrical, "require-all": each.require_all, "sets": _sets(each.sets),
    }  # fmt: skip
    what = f"{fields['first-action']} {each.first}, then {fields['then-action']} {each.then}"
    title = f"{what if each.first else _sets(each.sets)} ({kind})"
    return _constraint(each.id, title, fields, (each.first, each.then, *_members(each.sets)))


def _ticket(each: cib.Ticket) -> Item:
    fields = {
        "resource": each.resource, "role": each.role, "ticket": each.ticket, "loss-policy": each.loss_policy,
        "sets": _sets(each.sets),
    }  # fmt: skip
    title = f"{each.resource or _sets(each.sets)} needs the ticket {each.ticket}"
    return _constraint(each.id, title, fields, (each.resource, *_members(each.sets)))


def _constraint(name: str, title: str, fields: dict[str, str], refers: Iterable[str]) -> Item:
    given = {key: value for key, value in fields.items() if value}
    return Item(id=name, kind=CONSTRAINT, title=title, fields=given, refers=tuple(filter(None, refers)))


def _sets(sets: tuple[cib.ResourceSet, ...]) -> str:
    words = []
    for each in sets:
        options = {
            "sequential": each.sequential, "require-all": each.require_all, "ordering": each.ordering,
            "action": each.action, "role": each.role, "score": each.score, "kind": each.kind,
        }  # fmt: skip
        words.append(" ".join(("set", *each.resources, *(f"{name}={word}" for name, word in options.items() if word))))
    return " ".join(words)


def _members(sets: tuple[cib.ResourceSet, ...]) -> Iterator[str]:
    return (name for each in sets for name in each.resources)


def _rule_text(rule: cib.Rule | None) -> str:
    if rule is None:
        return ""
    parts = [f"({_rule_text(each)})" if isinstance(each, cib.Rule) else _expression(each) for each in rule.expressions]
    score = rule.score or rule.score_attribute
    heads = [f"score {score}" if score else "", f"role {rule.role}" if rule.role else ""]
    return ", ".join(filter(None, (*heads, f" {rule.join} ".join(parts))))


def _expression(each: cib.Expression) -> str:
    words = dict(each.attributes)
    if each.kind == "expression":
        first = (words.pop("attribute", ""), words.pop("operation", ""), words.pop("value", ""))
        return " ".join(filter(None, (*first, _pairs(words))))
    return f"{each.kind} {_pairs(words)}"


# ----------------------------------------------------------------------- rest


def _level(each: cib.FencingLevel) -> Item:
    title = f"fencing level {each.index} of {each.target}"
    # Devices of one level act together, in whatever order they are named.
    fields = {"target": each.target, "index": each.index, "devices": ",".join(each.devices)}
    return Item(id=f"level {each.target} {each.index}", kind=LEVEL, title=title, fields=fields, refers=each.devices)


def _alert(each: cib.Alert) -> Item:
    fields = {
        "path": each.path, "description": each.description, "events": ",".join(each.events),
        **_under("params", each.params), **_under("meta", each.meta),
    }  # fmt: skip
    for recipient in each.recipients:
        fields[f"recipient {recipient.value}"] = _pairs({**recipient.params, **recipient.meta}) or "yes"
    given = {name: value for name, value in fields.items() if value}
    return Item(id=each.id, kind=ALERT, title=f"alert {each.id}", fields=given)


def _under(word: str, values: Mapping[str, str]) -> dict[str, str]:
    return {f"{word}.{name}": value for name, value in values.items()}


def _pairs(values: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(values.items()))
