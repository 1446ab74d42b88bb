"""corosync-cmapctl: the times with which corosync runs, whatever its file says by now."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

PREFIX = "runtime.config.totem."
ARGV = ("corosync-cmapctl", PREFIX)
"""All keys below a prefix (corosync-cmapctl(8))."""


def parse(text: str) -> dict[str, int]:
    """Return the numbers by key, without the prefix: ``runtime.config.totem.token (u32) = 3000``."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition(" = ")
        key = name.partition(" (")[0].strip()
        if equals and key.startswith(PREFIX) and value.strip().isdigit():
            found[key[len(PREFIX) :]] = int(value)
    return found


def runtime(host: Host, *, timeout: float) -> dict[str, int]:
    """Return the times of the corosync that runs here. Raises CommandError where none does."""
    return parse(host.run(*ARGV, timeout=timeout).out)
