"""ss(8): connections of this node that no process holds any more, while the kernel still delivers what was said."""

from __future__ import annotations

TIMEOUT = 5.0
"""Seconds; the kernel is asked for one state, one address and one port."""

_SHOW = ("ss", "-H", "-t", "-n")


def orphans_argv(address: str, port: int) -> tuple[str, ...]:
    """Print a line for each of those to a port whose last words have not arrived."""
    return (*_SHOW, *_orphans(address, port))


def end_orphans_argv(address: str, port: int) -> tuple[str, ...]:
    """End them, so that the other side hears of a broken connection instead.

    A kernel that cannot do that (CONFIG_INET_DIAG_DESTROY) leaves them as they are, and ss says nothing of it.
    """
    return (*_SHOW, "-K", *_orphans(address, port))


def _orphans(address: str, port: int) -> tuple[str, ...]:
    # A process that ended while its words were not acknowledged leaves this state behind (RFC 9293, 3.3.2).
    place = f"[{address}]" if ":" in address else address
    return ("state", "fin-wait-1", "dst", place, "dport", "=", f":{port}")
