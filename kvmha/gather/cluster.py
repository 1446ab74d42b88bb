"""The whole cluster as a snapshot: from a CIB, live or saved, and what else is at hand.

Pacemaker's own scheduler says what the status section means (crm_simulate without a simulation), so a saved CIB is
read as the live one is. corosync.conf and a description add what a CIB does not hold.
"""

from __future__ import annotations

import re

from kvmha.cluster.facts import of_files, with_description
from kvmha.cluster.facts.records import ADDRESS_AGENTS, DRBD_AGENTS, GUEST_AGENTS, PRIMARY_AGENT
from kvmha.gather import definition, durations, fencing
from kvmha.gather.constraints import Reading
from kvmha.policy import quorum, snapshot
from kvmha.policy.node import NodeFacts
from kvmha.policy.snapshot import Snapshot, score_of
from kvmha.tools import cib as cib_reader
from kvmha.tools import crm_mon, crm_simulate
from kvmha.tools.cib import history, is_true, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any
    from typing import Any as Element

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.facts.records import GuestFacts, Ring
    from kvmha.cluster.fields import ClusterDescription
    from kvmha.host import Host
    from kvmha.tools.cib import Cib, Resource
    from kvmha.tools.cib.history import Executed
    from kvmha.tools.crm_mon import ClusterStatus, ResourceStatus

SCORE_ATTRIBUTES = ("drbd-promotion-score-{disk}", "master-{resource}")
"""Under which node attribute a replica's score is: of kvmha's set by DRBD's name, else as crm_attribute --promotion."""

NUMBER = re.compile("[+-]?[0-9]{1,15}")

MEMORY_NAMES = ("hv_memory", "host_memory", "memory")
CPU_NAMES = ("cpu", "cpus")


def snapshot_of(
    host: Host,
    cib: str,
    *,
    conf: str | None = None,
    wanted: ClusterDescription | None = None,
    nodes: tuple[NodeFacts, ...] = (),
    source: str = "live",
    at: float | None = None,
    folder: str = "",
    shown: str = "",
    configured: Configured | None = None,
) -> Snapshot:
    """Return the cluster that a CIB shows; ``folder`` is for drafts (crm_simulate).

    ``configured`` is handed over from one CIB to the next of the same cluster.

    ``shown`` is how the scheduler reads it, as XML with the part cluster_status or revised_cluster_status; empty to
    ask it.

    Raises UserError for what is no CIB, CommandError, CorosyncConfError.
    """

    def read() -> Facts:
        facts = of_files(conf=conf, cib=cib, nodes=nodes, source=source, cib_source=source)
        return facts if wanted is None else with_description(facts, wanted)

    root = cib_reader.tree(cib, source)
    facts = (configured or Configured()).facts(root, read)
    text = shown or crm_simulate.state(host, cib, folder=folder)
    part = "cluster_status" if "<cluster_status>" in text else "revised_cluster_status"
    status = crm_mon.parse_part(text, part, is_quorate=False)
    return assemble(facts, root, status, source=source, at=at)


def definitions_of(host: Host, cib: str, source: str = "the CIB", folder: str | None = None) -> tuple[NodeFacts, ...]:
    """Return what those definitions of a CIB's guests say that this node can read, at their places or in a folder.

    Raises UserError for what is no CIB.
    """
    paths = [guest.resource.params.get("config", "") for guest in of_files(cib=cib, cib_source=source).guests]
    found = tuple(
        definition(host, f"{folder}/{path.rpartition('/')[2]}" if folder else path).replace(path=path)
        for path in dict.fromkeys(paths)
        if path
    )
    return (NodeFacts(node="", definitions=found),) if found else ()


class Configured:
    """The facts of a configuration, for CIBs that follow each other and differ in their state alone."""

    def __init__(self) -> None:
        self._text = ""
        self._facts: Facts | None = None

    def facts(self, root: Element, read: Callable[[], Facts]) -> Facts:
        """Return the facts of a CIB; they are read anew only where its configuration is another one."""
        text = cib_reader.text_of(root.find("configuration"))
        if self._facts is None or text != self._text:
            self._facts, self._text = read(), text
        return self._facts


def assemble(facts: Facts, root: Element, shown: ClusterStatus | None, *, source: str, at: float | None) -> Snapshot:
    """Put a snapshot together; ``shown`` is how the scheduler reads the status, None where it shows nothing.

    Of ``root``, the whole document, only the state is read; ``facts`` have the configuration.
    """
    cib = facts.cib
    assert cib is not None
    passing, ran = state.transient(root), history.executed(root)
    names = tuple(node.name for node in cib.nodes)
    attributes = {
        name: {**facts.node_offers.get(name, {}), **node.attributes, **passing.get(name, {})}
        for node in cib.nodes
        for name in [node.name or node.id]
    }
    for node in shown.nodes if shown is not None else ():
        attributes.setdefault(node.name, passing.get(node.name, {}))
    reading = Reading(cib, attributes)
    preferences, pairings = reading.preferences(), reading.pairings()
    dc, quorum_word = root.get("dc-uuid", ""), root.get("have-quorum")
    return Snapshot(
        source=source,
        at=at,
        cluster=cib.properties.get("cluster-name", facts.ring.cluster if facts.ring is not None else ""),
        dc=next((node.name for node in cib.nodes if node.id == dc), dc),
        is_quorate=is_true(quorum_word) if quorum_word is not None else None,
        nodes=_nodes(facts, cib, shown, attributes, ran, names),
        resources=_resources(facts, cib, shown, ran, pairings),
        preferences=preferences,
        pairings=pairings,
        replicas=_replicas(cib, attributes),
        failures=tuple(
            snapshot.Failure(
                resource=each.resource, node=each.node, operation=each.operation, rc=each.rc, reason=each.reason,
                at=float(each.at),
            )
            for each in state.failed(root)
        ),
        properties=dict(cib.properties),
        totem=facts.ring.totem if facts.ring is not None else None,
        quorum=settings_of(facts.ring, {node.id: node.name for node in cib.nodes}) if facts.ring is not None else None,
        fence_paths=fencing.paths(facts),
        fence_trials=fencing.trials(facts),
        unread=(*(f"{each.place}: not known here, and left out" for each in cib.unread), *reading.unread),
    )  # fmt: skip


def settings_of(ring: Ring, names: Mapping[str, str] | None = None) -> quorum.Settings:
    """Return how a corosync.conf has votes counted; a node without an id gets its place in the list.

    ``names`` are Pacemaker's names of nodes, by their ids, for those that have none in the file.
    """
    said, known = ring.quorum, names or {}
    section = ring.section.section("quorum")
    return quorum.Settings(
        voters=tuple(
            quorum.Voter(
                name=node.name or known.get(str(node.nodeid)) or f"node{place}",
                nodeid=node.nodeid or place,
                votes=node.votes,
            )
            for place, node in enumerate(ring.nodes, 1)
        ),
        expected_votes=said.expected_votes,
        two_node=said.two_node,
        wait_for_all=said.wait_for_all,
        auto_tie_breaker=said.auto_tie_breaker,
        tie_breaker=section.value("auto_tie_breaker_node", quorum.LOWEST),
        last_man_standing=said.last_man_standing,
        device=None
        if said.device is None
        else quorum.Device(
            algorithm=said.device.algorithm,
            votes=said.device.votes if section.section("device").value("votes") else None,
        ),
    )


# ----------------------------------------------------------------------- nodes


def _nodes(
    facts: Facts,
    cib: Cib,
    shown: ClusterStatus | None,
    attributes: Mapping[str, Mapping[str, str]],
    ran: tuple[Executed, ...],
    names: tuple[str, ...],
) -> tuple[snapshot.Node, ...]:
    known = {node.name: node for node in cib.nodes}
    seen = {node.name: node for node in shown.nodes} if shown is not None else {}
    found = []
    watches = facts.uses_sbd and bool(facts.seconds("stonith-watchdog-timeout", 0.0))
    asked = durations.of_questions(facts, ran)
    for name in dict.fromkeys((*names, *seen)):
        node, status = known.get(name), seen.get(name)
        has = _numbers(node.utilization if node is not None else {})
        is_remote = status is not None and (status.is_guest or status.kind == "remote")
        found.append(
            snapshot.Node(
                name=name,
                kind=snapshot.REMOTE if is_remote or (node is not None and node.kind == "remote") else snapshot.MEMBER,
                is_online=status is not None and status.is_online,
                is_unclean=status is not None and status.is_unclean,
                is_standby=status is not None and status.is_standby,
                is_maintenance=status is not None and status.is_maintenance,
                is_pending=status is not None and status.is_pending,
                attributes=attributes.get(name, {}),
                utilization=has,
                memory_mib=facts.node_memory.get(name) or _first(has, MEMORY_NAMES),
                cpus=_first(has, CPU_NAMES),
                fencing=tuple(_devices(facts, name, asked)),
                has_watchdog_fencing=watches,
            )
        )
    return tuple(sorted(found, key=lambda each: each.name))


def _devices(facts: Facts, name: str, asked: Mapping[str, durations.Question]) -> list[snapshot.Device]:
    has_levels = any(each.target == name for each in (facts.cib.levels if facts.cib is not None else ()))
    found = []
    for place, level in enumerate(facts.fencing_of(name), 1):
        for device in level:
            usual, most, is_measured = durations.of_device(facts, device, asked.get(device.id))
            delay, own = device.delay_base_s(name), device.configured_delay_s(name)
            found.append(
                snapshot.Device(
                    name=device.id,
                    agent=device.agent,
                    level=place if has_levels else 1,
                    delay_s=delay,
                    delay_most_s=max(delay, device.delay_max_s),
                    steered=device.steered_delay,
                    unsteered=(own, max(own, device.delay_max_s)) if device.steered_delay else None,
                    usual_s=usual,
                    most_s=most,
                    is_measured=is_measured,
                )
            )
    return found


# ------------------------------------------------------------------- resources


def _resources(
    facts: Facts,
    cib: Cib,
    shown: ClusterStatus | None,
    ran: tuple[Executed, ...],
    pairings: tuple[snapshot.Pairing, ...],
) -> tuple[snapshot.Resource, ...]:
    seen: dict[str, list[ResourceStatus]] = {}
    for each in shown.resources if shown is not None else ():
        seen.setdefault(each.name.partition(":")[0], []).append(each)
    guests = {guest.id: guest for guest in facts.guests}
    took = durations.of_operations(ran)
    disks = _disks(cib, pairings)
    found = [
        _resource(facts, cib, resource, seen.pop(resource.id, []), guests.get(resource.id), took, disks)
        for resource in cib.primitives()
    ]
    # What runs and is configured no more, and what a bundle brings with it.
    for name, instances in sorted(seen.items()):
        agent = instances[0].agent
        found.append(snapshot.Resource(name=name, agent=agent, kind=kind_of(agent), **_standing(instances)))
    return tuple(found)


def _resource(
    facts: Facts,
    cib: Cib,
    resource: Resource,
    instances: list[ResourceStatus],
    guest: GuestFacts | None,
    took: Mapping[tuple[str, str], float],
    disks: Mapping[str, tuple[str, ...]],
) -> snapshot.Resource:
    full = cib.effective(resource)
    has = _numbers(full.utilization)
    needs = guest.needs if guest is not None else None
    numbers = {name: score_of(full.meta.get(name, "0")) or 0 for name in ("priority", "resource-stickiness")}
    return snapshot.Resource(
        name=resource.id,
        agent=full.agent,
        kind=kind_of(full.agent),
        **_standing(instances),
        is_clone=_is_cloned(cib, resource),
        parent=resource.parent,
        target_role=full.meta.get("target-role", "Started"),
        priority=numbers["priority"],
        stickiness=numbers["resource-stickiness"],
        is_movable=is_true(full.meta.get("allow-migrate", "false")),
        utilization=has,
        memory_mib=(guest.memory_mib if guest is not None else None) or _first(has, MEMORY_NAMES),
        cpus=_first(has, CPU_NAMES) or (needs.vcpus if needs is not None else None),
        needs=needs,
        disks=disks.get(resource.id, ()),
        start_s=took.get((resource.id, "start")),
        stop_s=took.get((resource.id, "stop")),
        start_timeout_s=_timeout(facts, full, "start"),
        stop_timeout_s=_timeout(facts, full, "stop"),
        boot_s=guest.boot_s if guest is not None else None,
        limit_s=guest.recovery_limit_s if guest is not None else None,
        dirty_mib_s=guest.dirty_mib_s if guest is not None else None,
    )


def kind_of(agent: str) -> str:
    """Return what a resource is, by its agent."""
    if agent.startswith("stonith:"):
        return snapshot.FENCING
    kinds = {
        snapshot.GUEST: GUEST_AGENTS, snapshot.ADDRESS: ADDRESS_AGENTS, snapshot.REPLICA: DRBD_AGENTS,
        snapshot.PRIMARY: (PRIMARY_AGENT,),
    }  # fmt: skip
    return next((kind for kind, agents in kinds.items() if agent in agents), snapshot.OTHER)


def _standing(instances: list[ResourceStatus]) -> dict[str, Any]:
    nodes = sorted({node for each in instances for node in each.nodes})
    promoted = {node for each in instances if each.role in ("Promoted", "Master") for node in each.nodes}
    return {
        "nodes": tuple(nodes),
        "promoted": tuple(sorted(promoted)),
        "is_managed": all(each.is_managed for each in instances),
        "is_failed": any(each.is_failed for each in instances),
        "is_blocked": any(each.is_blocked for each in instances),
        "is_orphaned": any(each.is_orphaned for each in instances),
        "pending": next((each.pending for each in instances if each.pending), ""),
    }


def _is_cloned(cib: Cib, resource: Resource) -> bool:
    parent = cib.resource(resource.parent) if resource.parent else None
    while parent is not None:
        if parent.kind in ("clone", "bundle"):
            return True
        parent = cib.resource(parent.parent) if parent.parent else None
    return False


def _disks(cib: Cib, pairings: tuple[snapshot.Pairing, ...]) -> dict[str, tuple[str, ...]]:
    """Return, by resource, the DRBD resources that it has to be with, through as many steps as it takes."""
    own = {}
    for resource in cib.primitives():
        full = cib.effective(resource)
        if full.agent in (*DRBD_AGENTS, PRIMARY_AGENT) and full.params.get("drbd_resource"):
            own[resource.id] = full.params["drbd_resource"]
    beside: dict[str, set[str]] = {}
    for pair in pairings:
        if pair.score > 0:
            beside.setdefault(pair.resource, set()).add(pair.with_resource)
    found = {}
    for name in beside:
        reached, waiting = set(), [name]
        while waiting:
            one = waiting.pop()
            if one not in reached:
                reached.add(one)
                waiting += beside.get(one, ())
        if disks := {own[one] for one in reached - {name} if one in own}:
            found[name] = tuple(sorted(disks))
    return found


def _replicas(cib: Cib, attributes: Mapping[str, Mapping[str, str]]) -> tuple[snapshot.Replica, ...]:
    found = []
    for resource in cib.primitives():
        full = cib.effective(resource)
        disk = full.params.get("drbd_resource", "")
        if full.agent not in DRBD_AGENTS or not disk:
            continue
        names = [form.format(disk=disk, resource=resource.id) for form in SCORE_ATTRIBUTES]
        for node, values in sorted(attributes.items()):
            text = next((values[name] for name in names if name in values), None)
            score = None if text is None else score_of(text)
            found.append(snapshot.Replica(disk=disk, resource=resource.id, node=node, score=score))
    return tuple(found)


def _timeout(facts: Facts, resource: Resource, operation: str) -> float:
    return facts.timeout_s(resource, operation)[0]


def _numbers(values: Mapping[str, str]) -> dict[str, int]:
    """Return the utilization that is a number; Pacemaker takes any other for nothing."""
    return {name: int(text) for name, text in values.items() if NUMBER.fullmatch(text.strip())}


def _first(values: Mapping[str, int], names: tuple[str, ...]) -> int | None:
    return next((values[name] for name in names if name in values), None)
