"""What one would type to change the configuration with pcs. Checked with pcs 0.11.5 and 0.12.0 (pcs(8)).

Each function returns commands as the words of an argv, and None where pcs has none.
"""

from __future__ import annotations

from kvmha.tools.cib.words import milliseconds
from kvmha.tools.pcs import PROGRAM, Argv, totem_argv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvmha.tools.cib.records import Alert, Colocation, FencingLevel, Location, Order, Resource, Ticket


def corosync(values: Mapping[str, str | None]) -> list[Argv] | None:
    """Return the commands that change corosync.conf, None where a field of it takes more than a command."""
    if any(not name.startswith("totem.") for name in values):
        return None
    return [totem_argv({name.partition(".")[2]: value for name, value in values.items()})]


def properties(values: Mapping[str, str | None]) -> list[Argv]:
    """Return the commands that set cluster properties, and take those away that are None."""
    return [(PROGRAM, "property", "set", *_settings(values))] if values else []


def resource_defaults(values: Mapping[str, str | None]) -> list[Argv]:
    """Return the commands that set defaults of resources."""
    return [(PROGRAM, "resource", "defaults", "update", *_settings(values))] if values else []


def operation_defaults(values: Mapping[str, str | None]) -> list[Argv]:
    """Return the commands that set defaults of operations."""
    return [(PROGRAM, "resource", "op", "defaults", "update", *_settings(values))] if values else []


def node(name: str, attributes: Mapping[str, str | None], utilization: Mapping[str, str | None]) -> list[Argv]:
    """Return the commands that set what the configuration says of a node."""
    found: list[Argv] = []
    if attributes:
        found.append((PROGRAM, "node", "attribute", name, *_settings(attributes)))
    if utilization:
        found.append((PROGRAM, "node", "utilization", name, *_settings(utilization)))
    return found


def create(resource: Resource, around: Resource | None = None) -> list[Argv]:
    """Return the commands that make a primitive, in a group or as a clone if ``around`` is one."""
    kind, _, name = resource.agent.rpartition(":")
    is_device = kind == "stonith"
    words = [PROGRAM, "stonith" if is_device else "resource", "create", resource.id]
    words += [name if is_device else resource.agent, *_pairs(resource.params)]
    for op in resource.operations:
        interval = op.interval if milliseconds(op.interval) else ""
        own = {"interval": interval, "timeout": op.timeout, "role": op.role, "on-fail": op.on_fail}
        given = {key: value for key, value in {**own, "enabled": op.enabled, **op.options}.items() if value}
        words += ["op", op.name, *_pairs(given)]
    if resource.meta:
        words += ["meta", *_pairs(resource.meta)]
    if around is not None and around.kind == "clone":
        words += ["clone", around.id, *_pairs(around.meta)]
    elif around is not None:
        words += ["--group", around.id]
    # pcs would add the operations that the agent advertises and nobody asked for.
    words += [] if is_device else ["--no-default-ops"]
    found = [tuple(words)]
    if resource.utilization:
        found.append((PROGRAM, "resource", "utilization", resource.id, *_pairs(resource.utilization)))
    return found


def update(
    resource: str, params: Mapping[str, str | None], meta: Mapping[str, str | None],
    utilization: Mapping[str, str | None], *, is_fence_device: bool,
) -> list[Argv]:  # fmt: skip
    """Return the commands that change a resource."""
    found: list[Argv] = []
    kind = "stonith" if is_fence_device else "resource"
    if params:
        found.append((PROGRAM, kind, "update", resource, *_settings(params)))
    if meta:
        found.append((PROGRAM, kind if is_fence_device else "resource", "meta", resource, *_settings(meta)))
    if utilization:
        found.append((PROGRAM, "resource", "utilization", resource, *_settings(utilization)))
    return found


def operation(resource: str, name: str, values: Mapping[str, str | None]) -> list[Argv]:
    """Return the commands that change an operation, or make it."""
    return [(PROGRAM, "resource", "update", resource, "op", name, *_settings(values))]


def remove_operation(resource: str, name: str, interval: str) -> list[Argv]:
    """Return the commands that take an operation away."""
    return [(PROGRAM, "resource", "op", "delete", resource, name, f"interval={interval}")]


def delete(resource: str, *, is_fence_device: bool) -> list[Argv]:
    """Return the commands that remove a resource."""
    return [(PROGRAM, "stonith" if is_fence_device else "resource", "delete", resource)]


def location(each: Location) -> list[Argv] | None:
    """Return the commands that make this constraint, None where pcs has none."""
    what = each.resource or (f"regexp%{each.pattern}" if each.pattern else "")
    if not what:
        return None
    if each.node and not each.role:
        discovery = [f"resource-discovery={each.discovery}"] if each.discovery else []
        return [(PROGRAM, "constraint", "location", "add", each.id, what, each.node, *_score(each.score), *discovery)]
    found = []
    for rule in each.rules:
        if rule.join != "and" and len(rule.expressions) > 1:
            return None
        words = [f"id={rule.id}", f"constraint-id={each.id}"]
        words += [f"role={rule.role}"] if rule.role else []
        words += [f"score={rule.score}"] if rule.score else [f"score-attribute={rule.score_attribute}"]
        for number, expression in enumerate(rule.expressions):
            attributes = getattr(expression, "attributes", None)
            if attributes is None or expression.kind != "expression":  # type: ignore[union-attr]
                return None
            operation, attribute = attributes.get("operation", ""), attributes.get("attribute", "")
            unary = operation in ("defined", "not_defined")
            text = (operation, attribute) if unary else (attribute, operation, attributes.get("value", ""))
            words += (["and"] if number else []) + list(text)
        found.append((PROGRAM, "constraint", "location", what, "rule", *words))
    return found or None


def colocation(each: Colocation) -> list[Argv] | None:
    """Return the commands that make this constraint, None where pcs has none."""
    if each.sets or each.node_attribute:
        return None
    first, second = (word for word in (each.role, each.with_role))
    words = [*filter(None, (first,)), each.resource, "with", *filter(None, (second,)), each.with_resource]
    options = [f"id={each.id}"] + ([f"influence={each.influence}"] if each.influence else [])
    return [(PROGRAM, "constraint", "colocation", "add", *words, *_score(each.score or "0"), *options)]


def _score(score: str) -> Sequence[str]:
    """Return a score as words: one with a minus would be taken for an option."""
    return ("--", score) if score.startswith("-") else (score,)


def order(each: Order) -> list[Argv] | None:
    """Return the commands that make this constraint, None where pcs has none."""
    if each.sets or each.score:
        return None
    words = [each.first_action or "start", each.first, "then", each.then_action or each.first_action or "start"]
    options = {"id": each.id, "kind": each.kind, "symmetrical": each.symmetrical, "require-all": each.require_all}
    given = {name: value for name, value in options.items() if value}
    return [(PROGRAM, "constraint", "order", *words, each.then, *_pairs(given))]


def ticket(each: Ticket) -> list[Argv] | None:
    """Return the commands that make this constraint, None where pcs has none."""
    if each.sets:
        return None
    options = {"loss-policy": each.loss_policy, "id": each.id}
    given = {name: value for name, value in options.items() if value}
    role = [each.role] if each.role else []
    return [(PROGRAM, "constraint", "ticket", "add", each.ticket, *role, each.resource, *_pairs(given))]


def delete_constraint(name: str) -> list[Argv]:
    """Return the commands that remove a constraint."""
    return [(PROGRAM, "constraint", "delete", name)]


def level(each: FencingLevel) -> list[Argv]:
    """Return the commands that make a fencing level."""
    target = each.target.replace("pattern:", "regexp%").replace("attribute:", "attrib%")
    return [(PROGRAM, "stonith", "level", "add", each.index, target, *each.devices)]


def delete_level(target: str, index: str) -> list[Argv]:
    """Return the commands that remove a fencing level."""
    return [(PROGRAM, "stonith", "level", "delete", index, "target", target)]


def alert(each: Alert) -> list[Argv] | None:
    """Return the commands that make an alert; None where it selects events, which pcs cannot say."""
    if each.events:
        return None
    words = [PROGRAM, "alert", "create", f"path={each.path}", f"id={each.id}"]
    words += ["options", *_pairs(each.params)] if each.params else []
    words += ["meta", *_pairs(each.meta)] if each.meta else []
    found = [tuple(words)]
    for recipient in each.recipients:
        line = [PROGRAM, "alert", "recipient", "add", each.id, f"value={recipient.value}", f"id={recipient.id}"]
        line += ["options", *_pairs(recipient.params)] if recipient.params else []
        found.append((*line, *(("meta", *_pairs(recipient.meta)) if recipient.meta else ())))
    return found


def delete_alert(name: str) -> list[Argv]:
    """Return the commands that remove an alert."""
    return [(PROGRAM, "alert", "delete", name)]


def _pairs(values: Mapping[str, str]) -> Sequence[str]:
    return [f"{name}={value}" for name, value in values.items()]


def _settings(values: Mapping[str, str | None]) -> Sequence[str]:
    """Name and value of each; pcs takes a name away that has no value."""
    return [f"{name}={value or ''}" for name, value in values.items()]
