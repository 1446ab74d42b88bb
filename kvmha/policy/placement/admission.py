"""Whether an act may be done at all: a guest that is added or moved, a host that is drained, a configuration applied.

Invariant: an act is refused if it takes away the place of a guest that had one in the plan for the loss of a host, or
if it puts a guest where it may not run. Where the plan for a loss is lost already, nothing is refused on its account,
for that would block repair; and where a size is not known no plan holds, so nothing is refused for that either. An act
that leaves fewer guests without a place than before is repair and is admitted.
"""

from __future__ import annotations

from kvmha.policy.placement.fitting import why_not
from kvmha.policy.placement.records import UNKNOWN, Cluster, GuestNeed, NPlusOne, Reason, Stranded, gib
from kvmha.policy.placement.survival import Survey, holds, plans
from kvmha.record import Record

ADMIT, REFUSE = "admit", "refuse"

N_PLUS_ONE = "n-plus-one"
"""The code of the reason that a plan which held is destroyed."""

SEARCH = 4000


class Admission(Record):
    """The answer. ``reasons`` are those against it, also where it is admitted in spite of them."""

    act: str
    """admit or refuse."""
    reasons: tuple[Reason, ...] = ()
    repairs: tuple[tuple[str, ...], ...] = ()
    """The losses for which there was no plan before, and is one after."""

    @property
    def is_admitted(self) -> bool:
        """Whether it may be done."""
        return self.act == ADMIT

    @property
    def said(self) -> str:
        """All reasons in one sentence; empty for none."""
        return "; ".join(reason.said for reason in self.reasons)


def admit(before: Cluster, after: Cluster) -> Admission:
    """Judge an act by the cluster as it is and as it would be.

    Hosts that the act itself takes away or out of use (a drain) are compared by what is left: that they are no longer
    there to take guests over counts, that they could be lost themselves does not.
    """
    was, becomes = plans(before), plans(after)
    placed = _misplaced(before, after)
    held = {plan.lost for plan in was.plans if plan.holds}
    lacked = {plan.lost for plan in was.plans} - held
    repaired = [plan.lost for plan in becomes.plans if plan.holds and plan.lost in lacked]
    destroyed = _destroyed(before, was, becomes)
    reasons = [_reason(lost, stranded) for lost, stranded in destroyed]
    is_better = _left_over(becomes) < _left_over(was)
    # What nobody knows is said, and forbids nothing: no plan that holds can rest on it.
    is_refused = any(reason.code != UNKNOWN for reason in placed) or (bool(destroyed) and not is_better)
    return Admission(act=REFUSE if is_refused else ADMIT, reasons=(*placed, *reasons), repairs=tuple(sorted(repaired)))


def _left_over(found: NPlusOne) -> int:
    return sum(len(plan.stranded) for plan in found.plans)


def _destroyed(before: Cluster, was: NPlusOne, becomes: NPlusOne) -> list[tuple[tuple[str, ...], Stranded]]:
    """Return, by loss, the first guest that would have no place, and has one now.

    A guest that does not run yet has one if the plan for that loss holds: then it is its coming that destroys it.
    """
    held = {plan.lost for plan in was.plans if plan.holds}
    lacked = {stranded.guest for plan in was.plans for stranded in plan.stranded}
    running = {guest.name for guest in before.guests if guest.node}
    found = []
    for plan in becomes.plans:
        new = [
            each
            for each in plan.stranded
            if each.guest not in lacked and not each.is_unknown and (each.guest in running or plan.lost in held)
        ]
        found += [(plan.lost, new[0])] if new else []
    return found


def _reason(lost: tuple[str, ...], stranded: Stranded) -> Reason:
    guest, short = stranded.guest, stranded.short_mib
    lacks = "" if short is None else f" (short of {gib(short)})"
    return Reason(
        code=N_PLUS_ONE,
        subject=guest,
        place=lost[0],
        numbers={} if short is None else {"short": short},
        said=f"if {' and '.join(lost)} were lost afterwards, {guest} would have no place{lacks}, and now it has one",
    )


def _misplaced(before: Cluster, after: Cluster) -> tuple[Reason, ...]:
    """Return why guests that the act puts on a host may not run there; what ran there before is none of its doing."""
    where = {guest.name: guest.node for guest in before.guests}
    return tuple(
        reason
        for guest in after.guests
        if guest.node and where.get(guest.name) != guest.node
        for reason in why_not(after, guest.name, guest.node)
    )


def with_guest(cluster: Cluster, guest: GuestNeed) -> tuple[Cluster, tuple[Reason, ...]]:
    """Return the cluster with one guest more, on the host where it fits and harms least; reasons where it fits nowhere.

    Of the hosts that have room, one is taken on which all plans that held still do, if there is one.
    """
    after = cluster.replace(guests=(*cluster.guests, guest.replace(node="")))
    against: list[Reason] = []
    fit = []
    for host in sorted(cluster.hosts, key=lambda host: host.name):
        reasons = why_not(after, guest.name, host.name)
        against += reasons
        fit += [] if reasons else [host.name]
    if not fit:
        return after, tuple(against)
    chosen = min(fit, key=lambda host: (not admit(cluster, moved(after, guest.name, host)).is_admitted, host))
    return moved(after, guest.name, chosen), ()


def moved(cluster: Cluster, guest: str, host: str) -> Cluster:
    """Return the cluster with a guest on another host; guests that must run with it go along."""
    survey = Survey(cluster)
    going = survey.blocks.get(guest, (guest,))
    return cluster.replace(
        guests=tuple(each.replace(node=host) if each.name in going else each for each in cluster.guests)
    )


def why_not_drain(cluster: Cluster, host: str) -> tuple[Reason, ...]:
    """Return why a host cannot be drained: the guests for which the others have no place; empty if it can.

    A drain is what the reserve is for, so that nothing is left of it afterwards does not speak against it.
    """
    found = plans(cluster).plan(host)
    if cluster.host(host) is None:
        return (Reason(code="unknown", subject="", place=host, said=f"there is no node {host}"),)
    if found is None:
        # A host that takes no guests any more may still run some.
        survey = Survey(cluster)
        if holds(survey, (host,), steps=SEARCH):
            return ()
        running = ", ".join(sorted(survey.bins.guests[host]))
        said = f"the other hosts have no place for all that runs on {host}: {running}"
        return (Reason(code="memory", subject=running, place=host, said=said),)
    return tuple(reason for stranded in found.stranded for reason in stranded.reasons)


def check_invariants(before: Cluster, after: Cluster, answer: Admission) -> None:
    """Raise AssertionError where an answer breaks what is promised at the top."""
    was, becomes = plans(before), plans(after)
    lacked = {stranded.guest for plan in was.plans for stranded in plan.stranded}
    lacking = {stranded.guest for plan in becomes.plans for stranded in plan.stranded if not stranded.is_unknown}
    running = {guest.name for guest in before.guests if guest.node}
    gone = (lacking - lacked) & running
    if was.is_protected:
        gone |= lacking - lacked
    if answer.is_admitted and gone and _left_over(becomes) >= _left_over(was):
        raise AssertionError(f"admitted, and {', '.join(sorted(gone))} would have no place any more")
    gone = lacking - lacked
    misplaced = [reason for reason in _misplaced(before, after) if reason.code != UNKNOWN]
    if not answer.is_admitted and not gone and not misplaced:
        raise AssertionError("refused, and nothing that was there is lost")
