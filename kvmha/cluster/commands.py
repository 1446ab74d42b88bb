"""A difference as what one would type: the commands of pcs or crmsh, passwords left out.

They are for those who read, compare, or do it by hand. ``kvmha cluster apply`` writes the same changes in one
transaction, because a configuration that is half changed is one that nobody has checked.
"""

from __future__ import annotations

import shlex

from kvmha.cluster import crmsh_commands, pcs_commands
from kvmha.cluster import difference_items as kinds
from kvmha.cluster.difference import CHANGE, MAKE, REMOVE, FieldChange, is_secret
from kvmha.tools.cib.records import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

    from kvmha.cluster.difference import Difference
    from kvmha.tools.cib.records import Cib, Operation

FLAVOURS = {"pcs": pcs_commands, "crmsh": crmsh_commands}

BY_XML = "# no command of {flavour} for {title}: it is part of the file that kvmha cluster render writes"

HIDDEN = "..."


def lines(differences: Iterable[Difference], wanted: Cib, live: Cib, flavour: str) -> list[str]:
    """Return the commands that make the differences true, a line of shell each."""
    tool = FLAVOURS[flavour]
    found: list[str] = []
    made: set[str] = set()
    for difference in differences:
        item = difference.item
        if item.id in made or (item.kind == kinds.COROSYNC and difference.act == MAKE):
            # With its clone or group, or with the cluster itself, it is there.
            continue
        argvs = _argvs(difference, wanted, live, tool, made)
        if argvs is None:
            found.append(BY_XML.format(flavour=flavour, title=item.title))
            continue
        found += [_line(argv) for argv in argvs]
    return found


def _line(argv: tuple[str, ...]) -> str:
    """Return a command as a line of shell, without the values of parameters that are secret."""
    words, before = [], ""
    for word in argv:
        name, equals, value = word.partition("=")
        if equals and value and is_secret(name):
            words.append(f"{name}={HIDDEN}")
        else:
            # crmsh has the value as a word of its own: crm resource param fence-n1 set password VALUE.
            words.append(HIDDEN if "set" in argv and is_secret(before) and not equals else word)
        before = word
    return shlex.join(words)


def _argvs(
    difference: Difference, wanted: Cib, live: Cib, tool: ModuleType, made: set[str]
) -> list[tuple[str, ...]] | None:
    item = difference.item
    found: list[tuple[str, ...]] | None
    if item.kind == kinds.COROSYNC:
        found = tool.corosync({each.field: each.wanted for each in difference.fields})
    elif item.kind in SETTINGS:
        found = getattr(tool, SETTINGS[item.kind])({each.field: each.wanted for each in difference.fields})
    elif item.kind == kinds.NODE:
        values = _by_word(difference.fields)
        found = tool.node(item.id.partition(" ")[2], values.get("attributes", {}), values.get("utilization", {}))
    elif item.kind in (kinds.CONSTRAINT, kinds.LEVEL, kinds.ALERT, kinds.TAG):
        found = _small(difference, wanted, tool)
    elif difference.act == REMOVE:
        found = tool.delete(difference.live_id, is_fence_device=item.kind == kinds.FENCE_DEVICE)
    elif difference.act == MAKE:
        found = _created(item.id, wanted, tool, made)
    else:
        found = _changed(difference, wanted, live, tool)
    return found


SETTINGS = {
    kinds.PROPERTIES: "properties",
    kinds.RESOURCE_DEFAULTS: "resource_defaults",
    kinds.OPERATION_DEFAULTS: "operation_defaults",
}


def _by_word(fields: Iterable[FieldChange]) -> dict[str, dict[str, str | None]]:
    """Sort the changes of ``params.config`` and its like by their first word."""
    found: dict[str, dict[str, str | None]] = {}
    for change in fields:
        word, _, name = change.field.partition(".")
        found.setdefault(word, {})[name] = change.wanted
    return found


def _created(name: str, wanted: Cib, tool: ModuleType, made: set[str]) -> list[tuple[str, ...]] | None:
    """Return the commands that make a resource, with its members if it has some."""
    resource = wanted.resource(name)
    if resource is None or resource.kind in ("bundle", "template"):
        return None
    around = wanted.resource(resource.parent) if resource.parent else None
    if resource.kind == "primitive":
        return list(tool.create(resource, around))
    made.update(child.id for child in resource.children)
    if any(child.kind != "primitive" for child in resource.children):
        return None
    return [argv for child in resource.children for argv in tool.create(child, resource)]


def _changed(difference: Difference, wanted: Cib, live: Cib, tool: ModuleType) -> list[tuple[str, ...]] | None:
    item, values = difference.item, _by_word(difference.fields)
    if values.keys() & {"agent", "members", "template", "description", "container"}:
        return None
    found: list[tuple[str, ...]] = tool.update(
        difference.live_id, values.get("params", {}), values.get("meta", {}), values.get("utilization", {}),
        is_fence_device=item.kind == kinds.FENCE_DEVICE,
    )  # fmt: skip
    here, there = (_operations(each, name) for each, name in ((wanted, item.id), (live, difference.live_id)))
    for word, changes in values.items():
        if not word.startswith("op "):
            continue
        key = word[len("op ") :]
        if key in here:
            # What names an operation has to be said as well, so that the command finds it.
            role = {"role": here[key].role} if here[key].role else {}
            found += tool.operation(item.id, here[key].name, {"interval": here[key].interval, **role, **changes})
        elif key in there:
            found += tool.remove_operation(difference.live_id, there[key].name, there[key].interval)
    return found


def _operations(where: Cib, name: str) -> Mapping[str, Operation]:
    resource = where.resource(name)
    return kinds.operations(resource) if isinstance(resource, Resource) else {}


def _small(difference: Difference, wanted: Cib, tool: ModuleType) -> list[tuple[str, ...]] | None:
    """Return the commands for what is made and removed as a whole."""
    item, found = difference.item, []
    if difference.act in (REMOVE, CHANGE):
        gone = _deleted(difference, tool)
        if gone is None:
            return None
        found += gone
    if difference.act in (MAKE, CHANGE):
        new = _made(item.id, item.kind, wanted, tool)
        if new is None:
            return None
        found += new
    return found


def _deleted(difference: Difference, tool: ModuleType) -> list[tuple[str, ...]] | None:
    item = difference.item
    if item.kind == kinds.CONSTRAINT:
        return list(tool.delete_constraint(difference.live_id))
    if item.kind == kinds.ALERT:
        return list(tool.delete_alert(difference.live_id))
    if item.kind == kinds.LEVEL:
        gone = tool.delete_level(item.fields["target"], item.fields["index"])
        return None if gone is None else list(gone)
    return None


def _made(name: str, kind: str, wanted: Cib, tool: ModuleType) -> list[tuple[str, ...]] | None:
    if kind == kinds.LEVEL:
        level = next(each for each in wanted.levels if f"level {each.target} {each.index}" == name)
        found = tool.level(level)
        return None if found is None else list(found)
    for word, group in (
        ("location", wanted.locations), ("colocation", wanted.colocations), ("order", wanted.orders),
        ("ticket", wanted.tickets), ("alert", wanted.alerts),
    ):  # fmt: skip
        each = next((one for one in group if one.id == name), None)
        if each is not None:
            found = getattr(tool, word)(each)
            return None if found is None else list(found)
    return None
