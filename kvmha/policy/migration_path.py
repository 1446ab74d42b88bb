"""The way between two nodes that a guest's memory takes, and what of it speaks against a move.

Invariant: a path on which large packets provably vanish is not taken, because a move on it stands still until it is
given up; so is one whose certificates have expired. All else that is seen of a path is told.
"""

from __future__ import annotations

from kvmha.policy.movability import ALLOWS, DEPENDS, FORBIDS, Reason
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Path(Record):
    """What is known of it; None for what could not be looked at."""

    address: str = ""
    device: str = ""
    """The source's link that leads there."""
    mtu: int | None = None
    carries_mtu: bool | None = None
    """A packet as large as the link takes came back from the target, as a small one did; False: only the small one."""
    speed_mib_s: float | None = None
    speed_from: str = ""
    tried_from: str = ""
    """The node from which the login at the target's libvirt was tried, if it was."""
    transport: str = ""
    tls_problem: str = ""
    """Why the guest's memory cannot be encrypted, where that is wanted."""
    is_tls_expired: bool = False
    unprivileged_faults: str | None = None
    """The target's vm.unprivileged_userfaultfd, by which post-copy fetches memory; empty where it could not be read.
    None where post-copy is not wanted."""


def judge(
    path: Path, *, guest: str, source: str, target: str, memory_mib: float | None, limit_s: float | None
) -> tuple[Reason, ...]:
    """Return what is to be said of a path; ``limit_s`` is the time that a move has."""
    found = [*_size(path, target), *_login(path, source, target), *_post_copy(path, target)]
    if path.speed_mib_s and memory_mib and limit_s and memory_mib / path.speed_mib_s > limit_s:
        takes = memory_mib / path.speed_mib_s
        said = (
            f"the memory of {guest} alone takes {takes:.0f} s at {path.speed_mib_s:.0f} MiB/s ({path.speed_from}), and "
            f"its move has {limit_s:.0f} s"
        )
        found.append(_reason("path-slow", DEPENDS, said, seconds=takes, limit=limit_s))
    elif path.speed_mib_s:
        said = f"the path carries {path.speed_mib_s:.0f} MiB/s: {path.speed_from}"
        found.append(_reason("path-speed", ALLOWS, said, speed=path.speed_mib_s))
    return tuple(found)


def _size(path: Path, target: str) -> Iterator[Reason]:
    if path.mtu is None or path.carries_mtu is None:
        return
    if path.carries_mtu:
        yield _reason("mtu-carried", ALLOWS, f"packets of {path.mtu} bytes reach {target}", mtu=path.mtu)
        return
    said = (
        f"packets of {path.mtu} bytes, the MTU of {path.device}, do not come through to {target}, and small ones do: "
        "the guest's memory would get stuck"
    )
    yield _reason("mtu-blocked", FORBIDS, said, mtu=path.mtu)


def _login(path: Path, source: str, target: str) -> Iterator[Reason]:
    if path.tried_from and source and path.tried_from != source:
        said = f"that {target} takes orders from {source} was not tried, only that it does from {path.tried_from}"
        yield _reason("login-untried", DEPENDS, said)
    elif path.tried_from:
        how = path.transport or "libvirt's default"
        yield _reason("login-tried", ALLOWS, f"{target}'s libvirt lets {path.tried_from} in ({how})")
    if path.tls_problem:
        yield _reason("tls", FORBIDS if path.is_tls_expired else DEPENDS, path.tls_problem)


def _post_copy(path: Path, target: str) -> Iterator[Reason]:
    if path.unprivileged_faults is None or path.unprivileged_faults == "1":
        return
    wanted = f"vm.unprivileged_userfaultfd=1 on {target}, or a QEMU that runs as root there"
    if path.unprivileged_faults:
        said = f"post-copy needs {wanted}, and it is {path.unprivileged_faults}: a move that allows it fails otherwise"
    else:
        said = f"post-copy needs {wanted}, which could not be looked up"
    yield _reason("post-copy-faults", DEPENDS, said)


def _reason(code: str, effect: str, said: str, **numbers: float) -> Reason:
    return Reason(code=code, effect=effect, said=said, numbers=numbers)
