"""What a domain's state means for the cluster.

Invariant: only a domain without a QEMU process is stopped. Whatever else a state says, a guest that has a process is
running, degraded or failed, so that nobody starts it a second time without stopping it here first.
"""

from __future__ import annotations

from kvmha.policy.model import GuestState
from kvmha.record import Record

RUNNING, DEGRADED, FAILED, STOPPED = "running", "degraded", "failed", "stopped"
VERDICTS = (RUNNING, DEGRADED, FAILED, STOPPED)

RESUME = "resume"
"""What on_ioerror may be beside a verdict: let it go on once; until that has been tried, it counts as failed."""

AWAKE = ("running", "blocked")
"""States in which a guest can be expected to answer."""


class Verdict(Record):
    """One of VERDICTS, and the sentence for whoever asks why."""

    verdict: str
    reason: str = ""


class Settings(Record):
    """How an operator wants the states judged on which operators differ: running, degraded or failed."""

    on_paused: str = DEGRADED
    on_ioerror: str = FAILED
    on_pmsuspended: str = DEGRADED
    on_crashed: str = FAILED


DEFAULTS = Settings()

# The words are those of libvirt's virDomainState and its reasons (include/libvirt/libvirt-domain.h), as its status
# files spell them (src/conf/domain_conf.c; virsh has others). An empty reason stands for every reason that has no row
# of its own. A verdict that is none of VERDICTS names the setting that decides.
_TABLE = {
    ("running", ""): (RUNNING, ""),
    ("running", "crashed"): (DEGRADED, "running on after its kernel panicked"),
    # The memory that has not come yet is on the other side, which cannot be reached: whatever touches it hangs.
    ("running", "post-copy failed"): (FAILED, "lacking memory that a failed post-copy migration left behind"),
    ("blocked", ""): (RUNNING, ""),
    # The guest is on its way down, by its own wish or by a stop of ours; the process is still there.
    ("shutdown", ""): (RUNNING, ""),
    ("paused", "user"): ("on_paused", "paused by an administrator"),
    ("paused", "from snapshot"): ("on_paused", "paused since an administrator went back to a snapshot"),
    ("paused", "starting up"): (DEGRADED, "starting up"),
    ("paused", "ioerror"): ("on_ioerror", "paused by an I/O error of its disk"),
    ("paused", "watchdog"): (FAILED, "paused by its watchdog"),
    ("paused", "panicked"): ("on_crashed", "paused because its kernel panicked"),
    ("paused", "post-copy failed"): (FAILED, "paused because a post-copy migration failed"),
    ("paused", "shutdown"): (FAILED, "paused in its shutdown"),
    ("paused", "api error"): (FAILED, "paused because an operation of libvirt's failed"),
    ("paused", ""): (FAILED, "paused for an unknown reason"),
    ("pmsuspended", ""): ("on_pmsuspended", "suspended by the guest itself"),
    ("crashed", ""): ("on_crashed", "crashed"),
    ("crashed", "panicked"): ("on_crashed", "crashed: its kernel panicked"),
    ("shutoff", ""): (STOPPED, ""),
}

# Pauses that one operation of libvirt's makes and ends. Seen with libvirt 9.0: a target whose source was cut off waits
# 30 s, then libvirt ends it; a source whose daemon was killed while it waited for the target's word stands still for
# good, and its status file names no operation any more.
_OPERATIONS = {
    "migration": "a migration",
    "post-copy": "a post-copy migration",
    "save": "a save of its memory",
    "dump": "a dump of its memory",
    "snapshot": "a snapshot",
}


def is_passing(seen: GuestState) -> bool:
    """Tell whether a guest is paused for as long as an operation of libvirt's lasts."""
    return seen.state == "paused" and seen.reason in _OPERATIONS


def judge(seen: GuestState, settings: Settings = DEFAULTS, operation: str | None = None) -> Verdict:
    """Return the verdict on a domain's state; a state without a row is a failure that names itself.

    ``operation`` is what libvirt does with the guest at the moment: empty for nothing, None where that is not known.
    """
    if is_passing(seen):
        what = _OPERATIONS[seen.reason]
        if operation == "":
            return Verdict(verdict=FAILED, reason=f"left paused by {what} that is over")
        return Verdict(verdict=DEGRADED, reason=f"paused for {what}")
    row = _TABLE.get((seen.state, seen.reason)) or _TABLE.get((seen.state, ""))
    if row is None:
        return Verdict(verdict=FAILED, reason=f"in the unknown state {seen.state!r}")
    verdict, reason = row
    if verdict not in VERDICTS:
        chosen = getattr(settings, verdict)
        verdict = FAILED if chosen == RESUME else chosen
    if verdict == STOPPED and seen.pid:
        return Verdict(verdict=FAILED, reason=f"shut off, but its QEMU process {seen.pid} is there")
    return Verdict(verdict=verdict, reason="" if verdict == RUNNING else reason)
