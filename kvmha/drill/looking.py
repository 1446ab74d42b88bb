"""A node looks at itself, many times a second, and prints what it sees: which guests execute, which addresses it has.

It runs on every node for as long as a drill does. Each look is a line of JSON; the time in it is this node's own.
"""

from __future__ import annotations

import json

from kvmha.host import CommandError
from kvmha.tools import ip_address, qemu_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

INTERVAL = 0.25
"""Seconds between two looks at processes."""

ADDRESSES_EVERY = 4
"""Looks between two at the addresses, which cost a process."""

EXECUTED = 1_000_000
"""Nanoseconds of a guest's virtual processors between two looks that count as execution; the threads' errands in a
process that stands still take a tenth of that (measured in the lab)."""

LIMIT = 5.0


class Sight:
    """What one node sees of itself."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._used: dict[int, int] = {}
        self._addresses: list[str] = []
        self._looks = 0

    def look(self) -> dict[str, object]:
        """Take one look."""
        guests: dict[str, dict[str, object]] = {}
        used: dict[int, int] = {}
        for pid in qemu_process.find_any(self._host):
            guest = qemu_process.owner(self._host, pid)
            if guest is None:
                continue
            used[pid] = self._processor_time(pid)
            executes = pid in self._used and used[pid] - self._used[pid] >= EXECUTED
            known = guests.setdefault(guest.uuid, {"name": guest.name, "pid": pid, "executes": False})
            if executes or pid == known["pid"]:
                macs = qemu_process.macs(self._host.cmdline(pid))
                known.update({"pid": pid, "executes": bool(known["executes"]) or executes, "macs": macs})
        self._used = used
        if self._looks % ADDRESSES_EVERY == 0:
            try:
                self._addresses = sorted(each.address for each in ip_address.look(self._host, timeout=LIMIT))
            except (CommandError, ValueError):
                self._addresses = []
        self._looks += 1
        return {"at": round(self._host.wall_clock(), 3), "guests": guests, "addresses": self._addresses}

    def _processor_time(self, pid: int) -> int:
        """Return the nanoseconds that a QEMU's virtual processors have run; their threads are called "CPU 0/KVM" and so
        on (debug-threads=on, which libvirt says always), and schedstat's first number is the time on a processor.
        """
        used = 0
        try:
            for thread in self._host.names(f"/proc/{pid}/task"):
                if self._host.read(f"/proc/{pid}/task/{thread}/comm").startswith("CPU "):
                    used += int(self._host.read(f"/proc/{pid}/task/{thread}/schedstat").split()[0])
        except (OSError, ValueError, IndexError):
            # It ends just now.
            return self._used.get(pid, 0)
        return used


def watch(host: Host, interval: float = INTERVAL) -> None:
    """Look until nobody reads it any more, with so many seconds from one look to the next."""
    sight = Sight(host)
    while True:
        began = host.now()
        print(json.dumps(sight.look(), separators=(",", ":")), flush=True)
        host.sleep(max(interval - (host.now() - began), 0.05))
