"""Faults and wishes as changes of a CIB, for the scheduler to judge: the same marks that a real cluster would write."""

from __future__ import annotations

from kvmha.tools.cib.editing import free_id, section, set_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Element


def lose(root: Element, node: str) -> None:
    """Let a node have left without a word: it is to be fenced.

    Pacemaker's controller writes this when corosync says that a peer is gone (peer_update_callback); a node that is
    expected to be a member and is not counts as unclean.
    """
    state = _state(root, node)
    for name, value in (("in_ccm", "false"), ("crmd", "offline"), ("join", "down"), ("expected", "member")):
        state.set(name, value)


def set_quorum(root: Element, *, is_quorate: bool) -> None:
    """Say whether those who are left have quorum."""
    root.set("have-quorum", "1" if is_quorate else "0")


def set_dc(root: Element, node: str) -> None:
    """Let a node coordinate."""
    found = next(
        (each.get("id") for each in root.iterfind("configuration/nodes/node") if each.get("uname") == node), ""
    )
    if found:
        root.set("dc-uuid", found)


def set_standby(root: Element, node: str, *, is_standby: bool) -> None:
    """Put a node into standby, or take it out."""
    for each in root.iterfind("configuration/nodes/node"):
        if each.get("uname") == node:
            block = f"nodes-{node}-attributes"
            set_value(root, each, "instance_attributes", "standby", "on" if is_standby else None, block=block)
    # A transient one, as crm_standby --lifetime reboot sets it, would hold all the same.
    for pair in _state(root, node).iterfind("transient_attributes/instance_attributes/nvpair"):
        if pair.get("name") == "standby":
            pair.set("value", "on" if is_standby else "off")


def set_transient(root: Element, node: str, name: str, value: str) -> None:
    """Set a transient attribute of a node."""
    state = _state(root, node)
    for pair in state.iterfind("transient_attributes/instance_attributes/nvpair"):
        if pair.get("name") == name:
            pair.set("value", value)
            return
    block = state.find("transient_attributes/instance_attributes")
    if block is None:
        outer = state.find("transient_attributes")
        if outer is None:
            outer = root.makeelement("transient_attributes", {"id": state.get("id", node)})
            state.append(outer)
        block = root.makeelement("instance_attributes", {"id": free_id(root, f"status-{state.get('id', node)}")})
        outer.append(block)
    pair = root.makeelement("nvpair", {"id": free_id(root, f"{block.get('id')}-{name}"), "name": name, "value": value})
    block.append(pair)


def prefer(root: Element, resource: str, node: str) -> None:
    """Send a resource to a node, as crm_resource --move does."""
    made = root.makeelement("rsc_location", {"id": free_id(root, f"whatif-{resource}")})
    for name, value in (("rsc", resource), ("node", node), ("score", "INFINITY")):
        made.set(name, value)
    section(root, "constraints").append(made)


def add_guest(root: Element, name: str, utilization: dict[str, int], priority: int = 0) -> None:
    """Add a guest that takes so much of its node."""
    made = root.makeelement("primitive", {"id": name})
    for word, value in (("class", "ocf"), ("provider", "kvmha"), ("type", "VirtualDomain")):
        made.set(word, value)
    section(root, "resources").append(made)
    set_value(root, made, "instance_attributes", "config", f"/etc/kvmha/guests/{name}.xml")
    set_value(root, made, "meta_attributes", "allow-migrate", "true")
    if priority:
        set_value(root, made, "meta_attributes", "priority", str(priority))
    for key, size in utilization.items():
        set_value(root, made, "utilization", key, str(size))


def _state(root: Element, node: str) -> Element:
    """Return what the status section has of a node, made if there is nothing."""
    for state in root.iterfind("status/node_state"):
        if state.get("uname") == node:
            return state
    status = root.find("status")
    if status is None:
        status = root.makeelement("status", {})
        root.append(status)
    number = next(
        (each.get("id", node) for each in root.iterfind("configuration/nodes/node") if each.get("uname") == node), node
    )
    state = root.makeelement("node_state", {"id": number, "uname": node})
    status.append(state)
    return state
