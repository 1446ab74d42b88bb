"""Who runs where, asked of the machine's own process table all the time: the proof that no guest ever ran twice.

The nodes are containers, so the machine sees the QEMU processes of all of them. A guest runs twice when two processes
of its UUID execute at one moment. During a live migration there are two processes, of which one stands still; which
one says libvirt's status file in each node, and a process whose file says nothing counts as executing unless it was
started to receive a migration.
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


class Census:
    """A thread that looks at all processes many times a second."""

    def __init__(self, host: Host, netns: dict[str, str]) -> None:
        """``netns`` maps node names to the paths of their network namespaces."""
        self._host = host
        self._nodes = {os.stat(path).st_ino: name for name, path in netns.items()}
        self._first_seen: dict[int, float] = {}
        self._guests: dict[int, tuple[str, str, str, bool]] = {}
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
        """Take one look, and a second one at once where the first shows a guest twice.

        The states of two nodes are not read at one instant. In a hand-over the source stands still before the target
        goes on, so a state that was read too early has changed at the second look, and two that execute still do.
        """
        copies = self._copies()
        suspects = executing_twice(copies)
        if suspects:
            copies = self._copies()
            self.twice += [Twice(at=self._host.wall_clock(), copies=group) for group in executing_twice(copies)]
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
