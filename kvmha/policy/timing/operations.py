"""How long the operations of a resource may take, from what they have to do.

Invariant: no timeout is shorter than what the operation is bound to need and what the agent keeps of it in reserve, for
Pacemaker kills an agent that is late, and takes the guest for failed. All times are whole seconds, rounded up to tens.
"""

from __future__ import annotations

import math

from kvmha.record import Record

START_FLOOR, STOP_FLOOR, MONITOR, MIGRATE_TO_FLOOR, MIGRATE_FROM = 90, 90, 30, 120, 60
"""What ocf:kvmha:VirtualDomain advertises, which is enough for a guest of a few GiB."""

START_BASE_S = 60.0
"""libvirt waits half a minute for a new QEMU, and the agent as long as 20 s for a libvirt that restarts."""

CLEARED_MIB_S = 1024.0
"""Memory that the kernel hands out, cleared, in a second; locked memory and huge pages are cleared before the start is
over. One thread of a slow server: most are three to ten times as fast."""

FREED_MIB_S = 8192.0
"""Memory that the kernel takes back in a second from a QEMU that ends."""

STOP_RESERVE_S = 20.0
"""What the agent keeps of a stop to cut the guest's power and to see that it is gone (resources/virtual_domain)."""

STOP_SLACK_S = 10.0
"""Asking libvirt, noticing that the guest has gone, and taking back some memory meanwhile."""

MIGRATION_RESERVE_S = 15.0
"""What the agent keeps of a migration to abort it, with the guest running on (resources/virtual_domain)."""

MIGRATION_BASE_S = 15.0
"""Preparing the target: connections, storage, the start of its QEMU."""

DEFAULT_BANDWIDTH_MIB_S = 110.0
"""What one gigabit per second carries."""

ASSUMED_DIRTY_SHARE = 0.5
"""How much of the bandwidth a guest of unknown habits is taken to write to its memory meanwhile."""

WORST_DIRTY_SHARE = 0.8
"""Beyond this a migration counts as one that does not come to an end by itself."""

DEFAULT_DOWNTIME_MS = 300
"""QEMU's own downtime-limit (qapi/migration.json)."""


class GuestTimeouts(Record):
    """Timeouts of a guest's operations in seconds."""

    start: int
    stop: int
    monitor: int
    migrate_to: int
    migrate_from: int


class DrbdTimeouts(Record):
    """Timeouts of a DRBD resource's operations in seconds."""

    start: int
    stop: int
    promote: int
    demote: int
    notify: int
    monitor: int


class Forecast(Record):
    """What a live migration by copying ahead (pre-copy) will take."""

    seconds: float
    is_converging: bool
    """The guest writes slowly enough for the copy to catch up with it."""
    chain: str
    """How the seconds come about, in numbers."""


def forecast_migration(
    memory_mib: int,
    *,
    bandwidth_mib_s: float,
    dirty_mib_s: float | None = None,
    downtime_ms: int = DEFAULT_DOWNTIME_MS,
    at_once: int = 1,
) -> Forecast:
    """Return how long a guest's memory takes to the other side if ``at_once`` moves share the bandwidth.

    Each round copies what was written during the one before, so with r = written / copied per second n rounds take
    memory / bandwidth * (1 - r^n) / (1 - r), until what is left fits into the downtime.
    """
    share = bandwidth_mib_s / max(at_once, 1)
    ratio = ASSUMED_DIRTY_SHARE if dirty_mib_s is None else dirty_mib_s / share
    is_converging = ratio <= WORST_DIRTY_SHARE
    ratio = min(ratio, WORST_DIRTY_SHARE)
    left, seconds = float(memory_mib), 0.0
    while left > share * downtime_ms / 1000.0:
        seconds += left / share
        left *= ratio
        if left < 1.0:
            break
    seconds += left / share
    each = f" / {at_once} moves at once" if at_once > 1 else ""
    written = f"{ratio:.2f} of that written meanwhile"
    chain = f"memory {memory_mib} MiB, {bandwidth_mib_s:g} MiB/s{each}, {written} = {seconds:.0f} s"
    return Forecast(seconds=seconds, is_converging=is_converging, chain=chain)


def guest_timeouts(
    *,
    memory_mib: int | None,
    bandwidth_mib_s: float = DEFAULT_BANDWIDTH_MIB_S,
    dirty_mib_s: float | None = None,
    shutdown_s: float = 60.0,
    drbd: bool = False,
    at_once: int = 1,
) -> GuestTimeouts:
    """Return the timeouts to give a guest: what it needs, and no less than what the agent advertises.

    ``shutdown_s`` is what the guest itself needs to shut down, ``at_once`` how many guests a node may move at a time
    (migration-limit), and ``drbd`` says that its disk is promoted on the target first, which waits for the peer.
    """
    least = least_guest_timeouts(
        memory_mib=memory_mib,
        bandwidth_mib_s=bandwidth_mib_s,
        dirty_mib_s=dirty_mib_s,
        shutdown_s=shutdown_s,
        drbd=drbd,
        at_once=at_once,
    )
    return GuestTimeouts(
        start=_tens(START_FLOOR, least.start),
        stop=_tens(STOP_FLOOR, least.stop),
        monitor=least.monitor,
        migrate_to=_tens(MIGRATE_TO_FLOOR, least.migrate_to),
        migrate_from=_tens(MIGRATE_FROM, least.migrate_from),
    )


def least_guest_timeouts(
    *,
    memory_mib: int | None,
    bandwidth_mib_s: float = DEFAULT_BANDWIDTH_MIB_S,
    dirty_mib_s: float | None = None,
    shutdown_s: float = 60.0,
    drbd: bool = False,
    at_once: int = 1,
) -> GuestTimeouts:
    """Return the timeouts below which a guest is bound to suffer, as far as its size is known."""
    memory = memory_mib or 0
    copied = 0.0
    if memory:
        forecast = forecast_migration(memory, bandwidth_mib_s=bandwidth_mib_s, dirty_mib_s=dirty_mib_s, at_once=at_once)
        copied = forecast.seconds
    window = DRBD_WINDOW_S if drbd else 0.0
    return GuestTimeouts(
        start=math.ceil(START_BASE_S + memory / CLEARED_MIB_S),
        stop=math.ceil(shutdown_s + STOP_RESERVE_S + max(STOP_SLACK_S, memory / FREED_MIB_S)),
        monitor=MONITOR,
        migrate_to=math.ceil(MIGRATION_BASE_S + window + copied + MIGRATION_RESERVE_S),
        migrate_from=math.ceil(window + MIGRATE_FROM),
    )


DRBD_WINDOW_S = 20.0
"""Opening and closing the window in which both sides of a DRBD resource are primary."""

DRBD_STEP_S = 20.0
"""One call of drbdadm that has nothing to wait for, on a busy node."""

DRBD_CONNECT_S = 60.0
"""Attaching a disk and meeting the peer, whose bitmaps are compared."""

FENCE_HANDLER_S = 60.0
"""How long a promotion may wait for the word that the peer is fenced: its fencing, and the constraint in the CIB."""


def peer_lost_s(*, ping_interval_s: float = 10.0, ping_timeout_ds: int = 5, timeout_ds: int = 60) -> float:
    """Return the seconds after which DRBD has noticed at the latest that its peer is gone (drbd.conf(5)).

    A peer that owes an answer to a write has ``timeout`` (tenths of seconds); an idle connection is asked every
    ``ping-int`` seconds and has ``ping-timeout`` tenths to answer.
    """
    return max(timeout_ds / 10.0, ping_interval_s) + ping_timeout_ds / 10.0


def drbd_timeouts(
    *,
    ping_interval_s: float = 10.0,
    ping_timeout_ds: int = 5,
    timeout_ds: int = 60,
    fence_handler_s: float = FENCE_HANDLER_S,
) -> DrbdTimeouts:
    """Return the timeouts of a DRBD resource.

    A promotion may have to notice first that the peer is gone, and then waits for the handler that fences it; a
    demotion waits for writes that a peer which is going owes an answer to.
    """
    lost = peer_lost_s(ping_interval_s=ping_interval_s, ping_timeout_ds=ping_timeout_ds, timeout_ds=timeout_ds)
    return DrbdTimeouts(
        start=_tens(90, DRBD_CONNECT_S + lost + DRBD_STEP_S),
        stop=_tens(60, lost + 2 * DRBD_STEP_S),
        promote=_tens(60, lost + fence_handler_s + DRBD_STEP_S),
        demote=_tens(60, lost + 2 * DRBD_STEP_S),
        notify=_tens(60, lost + DRBD_STEP_S),
        monitor=20,
    )


def _tens(floor: int, seconds: float) -> int:
    """Return seconds rounded up to tens, not less than a floor."""
    return max(floor, math.ceil(seconds / 10) * 10)
