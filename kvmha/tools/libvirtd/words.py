"""Libvirt's numbers in the words that it uses itself."""

from __future__ import annotations

from kvmha.policy.model import GuestState

# The states of a domain and the reasons for each, in the order of libvirt's enumerations (virDomainState,
# virDomainRunningReason and so on, include/libvirt/libvirt-domain.h) and in the words of its status files
# (src/conf/domain_conf.c). Those of pmsuspended, blocked and nostate have no other reason.
REASONS = {
    "nostate": ("unknown",),
    "running": (
        "unknown", "booted", "migrated", "restored", "from snapshot", "unpaused", "migration canceled",
        "save canceled", "wakeup", "crashed", "post-copy", "post-copy failed",
    ),
    "blocked": ("unknown",),
    "paused": (
        "unknown", "user", "migration", "save", "dump", "ioerror", "watchdog", "from snapshot", "shutdown", "snapshot",
        "panicked", "starting up", "post-copy", "post-copy failed", "api error",
    ),
    "shutdown": ("unknown", "user"),
    "shutoff": (
        "unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from snapshot", "daemon",
    ),
    "crashed": ("unknown", "panicked"),
    "pmsuspended": ("unknown",),
}  # fmt: skip
STATES = tuple(REASONS)

# virDomainJobOperation, in its order; a guest without a job has no operation.
JOBS = (
    "", "start", "save", "restore", "migration in", "migration out", "snapshot", "snapshot revert", "dump", "backup",
    "snapshot delete",
)  # fmt: skip

# The words of virsh shutdown --mode, and what they are in VIR_DOMAIN_SHUTDOWN_*. The QEMU driver knows the first two.
SHUTDOWN_MODES = {
    "agent": "GUEST_AGENT",
    "acpi": "ACPI_POWER_BTN",
    "initctl": "INITCTL",
    "signal": "SIGNAL",
    "paravirt": "PARAVIRT",
}


def state_of(state: int, reason: int) -> GuestState:
    """Put libvirt's numbers into words; a number of the future is itself."""
    word = STATES[state] if state < len(STATES) else f"state {state}"
    reasons = REASONS.get(word, ())
    return GuestState(state=word, reason=reasons[reason] if reason < len(reasons) else f"reason {reason}")
