"""Who runs where, asked of the machine's own process table all the time: the proof that no guest ever ran twice.

The nodes are containers, so the machine sees the QEMU processes of all of them. A guest runs twice when two processes
of its UUID execute. During a live migration there are two processes, of which one stands still; which one says
libvirt's status file in each node, and a process whose file says nothing counts as executing unless it was started to
receive a migration.

The files alone prove nothing: those of two nodes are not written at one instant, and libvirt removes that of the
source while the process, long stopped, still ends. So a suspicion by the files is proven by the time that the virtual
processors of both processes have used: in a hand-over one uses none after the other has begun, and in a guest that runs
twice each goes on after the other has.
"""

from __future__ import annotations

import os
import threading

from kvmha.host import Host
from kvmha.record import Record
from kvmha.tools import qemu_process

INTERVAL = 0.05
"""Seconds between two looks."""

SETTLED = 3.0
"""Seconds after which a process that is no QEMU is not looked at again; libvirt's child becomes QEMU much sooner."""

EXECUTING = ("running", "blocked", "shutdown")

EXECUTED = 1_000_000
"""Nanoseconds of processor time of a guest's virtual processors that count as execution. QEMU's own errands on these
threads while they are stopped took up to 0.05 ms for a process that ends and 0.11 ms for one that starts."""


class Copy(Record):
    """One QEMU process of a guest."""

    uuid: str
    name: str
    node: str
    pid: int
    is_executing: bool


class Twice(Record):
    """A guest that was seen executing in two places."""

    at: float
    copies: tuple[Copy, ...]


def executing_twice(copies: list[Copy]) -> list[tuple[Copy, ...]]:
    """Return the groups of executing copies of one guest that are more than one."""
    by_guest: dict[str, list[Copy]] = {}
    for copy in copies:
        if copy.is_executing:
            by_guest.setdefault(copy.uuid, []).append(copy)
    return [tuple(group) for _, group in sorted(by_guest.items()) if len(group) > 1]


class Turns:
    """The processor time of the copies of one guest, look by look, for as long as they are suspected."""

    def __init__(self) -> None:
        self._look = 0
        self._counted: dict[int, int] = {}
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}

    def take(self, used: dict[int, int]) -> bool:
        """Take in the processor time used so far, in nanoseconds by pid; tell whether two have run side by side.

        That is proven when each of two has executed in a later look than one in which the other had.
        """
        self._look += 1
        for pid, nanoseconds in used.items():
            counted = self._counted.setdefault(pid, nanoseconds)
            if nanoseconds - counted >= EXECUTED:
                self._counted[pid] = nanoseconds
                self._first.setdefault(pid, self._look)
                self._last[pid] = self._look
        return any(
            self._last[one] > self._first[other] and self._last[other] > self._first[one]
            for one in self._first
            for other in self._first
            if one < other
        )


class Census:
    """A thread that looks at all processes many times a second."""

    def __init__(self, host: Host, netns: dict[str, str]) -> None:
        """``netns`` maps node names to the paths of their network namespaces."""
        self._host = host
        self._nodes = {os.stat(path).st_ino: name for name, path in netns.items()}
        self._first_seen: dict[int, float] = {}
        self._guests: dict[int, tuple[str, str, str, bool]] = {}
        self._suspected: dict[tuple[int, ...], Turns] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="census", daemon=True)
        self.copies: list[Copy] = []
        self.twice: list[Twice] = []
        self.looks = 0
        self.longest_pause = 0.0
        """Seconds between the two looks that were furthest apart: what could have hidden in between was shorter."""
        self.first_executing: dict[tuple[str, str], float] = {}
        """When a guest (UUID, node) was last seen to begin executing on a node, in seconds since the epoch."""

    def __enter__(self) -> Census:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _work(self) -> None:
        before = self._host.now()
        while not self._stop.wait(INTERVAL):
            self.look()
            now = self._host.now()
            self.longest_pause = max(self.longest_pause, now - before)
            before = now

    def look(self) -> None:
        """Take one look, and note who has run twice."""
        copies = self._copies()
        groups = {tuple(copy.pid for copy in group): group for group in executing_twice(copies)}
        self._suspected = {pids: self._suspected.get(pids) or Turns() for pids in groups}
        for pids, turns in self._suspected.items():
            is_known = any(pids == tuple(copy.pid for copy in twice.copies) for twice in self.twice)
            if turns.take({pid: self._processor_time(pid) for pid in pids}) and not is_known:
                self.twice.append(Twice(at=self._host.wall_clock(), copies=groups[pids]))
        executing = {(copy.uuid, copy.node) for copy in copies if copy.is_executing}
        was = {(copy.uuid, copy.node) for copy in self.copies if copy.is_executing}
        for place in executing - was:
            self.first_executing[place] = self._host.wall_clock()
        self.copies = copies
        self.looks += 1

    def _copies(self) -> list[Copy]:
        now = self._host.now()
        alive = set(self._host.pids())
        for pid in self._first_seen.keys() - alive:
            del self._first_seen[pid]
            self._guests.pop(pid, None)
        for pid in alive:
            first = self._first_seen.setdefault(pid, now)
            # A process is somebody else's until it executes QEMU; one that has lived on as something else stays that.
            if pid not in self._guests and now - first < SETTLED:
                guest = self._guest_of(pid)
                if guest is not None:
                    self._guests[pid] = guest
        return [
            Copy(uuid=uuid, name=name, node=node, pid=pid, is_executing=self._is_executing(pid, name, receives))
            for pid, (uuid, name, node, receives) in sorted(self._guests.items())
        ]

    def _guest_of(self, pid: int) -> tuple[str, str, str, bool] | None:
        arguments = self._host.cmdline(pid)
        guest = qemu_process.parse_cmdline(arguments)
        if guest is None:
            return None
        try:
            node = self._nodes.get(os.stat(f"/proc/{pid}/ns/net").st_ino)
        except OSError:
            return None
        return (guest.uuid, guest.name, node, "-incoming" in arguments) if node else None

    def _is_executing(self, pid: int, name: str, receives: bool) -> bool:
        try:
            head = self._host.read_bytes(f"/proc/{pid}/root{qemu_process.STATUS_FOLDER}/{name}.xml", qemu_process.HEAD)
        except OSError:
            head = b""
        status = qemu_process.parse_status(head.decode("utf-8", "replace"))
        if status is None:
            return not receives
        return status.state in EXECUTING

    def _processor_time(self, pid: int) -> int:
        """Return the nanoseconds that a process's virtual processors have run, 0 for one that has ended.

        QEMU names their threads "CPU 0/KVM" or "CPU 0/TCG" under libvirt (debug-threads=on); the first number of
        schedstat is the time on a processor (Documentation/scheduler/sched-stats.rst).
        """
        used = 0
        try:
            threads = self._host.names(f"/proc/{pid}/task")
        except ProcessLookupError:
            return 0
        for thread in threads:
            try:
                if self._host.read(f"/proc/{pid}/task/{thread}/comm").startswith("CPU "):
                    used += int(self._host.read(f"/proc/{pid}/task/{thread}/schedstat").split()[0])
            except OSError:
                # It has ended since it was listed.
                continue
        return used
