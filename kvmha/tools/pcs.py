"""pcs: the cluster as a whole (pcs(8)). Checked with pcs 0.11.5 and 0.12.0."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvmha.host import Host

PROGRAM = "pcs"
Argv = tuple[str, ...]


def is_there(host: Host) -> bool:
    """Tell whether pcs is installed here."""
    return host.which(PROGRAM) is not None


def host_auth_argv(names: Mapping[str, str]) -> Argv:
    """Return the command that lets the nodes' pcsd trust each other; the password comes by its standard input.

    ``names`` are the names of hosts, with the address under which each is reached, or nothing.
    """
    hosts = [word for name, address in names.items() for word in (name, f"addr={address}" if address else "") if word]
    return (PROGRAM, "host", "auth", *hosts, "-u", "hacluster")


def start_argv(seconds: int) -> Argv:
    """Return the command that starts the cluster on all nodes and waits for them."""
    return (PROGRAM, "cluster", "start", "--all", f"--wait={seconds}")


def enable_argv() -> Argv:
    """Return the command that has the cluster start when its nodes boot."""
    return (PROGRAM, "cluster", "enable", "--all")


def totem_argv(values: Mapping[str, str | None]) -> Argv:
    """Return the command that changes totem on all nodes, and has corosync read it while it runs."""
    return (
        PROGRAM,
        "cluster",
        "config",
        "update",
        "totem",
        *(f"{name}={value or ''}" for name, value in values.items()),
    )
