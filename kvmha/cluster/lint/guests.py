"""Guests: who they are, where they may run, and who else might start them."""

from __future__ import annotations

from kvmha.cluster.lint.rule import CIB, ERROR, NODES, NOTE, WARNING, Fault, Rule, Unknown, each_node
from kvmha.tools.cib import is_true

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.lint.rule import Seen

AREA = "guests"

LEFTOVERS = ("cli-ban-", "cli-prefer-", "cli-standby-")
"""How crm_resource --move and --ban name what they leave behind."""


def _size_unknown(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        if guest.memory_mib is None:
            yield Unknown(
                subject=guest.id, said="its memory: no definition, no utilization and no memory in cluster.yaml"
            )


def _immovable(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        # Where it is written down as false, somebody wants it so.
        if "allow-migrate" not in guest.resource.meta:
            yield Fault(
                subject=guest.id,
                said="it is shut down and booted where it could move live",
                chain="allow-migrate not set",
                yaml="guests: leave migrate out, or migrate: yes",
                commands=(f"pcs resource meta {guest.id} allow-migrate=true",),
            )


def _unmanaged(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        meta = guest.resource.meta
        word = ""
        if not is_true(meta.get("is-managed", "true")):
            word = "is-managed=false"
        elif is_true(meta.get("maintenance", "false")):
            word = "maintenance=true"
        elif meta.get("target-role") == "Stopped":
            word = "target-role=Stopped"
        if word:
            name = word.partition("=")[0]
            yield Fault(
                subject=guest.id,
                said="the cluster does nothing for it",
                chain=word,
                commands=(f"pcs resource meta {guest.id} {name}=",),
            )


def _same_guest(facts: Facts) -> Iterator[Seen]:
    seen: dict[str, str] = {}
    for guest in facts.guests:
        if guest.identity and seen.setdefault(guest.identity, guest.id) != guest.id:
            yield Fault(
                subject=guest.id,
                said=f"it is the guest of {seen[guest.identity]}: what one starts the other stops",
                chain=f"config or domain {guest.identity}",
                yaml="guests: a config of its own for each",
                commands=(f"pcs resource delete {guest.id}",),
            )


def _same_uuid(facts: Facts) -> Iterator[Seen]:
    for node, unknown in each_node(facts, "definitions"):
        if unknown:
            yield unknown
        seen: dict[str, str] = {}
        for found in (node.definitions or ()) if node else ():
            if found.uuid and seen.setdefault(found.uuid, found.path) != found.path:
                yield Fault(
                    subject=node.node if node else "",
                    said=f"{found.path} has the UUID of {seen[found.uuid]}: only one of the two can run on a node",
                    chain=f"uuid {found.uuid}",
                    commands=(f"give {found.path} a <uuid> of its own on every node: uuidgen",),
                )


def _definition_lacks(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        path = guest.resource.params.get("config", "")
        told: dict[str, list[str]] = {}
        for node, unknown in each_node(facts, "definitions"):
            if unknown or node is None:
                if unknown:
                    yield unknown
                continue
            found = next((each for each in node.definitions or () if each.path == path), None)
            if path and found is not None and found.error:
                yield Fault(
                    subject=guest.id,
                    said=f"{node.node} cannot start it: {found.error}",
                    chain=f"config {path}",
                    commands=(f"scp OTHER:{path} {path}   # on {node.node}",),
                )
            elif found is not None and found.digest:
                told.setdefault(found.digest, []).append(node.node)
        if len(told) > 1:
            yield Fault(
                subject=guest.id,
                said="its definition is not the same on all nodes, so a failover makes another machine of it",
                chain=f"{path}: "
                + "; ".join(f"{' '.join(names)}: {each[:12]}" for each, names in sorted(told.items())),
                commands=(f"copy {path} to all nodes from the one that has the right one",),
            )


def _autostart(facts: Facts) -> Iterator[Seen]:
    for node, unknown in each_node(facts, "autostarted"):
        if unknown or node is None:
            if unknown:
                yield unknown
            continue
        names = {found.name for found in node.definitions or () if found.name}
        names |= {guest.resource.params.get("domain", "") or guest.id for guest in facts.guests}
        for name in node.autostarted or ():
            if name in names:
                yield Fault(
                    subject=node.node,
                    said=f"libvirt starts {name} at boot by itself, while it may run on another node",
                    chain=f"/etc/libvirt/qemu/autostart/{name}.xml",
                    commands=(f"virsh autostart --disable {name}   # on {node.node}",),
                )


def _leftovers(facts: Facts) -> Iterator[Seen]:
    for location in facts.cib.locations if facts.cib is not None else ():
        if location.id.startswith(LEFTOVERS):
            yield Fault(
                subject=location.resource,
                said="a move by hand has left a constraint behind, which binds it or bans it for ever",
                chain=f"{location.id}: score {location.score or '-'} on {location.node or 'a node'}",
                commands=(f"pcs resource clear {location.resource}",),
            )


def _too_large(facts: Facts) -> Iterator[Seen]:
    if not facts.node_memory or len(facts.node_memory) < len(facts.node_names):
        return
    largest = max(facts.node_memory.values())
    for guest in facts.guests:
        if guest.memory_mib and guest.memory_mib > largest:
            yield Fault(
                subject=guest.id,
                said="it is larger than any node",
                chain=f"{guest.memory_mib} MiB > {largest} MiB",
                yaml="guests: memory; nodes: memory",
            )


def _no_spare(facts: Facts) -> Iterator[Seen]:
    memory = facts.node_memory
    if not memory or len(memory) < len(facts.node_names) or any(guest.memory_mib is None for guest in facts.guests):
        return
    for lost in sorted(memory):
        rest = {name: size for name, size in memory.items() if name != lost}
        left = dict(rest)
        for guest in sorted(facts.guests, key=lambda each: -(each.memory_mib or 0)):
            size = guest.memory_mib or 0
            node = min((name for name in left if left[name] >= size), key=lambda name: (left[name], name), default="")
            if not node:
                total = sum(each.memory_mib or 0 for each in facts.guests)
                yield Fault(
                    subject=lost,
                    said=f"without it there is no place for {guest.id}",
                    chain=f"guests {total} MiB in all; left "
                    + ", ".join(f"{name} {size_} MiB" for name, size_ in sorted(rest.items()))
                    + f"; {guest.id} {size} MiB, the largest gap {max(left.values(), default=0)} MiB",
                    yaml="fewer or smaller guests, or more memory",
                )
                break
            left[node] -= size


RULES = (
    Rule(id="guest-size", severity=NOTE, area=AREA, needs=(CIB,), find=_size_unknown,
         looks_at="That the memory of each guest is known. It only says where it is not.",
         why="Timeouts follow from it."),
    Rule(id="guest-immovable", severity=NOTE, area=AREA, needs=(CIB,), find=_immovable,
         looks_at="allow-migrate.",
         why="Pacemaker moves live only what it may."),
    Rule(id="guest-unmanaged", severity=WARNING, area=AREA, needs=(CIB,), find=_unmanaged,
         looks_at="is-managed, maintenance and target-role of each guest.",
         why="They are easily left behind."),
    Rule(id="same-guest", severity=ERROR, area=AREA, needs=(CIB,), find=_same_guest,
         looks_at="config and domain of all guests.",
         why="Two resources for one guest fight."),
    Rule(id="same-uuid", severity=ERROR, area=AREA, needs=(CIB, NODES), find=_same_uuid,
         looks_at="The UUIDs in the definitions.",
         why="libvirt and the agents know a guest by its UUID."),
    Rule(id="definition", severity=ERROR, area=AREA, needs=(CIB, NODES), find=_definition_lacks,
         looks_at="The definition of each guest on each node: there, readable, and the same.",
         why="A node that lacks it is none to fail over to."),
    Rule(id="autostart", severity=ERROR, area=AREA, needs=(CIB, NODES), find=_autostart,
         looks_at="libvirt's autostart of the cluster's guests.",
         why="A node that boots would run a second copy before the cluster has looked."),
    Rule(id="leftover-move", severity=WARNING, area=AREA, needs=(CIB,), find=_leftovers,
         looks_at="Constraints that crm_resource --move and --ban leave behind.",
         why="The next failover finds a node banned."),
    Rule(id="guest-too-large", severity=ERROR, area=AREA, needs=(CIB,), find=_too_large,
         looks_at="The memory of each guest against the largest node, where both are known.",
         why="It could run nowhere."),
    Rule(id="no-spare", severity=WARNING, area=AREA, needs=(CIB,), find=_no_spare,
         looks_at="All guests on all nodes but one, each node in turn, guest by guest.",
         why="A sum that fits is not yet a place for each."),
)  # fmt: skip
