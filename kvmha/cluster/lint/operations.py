"""The operations of guests: that they have the time that they need."""

from __future__ import annotations

from kvmha.cluster.lint.rule import (
    CIB,
    ERROR,
    NOTE,
    WARNING,
    Fault,
    Rule,
    set_timeout,
)
from kvmha.policy import timing
from kvmha.tools.cib import is_true, milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.facts.records import GuestFacts
    from kvmha.cluster.lint.rule import Seen

AREA = "guests"

SLOWEST_MONITOR_S = 60.0


def _unset(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        names = ("start", "stop", *(("migrate_to", "migrate_from") if guest.is_movable else ()))
        lacking = [name for name in names if not facts.timeout_s(guest.resource, name)[1]]
        if lacking:
            wanted = facts.wanted_timeouts(guest)
            yield Fault(
                subject=guest.id,
                said=f"{', '.join(lacking)} may take 20 s and no more: what the agent's metadata says is only advice",
                chain=f"no timeout of {', '.join(lacking)}, and none in the defaults of operations",
                yaml="the templates set them; render and apply them",
                commands=tuple(
                    command for name in lacking for command in set_timeout(guest.id, name, getattr(wanted, name))
                ),
            )


def too_short(operation: str, guest: GuestFacts, facts: Facts) -> tuple[float, float, float] | None:
    """Return timeout, need and what to set instead, where a timeout is set and shorter than the need."""
    limit, is_set = facts.timeout_s(guest.resource, operation)
    least = getattr(facts.least_timeouts(guest), operation)
    return (limit, least, getattr(facts.wanted_timeouts(guest), operation)) if is_set and limit < least else None


def _stop_short(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        found = too_short("stop", guest, facts)
        if found:
            yield Fault(
                subject=guest.id,
                said="its power is cut before it had the time to shut down, or the stop fails and the node is fenced",
                chain=f"guest {guest.shutdown_s:g} + slack {timing.STOP_SLACK_S:g} + reserve {timing.STOP_RESERVE_S:g}"
                f"{_freed(guest)} = {found[1]:g} s > stop {found[0]:g} s",
                yaml="the templates compute it; render and apply them",
                commands=set_timeout(guest.id, "stop", found[2]),
            )


def _freed(guest: GuestFacts) -> str:
    """Say what the size of a large guest adds to the slack."""
    freed = (guest.memory_mib or 0) / timing.FREED_MIB_S
    return f" (slack {freed:.0f}: {guest.memory_mib} MiB to free)" if freed > timing.STOP_SLACK_S else ""


def _start_short(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        found = too_short("start", guest, facts)
        if found:
            memory = f" + {guest.memory_mib} MiB / {timing.CLEARED_MIB_S:g} MiB/s" if guest.memory_mib else ""
            yield Fault(
                subject=guest.id,
                said="a start that is only slow counts as failed, and the guest goes on to the next node",
                chain=f"libvirt and QEMU {timing.START_BASE_S:g} s{memory} = {found[1]:g} s > start {found[0]:g} s",
                yaml="the templates compute it; render and apply them",
                commands=set_timeout(guest.id, "start", found[2]),
            )


def _monitor(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        found = [op for op in guest.resource.operations if op.name == "monitor" and milliseconds(op.interval)]
        if not any(is_true(op.enabled or "true") for op in found):
            yield Fault(
                subject=guest.id,
                said="nobody looks whether it still runs",
                chain="no monitor operation with an interval",
                commands=(f"pcs resource op add {guest.id} monitor interval=10s timeout=30s",),
            )


def _monitor_slow(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        found = [milliseconds(op.interval) for op in guest.resource.operations if op.name == "monitor"]
        known = [interval for interval in found if interval]
        if known and min(known) > SLOWEST_MONITOR_S * 1000:
            yield Fault(
                subject=guest.id,
                said=f"that its QEMU has died is noticed as late as {min(known) / 1000:g} s after",
                chain=f"monitor interval {min(known) / 1000:g} s; at most {SLOWEST_MONITOR_S:g} s",
                commands=(f"pcs resource update {guest.id} op monitor interval=10s timeout=30s",),
            )


def _monitor_short(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        for op in guest.resource.operations:
            limit = milliseconds(op.timeout) if op.timeout else None
            if op.name == "monitor" and limit is not None and limit < 10_000:
                yield Fault(
                    subject=guest.id,
                    said="on a host that is short of I/O a healthy guest counts as failed, and is restarted",
                    chain=f"monitor timeout {limit / 1000:g} s; at least 10 s, better {timing.MONITOR} s",
                    commands=(f"pcs resource update {guest.id} op monitor timeout={timing.MONITOR}s",),
                )


def _on_fail(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        for op in guest.resource.operations:
            if op.name == "stop" and op.on_fail in ("ignore", "stop", "restart", "demote", "restart-container"):
                yield Fault(
                    subject=guest.id,
                    said="a guest whose stop failed is started elsewhere while it may still run here",
                    chain=f"stop on-fail={op.on_fail}; expected fence",
                    commands=(f"pcs resource update {guest.id} op stop on-fail=fence",),
                )


def _on_fail_block(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        for op in guest.resource.operations:
            is_idle = op.name == "monitor" and op.on_fail == "ignore"
            if is_idle or (op.on_fail == "block" and op.name in ("stop", "start", "monitor")):
                yield Fault(
                    subject=guest.id,
                    said=f"a failed {op.name} is left to people: the guest stays as it is, at night as well",
                    chain=f"{op.name} on-fail={op.on_fail}",
                    commands=(f"pcs resource update {guest.id} op {op.name} on-fail=",),
                )


RULES = (
    Rule(id="timeout-unset", severity=ERROR, area=AREA, needs=(CIB,), find=_unset,
         looks_at="That start, stop and the two halves of a migration have timeouts.",
         why="Pacemaker gives 20 s to what has none; a stop that takes longer ends in a fencing."),
    Rule(id="stop-timeout", severity=ERROR, area=AREA, needs=(CIB,), find=_stop_short,
         looks_at="The timeout of stop against the guest's shutdown, its size, and the agent's reserve.",
         why="A stop that is late fences the node, and with it all other guests."),
    Rule(id="start-timeout", severity=WARNING, area=AREA, needs=(CIB,), find=_start_short,
         looks_at="The timeout of start against libvirt's patience and the size of the guest.",
         why="Large memory is cleared before QEMU runs."),
    Rule(id="monitor-missing", severity=ERROR, area=AREA, needs=(CIB,), find=_monitor,
         looks_at="The monitor of each guest.",
         why="What nobody looks at is not recovered."),
    Rule(id="monitor-slow", severity=NOTE, area=AREA, needs=(CIB,), find=_monitor_slow,
         looks_at="The interval of the monitor against a minute.",
         why="It is the time until a dead QEMU is noticed."),
    Rule(id="monitor-timeout", severity=WARNING, area=AREA, needs=(CIB,), find=_monitor_short,
         looks_at="The timeout of the monitor against ten seconds.",
         why="Slow is not dead."),
    Rule(id="stop-on-fail", severity=ERROR, area=AREA, needs=(CIB,), find=_on_fail,
         looks_at="on-fail of stop.",
         why="Only fencing makes sure of a guest that does not stop."),
    Rule(id="on-fail-idle", severity=WARNING, area=AREA, needs=(CIB,), find=_on_fail_block,
         looks_at="on-fail=block, and a monitor that is ignored.",
         why="Nobody is there at night."),
)  # fmt: skip
