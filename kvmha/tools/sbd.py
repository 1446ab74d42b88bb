"""sbd: its settings, the header of its disks, and the watchdog that it feeds (sbd(8))."""

from __future__ import annotations

from kvmha.policy.node import Watchdog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

SETTINGS = ("/etc/default/sbd", "/etc/sysconfig/sbd")
"""Debian's place, and that of the others."""

WATCHDOGS = "/sys/class/watchdog"


def parse_settings(text: str) -> dict[str, str]:
    """Return ``KEY=value`` lines, as the shell and systemd read them, quotes taken off."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.isidentifier():
            found[name] = value.strip().strip("\"'")
    return found


def settings(host: Host) -> dict[str, str]:
    """Return this node's settings, none where sbd is not installed. Raises OSError for a file that cannot be read."""
    for path in SETTINGS:
        if host.exists(path):
            return parse_settings(host.read(path))
    return {}


def dump_argv(device: str) -> tuple[str, ...]:
    """Return the command that prints the header of a disk."""
    return ("sbd", "-d", device, "dump")


def parse_dump(text: str) -> dict[str, int]:
    """Return the times of a header in seconds: watchdog, allocate, loop and msgwait."""
    found = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        inside = name.partition("(")[2].partition(")")[0].strip()
        if colon and name.strip().startswith("Timeout") and value.strip().isdigit():
            found[inside] = int(value)
    return found


def watchdog(host: Host) -> Watchdog | None:
    """Return the first watchdog that the kernel has, None if it has none."""
    for name in host.names(WATCHDOGS):
        folder = f"{WATCHDOGS}/{name}"
        limit = _read(host, f"{folder}/timeout")
        return Watchdog(
            device=f"/dev/{name}",
            identity=_read(host, f"{folder}/identity"),
            timeout_s=int(limit) if limit.isdigit() else None,
        )
    return None


def _read(host: Host, path: str) -> str:
    try:
        return host.read(path).strip()
    except OSError:
        return ""
