"""What DRBD is told to do. Each order goes to the kernel by drbdsetup and needs no configuration file, but bringing up.

DRBD 9 takes the name of a resource where 8.4 wants the minor number of each of its devices; which of the two the kernel
is shows in what it tells of a replica.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.replica import Replica

NO_CURRENT_DATA = 17
"""The exit code of a promotion without current data (SS_NO_UP_TO_DATE_DISK in drbdsetup.c of drbd-utils 9.22)."""

TOO_MANY_PRIMARIES = "Multiple primaries not allowed"
"""What both versions say of a promotion beside another one that is not allowed (SS_TWO_PRIMARIES; seen with 8.4.11 and
9.2.16). The exit code is that of any refusal."""

DEFAULT_CONFIGURATION = "/etc/drbd.conf"
"""Where drbdadm looks by itself."""

LOAD = ("modprobe", "drbd")


def is_version_9(replica: Replica) -> bool:
    """Tell whether the kernel has DRBD 9, which alone tells a promotion score."""
    return replica.promotion_score is not None


def adjust_argv(resource: str, configuration: str = DEFAULT_CONFIGURATION) -> tuple[str, ...]:
    """Bring a resource into the state that the configuration wants: create, attach and connect what is missing."""
    return (*prefix(configuration), "adjust", resource)


def primary_argvs(replica: Replica, *, force: bool = False) -> list[tuple[str, ...]]:
    """Promote; by force also without current data."""
    return _to_each(replica, "primary", *(("--force",) if force else ()))


def secondary_argvs(replica: Replica, *, force: bool = False) -> list[tuple[str, ...]]:
    """Demote; by force (DRBD 9) also a device that is held open, whose I/O then fails."""
    return _to_each(replica, "secondary", *(("--force",) if force else ()))


def down_argv(resource: str) -> tuple[str, ...]:
    """Take a resource out of the kernel."""
    return ("drbdsetup", "down", resource)


def two_primaries_argv(
    resource: str, *, allowed: bool, peer: str = "", configuration: str = DEFAULT_CONFIGURATION
) -> tuple[str, ...]:
    """Allow or forbid two primaries on a connection, or all, until it is configured anew (drbdadm(8), net-options).

    8.4 tells the other side of a connection that is up, and it follows.
    """
    word = f"--allow-two-primaries={'yes' if allowed else 'no'}"
    return (*prefix(configuration), "net-options", word, f"{resource}:{peer}" if peer else resource)


def connect_argv(
    resource: str, *, discard: bool = False, configuration: str = DEFAULT_CONFIGURATION
) -> tuple[str, ...]:
    """Connect to the peers; with ``discard`` this node's data give way to the other side's after a split brain."""
    words = ("--discard-my-data",) if discard else ()
    return (*prefix(configuration), "connect", *words, resource)


def resume_argvs(replica: Replica) -> list[tuple[str, ...]]:
    """Let I/O go on that waits for a peer to be fenced (drbdsetup(8), resume-io)."""
    return [("drbdsetup", "resume-io", str(minor)) for minor in replica.minors]


def disconnect_argv(resource: str, configuration: str = DEFAULT_CONFIGURATION) -> tuple[str, ...]:
    """Give up the connections, and do not try again."""
    return (*prefix(configuration), "disconnect", resource)


def verify_argv(resource: str, configuration: str = DEFAULT_CONFIGURATION) -> tuple[str, ...]:
    """Begin to compare all blocks with the peers (drbdadm(8)); option verify-alg must be set."""
    return (*prefix(configuration), "verify", resource)


def _to_each(replica: Replica, order: str, *options: str) -> list[tuple[str, ...]]:
    if is_version_9(replica):
        return [("drbdsetup", order, replica.resource, *options)]
    return [("drbdsetup", order, str(minor), *options) for minor in replica.minors]


def dump_argv(resource: str, configuration: str = DEFAULT_CONFIGURATION) -> tuple[str, ...]:
    """Print a resource as the configuration files have it."""
    return (*prefix(configuration), "dump-xml", resource)


def prefix(configuration: str) -> tuple[str, ...]:
    return ("drbdadm", *(("-c", configuration) if configuration != DEFAULT_CONFIGURATION else ()))
