"""What libvirt counts of a guest's migration."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MIB = 1024.0 * 1024.0

OUTGOING = (4, 5)
"""A migration into this node or out of it, among libvirt's operations (virDomainJobOperation: incoming, outgoing)."""


class Progress(Record):
    """A migration at one moment, or as it ended; memory in MiB, speeds in MiB/s."""

    elapsed_s: float
    total_mib: float
    processed_mib: float
    remaining_mib: float
    speed_mib_s: float
    dirty_mib_s: float
    round: int
    downtime_ms: int
    """What QEMU expects while it goes on, and what it was once it is over."""
    throttle: int
    """Percent of their time that auto-converge takes from the guest's processors."""
    post_copy_requests: int
    setup_ms: int
    is_post_copy: bool
    is_handed_over: bool = False
    """The guest stands still on its source, and the target has its memory or gets the last of it."""


def progress_of(stats: dict[str, Any], *, is_post_copy: bool, is_handed_over: bool = False) -> Progress | None:
    """Read the answer of virDomainGetJobStats (VIR_DOMAIN_JOB_*); None for one that is not about a migration."""
    if stats.get("operation") not in OUTGOING or "memory_total" not in stats:
        return None
    return Progress(
        elapsed_s=stats.get("time_elapsed", 0) / 1000.0,
        total_mib=stats["memory_total"] / MIB,
        processed_mib=stats.get("memory_processed", 0) / MIB,
        remaining_mib=stats.get("memory_remaining", 0) / MIB,
        speed_mib_s=stats.get("memory_bps", 0) / MIB,
        # In pages, as libvirt has it from QEMU (dirty-pages-rate).
        dirty_mib_s=stats.get("memory_dirty_rate", 0) * stats.get("memory_page_size", 4096) / MIB,
        round=int(stats.get("memory_iteration", 0)),
        downtime_ms=int(stats.get("downtime", 0)),
        throttle=int(stats.get("auto_converge_throttle", 0)),
        post_copy_requests=int(stats.get("memory_postcopy_requests", 0)),
        setup_ms=int(stats.get("setup_time", 0)),
        is_post_copy=is_post_copy,
        is_handed_over=is_handed_over,
    )
