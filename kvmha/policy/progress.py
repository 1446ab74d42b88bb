"""How far a synchronisation has come, how fast it goes, and how long it will take."""

from __future__ import annotations

from kvmha.record import Record

WINDOW = 10.0
"""Seconds over which a speed is measured; DRBD's controller changes it within a few."""


class Sample(Record):
    """What remained at one moment."""

    at: float
    """Seconds on a clock that does not step."""
    remaining_kib: float


class Progress(Record):
    """Where it stands."""

    remaining_kib: float
    done_percent: float | None = None
    speed_kib: float | None = None
    """KiB/s of late; None before two looks, or while nothing moves."""
    seconds_left: float | None = None


def progress(samples: tuple[Sample, ...], *, total_kib: float | None) -> Progress:
    """Return where a synchronisation stands after some looks, the last of which is the present."""
    last = samples[-1]
    first = next(sample for sample in samples if last.at - sample.at <= WINDOW)
    moved, took = first.remaining_kib - last.remaining_kib, last.at - first.at
    speed = moved / took if moved > 0 and took > 0 else None
    return Progress(
        remaining_kib=last.remaining_kib,
        done_percent=100 * (1 - last.remaining_kib / total_kib) if total_kib else None,
        speed_kib=speed,
        seconds_left=last.remaining_kib / speed if speed else None,
    )


def recent(samples: tuple[Sample, ...], new: Sample) -> tuple[Sample, ...]:
    """Return the samples that still count, with a new one at the end."""
    return (*(sample for sample in samples if new.at - sample.at <= WINDOW), new)
