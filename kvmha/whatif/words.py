"""An answer for people: who goes on, a table of what happens when, what becomes of the guests, and warnings first."""

from __future__ import annotations

from kvmha.policy.failover import ERROR
from kvmha.policy.whatif import DOWN, HELD, STAYS, STOPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.policy.timeline import Moment, When
    from kvmha.policy.whatif import Answer, Fate, Phase

MARKS = {ERROR: "!!", "warning": "! ", "note": "- "}


def lines(answer: Answer) -> Iterator[str]:
    """Yield the lines of an answer."""
    for number, phase in enumerate(answer.phases, 1):
        head = ", ".join(phase.events)
        yield f"what if: {head}" if number == 1 else f"then: {head}"
        yield ""
        yield from _cautions(phase)
        for said in phase.outlook.said:
            yield f"  {said}"
        if phase.outlook.race:
            yield f"  {phase.outlook.race}"
        yield ""
        yield from _timeline(phase)
        yield from _fates(phase)
    for said in answer.unread:
        yield f"not understood: {said}"
    yield f"Pacemaker's scheduler took {answer.scheduler_s:.2f} s, all else {answer.own_s:.2f} s; nothing was changed"


def _cautions(phase: Phase) -> Iterator[str]:
    order = list(MARKS)
    for caution in sorted(phase.cautions, key=lambda each: order.index(each.severity)):
        yield f"  {MARKS[caution.severity]} {caution.subject}: {caution.said}  [{caution.code}]"
    if phase.cautions:
        yield ""


def _timeline(phase: Phase) -> Iterator[str]:
    if not phase.moments:
        yield "  nothing happens"
        yield ""
        return
    rows = [_row(moment) for moment in phase.moments]
    rows.insert(0, ("seconds", "from - to", "what", "whom", "where", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [row[0].rjust(widths[0]), *(cell.ljust(width) for cell, width in zip(row[1:], widths[1:]))]
        yield "  " + "  ".join((*cells, row[5])).rstrip()
    yield ""


def _row(moment: Moment) -> tuple[str, ...]:
    if moment.begins is None or moment.ends is None:
        return ("never", "", moment.what, moment.subject, moment.node, moment.said)
    span = f"{moment.begins.least_s:.1f} - {moment.ends.most_s:.1f}"
    return (f"{moment.ends.usual_s:.1f}", span, moment.what, moment.subject, moment.node, moment.said)


def _fates(phase: Phase) -> Iterator[str]:
    quiet = [fate.name for fate in phase.fates if fate.how == STAYS]
    for fate in phase.fates:
        if fate.how != STAYS:
            yield f"  {fate.name}: {_fate(fate)}"
    if quiet:
        yield f"  {len(quiet)} stay where they are: {', '.join(quiet[:8])}{' ...' if len(quiet) > 8 else ''}"
    yield ""


def _fate(fate: Fate) -> str:
    before, after = " ".join(fate.before) or "nowhere", " ".join(fate.after) or "nowhere"
    if fate.how == HELD:
        return f"held: {fate.said}"
    if fate.how in (STOPS, DOWN):
        return f"{fate.how} (it ran on {before}): {fate.said or 'Pacemaker has no place for it'}"
    back = f", after {_seconds(fate.back)}" if fate.back is not None else ""
    answers = f", answers after {_seconds(fate.answers)}" if fate.answers is not None else ""
    limit = f", promised {fate.limit_s:g} s" if fate.limit_s is not None else ""
    return f"{fate.how}: {before} -> {after}{back}{answers}{limit}"


def _seconds(when: When) -> str:
    return f"{when.usual_s:.1f} s ({when.least_s:.1f} at the best)"
