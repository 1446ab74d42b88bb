"""What one would type to change the configuration with crmsh. Checked with crmsh 4.4.0 and 5.0.0 (crm(8)).

Each function returns commands as the words of an argv, and None where there are none here.
"""

from __future__ import annotations

from kvmha.tools.crmsh import PROGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvmha.tools.cib.records import Alert, Colocation, FencingLevel, Location, Order, Resource, Ticket

Argv = tuple[str, ...]
CONFIGURE = (PROGRAM, "configure")


def corosync(values: Mapping[str, str | None]) -> list[Argv] | None:
    """Return the commands that change corosync.conf, None where a field of it takes more than a command."""
    if any(not name.startswith("totem.") or value is None for name, value in values.items()):
        return None
    changes = [(PROGRAM, "corosync", "set", name, value) for name, value in values.items() if value is not None]
    return [*changes, (PROGRAM, "corosync", "push"), (PROGRAM, "corosync", "reload")]


def properties(values: Mapping[str, str | None]) -> list[Argv]:
    """Return the commands that set cluster properties, and take those away that are None."""
    return _attributes("property", "crm_config", values)


def resource_defaults(values: Mapping[str, str | None]) -> list[Argv]:
    """Return the commands that set defaults of resources."""
    return _attributes("rsc_defaults", "rsc_defaults", values)


def operation_defaults(values: Mapping[str, str | None]) -> list[Argv]:
    """Return the commands that set defaults of operations."""
    return _attributes("op_defaults", "op_defaults", values)


def node(name: str, attributes: Mapping[str, str | None], utilization: Mapping[str, str | None]) -> list[Argv]:
    """Return the commands that set what the configuration says of a node."""
    found: list[Argv] = []
    for word, values in (("attribute", attributes), ("utilization", utilization)):
        for key, value in values.items():
            rest = ("delete", key) if value is None else ("set", key, value)
            found.append((PROGRAM, "node", word, name, *rest))
    return found


def create(resource: Resource, around: Resource | None = None) -> list[Argv]:
    """Return the commands that make a primitive, in a group or as a clone if ``around`` is one."""
    words = [*CONFIGURE, "primitive", resource.id, resource.agent]
    words += ["params", *_pairs(resource.params)] if resource.params else []
    for op in resource.operations:
        own = {"interval": op.interval, "timeout": op.timeout, "role": op.role, "on-fail": op.on_fail}
        given = {key: value for key, value in {**own, "enabled": op.enabled, **op.options}.items() if value}
        words += ["op", op.name, *_pairs(given)]
    words += ["meta", *_pairs(resource.meta)] if resource.meta else []
    words += ["utilization", *_pairs(resource.utilization)] if resource.utilization else []
    found = [tuple(words)]
    if around is not None and around.kind == "clone":
        meta = ("meta", *_pairs(around.meta)) if around.meta else ()
        found.append((*CONFIGURE, "clone", around.id, resource.id, *meta))
    elif around is not None:
        found.append((*CONFIGURE, "modgroup", around.id, "add", resource.id))
    return found


def update(
    resource: str, params: Mapping[str, str | None], meta: Mapping[str, str | None],
    utilization: Mapping[str, str | None], *, is_fence_device: bool,
) -> list[Argv]:  # fmt: skip
    """Return the commands that change a resource."""
    found: list[Argv] = []
    for word, values in (("param", params), ("meta", meta), ("utilization", utilization)):
        for key, value in values.items():
            rest = ("delete", key) if value is None else ("set", key, value)
            found.append((PROGRAM, "resource", word, resource, *rest))
    return found


def operation(resource: str, name: str, values: Mapping[str, str | None]) -> list[Argv]:
    """Return the commands that change an operation, or make it."""
    given = {key: value for key, value in values.items() if value is not None}
    return [(*CONFIGURE, "monitor" if name == "monitor" else "set", f"{resource}-{name}", *_pairs(given))]


def remove_operation(resource: str, name: str, interval: str) -> list[Argv]:
    """Return the commands that take an operation away."""
    return [(*CONFIGURE, "delete", f"{resource}-{name}-{interval}")]


def delete(resource: str, *, is_fence_device: bool) -> list[Argv]:
    """Return the commands that remove a resource."""
    return [(PROGRAM, "resource", "stop", resource), (*CONFIGURE, "delete", resource)]


def location(each: Location) -> list[Argv] | None:
    """Return the commands that make this constraint, None where this module has none."""
    if not each.resource:
        return None
    if each.node:
        role = [f"role={each.role}"] if each.role else []
        return [(*CONFIGURE, "location", each.id, each.resource, *role, f"{each.score}:", each.node)]
    words: list[str] = []
    for rule in each.rules:
        words += ["rule"] + ([f"$role={rule.role}"] if rule.role else [])
        words.append(f"{rule.score or rule.score_attribute}:")
        for number, expression in enumerate(rule.expressions):
            attributes = getattr(expression, "attributes", None)
            if attributes is None or expression.kind != "expression":  # type: ignore[union-attr]
                return None
            operation, attribute = attributes.get("operation", ""), attributes.get("attribute", "")
            unary = operation in ("defined", "not_defined")
            text = (operation, attribute) if unary else (attribute, operation, attributes.get("value", ""))
            words += ([rule.join] if number else []) + list(text)
    return [(*CONFIGURE, "location", each.id, each.resource, *words)]


def colocation(each: Colocation) -> list[Argv] | None:
    """Return the commands that make this constraint, None where this module has none."""
    if each.sets or each.node_attribute or each.influence:
        return None
    first = f"{each.resource}:{each.role}" if each.role else each.resource
    second = f"{each.with_resource}:{each.with_role}" if each.with_role else each.with_resource
    return [(*CONFIGURE, "colocation", each.id, f"{each.score or '0'}:", first, second)]


def order(each: Order) -> list[Argv] | None:
    """Return the commands that make this constraint, None where this module has none."""
    if each.sets:
        return None
    first = f"{each.first}:{each.first_action}" if each.first_action else each.first
    then = f"{each.then}:{each.then_action}" if each.then_action else each.then
    more = [f"symmetrical={each.symmetrical}"] if each.symmetrical else []
    more += [f"require-all={each.require_all}"] if each.require_all else []
    return [(*CONFIGURE, "order", each.id, f"{each.kind or each.score or 'Mandatory'}:", first, then, *more)]


def ticket(each: Ticket) -> list[Argv] | None:
    """Return the commands that make this constraint, None where this module has none."""
    if each.sets:
        return None
    what = f"{each.resource}:{each.role}" if each.role else each.resource
    more = [f"loss-policy={each.loss_policy}"] if each.loss_policy else []
    return [(*CONFIGURE, "rsc_ticket", each.id, f"{each.ticket}:", what, *more)]


def delete_constraint(name: str) -> list[Argv]:
    """Return the commands that remove a constraint."""
    return [(*CONFIGURE, "delete", name)]


def level(each: FencingLevel) -> list[Argv] | None:
    """Return None: crmsh has one command for all levels of all nodes, and none for a single one."""
    return None


def delete_level(target: str, index: str) -> list[Argv] | None:
    """Return None, as for ``level``."""
    return None


def alert(each: Alert) -> list[Argv] | None:
    """Return the commands that make an alert."""
    words = [*CONFIGURE, "alert", each.id, each.path]
    words += ["attributes", *_pairs(each.params)] if each.params else []
    words += ["meta", *_pairs(each.meta)] if each.meta else []
    words += ["select", *each.events] if each.events else []
    for recipient in each.recipients:
        words += ["to", "{", recipient.value, "}"]
    return [tuple(words)]


def delete_alert(name: str) -> list[Argv]:
    """Return the commands that remove an alert."""
    return [(*CONFIGURE, "delete", name)]


def _attributes(word: str, section: str, values: Mapping[str, str | None]) -> list[Argv]:
    found: list[Argv] = []
    given = {key: value for key, value in values.items() if value is not None}
    if given:
        found.append((*CONFIGURE, word, *_pairs(given)))
    found += [
        ("crm_attribute", "--type", section, "--name", key, "--delete")
        for key, value in values.items()
        if value is None
    ]
    return found


def _pairs(values: Mapping[str, str]) -> Sequence[str]:
    return [f"{name}={value}" for name, value in values.items()]
