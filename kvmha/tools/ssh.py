"""ssh: a command on another node, where the administrator has set that up."""

from __future__ import annotations

import shlex

CONNECT_LIMIT = 5
"""Seconds to reach the other node."""

UNREACHED = 255
"""ssh's exit code where it could not connect or log in (ssh(1))."""


def argv(node: str, *words: str) -> tuple[str, ...]:
    """Run a command on a node as root; a password, or a key that is not known yet, is never asked for."""
    return (
        "ssh",
        "-o", "BatchMode=yes",
        "-o", f"ConnectTimeout={CONNECT_LIMIT}",
        "-o", "ServerAliveInterval=5",
        "-l", "root",
        node,
        shlex.join(words),
    )  # fmt: skip
