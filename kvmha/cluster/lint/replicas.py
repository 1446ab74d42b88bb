"""DRBD as resources: clones, promotions, and what is bound to them."""

from __future__ import annotations

from kvmha.cluster.facts.records import DRBD_AGENTS, PRIMARY_AGENT
from kvmha.cluster.lint.replication import PING_INTERVAL_S, PING_TIMEOUT_DS, TIMEOUT_DS, net_number
from kvmha.cluster.lint.rule import CIB, ERROR, RING, WARNING, Fault, Rule, seconds
from kvmha.policy import timing
from kvmha.tools.cib import is_true

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.lint.rule import Seen
    from kvmha.tools.cib import Resource

AREA = "drbd"

FENCE_CALL_S = 10.0
"""What a fence-peer handler needs of its own, beside the fencing: it writes a constraint and waits for the CIB."""


def _clone_of(facts: Facts, resource: Resource) -> Resource | None:
    parent = facts.cib.resource(resource.parent) if facts.cib is not None and resource.parent else None
    return parent if parent is None or parent.kind == "clone" else _clone_of(facts, parent)


def _promoted_max(facts: Facts) -> Iterator[Seen]:
    for resource in facts.resources(DRBD_AGENTS):
        clone = _clone_of(facts, resource)
        meta = {} if clone is None else clone.meta
        most = meta.get("promoted-max", meta.get("master-max", "1"))
        if clone is not None and most.isdigit() and int(most) > 1:
            yield Fault(
                subject=clone.id,
                said="Pacemaker keeps both sides primary all the time, and not only for a move",
                chain=f"promoted-max {most}",
                yaml="the templates use ocf:kvmha:DRBDPrimary; render and apply them",
                commands=(f"pcs resource meta {clone.id} promoted-max=1",),
            )


def _notify(facts: Facts) -> Iterator[Seen]:
    for resource in facts.resources(DRBD_AGENTS):
        clone = _clone_of(facts, resource)
        if clone is not None and not is_true(clone.meta.get("notify", resource.meta.get("notify", "false"))):
            yield Fault(
                subject=clone.id,
                said="the agent is not told what the other sides do, and learns late that one has gone",
                chain="notify not set",
                yaml="the templates set it; render and apply them",
                commands=(f"pcs resource meta {clone.id} notify=true",),
            )


def _not_clone(facts: Facts) -> Iterator[Seen]:
    for resource in facts.resources(DRBD_AGENTS):
        if _clone_of(facts, resource) is None:
            yield Fault(
                subject=resource.id,
                said="only one node has the device up: nothing is replicated",
                chain=f"{resource.agent} outside a clone",
                yaml="the templates make the clone; render and apply them",
                commands=(f"pcs resource clone {resource.id} notify=true interleave=true",),
            )


def _promote_time(facts: Facts) -> Iterator[Seen]:
    ring = facts.ring
    if ring is None:
        return
    for resource in facts.resources((*DRBD_AGENTS, PRIMARY_AGENT)):
        operation = "start" if resource.agent == PRIMARY_AGENT else "promote"
        clone = _clone_of(facts, resource)
        if operation == "promote" and (clone is None or not clone.is_promotable):
            continue
        found = next((each for each in facts.drbd or () if each.name == resource.params.get("drbd_resource")), None)
        lost = timing.peer_lost_s(
            ping_interval_s=net_number(found, "ping-int", PING_INTERVAL_S) if found else PING_INTERVAL_S,
            ping_timeout_ds=net_number(found, "ping-timeout", PING_TIMEOUT_DS) if found else PING_TIMEOUT_DS,
            timeout_ds=net_number(found, "timeout", TIMEOUT_DS) if found else TIMEOUT_DS,
        )
        member = ring.totem.lost_ms / 1000.0
        least = max(lost, member) + FENCE_CALL_S
        limit, is_set = facts.timeout_s(resource, operation)
        if limit < least:
            yield Fault(
                subject=resource.id,
                said="after the loss of the other side it is killed before it can know that the other side is gone",
                chain=f"max(DRBD {lost:g} s, token + consensus {member:g} s) + handler {FENCE_CALL_S:g} s = "
                f"{least:g} s > {operation} {seconds(limit)}{'' if is_set else ', which nobody set'}",
                yaml="the templates compute it; render and apply them",
                commands=(f"pcs resource update {resource.id} op {operation} timeout={int(least / 10 + 1) * 10}s",),
            )


def _loose(facts: Facts) -> Iterator[Seen]:
    if facts.cib is None:
        return
    used = {each.with_resource for each in facts.cib.colocations}
    used |= {name for each in facts.cib.colocations for group in each.sets for name in group.resources}
    for resource in facts.resources(DRBD_AGENTS):
        if not {resource.id, resource.parent} & used:
            yield Fault(
                subject=resource.parent or resource.id,
                said="nothing is bound to where it may be written, so a guest can start where its disk is not",
                chain="no colocation with it",
                yaml="guests: disks names it; render and apply",
                commands=(f"pcs constraint colocation add GUEST with {resource.parent or resource.id}",),
            )


RULES = (
    Rule(id="drbd-promoted-max", severity=ERROR, area=AREA, needs=(CIB,), find=_promoted_max,
         looks_at="promoted-max of DRBD's clone.",
         why="Pacemaker promotes as many as it may."),
    Rule(id="drbd-notify", severity=WARNING, area=AREA, needs=(CIB,), find=_notify,
         looks_at="notify of DRBD's clone.",
         why="The agents rely on it."),
    Rule(id="drbd-no-clone", severity=ERROR, area=AREA, needs=(CIB,), find=_not_clone,
         looks_at="That DRBD is a clone.",
         why="Each replica is an instance."),
    Rule(id="drbd-promote-time", severity=ERROR, area=AREA, needs=(RING, CIB), find=_promote_time,
         looks_at="The timeout of a promotion against DRBD's detection, token and consensus, and the handler.",
         why="A promotion after a death waits for all of them."),
    Rule(id="drbd-loose", severity=WARNING, area=AREA, needs=(CIB,), find=_loose,
         looks_at="That something is bound to each DRBD clone.",
         why="A guest belongs to its disk."),
)  # fmt: skip
