"""Waits for the agent of a guest in one of its actions, and kills it there.

An agent's monitor takes some twenty milliseconds, so whoever wants to meet it has to look all the time.
"""

from __future__ import annotations

import json

from kvmha.drill.faults.plan import HUNT_FOUND
from kvmha.host import SIGKILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

AGENT = "VirtualDomain"
"""Ours and others': the name of the file in its provider's folder."""

PAUSE_S = 0.002

YOUNG_S = 0.5
"""A process shows what it was forked from until it has become an agent; so it is looked at for a while."""


def hunt(host: Host, guest: str, action: str) -> float:
    """Wait for the agent, kill it, and return when, in seconds since the epoch; whoever started this ends it."""
    known: dict[int, float] = {}
    while True:
        now = host.now()
        alive = list(host.pids())
        for pid in alive:
            if now - known.setdefault(pid, now) <= YOUNG_S and is_agent(host, pid, guest, action):
                at = host.wall_clock()
                host.kill(pid, SIGKILL, still=lambda pid=pid: is_agent(host, pid, guest, action), wait=1.0)  # type: ignore[misc]
                host.write(HUNT_FOUND, json.dumps({"at": at, "pid": pid}))
                return at
        known = {pid: known[pid] for pid in alive}
        host.sleep(PAUSE_S)


def is_agent(host: Host, pid: int, guest: str, action: str) -> bool:
    """Tell whether a process is the agent of that guest, in that action."""
    words = host.cmdline(pid)
    if len(words) < 2 or words[-1] != action or words[-2].rpartition("/")[2] != AGENT:
        return False
    try:
        told = host.read_bytes(f"/proc/{pid}/environ")
    except OSError:
        return False
    # The name of an instance of a clone has its number behind it.
    names = [each.partition(b"=")[2] for each in told.split(b"\0") if each.startswith(b"OCF_RESOURCE_INSTANCE=")]
    return any(name.decode("utf-8", "replace").partition(":")[0] == guest for name in names)


def found_at(host: Host) -> float | None:
    """Return when the last agent was killed in this drill; None if none was."""
    try:
        return float(json.loads(host.read(HUNT_FOUND))["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
