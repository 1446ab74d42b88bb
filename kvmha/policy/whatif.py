"""An answer to a what-if: who goes on, what happens when, what becomes of each guest, and what to be careful of.

Invariant: what the scheduler planned is taken as it is; where it would not work in reality, that is said beside it.
"""

from __future__ import annotations

from kvmha.policy import failover, placement, timeline
from kvmha.policy.failover import ERROR, NOTE, UP_TO_DATE_SCORE, WARNING, Caution
from kvmha.policy.placement import admission, offers
from kvmha.policy.snapshot import GUEST, Snapshot
from kvmha.policy.timeline import Moment, When, every
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kvmha.policy.failover import Outlook, Trouble
    from kvmha.policy.plan import Planned, Round

STAYS, MOVES, STARTS, STOPS, DOWN, HELD = "stays", "moves live", "starts", "stops", "stays down", "held"


class Fate(Record):
    """What becomes of a guest or an address."""

    name: str
    kind: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    how: str
    """stays, moves live, starts, stops, stays down, or held: by a node that was not fenced, where it may still run."""
    back: When | None = None
    """When its start has ended, None where it is not away or does not come back."""
    answers: When | None = None
    """When it answers, where a description says how long it boots."""
    limit_s: float | None = None
    said: str = ""


class Asked(Record):
    """One set of events, and what Pacemaker's scheduler made of them: all that an answer is made from."""

    events: tuple[str, ...]
    trouble: Trouble
    before: Snapshot
    planned: Snapshot
    """The cluster at the end of the plan."""
    rounds: tuple[Round, ...]
    is_voluntary: bool = False
    """They are nothing that happens to a cluster, but what somebody wants to do: a guest more, or a move."""
    known: tuple[Caution, ...] = ()
    """What was to be said before anything was asked."""


class Phase(Record):
    """What happens from one set of events until the cluster has come to rest."""

    events: tuple[str, ...]
    outlook: Outlook
    moments: tuple[Moment, ...]
    fates: tuple[Fate, ...]
    cautions: tuple[Caution, ...]
    over: When


class Answer(Record):
    """All phases."""

    source: str
    phases: tuple[Phase, ...]
    unread: tuple[str, ...] = ()
    scheduler_s: float = 0.0
    """How long Pacemaker's scheduler took for it."""
    own_s: float = 0.0

    @property
    def is_alarming(self) -> bool:
        """Whether anything of the severity error was found."""
        return any(caution.severity == ERROR for phase in self.phases for caution in phase.cautions)


def judge(asked: tuple[Asked, ...], *, bandwidth: float) -> tuple[Phase, ...]:
    """Return what happens after each set of events; ``bandwidth`` is what a move has, in MiB/s."""
    return tuple(phase(each, failover.outlook(each.before, each.trouble), bandwidth=bandwidth) for each in asked)


def phase(asked: Asked, look: Outlook, *, bandwidth: float) -> Phase:
    """Return what happens after one set of events; ``look`` is the outlook after its trouble."""
    before, planned, rounds = asked.before, asked.planned, asked.rounds
    is_loss = bool(set(look.lost) - {node.name for node in before.nodes if not node.is_online})
    begins = timeline.decided(timeline.lost_after(before) if is_loss else every(0.0))
    moments, over = timeline.schedule(before, look, rounds, begins, bandwidth=bandwidth)
    if is_loss:
        moments = (*_losses(before, look), *moments)
    after = {each.name: each.nodes for each in planned.resources}
    found = fates(before, after, look, moments, rounds)
    said = [*asked.known, *cautions(before, planned, look, found)]
    if asked.is_voluntary:
        said += unwelcome(before, planned)
    return Phase(
        events=asked.events,
        outlook=look,
        moments=moments,
        fates=found,
        cautions=tuple(said),
        over=over if rounds else When(),
    )


def _losses(before: Snapshot, look: Outlook) -> tuple[Moment, ...]:
    when = timeline.lost_after(before)
    by = " ".join(look.standing)
    return tuple(
        Moment(what="lost", subject=name, begins=when, ends=when, said=f"{by} no longer see it") for name in look.lost
    )


def fates(
    before: Snapshot,
    after: Mapping[str, tuple[str, ...]],
    outlook: Outlook,
    moments: tuple[Moment, ...],
    rounds: tuple[Round, ...],
) -> tuple[Fate, ...]:
    """Return what becomes of everything that serves clients; ``after`` is where the scheduler has it run at the end."""
    held = {each.node for each in outlook.fencings if each.fails}
    unreached = set(outlook.lost) if not outlook.acting else held
    by_subject: dict[str, list[Moment]] = {}
    for moment in moments:
        by_subject.setdefault(moment.subject, []).append(moment)
    planned = {change.subject.partition(":")[0]: change for each in rounds for change in each.changes}
    known = {each.name: each for each in before.resources}
    names = [each.name for each in before.resources if each.kind == GUEST or each.kind == "address"]
    names += sorted(name for name in after if name not in known)
    found = []
    for name in names:
        resource = known.get(name)
        kind = resource.kind if resource is not None else GUEST
        fate = Fate(
            name=name,
            kind=kind,
            before=resource.nodes if resource is not None else (),
            after=after.get(name, ()),
            how=STAYS,
            limit_s=resource.limit_s if resource is not None else None,
        )
        boot = resource.boot_s if resource is not None else None
        found.append(_fate(fate, by_subject.get(name, []), planned.get(name), unreached, boot))
    return tuple(found)


def _fate(fate: Fate, moments: list[Moment], planned: Planned | None, unreached: set[str], boot: float | None) -> Fate:
    reason = planned.reason if planned is not None else ""
    starts = [moment for moment in moments if moment.what == "start"]
    arrivals = [moment for moment in moments if moment.what == "arrive"]
    if set(fate.before) & unreached:
        return fate.replace(
            how=HELD, after=(), said=f"it may still run on {' '.join(fate.before)}, and is started nowhere else"
        )
    if any(moment.begins is None for moment in (*starts, *arrivals)):
        return fate.replace(how=DOWN, after=(), said="it waits for something that never happens")
    if starts:
        ends = starts[-1].ends
        answers = ends.plus(every(boot)) if ends is not None and boot is not None else None
        return fate.replace(how=STARTS, back=ends, answers=answers, said=reason)
    if arrivals:
        return fate.replace(how=MOVES, back=None, said=reason)
    if fate.before and not fate.after:
        return fate.replace(how=STOPS, said=reason or "Pacemaker has no place for it")
    if not fate.before and not fate.after:
        return fate.replace(how=DOWN, said=reason)
    return fate


def cautions(before: Snapshot, planned: Snapshot, outlook: Outlook, found: tuple[Fate, ...]) -> Iterator[Caution]:
    """Yield where the plan would not work in reality, or should be known; ``planned`` is the cluster at its end."""
    yield from outlook.warnings
    for fate in found:
        if fate.how == HELD:
            yield Caution(code="held", severity=ERROR, subject=fate.name, said=fate.said)
        elif fate.how in (STOPS, DOWN) and (fate.before or (fate.kind == GUEST and not _was_off(before, fate.name))):
            said = f"it does not come back: {fate.said or 'Pacemaker has no place for it'}"
            yield Caution(code="not-recovered", severity=ERROR, subject=fate.name, said=said)
        end = fate.answers or fate.back
        if fate.limit_s is not None and end is not None and end.usual_s > fate.limit_s:
            said = f"it is back after {end.usual_s:.1f} s as a rule, and {fate.limit_s:g} s were promised"
            yield Caution(code="limit", severity=WARNING, subject=fate.name, said=said)
    yield from _shortages(before, planned)
    yield from _lacking(planned, found)
    yield from _stale(planned, found)
    yield from _margin(outlook)


def _was_off(before: Snapshot, name: str) -> bool:
    resource = before.resource(name)
    return resource is not None and not resource.is_wanted


def _shortages(before: Snapshot, planned: Snapshot) -> Iterator[Caution]:
    """Yield the nodes that would have more on them than they have, and had not before."""
    known = {shortage.node: shortage.need_mib for shortage in placement.shortages(before)}
    for shortage in placement.shortages(planned):
        if shortage.need_mib > known.get(shortage.node, 0):
            yield Caution(code="no-memory", severity=ERROR, subject=shortage.node, said=shortage.said)


def _lacking(planned: Snapshot, found: tuple[Fate, ...]) -> Iterator[Caution]:
    """Yield the guests that would start or move to where something lacks that they need by name."""
    if not offers.known(planned):
        return
    there = placement.of_snapshot(planned)
    for fate in found:
        if fate.how not in (MOVES, STARTS):
            continue
        for node in fate.after:
            for reason in placement.why_not(there, fate.name, node):
                if reason.code in offers.ATTRIBUTES:
                    yield Caution(code="lacking", severity=ERROR, subject=fate.name, said=reason.said)


def unwelcome(before: Snapshot, planned: Snapshot) -> Iterator[Caution]:
    """Yield why an act that is left to people, a guest more or a move, should not be done: it takes the reserve."""
    found = admission.admit(placement.of_snapshot(before), placement.of_snapshot(planned))
    if not found.is_admitted:
        for reason in found.reasons:
            yield Caution(code="n-plus-one", severity=ERROR, subject=reason.subject, said=reason.said)


def _stale(planned: Snapshot, found: tuple[Fate, ...]) -> Iterator[Caution]:
    known = {each.name: each for each in planned.resources}
    for fate in found:
        resource = known.get(fate.name)
        if resource is None or fate.how not in (MOVES, STARTS):
            continue
        for disk in resource.disks:
            scores = planned.replica_scores(disk)
            for node in fate.after:
                score = scores.get(node)
                if score is None or score < UP_TO_DATE_SCORE:
                    word = "has no score" if score is None else f"has the score {score}"
                    said = f"its disk {disk} on {node} {word}: it is not known to be up to date there"
                    yield Caution(code="disk-stale", severity=ERROR, subject=fate.name, said=said)


def _margin(outlook: Outlook) -> Iterator[Caution]:
    for verdict in outlook.judgement.parts:
        if verdict.part.members == outlook.acting and outlook.lost and len(outlook.acting) > 1 and not verdict.spare:
            said = f"afterwards {' '.join(outlook.acting)} can lose no further node: one more failure stops everything"
            yield Caution(code="no-margin", severity=NOTE, subject="quorum", said=said)
