"""csync2, which copies files to the other nodes of a cluster."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

PROGRAM = "csync2"


def sync_argv(path: str) -> tuple[str, ...]:
    """Return the command that looks whether a file has changed and copies it (csync2(1): -x is -c and -u)."""
    return (PROGRAM, "-x", path)


def sync(host: Host, path: str, timeout: float) -> None:
    """Copy a file to the other nodes. Raises CommandError."""
    host.run(*sync_argv(path), timeout=timeout)
