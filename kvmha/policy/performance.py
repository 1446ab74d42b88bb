"""How a guest does on a node, seen from outside, and whether it does worse than on the one before.

Two looks at its counters make a sample: what it used of its processors, how long they had to wait for a processor of
the host, and how long its disks took for a request. Samples of a few seconds are told apart by large differences only:
what is small may be the guest's own doing.
"""

from __future__ import annotations

from kvmha.record import Record

DELAY_WORSE = 20.0
"""Percent of its time that a guest's processor may wait for one of the host more than before."""

LATENCY_WORSE, LATENCY_FLOOR_MS = 3.0, 5.0
"""A request takes that many times as long as before, and at least so many milliseconds more."""

REQUESTS = 10
"""Requests in a sample without which nothing is said of their latency."""


class Counters(Record):
    """What libvirt counts of a guest; it begins anew with every arrival on a node."""

    at_s: float
    """When it was asked, on a clock that only goes forward."""
    cpus: int
    cpu_s: float
    """Time that its process spent on processors."""
    delay_s: float | None
    """Time that its processors were ready and had to wait; None where the kernel does not count it."""
    requests: int
    request_s: float
    """Time that its disks took for them, flushes included."""


class Sample(Record):
    """What a guest did for some seconds."""

    seconds: float
    cpu_percent: float
    """Of one processor; more than 100 with several."""
    delay_percent: float | None
    """Of the time of all its processors."""
    requests_s: float
    latency_ms: float | None
    """None where there were too few requests."""


class Comparison(Record):
    """A guest before and after its move."""

    is_worse: bool
    said: str


def sample(first: Counters | None, second: Counters | None) -> Sample | None:
    """Return what lies between two looks; None where that cannot be told."""
    if first is None or second is None:
        return None
    seconds, requests = second.at_s - first.at_s, second.requests - first.requests
    cpu, took = second.cpu_s - first.cpu_s, second.request_s - first.request_s
    if seconds <= 0 or requests < 0 or cpu < 0:
        # The guest was started anew in between.
        return None
    delay = None
    if first.delay_s is not None and second.delay_s is not None:
        delay = max(second.delay_s - first.delay_s, 0.0) / (seconds * max(second.cpus, 1)) * 100
    return Sample(
        seconds=seconds,
        cpu_percent=cpu / seconds * 100,
        delay_percent=delay,
        requests_s=requests / seconds,
        latency_ms=took / requests * 1000 if requests >= REQUESTS else None,
    )


def compare(before: Sample | None, after: Sample | None) -> Comparison | None:
    """Return what the move changed, in words; None where one of the two is not known."""
    if before is None or after is None:
        return None
    words, worse = [f"processors {before.cpu_percent:.0f} % used before, {after.cpu_percent:.0f} % after"], []
    if before.delay_percent is not None and after.delay_percent is not None:
        words.append(f"waiting for one {before.delay_percent:.0f} %, {after.delay_percent:.0f} %")
        if after.delay_percent - before.delay_percent >= DELAY_WORSE:
            worse.append("it waits for the host's processors")
    if before.latency_ms is not None and after.latency_ms is not None:
        words.append(f"a request to its disks {before.latency_ms:.1f} ms, {after.latency_ms:.1f} ms")
        is_slower = after.latency_ms >= before.latency_ms * LATENCY_WORSE
        if is_slower and after.latency_ms - before.latency_ms >= LATENCY_FLOOR_MS:
            worse.append("its disks are slower")
    verdict = f"does worse, as {' and '.join(worse)}" if worse else "does as before"
    return Comparison(is_worse=bool(worse), said=f"it {verdict}: {', '.join(words)}")
