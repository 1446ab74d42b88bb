"""A drill beside the ones before it, and the figures of all of them together."""

from __future__ import annotations

import statistics

from kvmha.drill.records import BROKEN, PASSED
from kvmha.drill.timeline import ANSWERS, ASKED, FENCED, LOST, STARTED
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvmha.drill.records import Outcome

LAST = 10
"""How many drills before one it is compared with."""

SLOWER = 1.5
"""From which ratio on a difference is told: runs of one and the same cluster differ by less (docs/recovery-time.md)."""


TOLD_S = 0.2
"""The least difference of a phase that explains anything."""


class Figures(Record):
    """What many drills together say of the guests' service."""

    runs: int
    passed: int
    broken: int
    mean_recovery_s: float | None
    """Mean time to recovery, over all guests and addresses that were away."""
    failures_per_minute: float | None
    """How many times a guest or an address was away in a minute of drills."""
    trend: float | None
    """The mean recovery of the later half by that of the earlier one."""
    failures_trend: float | None = None
    """The failures per minute of the later half by those of the earlier one."""


def phase_times(outcome: Outcome) -> dict[str, float]:
    """Return what each phase of a failover took by itself, in seconds."""
    first = {phase: min((m.at for m in outcome.moments if m.phase == phase), default=None) for phase in
             (LOST, ASKED, FENCED)}  # fmt: skip
    started, answers = (max((m.at for m in outcome.moments if m.phase == phase), default=None) for phase in
                        (STARTED, ANSWERS))  # fmt: skip
    points = [("detection", 0.0, first[LOST]), ("decision", first[LOST], first[ASKED]),
              ("fencing", first[ASKED], first[FENCED]), ("start", first[FENCED], started),
              ("boot", started, answers)]  # fmt: skip
    return {
        name: round(end - begin, 3)
        for name, begin, end in points
        if begin is not None and end is not None and end >= begin
    }


def alike(outcome: Outcome, others: Sequence[Outcome]) -> list[Outcome]:
    """Return the last drills of the same kind that passed before this one, and were measured like it: clients wait for
    the boot of a guest too, of which the cluster knows nothing.
    """
    found = [
        each
        for each in others
        if each.order.drill == outcome.order.drill
        and each.result == PASSED
        and each.recovery_s is not None
        and _is_heard(each) == _is_heard(outcome)
        and each.id < outcome.id
    ]
    return found[-LAST:]


def _is_heard(outcome: Outcome) -> bool:
    """Tell whether clients said when somebody was back."""
    return any(each.answers is not None for each in outcome.recoveries)


def compared(outcome: Outcome, others: Sequence[Outcome]) -> str:
    """Return how a drill's recovery compares with the median of those before it, and which phase differs most."""
    before = alike(outcome, others)
    took = outcome.recovery_s
    if took is None or not before:
        return ""
    usual = statistics.median(each.recovery_s for each in before if each.recovery_s is not None)
    if usual <= 0:
        return ""
    ratio = took / usual
    count = f"the median of the last {len(before)}" if len(before) > 1 else "the one before"
    if 1 / SLOWER < ratio < SLOWER:
        return f"about as fast as {count} ({took:.1f} s, {usual:.1f} s)"
    word = f"{ratio:.1f} times slower" if ratio > 1 else f"{1 / ratio:.1f} times faster"
    own, theirs = phase_times(outcome), [phase_times(each) for each in before]
    changes = []
    for name, seconds in own.items():
        known = [each[name] for each in theirs if name in each]
        if known:
            changes.append((seconds - statistics.median(known), name, seconds, statistics.median(known)))
    because = max(changes, default=None) if ratio > 1 else min(changes, default=None)
    why = ""
    if because is not None and abs(because[0]) >= TOLD_S:
        why = f": {because[1]} took {because[2]:.1f} s instead of {because[3]:.1f}"
    return f"{word} than {count}{why}"


def figures(outcomes: Sequence[Outcome]) -> Figures:
    """Return the figures of drills, which come the oldest first."""
    times = [
        [each.took for each in outcome.recoveries if each.took is not None and _was_away(each.took, each.gap_s)]
        for outcome in outcomes
    ]
    half = len(times) // 2
    parts = [([s for each in times[first:last] for s in each], _minutes(outcomes[first:last]))
             for first, last in ((0, len(times)), (0, half), (half, len(times)))]  # fmt: skip
    rates = [len(found) / minutes if minutes else None for found, minutes in parts]
    means = [statistics.fmean(found) if found else None for found, _ in parts]
    return Figures(
        runs=len(outcomes),
        passed=sum(each.result == PASSED for each in outcomes),
        broken=sum(each.result == BROKEN for each in outcomes),
        mean_recovery_s=_rounded(means[0]),
        failures_per_minute=_rounded(rates[0], 3),
        trend=_ratio(means[2], means[1]),
        failures_trend=_ratio(rates[2], rates[1]),
    )


def _minutes(outcomes: Sequence[Outcome]) -> float:
    return sum(each.took_s for each in outcomes) / 60


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)


def _ratio(later: float | None, earlier: float | None) -> float | None:
    return round(later / earlier, 2) if later is not None and earlier else None


def _was_away(took: float, gap: float | None) -> bool:
    return took > 0 and (gap is None or gap > 1.0)
