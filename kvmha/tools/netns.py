"""Network namespaces: ip-netns(8) gives them names below /run/netns, setns(2) lets a process in."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

FOLDER = "/run/netns"
_CLONE_NEWNET = 0x40000000


def identity(path: str) -> str:
    """Return what tells one namespace from all others while it lives. Raises OSError where there is none."""
    found = os.stat(path)
    return f"{found.st_dev}:{found.st_ino}"


def named(name: str) -> str:
    """Return the path of a namespace by its name."""
    return f"{FOLDER}/{name}"


def holder(host: Host, wanted: str) -> str | None:
    """Return a path to a namespace that a process lives in though its name has gone, or None if none does."""
    for pid in host.pids():
        path = f"/proc/{pid}/ns/net"
        try:
            if identity(path) == wanted:
                return path
        except OSError:
            # It has just ended, or is a kernel thread.
            continue
    return None


def enter(path: str) -> None:
    """Go into a namespace with this process and all that it starts. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns = getattr(os, "setns", None) or _setns
        setns(fd, _CLONE_NEWNET)
    finally:
        os.close(fd)


def _setns(fd: int, kind: int) -> None:
    """Do what os.setns does since Python 3.12."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(fd, kind) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
