"""A node looks at itself, many times a second, and prints what it sees: which guests execute, which addresses it has,
which replicated disks it may write.

It runs on every node for as long as a drill does. Each look is a line of JSON; the time in it is this node's own.
"""

from __future__ import annotations

import json

from kvmha.host import CommandError
from kvmha.policy.model import GuestIdentity
from kvmha.tools import drbd, ip_address, qemu_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.policy.replica import Replica

INTERVAL = 0.25
"""Seconds between two looks at processes."""

PROCESS_EVERY = 4
"""Looks between two at addresses and at DRBD, which cost a process each."""

WINDOWS = "/run/kvmha/drbd-window"
"""Where a node marks the resources of which it allows two primaries, while a guest moves (ocf:kvmha:DRBD)."""

EXECUTED = 1_000_000
"""Nanoseconds of a guest's virtual processors between two looks that count as execution; the threads' errands in a
process that stands still take a tenth of that (measured in the lab)."""

LIMIT = 5.0


class Sight:
    """What one node sees of itself."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._used: dict[int, int] = {}
        self._looks = 0
        self._looked_at = host.wall_clock()

    def look(self) -> dict[str, object]:
        """Take one look; ``since`` is when the one before began: a guest executed at some moment after that."""
        since, self._looked_at = self._looked_at, self._host.wall_clock()
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
                known.update(self._by_libvirt(guest, pid))
        self._used = used
        told = {"at": round(self._host.wall_clock(), 3), "since": round(since, 3), "guests": guests}
        if self._looks % PROCESS_EVERY == 0:
            told["asked"] = self._ask()
        self._looks += 1
        return told

    def _by_libvirt(self, guest: GuestIdentity, pid: int) -> dict[str, object]:
        """Return what libvirt wrote down of a guest: whether it runs, and whether its guest agent has come up."""
        status = qemu_process.read_status(self._host, guest)
        is_running = status is not None and status.pid == pid and status.state == "running"
        return {"runs": is_running, "agent": qemu_process.read_agent_channel(self._host, guest.name) == "connected"}

    def _ask(self) -> dict[str, object]:
        """Ask the kernel, by processes, for addresses and DRBD; what they show was at some moment meanwhile."""
        since = self._host.wall_clock()
        told = {"since": round(since, 3), "addresses": self._addresses(), **self._replicas()}
        return {**told, "at": round(self._host.wall_clock(), 3)}

    def _addresses(self) -> list[str]:
        try:
            return sorted(each.address for each in ip_address.look(self._host, timeout=LIMIT))
        except (CommandError, ValueError):
            return []

    def _replicas(self) -> dict[str, object]:
        """Return the DRBD resources that may be written here, and whether two nodes are allowed to just now; and those
        of which not all copies are current, as this node knows them.
        """
        # drbdsetup would load the module.
        if not self._host.exists(drbd.LOADED):
            return {}
        try:
            found = drbd.parse_events(self._host.run(*drbd.events_argv(), timeout=LIMIT).out)
        except CommandError:
            return {}
        names = [replica.resource for replica in found if replica.is_promoted]
        return {
            "primaries": {name: self._host.exists(f"{WINDOWS}/{name.replace('/', '_')}") for name in names},
            "behind": [each.resource for each in found if not is_current(each)],
        }

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


def is_current(replica: Replica) -> bool:
    """Tell whether all copies of a DRBD resource are current, and connected, as one of them sees it."""
    return (replica.is_client or replica.is_up_to_date) and all(
        peer.is_up_to_date or (peer.is_client and peer.agrees) for peer in replica.peers
    )


def operations(host: Host) -> dict[str, str]:
    """Return what libvirt does with guests of this node and takes long, such as ``migration out``, by guest."""
    found = {}
    for pid in qemu_process.find_any(host):
        guest = qemu_process.owner(host, pid)
        told = qemu_process.read_operation(host, guest) if guest is not None else None
        if guest is not None and told is not None and told[1]:
            found[guest.name] = told[1]
    return found


def watch(host: Host, interval: float = INTERVAL) -> None:
    """Look until nobody reads it any more, with so many seconds from one look to the next."""
    sight = Sight(host)
    while True:
        began = host.now()
        print(json.dumps(sight.look(), separators=(",", ":")), flush=True)
        host.sleep(max(interval - (host.now() - began), 0.05))
