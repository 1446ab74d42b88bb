"""What a domain's state means for the cluster.

Invariant: only a domain without a QEMU process is stopped. Whatever else a state says, a guest that has a process is
running, degraded or failed, so that nobody starts it a second time without stopping it here first.
"""

from __future__ import annotations

from kvmha.policy.model import GuestState
from kvmha.record import Record

RUNNING, DEGRADED, FAILED, STOPPED = "running", "degraded", "failed", "stopped"
VERDICTS = (RUNNING, DEGRADED, FAILED, STOPPED)


class Verdict(Record):
    """One of VERDICTS, and the sentence for whoever asks why."""

    verdict: str
    reason: str = ""


# The words are those of libvirt's virDomainState and its reasons (include/libvirt/libvirt-domain.h), as its status
# files and virsh spell them. An empty reason stands for every reason that has no row of its own.
_TABLE = {
    ("running", ""): (RUNNING, ""),
    ("blocked", ""): (RUNNING, ""),
    # The guest is on its way down, by its own wish or by a stop of ours; the process is still there.
    ("shutdown", ""): (RUNNING, ""),
    ("paused", "user"): (DEGRADED, "paused by an administrator"),
    # Each of these ends by itself within one operation of libvirt's.
    ("paused", "migration"): (DEGRADED, "paused while it migrates"),
    ("paused", "post-copy"): (DEGRADED, "paused while a post-copy migration ends"),
    ("paused", "save"): (DEGRADED, "paused while it is saved"),
    ("paused", "dump"): (DEGRADED, "paused while its memory is dumped"),
    ("paused", "snapshot"): (DEGRADED, "paused while a snapshot is taken"),
    ("paused", "from snapshot"): (DEGRADED, "paused since it was restored from a snapshot"),
    ("paused", "starting up"): (DEGRADED, "starting up"),
    ("paused", "ioerror"): (FAILED, "paused by an I/O error of its disk"),
    ("paused", "watchdog"): (FAILED, "paused by its watchdog"),
    ("paused", "panicked"): (FAILED, "its kernel panicked"),
    ("paused", "post-copy failed"): (FAILED, "a post-copy migration failed"),
    ("paused", "shutdown"): (FAILED, "paused in its shutdown"),
    ("paused", ""): (FAILED, "paused for an unknown reason"),
    ("pmsuspended", ""): (DEGRADED, "suspended by the guest itself"),
    ("crashed", ""): (FAILED, "crashed"),
    ("shutoff", ""): (STOPPED, ""),
}


def judge(seen: GuestState) -> Verdict:
    """Return the verdict on a domain's state; a state without a row is a failure that names itself."""
    row = _TABLE.get((seen.state, seen.reason)) or _TABLE.get((seen.state, ""))
    if row is None:
        return Verdict(verdict=FAILED, reason=f"in the unknown state {seen.state!r}")
    verdict, reason = row
    if verdict == STOPPED and seen.pid:
        return Verdict(verdict=FAILED, reason=f"shut off, but its QEMU process {seen.pid} is there")
    return Verdict(verdict=verdict, reason=reason)
