"""What a live migration will take, before it begins; and what the moves before it say about that.

Each round copies what was written during the one before. With speed s and writing w a round of m MiB takes m / s, and
the next one has m * w / s to copy: below w = s that becomes less and less until it fits into the pause, above it does
not, and the guest has to be slowed down, run on the other side early, or stay.
"""

from __future__ import annotations

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

NEAR = 0.3
"""Moves count as alike if the ratios of writing to sending differ by no more than this."""

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
    """Its whole memory through the time that copying took, so that pages of zeros count as sent."""
    dirty_mib_s: float
    downtime_ms: int | None = None
    """As QEMU counts it; None where it is not known."""
    forecast_s: float | None = None
    """What was forecast for it, before earlier moves corrected that; None for a move that nobody forecast."""
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
) -> Forecast:
    """Return what a move will take; a guest whose writing is not known is taken to write half of what can be sent."""
    dirty = path_mib_s / 2 if dirty_mib_s is None else dirty_mib_s
    rounds, copying, left = _copy(memory_mib, path_mib_s, dirty, limits.downtime_ms)
    fits = left <= path_mib_s * limits.downtime_ms / 1000
    means = PLAIN
    if not fits:
        means, rounds, copying, left = _pushed(memory_mib, path_mib_s, dirty, schedule, limits)
    plain = OVERHEAD_S + copying
    alike = _alike(past, dirty / path_mib_s)
    factor = _factor(alike)
    seconds = plain * factor
    # A move that does not end takes the time that it is given, and whoever waits for it wants to know that.
    if means == NONE and schedule.hopeless_stalls is None:
        seconds = plain = limits.deadline_s
        factor = 1.0
    assumed = " (assumed)" if dirty_mib_s is None else ""
    corrected = f" x {factor:.2f} as in {len(alike)} moves before" if factor != 1.0 else ""
    return Forecast(
        seconds=seconds,
        plain_s=plain,
        rounds=rounds,
        downtime_ms=round(left / path_mib_s * 1000),
        is_converging=fits,
        means=means,
        probability=_probability(means, dirty / path_mib_s, seconds, limits, alike),
        advice=_advice(means, path_mib_s, dirty, limits),
        chain=f"{memory_mib:.0f} MiB at {path_mib_s:.0f} MiB/s, {dirty:.0f} MiB/s written{assumed}: {rounds} rounds in "
        f"{copying:.1f} s, and {OVERHEAD_S:g} s{corrected} = {seconds:.1f} s",
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
    if limits.may_post_copy and not schedule.throttle_initial:
        return POST_COPY, stalled, each * stalled + each, 0.0
    if schedule.throttle_initial:
        # QEMU notices after two rounds, and every two more add one step (migration/ram.c).
        throttle, waited = schedule.throttle_initial, 2
        while throttle <= 99 and not (limits.may_post_copy and waited > stalled):
            rounds, seconds, left = _copy(memory, speed, dirty, limits.downtime_ms, throttle / 100)
            total = each * min(dirty / speed, 1.0) * waited + seconds
            if left <= speed * limits.downtime_ms / 1000 and total <= limits.deadline_s:
                return THROTTLED, rounds + waited, total, left
            throttle, waited = throttle + schedule.throttle_increment, waited + 2
    if limits.may_post_copy:
        return POST_COPY, stalled, each * stalled + each, 0.0
    return NONE, ROUNDS, limits.deadline_s, memory * min(dirty / speed, 1.0)


def _alike(past: tuple[Past, ...], ratio: float) -> tuple[Past, ...]:
    """Return the last moves that were like this one, the newest first."""
    found = [move for move in past if move.speed_mib_s > 0 and move.forecast_s]
    near = [move for move in found if abs(min(move.dirty_mib_s / move.speed_mib_s, 3.0) - min(ratio, 3.0)) <= NEAR]
    return tuple(sorted(near, key=lambda move: -move.at)[:5])


def _factor(alike: tuple[Past, ...]) -> float:
    """Return by how much moves like this one took longer than was forecast: the median, within bounds."""
    ratios = sorted(move.seconds / move.forecast_s for move in alike if move.result == MOVED and move.forecast_s)
    return min(max(ratios[len(ratios) // 2], 0.2), 5.0) if ratios else 1.0


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
    if means == NONE and dirty < speed:
        needed = dirty / speed * 1000
        found.append(
            f"a migration_downtime above {limits.downtime_ms} ms would let it end (about {needed:.0f} ms per s)"
        )
    if speed > ONE_CONNECTION_MIB_S and not limits.may_post_copy:
        found.append("migration_connections above 1 would fill the path")
    return tuple(found)


def remember(past: tuple[Past, ...], new: Past) -> tuple[Past, ...]:
    """Return the moves that are still worth knowing, the newest last."""
    return (*past, new)[-KEPT:]


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
