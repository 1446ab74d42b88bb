"""Differences made true in the XML of a configuration, field by field: what they do not name stays as it is."""

from __future__ import annotations

import copy

from kvmha.cluster import difference_items as kinds
from kvmha.cluster.difference import CHANGE, MAKE, REMOVE
from kvmha.tools import cib
from kvmha.tools.cib import editing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any as Element

    from kvmha.cluster.difference import Difference, FieldChange
    from kvmha.cluster.difference_items import Item

BLOCKS = {"params": "instance_attributes", "meta": "meta_attributes", "utilization": "utilization"}
NODE_BLOCKS = {"attributes": "instance_attributes", "utilization": "utilization"}

SETTINGS = {
    kinds.PROPERTIES: ("crm_config", "cluster_property_set", "cib-bootstrap-options"),
    kinds.RESOURCE_DEFAULTS: ("rsc_defaults", "meta_attributes", "rsc_defaults-meta_attributes"),
    kinds.OPERATION_DEFAULTS: ("op_defaults", "meta_attributes", "op_defaults-meta_attributes"),
}
"""Section, element and id of the blocks that belong to no resource."""

PARENTS = {kinds.CONSTRAINT: "constraints", kinds.LEVEL: "fencing-topology", kinds.ALERT: "alerts", kinds.TAG: "tags"}


def merge(root: Element, wanted: Element, differences: Iterable[Difference]) -> None:
    """Change the configuration ``root`` in place; ``wanted`` is the whole document that is described, and loses its
    comments, which are for readers of the file.
    """
    for comment in wanted.xpath("//comment()"):
        if comment.getparent() is not None:
            comment.getparent().remove(comment)
    every = tuple(differences)
    for difference in every:
        if difference.act == REMOVE:
            _remove(root, difference)
    for difference in every:
        if difference.act in (MAKE, CHANGE):
            _make_or_change(root, wanted, difference)


def _remove(root: Element, difference: Difference) -> None:
    if difference.item.kind == kinds.NODE:
        # The cluster's own list of nodes; who is a member is decided by corosync.
        return
    found = _find(root, difference.item, difference.live_id)
    if found is None:
        return
    parent = found.getparent()
    editing.remove(found)
    # A clone or bundle is nothing without its member, and a group is none without one.
    if parent.tag in ("group", "clone", "master", "bundle") and not parent.findall("primitive") + parent.findall(
        "group"
    ):
        editing.remove(parent)


def _make_or_change(root: Element, wanted: Element, difference: Difference) -> None:
    item = difference.item
    if item.kind in SETTINGS:
        _settings(root, item, difference.fields)
        return
    if item.kind == kinds.NODE:
        _node(root, wanted, item, difference.fields)
        return
    new = _find(wanted, item, item.id)
    old = _find(root, item, difference.live_id) if difference.live_id else None
    if new is None:
        return
    if item.kind in PARENTS or old is None:
        _whole(root, item, new, old)
        return
    _resource(root, old, new, difference.fields)


def _find(root: Element, item: Item, name: str) -> Element | None:
    """Return the element of an item, which has the item's id but for fencing levels, whose ids mean nothing."""
    if item.kind != kinds.LEVEL:
        return editing.element(root, name)
    for level in root.iterfind("configuration/fencing-topology/fencing-level"):
        if (level.get("target"), level.get("index")) == (item.fields["target"], item.fields["index"]):
            return level
    return None


def _whole(root: Element, item: Item, new: Element, old: Element | None) -> None:
    """Put a whole element in the place of the old one, or where it belongs."""
    made = copy.deepcopy(new)
    if old is not None:
        made.set("id", old.get("id"))
        old.getparent().replace(old, made)
        return
    if item.kind in PARENTS:
        editing.section(root, PARENTS[item.kind]).append(made)
        return
    parent = editing.element(root, item.parent) if item.parent else editing.section(root, "resources")
    # With its parent, which is made first, a member is there already.
    if parent is not None and editing.element(root, item.id) is None:
        parent.append(made)


def _settings(root: Element, item: Item, fields: tuple[FieldChange, ...]) -> None:
    section, tag, name = SETTINGS[item.kind]
    owner = editing.section(root, section)
    for change in fields:
        editing.set_value(root, owner, tag, change.field, change.wanted, block=name)


def _node(root: Element, wanted: Element, item: Item, fields: tuple[FieldChange, ...]) -> None:
    name = item.id.partition(" ")[2]
    found = _node_named(root, name)
    if found is None:
        # It has not joined yet. Ids of nodes are those of corosync.conf, so that it will be this one.
        editing.section(root, "nodes").append(copy.deepcopy(_node_named(wanted, name)))
        return
    for change in fields:
        word, _, field = change.field.partition(".")
        block = f"nodes-{found.get('id')}-{word}"
        editing.set_value(root, found, NODE_BLOCKS[word], field, change.wanted, block=block)


def _node_named(root: Element, name: str) -> Element | None:
    return next((each for each in root.iterfind("configuration/nodes/node") if each.get("uname") == name), None)


def _resource(root: Element, old: Element, new: Element, fields: tuple[FieldChange, ...]) -> None:
    operations: dict[str, dict[str, str | None]] = {}
    for change in fields:
        word, _, field = change.field.partition(".")
        if word in BLOCKS and field:
            editing.set_value(root, old, BLOCKS[word], field, change.wanted)
        elif word.startswith("op "):
            operations.setdefault(word[len("op ") :], {})[field] = change.wanted
        elif change.field == "agent" and change.wanted:
            editing.set_agent(old, change.wanted)
        elif change.field == "members":
            _members(root, old, new)
        elif change.field in ("template", "description"):
            _attribute(old, change.field, change.wanted)
    for key, values in operations.items():
        _operation(root, old, new, key, values)


def _attribute(found: Element, name: str, value: str | None) -> None:
    if value is None:
        found.attrib.pop(name, None)
    else:
        found.set(name, value)


def _members(root: Element, old: Element, new: Element) -> None:
    """Give a group or clone the members that are wanted, in their order; those of others' making come behind them."""
    for number, member in enumerate(each for each in new if each.tag in ("primitive", "group")):
        there = editing.element(root, member.get("id"))
        moved = copy.deepcopy(member) if there is None else there
        if there is not None:
            editing.remove(there)
        first = next((place for place, each in enumerate(old) if each.tag in ("primitive", "group")), len(old))
        old.insert(first + number, moved)


def _operation(root: Element, old: Element, new: Element, key: str, values: dict[str, str | None]) -> None:
    """Make, change or remove the operation of this name, role and depth; ``values`` are the fields that differ."""
    wanted, live = _operations(new).get(key), _operations(old).get(key)
    if live is None and wanted is not None:
        parent = old.find("operations")
        if parent is None:
            parent = root.makeelement("operations", {})
            old.append(parent)
        made = copy.deepcopy(wanted)
        made.set("id", editing.free_id(root, made.get("id")))
        parent.append(made)
    elif live is not None and wanted is None:
        editing.remove(live)
    elif live is not None:
        for name, value in values.items():
            if name in editing.OPERATION_ATTRIBUTES:
                _attribute(live, name, value)
            else:
                editing.set_value(root, live, "instance_attributes", name, value)


def _operations(element: Element) -> dict[str, Element]:
    """Return the elements of a primitive's operations by the keys that their items have."""
    resource = cib.resource_of(element)
    by_id = {each.get("id"): each for each in element.iterfind("operations/op")}
    return {key: by_id[op.id] for key, op in kinds.operations(resource).items() if op.id in by_id}


def stop(root: Element, names: Iterable[str]) -> None:
    """Have resources stop before they are removed, by a block of their own that ``stay`` takes away again."""
    for name in names:
        found = editing.element(root, name)
        if found is not None and editing.element(root, f"{name}-{kinds.LEAVING}") is None:
            values = {"target-role": "Stopped", kinds.LEAVING: "true"}
            editing.add_block(root, found, "meta_attributes", f"{name}-{kinds.LEAVING}", "INFINITY", values)


def stay(root: Element, names: Iterable[str]) -> None:
    """Let resources run again that an application stopped, was interrupted, and that are described after all."""
    for name in names:
        block = editing.element(root, f"{name}-{kinds.LEAVING}")
        if block is not None:
            editing.remove(block)
