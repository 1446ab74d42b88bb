"""How the runner of a drill reaches the nodes: itself directly, all others by ssh as root."""

from __future__ import annotations

import json
import os
import select

from kvmha.host import CommandError
from kvmha.record import Record
from kvmha.tools import ssh

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kvmha.host import Completed, Host


class Heard(Record):
    """What a node says when it is asked whether it can take part in a drill."""

    why: str | None = None
    """Why it cannot, or None."""
    operations: Mapping[str, str] | None = None
    """What libvirt is busy with there, by guest; None where it does not say."""
    drill: str = ""
    """The drill that is run from there."""


class Reach:
    """The nodes of the cluster, as commands reach them."""

    def __init__(self, host: Host, here: str) -> None:
        self.host = host
        self.here = here

    def argv(self, node: str, *words: str) -> tuple[str, ...]:
        """Return the command that runs a command on a node."""
        return words if node == self.here else ssh.argv(node, *words)

    def run(self, node: str, *words: str, timeout: float, ok: tuple[int, ...] | None = (0,)) -> Completed:
        """Run a command on a node. Raises CommandError."""
        return self.host.run(*self.argv(node, *words), timeout=timeout, ok=ok)

    def hello(self, node: str) -> Heard:
        """Ask a node what it is busy with. It has to be reached, and to have kvmha."""
        try:
            done = self.run(node, "kvmha", "drill", "at-node", "hello", timeout=20.0, ok=None)
        except CommandError as error:
            return Heard(why=str(error))
        if done.rc != 0:
            words = [line.strip() for line in done.err.splitlines() if line.strip()]
            return Heard(why=words[-1][:160] if words else f"it left with {done.rc}")
        try:
            told = json.loads(done.out)
            operations = {str(name): str(what) for name, what in told["operations"].items()}
            return Heard(operations=operations, drill=str(told.get("drill", "")))
        except (ValueError, KeyError, TypeError, AttributeError):
            return Heard()


class Streams:
    """What all nodes print while they look at themselves; one that ends is begun again.

    Their clocks are measured by the way: a line cannot arrive before it was written, so of all lines the one that seems
    to have travelled least tells how far a clock is ahead, but for the few milliseconds of that journey.
    """

    AGAIN_S = 3.0

    def __init__(self, reach: Reach, nodes: tuple[str, ...], *words: str) -> None:
        self._reach = reach
        self._host = reach.host
        self._words = words
        self._open: dict[int, tuple[int, str, bytes]] = {}
        self._again = dict.fromkeys(nodes, 0.0)
        self._poll = select.poll()
        self.offsets: dict[str, float] = {}
        """By node, by how many seconds its clock is ahead of ours."""

    def __enter__(self) -> Streams:
        self._begin()
        return self

    def __exit__(self, *error: object) -> None:
        for fd in list(self._open):
            self._end(fd)

    def read(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        """Return what came within that time, by node."""
        found: list[tuple[str, dict[str, Any]]] = []
        until = self._host.now() + seconds
        while True:
            self._begin()
            left = max(until - self._host.now(), 0.0)
            for fd, _ in self._poll.poll(left * 1000):
                found += self._take(fd)
            if not left:
                return found

    def _begin(self) -> None:
        known = {node for _, node, _ in self._open.values()}
        for node, when in self._again.items():
            if node not in known and self._host.now() >= when:
                pid, fd = self._host.stream(*self._reach.argv(node, *self._words))
                self._open[fd] = (pid, node, b"")
                self._poll.register(fd, select.POLLIN)

    def _take(self, fd: int) -> list[tuple[str, dict[str, Any]]]:
        pid, node, rest = self._open[fd]
        chunk = os.read(fd, 65536)
        if not chunk:
            self._end(fd)
            self._again[node] = self._host.now() + self.AGAIN_S
            return []
        *whole, rest = (rest + chunk).split(b"\n")
        self._open[fd] = (pid, node, rest)
        found = []
        for line in whole:
            try:
                told = json.loads(line)
                ahead = float(told["at"]) - self._host.wall_clock()
            except (ValueError, KeyError, TypeError):
                # ssh says something, too.
                continue
            self.offsets[node] = max(self.offsets.get(node, ahead), ahead)
            found.append((node, told))
        return found

    def _end(self, fd: int) -> None:
        pid, _, _ = self._open.pop(fd)
        self._poll.unregister(fd)
        self._host.end(pid)
        os.close(fd)
