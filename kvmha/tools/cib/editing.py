"""Changes to the XML of a configuration: as small as they can be, so that what nobody asked about stays as it is."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Element

AGENT_WORDS = ("class", "provider", "type")


def element(root: Element, name: str) -> Element | None:
    """Return the element of the configuration with this id, or None."""
    found = root.find("configuration")
    return next((each for each in found.iter("*") if each.get("id") == name), None)


def section(root: Element, tag: str) -> Element:
    """Return a section of the configuration, made if it is not there, in the place that the schema wants."""
    configuration = root.find("configuration")
    found = configuration.find(tag)
    if found is not None:
        return found
    found = root.makeelement(tag, {})
    before = ORDER[: ORDER.index(tag)]
    places = [number for number, each in enumerate(configuration) if each.tag in before]
    configuration.insert(places[-1] + 1 if places else 0, found)
    return found


ORDER = (
    "crm_config", "rsc_defaults", "op_defaults", "nodes", "resources", "domains", "constraints", "acls",
    "fencing-topology", "alerts", "tags",
)  # fmt: skip
"""Where new sections go. The schema interleaves them (pacemaker-3.9.rng), and this is the order that is usual."""


def free_id(root: Element, wanted: str) -> str:
    """Return an id that no element of the configuration has: the wanted one, or that with a number behind it.

    The status section, which the cluster writes, has ids of its own; there a resource is remembered that has gone.
    """
    taken = {each.get("id") for each in root.find("configuration").iter("*")}
    name, number = wanted, 1
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name


def set_agent(primitive: Element, agent: str) -> None:
    """Give a primitive another agent, written ``ocf:kvmha:VirtualDomain``."""
    words = agent.split(":")
    fixed = (words[0], words[1] if len(words) > 2 else None, words[-1])
    for word, value in zip(AGENT_WORDS, fixed):
        if value is None:
            primitive.attrib.pop(word, None)
        else:
            primitive.set(word, value)


def set_value(root: Element, owner: Element, tag: str, name: str, value: str | None, *, block: str = "") -> None:
    """Set a name in a block of an element, such as its meta_attributes, or remove it where the value is None.

    The pair is changed where it stands; a new one goes into the first block without a rule, made if there is none
    under the id ``block``. A block that becomes empty goes as well, unless it has a rule.
    """
    blocks = [each for each in owner.iterchildren(tag) if each.find("rule") is None]
    pairs = [pair for each in blocks for pair in each.iterchildren("nvpair") if pair.get("name") == name]
    if value is None:
        for pair in pairs:
            parent = pair.getparent()
            parent.remove(pair)
            if len(parent) == 0:
                owner.remove(parent)
        return
    if pairs:
        for pair in pairs:
            pair.set("value", value)
        return
    if not blocks:
        made = root.makeelement(tag, {"id": free_id(root, block or f"{owner.get('id')}-{tag}")})
        owner.insert(_place_of_block(owner, tag), made)
        blocks = [made]
    pair = root.makeelement("nvpair", {"id": free_id(root, f"{blocks[0].get('id')}-{name}")})
    pair.set("name", name)
    pair.set("value", value)
    blocks[0].append(pair)


def add_block(root: Element, owner: Element, tag: str, name: str, score: str, values: dict[str, str]) -> None:
    """Add a block of names and values of its own, by which one can take them all away again."""
    made = root.makeelement(tag, {"id": name, "score": score})
    for key, value in values.items():
        pair = root.makeelement("nvpair", {"id": f"{name}-{key}", "name": key, "value": value})
        made.append(pair)
    owner.insert(_place_of_block(owner, tag), made)


def remove(found: Element) -> None:
    """Take an element out of the document; a block around it that is empty then goes too."""
    parent = found.getparent()
    parent.remove(found)


def put(root: Element, parent: Element, new: Element) -> None:
    """Put an element in the place of the one with its id below this parent, else behind all others there."""
    old = element(root, new.get("id"))
    if old is not None and old.getparent() is parent:
        parent.replace(old, new)
        return
    if old is not None:
        remove(old)
    parent.append(new)


def _place_of_block(owner: Element, tag: str) -> int:
    """Return where a block goes: behind those of its kind, else before all that is not a block."""
    places = [number for number, each in enumerate(owner) if each.tag == tag]
    if places:
        return places[-1] + 1
    others = [number for number, each in enumerate(owner) if not str(each.tag).endswith("_attributes")]
    # A group's or clone's own blocks stand before its members only by habit: the schema takes any order.
    return others[0] if others else len(owner)


def add_operation(root: Element, primitive: Element, name: str, attributes: dict[str, str]) -> None:
    """Add an operation; attributes that the schema has no place for, such as OCF_CHECK_LEVEL, become its parameters."""
    operations = primitive.find("operations")
    if operations is None:
        operations = root.makeelement("operations", {})
        primitive.append(operations)
    inner = {key: value for key, value in attributes.items() if key not in OPERATION_ATTRIBUTES}
    op = root.makeelement("op", {"id": name})
    for key, value in attributes.items():
        if key in OPERATION_ATTRIBUTES:
            op.set(key, value)
    operations.append(op)
    for key, value in inner.items():
        set_value(root, op, "instance_attributes", key, value, block=f"{name}-instance_attributes")


OPERATION_ATTRIBUTES = (
    "name", "interval", "timeout", "role", "on-fail", "enabled", "start-delay", "interval-origin", "record-pending",
    "description",
)  # fmt: skip
"""What an operation says by itself (resources-3.9.rng)."""
