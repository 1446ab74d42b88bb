"""The constraint of a planned move, and what the cluster's record tells of how a move went."""

from __future__ import annotations

from kvmha.record import Record
from kvmha.tools.cib.editing import add_operation, element, section, set_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Element

PREFIX = "kvmha-move-"
"""What the ids of these constraints begin with."""


class Failure(Record):
    """A failed operation of a move, as the cluster recorded it."""

    operation: str
    node: str
    call: int
    """The executor's number of the call, which grows on each node."""
    reason: str


class Settings(Record):
    """What a move changes of a resource for as long as it lasts; empty for what is not set."""

    allow_migrate: str = ""
    on_fail: str = ""
    """on-fail of the operation migrate_to."""


def wish(root: Element, resource: str, node: str, *, until: int, settings: Settings) -> None:
    """Have a resource go to a node, with these settings for as long as that lasts.

    The constraint holds until a moment, in seconds since 1970, and then is nothing, for the case that nobody is left to
    remove it. What the settings were stands in the id of its rule, so that ``withdraw`` finds it, in a later run too.
    """
    withdraw(root, resource)
    location = _location(root, resource)
    rule = _rule(root, location, f"{location.get('id')}{_memory(root, resource)}", "INFINITY")
    name = location.get("id", "")
    where = {"id": f"{name}-node", "attribute": "#uname", "operation": "eq", "value": node, "type": "string"}
    rule.append(root.makeelement("expression", where))
    rule.append(_end(root, name, until))
    _set(root, resource, settings)


def hold(root: Element, resource: str, source: str, *, until: int) -> None:
    """Have a resource stopped until a moment, and from then on, until ``withdraw``, run on no other node than this.

    For a guest whose disks are copied: if nobody is left to end that, it runs again where its disks are whole.
    """
    withdraw(root, resource)
    location = _location(root, resource)
    name = location.get("id", "")
    elsewhere = _rule(root, location, f"{name}{_memory(root, resource)}", "-INFINITY")
    where = {"id": f"{name}-source", "attribute": "#uname", "operation": "ne", "value": source, "type": "string"}
    elsewhere.append(root.makeelement("expression", where))
    nowhere = _rule(root, location, f"{name}-held", "-INFINITY")
    anywhere = {"id": f"{name}-any", "attribute": "#uname", "operation": "defined"}
    nowhere.append(root.makeelement("expression", anywhere))
    nowhere.append(_end(root, name, until))


def held(root: Element, resource: str) -> str:
    """Return the node on which a resource is held for a move with its disks; nothing where it is not."""
    for location in [each for each in root.iter("rsc_location") if each.get("id") == f"{PREFIX}{resource}"]:
        rules = list(location.iterchildren("rule"))
        if len(rules) == HOLDING:
            for expression in rules[0].iterchildren("expression"):
                return str(expression.get("value", ""))
    return ""


HOLDING = 2
"""The rules of a constraint that holds; one that asks for a move has one."""


def _location(root: Element, resource: str) -> Element:
    location = root.makeelement("rsc_location", {"id": f"{PREFIX}{resource}", "rsc": resource})
    section(root, "constraints").append(location)
    return location


def _memory(root: Element, resource: str) -> str:
    """Return what the settings are, for the id of the first rule."""
    was = _settings(root, resource)
    return f"{WAS}{was.allow_migrate}{AND}{was.on_fail}"


def _rule(root: Element, location: Element, name: str, score: str) -> Element:
    rule = root.makeelement("rule", {"id": name, "score": score, "boolean-op": "and"})
    location.append(rule)
    return rule


def _end(root: Element, name: str, until: int) -> Element:
    import datetime

    end = datetime.datetime.fromtimestamp(until, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    return root.makeelement("date_expression", {"id": f"{name}-end", "operation": "lt", "end": end})


def silence(root: Element, resource: str) -> None:
    """Take the weight from that constraint and leave the settings: for a failure that is yet to be forgotten.

    With the settings as they were before, the cluster would act on the failure.
    """
    for location in [each for each in root.iter("rsc_location") if each.get("id") == f"{PREFIX}{resource}"]:
        for rule in location.iterchildren("rule"):
            rule.set("score", "0")


def withdraw(root: Element, resource: str) -> None:
    """Remove that constraint, and put the settings back as they were; none is fine."""
    for location in [each for each in root.iter("rsc_location") if each.get("id") == f"{PREFIX}{resource}"]:
        rule = location.find("rule")
        allow, _, on_fail = (rule.get("id", "") if rule is not None else "").partition(WAS)[2].partition(AND)
        location.getparent().remove(location)
        _set(root, resource, Settings(allow_migrate=allow, on_fail=on_fail))


WAS, AND = "-was-", "-and-"


def _settings(root: Element, resource: str) -> Settings:
    found = element(root, resource)
    if found is None:
        return Settings()
    pairs = [
        pair.get("value", "")
        for block in found.iterchildren("meta_attributes")
        for pair in block.iterchildren("nvpair")
        if pair.get("name") == "allow-migrate"
    ]
    operation = _operation(found)
    return Settings(
        allow_migrate=pairs[0] if pairs else "", on_fail=operation.get("on-fail", "") if operation is not None else ""
    )


def _set(root: Element, resource: str, settings: Settings) -> None:
    found = element(root, resource)
    if found is None:
        return
    value = settings.allow_migrate or None
    set_value(root, found, "meta_attributes", "allow-migrate", value, block=f"{resource}-meta_attributes")
    own = f"{resource}{OWN}"
    operation = _operation(found)
    if operation is None and settings.on_fail:
        add_operation(root, found, own, {"name": "migrate_to", "interval": "0s", "on-fail": settings.on_fail})
    elif operation is not None and settings.on_fail:
        operation.set("on-fail", settings.on_fail)
    elif operation is not None and operation.get("id") == own:
        operation.getparent().remove(operation)
    elif operation is not None:
        operation.attrib.pop("on-fail", None)


OWN = "-migrate_to-of-kvmha-move"
"""The end of the id of an operation that was made for a move, where the resource has none."""


def _operation(resource: Element) -> Element | None:
    """Return the operation migrate_to of a resource; None where it has none of its own."""
    found = [op for op in resource.iter("op") if op.get("name") == "migrate_to"]
    return found[0] if found else None


def wished(root: Element) -> tuple[str, ...]:
    """Return the resources that have such a constraint."""
    ids = [each.get("id", "") for each in root.iter("rsc_location")]
    return tuple(sorted(each[len(PREFIX) :] for each in ids if each.startswith(PREFIX)))


def failures(root: Element, resource: str) -> tuple[Failure, ...]:
    """Return the failed operations of a resource that are recorded of any node, the migrations first."""
    found = {}
    for state in root.iter("node_state"):
        for entry in state.iter("lrm_resource"):
            if entry.get("id", "").partition(":")[0] != resource:
                continue
            for op in entry.iter("lrm_rsc_op"):
                is_failed = op.get("rc-code") not in ("0", "7", "8", "190", "191", "193") or op.get("op-status") == "2"
                if op.get("operation") in ("migrate_to", "migrate_from", "stop", "start") and is_failed:
                    failure = Failure(
                        operation=op.get("operation", ""),
                        node=state.get("uname", ""),
                        call=int(op.get("call-id", "0")),
                        reason=op.get("exit-reason", ""),
                    )
                    key = (failure.node, failure.call)
                    # A failure stands there twice, and one of the two may lack the reason.
                    if key not in found or failure.reason:
                        found[key] = failure
    return tuple(sorted(found.values(), key=lambda each: ("migrate" not in each.operation, each.node, each.call)))
