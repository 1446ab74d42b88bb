"""conntrack(8): the connections that a firewall or NAT of this node remembers."""

from __future__ import annotations

TIMEOUT = 5.0
"""Seconds, for a table of any size that a node should have."""

OK = (0, 1)
"""conntrack(8) exits with 1 where nothing matched, and where it failed; what it says tells them apart."""


def delete_argv(address: str) -> tuple[str, ...]:
    """Forget the connections to an address."""
    return ("conntrack", "-D", "-f", "ipv6" if ":" in address else "ipv4", "-d", address)


def why_failed(rc: int, said: str) -> str | None:
    """Return why nothing was deleted, or None; to delete none of none is well."""
    if rc == 0 or "0 flow entries have been deleted" in said:
        return None
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else f"exited with {rc}"
