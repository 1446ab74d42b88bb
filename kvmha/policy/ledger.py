"""Recovery times as they are foretold today and as they were measured, per guest, against what was promised.

Invariant: a guest of which neither is known is never said to keep its promise.
"""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kvmha.policy.protection import GuestRecovery

KEEPS, BREAKS, UNKNOWN, NOTHING = "keeps", "breaks", "unknown", "nothing promised"

FAR = 1.5
"""From which ratio on a measurement is said to contradict the prediction."""


WORSE = 1.1
"""From which ratio on a prediction that breaks a promise already is told again."""


class Measured(Record):
    """One recovery that was measured."""

    guest: str
    seconds: float
    at: float
    """Seconds since the epoch."""
    drill: str


class Entry(Record):
    """A guest in the ledger."""

    guest: str
    foretold_s: float | None
    """Until it runs, or until it answers where a description says how long it boots."""
    limit_s: float | None
    last_s: float | None = None
    median_s: float | None = None
    count: int = 0
    age_s: float | None = None
    """Of the last measurement."""
    verdict: str = UNKNOWN
    said: str = ""


def ledger(guests: Iterable[GuestRecovery], measured: Iterable[Measured], *, now: float) -> tuple[Entry, ...]:
    """Return a line for each guest."""
    known: dict[str, list[Measured]] = {}
    for each in sorted(measured, key=lambda each: each.at):
        known.setdefault(each.guest, []).append(each)
    return tuple(_entry(guest, known.get(guest.name, []), now) for guest in guests)


def _entry(guest: GuestRecovery, measured: list[Measured], now: float) -> Entry:
    times = sorted(each.seconds for each in measured)
    middle = len(times) // 2
    median = None if not times else times[middle] if len(times) % 2 else (times[middle - 1] + times[middle]) / 2
    last = measured[-1] if measured else None
    made = Entry(
        guest=guest.name,
        foretold_s=guest.usual_s,
        limit_s=guest.limit_s,
        last_s=last.seconds if last is not None else None,
        median_s=round(median, 2) if median is not None else None,
        count=len(measured),
        age_s=now - last.at if last is not None else None,
    )
    verdict, said = _verdict(made, guest.said)
    return made.replace(verdict=verdict, said=said)


def _verdict(entry: Entry, why: str) -> tuple[str, str]:
    if entry.limit_s is None:
        return NOTHING, ""
    if entry.foretold_s is not None and entry.foretold_s > entry.limit_s:
        return BREAKS, f"by today's configuration it would take {entry.foretold_s:.1f} s"
    if entry.last_s is not None and entry.last_s > entry.limit_s:
        return BREAKS, f"the last time it took {entry.last_s:.1f} s"
    if entry.foretold_s is None:
        return (BREAKS, why) if "would not come back" in why else (UNKNOWN, why or "nothing is foretold")
    if entry.last_s is None:
        return KEEPS, "as foretold; never measured"
    if entry.last_s > FAR * entry.foretold_s:
        return KEEPS, f"measured {entry.last_s / entry.foretold_s:.1f} times what is foretold"
    return KEEPS, "as foretold and as measured"


class Known(Record):
    """What was foretold of a guest when somebody looked last."""

    foretold_s: float | None
    verdict: str
    at: float


def news(entries: Iterable[Entry], known: Mapping[str, Known]) -> tuple[tuple[Entry, Known | None], ...]:
    """Return the entries whose promise would not be kept and that nobody was told of, each with what was known before:
    those that break it for the first time, or by clearly more than the last time.
    """
    found = []
    for entry in entries:
        before = known.get(entry.guest)
        if entry.verdict != BREAKS:
            continue
        is_worse = before is None or before.verdict != BREAKS or (
            entry.foretold_s is not None and before.foretold_s is not None
            and entry.foretold_s > before.foretold_s * WORSE
        )  # fmt: skip
        if is_worse:
            found.append((entry, before))
    return tuple(found)


def check_invariants(entries: Iterable[Entry]) -> None:
    """Raise AssertionError where a promise is said to be kept that is not known to be."""
    for entry in entries:
        if entry.verdict == KEEPS:
            assert entry.limit_s is not None
            assert entry.foretold_s is not None
            assert entry.foretold_s <= entry.limit_s
            assert entry.last_s is None or entry.last_s <= entry.limit_s
