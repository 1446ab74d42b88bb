"""What a live migration will take, before it begins; and what the moves before it say about that.

Each round copies what was written during the one before. With speed s and writing w a round of m MiB takes m / s, and
the next one has m * w / s to copy: below w = s that becomes less and less until it fits into the pause, above it does
not, and the guest has to be slowed down, run on the other side early, or stay.
"""

from __future__ import annotations

import math

from kvmha.policy.convergence import post_copy_s
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.convergence import Limits, Schedule

PLAIN, THROTTLED, POST_COPY, NONE = "plain", "auto-converge", "post-copy", "none"
MEANS = (PLAIN, THROTTLED, POST_COPY, NONE)
"""How a move comes to its end; NONE: not at all."""

OVERHEAD_S = 2.0
"""Seconds of a move that copy nothing: connections, the target's QEMU, the hand-over; until earlier moves say more."""

ROUNDS = 60
"""Rounds after which a guest that is not there yet will not be."""

KEPT = 20
"""Moves of a guest that are remembered."""

NEAR = 0.12
"""Moves count as alike if the shares w / (w + s) of writing differ by no more than this: half is 0.33, twice 0.67."""

ALIKE = 5
"""So many of the last moves that are alike are looked at."""

LATE = 0.8
"""A move that was given up after this share of the time that the next one has is one that did not end."""

ONE_CONNECTION_MIB_S = 1000.0
"""About what one connection of QEMU's carries; a faster path is filled by several (migration_connections)."""

MOVED, STAYED, LOST = "moved", "stayed", "lost"
RESULTS = (MOVED, STAYED, LOST)


class Past(Record):
    """One move that is over."""

    at: float
    """When it began, in seconds since 1970."""
    source: str
    target: str
    result: str
    """One of RESULTS."""
    seconds: float
    memory_mib: float
    """0 where libvirt had not counted it yet."""
    speed_mib_s: float
    """What really went over the path, in the time that copying took."""
    dirty_mib_s: float
    """The fastest that QEMU saw the guest write while it moved and was not slowed down."""
    written_mib_s: float | None = None
    """What was measured of that before it moved; None where nobody had."""
    sent_mib: float = 0.0
    """What went over the path, in all rounds; 0 where that is not known."""
    limit_mib_s: float = 0.0
    """What it was allowed of the path; 0: all."""
    touched_mib: float | None = None
    """What of its memory it had ever used when it began."""
    schedule: str = ""
    may_post_copy: bool = False
    downtime_ms: int | None = None
    """As QEMU counts it; None where it is not known."""
    forecast_s: float | None = None
    """What was forecast for it; None where nothing was known of its memory."""
    means: str = PLAIN
    reason: str = ""
    """Why it stayed."""


class Forecast(Record):
    """What a move will take."""

    seconds: float
    """Total, from the order to the guest running on the other side."""
    plain_s: float
    """The same before earlier moves corrected it."""
    rounds: int
    downtime_ms: int
    is_converging: bool
    """Copying ahead comes to its end within the pause by itself, without slowing the guest down."""
    means: str
    probability: float
    """That the guest arrives, from 0 to 1."""
    advice: tuple[str, ...]
    """What would make it faster, or possible."""
    chain: str
    """How the seconds come about, in numbers."""


def forecast(
    *,
    memory_mib: float,
    path_mib_s: float,
    dirty_mib_s: float | None,
    schedule: Schedule,
    limits: Limits,
    past: tuple[Past, ...] = (),
    touched_mib: float | None = None,
    limit_mib_s: float = 0.0,
) -> Forecast:
    """Return what a move will take: as moves like it took, where there were any, else as it is worked out.

    ``touched_mib`` is the memory that the guest ever used, as far as that is known: the rest is not sent.
    ``limit_mib_s`` is what it is allowed of the path; 0 is all. A guest whose writing is not known is taken to write
    half of what can be sent.
    """
    dirty = path_mib_s / 2 if dirty_mib_s is None else dirty_mib_s
    first = min(memory_mib, touched_mib or memory_mib)
    rounds, copying, left = _copy(first, path_mib_s, dirty, limits.downtime_ms)
    means = PLAIN
    if left > path_mib_s * limits.downtime_ms / 1000:
        means, rounds, copying, left = _pushed(first, path_mib_s, dirty, schedule, limits)
    beside = _beside(past)
    plain = beside + copying
    # A move that does not end takes the time that it is given, and whoever waits for it wants to know that.
    if means == NONE and schedule.hopeless_stalls is None:
        plain = limits.deadline_s
    alike = _alike(past, dirty_mib_s, path_mib_s, schedule, limits, limit_mib_s)
    before = _as_before(alike, first, beside, schedule, limits)
    seconds = plain if before is None else before
    assumed = " (assumed)" if dirty_mib_s is None else ""
    corrected = "" if before is None else f"; {len(alike)} moves like it say {before:.1f} s"
    means = _means_before(alike) or means
    pauses = [move.downtime_ms for move in alike if move.downtime_ms is not None]
    return Forecast(
        seconds=seconds,
        plain_s=plain,
        rounds=rounds,
        downtime_ms=round(_middle(pauses) if pauses else left / path_mib_s * 1000),
        is_converging=means == PLAIN,
        means=means,
        probability=_probability(means, dirty / path_mib_s, seconds, limits, alike),
        advice=_advice(means, path_mib_s, dirty, limits),
        chain=f"{first:.0f} MiB at {path_mib_s:.0f} MiB/s, {dirty:.0f} MiB/s written{assumed}: {rounds} rounds in "
        f"{copying:.1f} s, and {beside:.1f} s = {plain:.1f} s{corrected}",
    )


def _copy(
    memory: float, speed: float, dirty: float, downtime_ms: int, throttle: float = 0.0
) -> tuple[int, float, float]:
    """Return the rounds, their seconds, and the MiB that are left for the pause, fit or not."""
    left, seconds, ratio = memory, 0.0, dirty * (1 - throttle) / speed
    for number in range(1, ROUNDS + 1):
        took = left / speed
        seconds += took
        written = min(ratio * left, memory)
        if written <= speed * downtime_ms / 1000:
            return number, seconds + written / speed, written
        if written >= left * 0.98:
            return number, seconds, written
        left = written
    return ROUNDS, seconds, left


def _pushed(
    memory: float, speed: float, dirty: float, schedule: Schedule, limits: Limits
) -> tuple[str, int, float, float]:
    """Return how a move that does not end by itself is brought to its end: means, rounds, seconds, MiB of the pause."""
    each = memory / speed
    stalled = schedule.post_copy_stalls + 1
    late = min(limits.deadline_s * schedule.post_copy_after, limits.deadline_s - post_copy_s(memory, speed))
    over_at = max(min(each * stalled, late), each) if limits.may_post_copy else limits.deadline_s
    if limits.may_post_copy and not schedule.throttle_initial:
        return POST_COPY, math.ceil(over_at / each), over_at + each, 0.0
    if schedule.throttle_initial:
        # QEMU notices after two rounds, and every two more add one step (migration/ram.c).
        throttle, waited = schedule.throttle_initial, 2
        while throttle <= 99:
            rounds, seconds, left = _copy(memory, speed, dirty, limits.downtime_ms, throttle / 100)
            total = each * min(dirty / speed, 1.0) * waited + seconds
            if left <= speed * limits.downtime_ms / 1000 and total <= over_at:
                return THROTTLED, rounds + waited, total, left
            throttle, waited = throttle + schedule.throttle_increment, waited + 2
    if limits.may_post_copy:
        return POST_COPY, math.ceil(over_at / each), over_at + each, 0.0
    return NONE, ROUNDS, limits.deadline_s, memory * min(dirty / speed, 1.0)


def _alike(
    past: tuple[Past, ...],
    dirty: float | None,
    path: float,
    schedule: Schedule,
    limits: Limits,
    limit_mib_s: float,
) -> tuple[Past, ...]:
    """Return the last moves that were like this one, the newest first: pushed alike, on as much path, as busy."""
    found = []
    for move in past:
        how = (move.schedule, move.may_post_copy, move.limit_mib_s)
        if move.result == LOST or not move.sent_mib or how != (schedule.name, limits.may_post_copy, limit_mib_s):
            continue
        wrote = move.dirty_mib_s if move.written_mib_s is None else move.written_mib_s
        if dirty is None or abs(wrote / (wrote + path) - dirty / (dirty + path)) <= NEAR:
            found.append(move)
    return tuple(sorted(found, key=lambda move: -move.at)[:ALIKE])


def _as_before(
    alike: tuple[Past, ...], first: float, beside: float, schedule: Schedule, limits: Limits
) -> float | None:
    """Return the seconds that moves like this one took, in the middle; None where none of them tells.

    A guest that uses more memory than it did then takes longer by that share.
    """
    found = []
    for move in alike:
        if move.result == MOVED or schedule.hopeless_stalls is not None:
            then = min(move.memory_mib, move.touched_mib or move.memory_mib)
            spent = min(beside, move.seconds)
            found.append(spent + (move.seconds - spent) * (first / then if then else 1.0))
        elif move.seconds >= limits.deadline_s * LATE:
            # The time that it was given may have been another.
            found.append(limits.deadline_s)
    return _middle(found) if found else None


def _means_before(alike: tuple[Past, ...]) -> str:
    """Return how most of the moves like this one ended that arrived; nothing where most of them did not."""
    arrived = [move.means for move in alike if move.result == MOVED]
    if len(arrived) * 2 <= len(alike):
        return ""
    return max(MEANS, key=arrived.count)


def _beside(past: tuple[Past, ...]) -> float:
    """Return the seconds of a move that copy nothing, as the last ones had them."""
    found = [
        max(move.seconds - move.sent_mib / move.speed_mib_s, 0.0)
        for move in past
        if move.result == MOVED and move.sent_mib and move.speed_mib_s > 0
    ]
    return _middle(found[-ALIKE:]) if found else OVERHEAD_S


def _middle(found: list[float] | list[int]) -> float:
    """Return the median."""
    ordered, half = sorted(found), len(found) // 2
    return float(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def _probability(means: str, ratio: float, seconds: float, limits: Limits, alike: tuple[Past, ...]) -> float:
    """Return how likely the guest arrives: by rule of thumb, and by what became of moves like this one."""
    chance = {PLAIN: 0.98 if ratio <= 0.5 else 0.9, THROTTLED: 0.6, POST_COPY: 0.95, NONE: 0.03}[means]
    if seconds > limits.deadline_s:
        chance = min(chance, 0.1)
    arrived = sum(1 for move in alike if move.result == MOVED)
    return round((chance * 2 + arrived) / (2 + len(alike)), 2)


def _advice(means: str, speed: float, dirty: float, limits: Limits) -> tuple[str, ...]:
    found = []
    if means in (THROTTLED, NONE) and not limits.may_post_copy:
        found.append("migration_mode=hybrid would let it go over by post-copy")
    if means in (THROTTLED, NONE):
        found.append("migrate_options=--compressed sends less of what is written again and again")
    if means == NONE and dirty < speed:
        needed = dirty / speed * 1000
        found.append(
            f"a migration_downtime above {limits.downtime_ms} ms would let it end (about {needed:.0f} ms per s)"
        )
    if speed > ONE_CONNECTION_MIB_S and not limits.may_post_copy:
        found.append("migration_connections above 1 would fill the path")
    return tuple(found)


def path_speed(past: tuple[Past, ...], source: str, target: str, otherwise: float) -> float:
    """Return what the path between two nodes carried last, in MiB/s, in either direction."""
    between = [
        move.speed_mib_s
        for move in past
        if {move.source, move.target} == {source, target} and move.result == MOVED and move.speed_mib_s > 0
    ]
    recent = sorted(between[-5:])
    return recent[len(recent) // 2] if recent else otherwise


def check_invariants(found: Forecast) -> None:
    """Raise AssertionError for a forecast that cannot be meant."""
    assert found.means in MEANS
    assert 0.0 <= found.probability <= 1.0
    assert found.seconds >= 0.0
    assert found.is_converging == (found.means == PLAIN)
