"""Tickets of a second site: that one side has let go before the other one takes."""

from __future__ import annotations

from kvmha.cluster.lint.fencing import action_of, limit_of
from kvmha.cluster.lint.rule import CIB, ERROR, Fault, Rule, Unknown, seconds
from kvmha.policy import timing
from kvmha.policy.timing.recovery import DECIDE_MOST_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.lint.rule import Seen
    from kvmha.tools.booth_conf import BoothTicket
    from kvmha.tools.cib import Ticket

AREA = "tickets"


def _bound(facts: Facts) -> Iterator[tuple[Ticket, BoothTicket | None, Unknown | None]]:
    """Yield each constraint on a ticket with that ticket's times, or why these are not known."""
    for constraint in facts.cib.tickets if facts.cib is not None else ():
        if facts.booth is None:
            yield constraint, None, Unknown(subject=constraint.ticket, said="its times are on the nodes, in /etc/booth")
        else:
            found = [ticket for ticket in facts.booth.tickets if ticket.name == constraint.ticket]
            yield constraint, found[0] if found else None, None


def _overlap(facts: Facts) -> Iterator[Seen]:
    for constraint, ticket, unknown in _bound(facts):
        if unknown:
            yield unknown
        if ticket is None:
            continue
        policy = constraint.loss_policy or "stop"
        if policy == "freeze":
            yield Fault(
                subject=constraint.resource,
                said="it goes on here when the ticket is lost, and the other site starts it as well",
                chain=f"loss-policy freeze of {constraint.id}",
                yaml="booth: tickets: {loss_policy: fence}",
                commands=(f"pcs constraint ticket add {ticket.name} {constraint.resource} loss-policy=fence",),
            )
            continue
        needed, chain = _fenced(facts) if policy == "fence" else _stopped(facts, constraint)
        if ticket.acquire_after < needed:
            yield Fault(
                subject=ticket.name,
                said="the other site starts what it holds before this one has surely let go: two copies",
                chain=f"acquire-after {seconds(ticket.acquire_after)} < {chain}",
                yaml=f"booth: tickets: {{acquire_after: {int(needed // 10 + 1) * 10}}}",
                commands=(f"acquire-after = {int(needed // 10 + 1) * 10}   # in booth.conf, at all sites",),
            )


def _fenced(facts: Facts) -> tuple[float, str]:
    """Return how long the fencing of a node may take at the most, and how that comes about."""
    worst, which = 0.0, "a watchdog"
    for node in facts.node_names:
        for device in [device for level in facts.fencing_of(node)[:1] for device in level]:
            delay = max(device.delay_base_s(node), device.delay_max_s)
            if device.agent in ("fence_sbd", "external/sbd"):
                most = facts.sbd.msgwait_s if facts.sbd is not None else 2 * timing.SBD_WATCHDOG_S
            else:
                times = timing.agent_times(
                    device.agent, device.params, facts.agents.get(device.agent), action=action_of(facts, device)
                )
                most = min(times.most_s, limit_of(facts, device)[0])
            if delay + most > worst:
                worst, which = delay + most, device.id
    worst = max(worst, facts.seconds("stonith-watchdog-timeout", 0.0))
    needed = DECIDE_MOST_S + worst
    return needed, f"decision {DECIDE_MOST_S:g} + fencing by {which} {worst:g} = {needed:g} s"


def _stopped(facts: Facts, constraint: Ticket) -> tuple[float, str]:
    """Return how long the stop of what a constraint binds may take at the most."""
    names = {constraint.resource, *(name for group in constraint.sets for name in group.resources)}
    worst, which = 0.0, constraint.resource
    for resource in facts.cib.primitives() if facts.cib is not None else ():
        if resource.id in names or resource.parent in names:
            limit = facts.timeout_s(facts.cib.effective(resource), "stop")[0] if facts.cib is not None else 0.0
            if limit > worst:
                worst, which = limit, resource.id
    needed = DECIDE_MOST_S + worst
    return needed, f"decision {DECIDE_MOST_S:g} + stop of {which} {worst:g} = {needed:g} s"


def _retries(facts: Facts) -> Iterator[Seen]:
    for ticket in facts.booth.tickets if facts.booth is not None else ():
        total = ticket.timeout * (ticket.retries + 1)
        if total >= ticket.renewal:
            yield Fault(
                subject=ticket.name,
                said="a renewal is due again before the last one has been given up, and a good ticket is lost",
                chain=f"timeout {ticket.timeout:g} x (retries {ticket.retries} + 1) = {total:g} s >= renewal "
                f"{ticket.renewal:g} s",
                yaml=f"booth: tickets: {{expire: {int(total * 2) + 60}}}",
                commands=(f"expire = {int(total * 2) + 60}   # in booth.conf, at all sites",),
            )


def _voters(facts: Facts) -> Iterator[Seen]:
    booth = facts.booth
    if booth is not None and booth.sites and (len(booth.sites) + len(booth.arbitrators)) % 2 == 0:
        yield Fault(
            subject="booth",
            said="when one half is cut off the other half is no majority: no ticket moves, and none is renewed",
            chain=f"{len(booth.sites)} sites + {len(booth.arbitrators)} arbitrators",
            yaml="booth: arbitrators: one at a third place",
            commands=("arbitrator = ADDRESS   # in booth.conf, at all sites",),
        )


def _stranger(facts: Facts) -> Iterator[Seen]:
    for constraint, ticket, unknown in _bound(facts):
        if unknown:
            yield unknown
        elif ticket is None:
            yield Fault(
                subject=constraint.ticket,
                said=f"booth knows no such ticket, so {constraint.resource or 'what it binds'} runs nowhere",
                chain=f"constraint {constraint.id}",
                yaml="booth: tickets: one of this name",
                commands=(f'ticket = "{constraint.ticket}"   # in booth.conf, at all sites',),
            )


RULES = (
    Rule(id="ticket-overlap", severity=ERROR, area=AREA, needs=(CIB,), find=_overlap,
         looks_at="acquire-after of each ticket against the fencing, or the stop, of what it holds.",
         why="boothd(8): it is the time in which the site that lost a ticket lets go."),
    Rule(id="ticket-retries", severity=ERROR, area=AREA, find=_retries,
         looks_at="timeout times retries of each ticket against its renewal.",
         why="boothd(8) wants the tries to be over before the next renewal."),
    Rule(id="ticket-voters", severity=ERROR, area=AREA, find=_voters,
         looks_at="The number of sites and arbitrators.",
         why="A ticket moves by a majority."),
    Rule(id="ticket-unknown", severity=ERROR, area=AREA, needs=(CIB,), find=_stranger,
         looks_at="The tickets that constraints name against those of booth.",
         why="What waits for a ticket that nobody grants never starts."),
)  # fmt: skip
