"""When to push a live migration that is under way, when to let the guest go over at once, and when to give it up.

Invariant: the downtime limit is never set beyond the guest's own; post-copy, which cannot be taken back, begins only
where the operator allows it and what is left fits into the time that is left; and a move that has not been handed over
is aborted no later than its deadline. Whoever follows these steps twice a second always comes to an end.
"""

from __future__ import annotations

from kvmha.record import Record

WAIT, RAISE, POST_COPY, ABORT, LEAVE = "wait", "raise downtime", "post-copy", "abort", "leave"
ACTS = (WAIT, RAISE, POST_COPY, ABORT, LEAVE)
"""LEAVE: the guest runs on the target already and its time here is up, so that nothing can be done from here."""

INTERVAL = 0.5
"""Seconds between two looks at a move."""

PROGRESS = 0.9
"""A round that begins with no less than this share of the best one before has brought nothing."""

DEFAULT_DOWNTIME_MS = 300
"""The guest's limit where none is set: QEMU's own downtime-limit (qapi/migration.json)."""

LEAST_DOWNTIME_MS = 20
"""No move begins with less: below it QEMU's own estimate, which it makes ten times a second, is noise."""

POST_COPY_FACTOR = 2.0
"""Pages that the guest asks for one by one take longer than the same pages in a stream."""

POST_COPY_MARGIN_S = 3.0
"""Seconds that the end of a move takes beyond its memory."""

LAST_CHANCE_S = 2.0
"""A guest that may go over now, and would be too late for it so many seconds from now, does so."""


class Schedule(Record):
    """How hard a move is pushed, as data. A stall is a round of copying after which no less is left than before it."""

    name: str
    meaning: str
    shares: tuple[float, ...]
    """Share of the guest's downtime limit that is allowed after no stall, one, two and so on."""
    full_after: float
    """Share of the time after which the whole limit is allowed, stalls or not."""
    throttle_initial: int = 0
    """Percent of their time that the guest's processors lose first when it writes too fast; 0 throttles never."""
    throttle_increment: int = 0
    post_copy_stalls: int = 3
    """Stalls after which a guest that may move by post-copy does so."""
    post_copy_after: float = 0.75
    """Share of the time after which it does so, stalls or not."""
    hopeless_stalls: int | None = None
    """Stalls after which a move that nothing is left for is given up at once; None waits for the deadline."""
    silence_s: float = 120.0
    """Seconds without a byte after which the path counts as cut.

    A move that goes well may be silent for long: on nodes with one slow processor and a disk on DRBD nothing was sent
    for more than 30 s. A guest whose path is cut runs on meanwhile, so that waiting costs little.
    """


SCHEDULES = {
    schedule.name: schedule
    for schedule in (
        Schedule(
            name="gentle", meaning="the guest is never slowed down, and stands still longer only late",
            shares=(0.2, 0.2, 0.4, 0.4, 0.7), full_after=0.7, post_copy_stalls=6, post_copy_after=0.85,
        ),
        Schedule(
            name="default", meaning="longer pauses when it stalls, and the guest is slowed down more and more",
            shares=(0.35, 0.6, 1.0), full_after=0.5, throttle_initial=20, throttle_increment=10, post_copy_stalls=4,
        ),
        Schedule(
            name="impatient", meaning="the whole pause at once, the guest slowed down hard, and an early end",
            shares=(1.0,), full_after=0.0, throttle_initial=50, throttle_increment=20, post_copy_stalls=2,
            post_copy_after=0.5, hopeless_stalls=12, silence_s=10.0,
        ),
        Schedule(
            name="postcopy", meaning="one round of copying, and over it goes as soon as that has not been enough",
            shares=(0.35, 1.0), full_after=0.3, post_copy_stalls=1, post_copy_after=0.3,
        ),
    )
}  # fmt: skip


class Limits(Record):
    """What one move has to keep to."""

    downtime_ms: int
    """The longest that the guest may stand still by plan."""
    deadline_s: float
    """Seconds from its begin after which the move is over or aborted."""
    may_post_copy: bool = False


class Sample(Record):
    """What libvirt says of a move at one moment."""

    at: float
    """Seconds since the move began."""
    round: int
    """The number of the round of copying, 1 for the first."""
    remaining_mib: float
    processed_mib: float
    speed_mib_s: float = 0.0
    dirty_mib_s: float = 0.0
    throttle: int = 0
    expected_downtime_ms: int = 0
    is_post_copy: bool = False


class Course(Record):
    """What is remembered of the samples so far, and of the steps that were taken."""

    downtime_ms: int
    round: int = 1
    lowest_mib: float | None = None
    """The least that any round after the first began with."""
    stalls: int = 0
    heard_at: float = 0.0
    """When the last byte moved."""
    last: Sample | None = None
    is_post_copy: bool = False


class Step(Record):
    """One of ACTS, and why."""

    act: str
    reason: str = ""
    downtime_ms: int = 0


def begin(schedule: Schedule, limits: Limits) -> Course:
    """Return the course of a move that begins; its downtime is what the move has to begin with."""
    return Course(downtime_ms=_allowed(schedule, limits, stalls=0, at=0.0))


def observe(course: Course, sample: Sample) -> Course:
    """Return the course with one more sample; samples that come late or twice change nothing for the worse."""
    last = course.last
    has_moved = last is None or sample.processed_mib != last.processed_mib or sample.round != last.round
    changes = Course(
        downtime_ms=course.downtime_ms,
        round=max(course.round, sample.round),
        lowest_mib=course.lowest_mib,
        stalls=course.stalls,
        heard_at=max(course.heard_at, sample.at) if has_moved else course.heard_at,
        last=sample,
        is_post_copy=course.is_post_copy or sample.is_post_copy,
    )
    if sample.round <= course.round:
        return changes
    if course.lowest_mib is None or sample.remaining_mib < course.lowest_mib * PROGRESS:
        return changes.replace(lowest_mib=sample.remaining_mib)
    return changes.replace(stalls=course.stalls + 1)


def next_step(course: Course, schedule: Schedule, limits: Limits, *, at: float) -> Step:
    """Return what to do at a moment, in seconds since the move began; without any sample there is still a deadline."""
    is_over = at + INTERVAL >= limits.deadline_s
    if course.is_post_copy:
        return Step(act=LEAVE, reason="its memory was still on its way in post-copy") if is_over else Step(act=WAIT)
    if is_over:
        return Step(act=ABORT, reason=f"it had not ended after {at:.0f} s{_state(course)}")
    if course.last is None:
        return Step(act=WAIT)
    # Where libvirt itself says nothing, nothing is known of the bytes.
    silent_s = course.last.at - course.heard_at
    if silent_s >= schedule.silence_s:
        return Step(act=ABORT, reason=f"nothing was sent for {silent_s:.0f} s")
    why = _why_post_copy(course, schedule, limits, at)
    if why:
        return Step(act=POST_COPY, reason=f"{why}{_state(course)}")
    allowed = _allowed(schedule, limits, stalls=course.stalls, at=at)
    if allowed > course.downtime_ms:
        return Step(act=RAISE, downtime_ms=allowed, reason=f"{course.stalls} rounds brought nothing{_state(course)}")
    if _is_hopeless(course, schedule, limits):
        return Step(act=ABORT, reason=f"{course.stalls} rounds brought nothing{_state(course)}")
    return Step(act=WAIT)


def taken(course: Course, step: Step) -> Course:
    """Return the course after a step was really carried out; one that failed is proposed again."""
    if step.act == RAISE:
        return course.replace(downtime_ms=step.downtime_ms)
    return course.replace(is_post_copy=True) if step.act == POST_COPY else course


def _allowed(schedule: Schedule, limits: Limits, *, stalls: int, at: float) -> int:
    """Return the downtime that is allowed, in ms, at a moment after some stalls."""
    share = schedule.shares[min(stalls, len(schedule.shares) - 1)]
    if at >= limits.deadline_s * schedule.full_after:
        share = 1.0
    return min(max(round(limits.downtime_ms * share), LEAST_DOWNTIME_MS), limits.downtime_ms)


def _why_post_copy(course: Course, schedule: Schedule, limits: Limits, at: float) -> str:
    """Return why the guest goes over now; nothing where it does not.

    A round may take so long that the stalls come too late: then the time decides.
    """
    if not _fits_post_copy(course, limits, at):
        return ""
    if course.stalls >= schedule.post_copy_stalls:
        return f"{course.stalls} rounds brought nothing"
    if at >= limits.deadline_s * schedule.post_copy_after:
        return f"{at:.0f} s of {limits.deadline_s:.0f} are over"
    if course.round > 1 and not _fits_post_copy(course, limits, at, later_s=LAST_CHANCE_S):
        return f"later it would not end within {limits.deadline_s:.0f} s"
    return ""


def _fits_post_copy(course: Course, limits: Limits, at: float, *, later_s: float = 0.0) -> bool:
    """Tell whether the guest may go over now: it is allowed, bytes flow, and what is left fits into the time left, less
    ``later_s``.
    """
    last = course.last
    if not limits.may_post_copy or last is None or last.speed_mib_s <= 0 or at - course.heard_at > 2 * INTERVAL:
        return False
    # In the first round nobody knows yet what was written behind it: all of it at the worst.
    again = (course.lowest_mib or 0.0) if course.round > 1 else last.remaining_mib + last.processed_mib
    left = max(last.remaining_mib, again)
    return at + later_s + post_copy_s(left, last.speed_mib_s) <= limits.deadline_s


def post_copy_s(left_mib: float, speed_mib_s: float) -> float:
    """Return the seconds that a guest's memory needs to follow it."""
    return left_mib / speed_mib_s * POST_COPY_FACTOR + POST_COPY_MARGIN_S


def _is_hopeless(course: Course, schedule: Schedule, limits: Limits) -> bool:
    """Tell whether nothing is left to try and the schedule does not wait for luck."""
    if schedule.hopeless_stalls is None or course.stalls < schedule.hopeless_stalls:
        return False
    throttle = course.last.throttle if course.last is not None else 0
    return course.downtime_ms >= limits.downtime_ms and (not schedule.throttle_initial or throttle >= 99)


def _state(course: Course) -> str:
    """Return the last sample in words that follow a sentence; nothing where there was none."""
    last = course.last
    if last is None:
        return ""
    slowed = f", the guest slowed down by {last.throttle} %" if last.throttle else ""
    return (
        f": {last.remaining_mib:.0f} MiB left, {last.dirty_mib_s:.0f} MiB/s written and {last.speed_mib_s:.0f} MiB/s "
        f"sent{slowed}"
    )


def check_invariants(step: Step, course: Course, limits: Limits, *, at: float) -> None:
    """Raise AssertionError for a step that must never be taken."""
    assert step.act in ACTS, step
    assert step.downtime_ms <= limits.downtime_ms, "beyond the guest's downtime limit"
    assert course.downtime_ms <= limits.downtime_ms, "beyond the guest's downtime limit"
    assert step.act != POST_COPY or limits.may_post_copy, "post-copy is not allowed"
    assert step.act != ABORT or not course.is_post_copy, "a guest that has gone over cannot be called back"
    assert step.act in (ABORT, LEAVE) or at + INTERVAL < limits.deadline_s, "the deadline has passed"
