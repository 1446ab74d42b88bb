"""Everybody who looks while something happens: the client outside, the census, and the journals of the nodes."""

from __future__ import annotations

import os
import select
import sys

from kvmha.host import Host
from kvmha.lab.census import Census
from kvmha.lab.formation import FLOATING_IP
from kvmha.lab.guest_service import PORT
from kvmha.lab.lab import Lab
from kvmha.lab.watcher import LINE, TOUCH, Answer, Target, parse_answer
from kvmha.tools import cluster_log
from kvmha.tools.cluster_log import Entry

CLOSED_PORT = 9
"""Nothing listens there in a node (discard, RFC 863): its refusal shows that the address is there."""


class Observation:
    """A context in which all of them look; what they saw is read with ``read``."""

    def __init__(self, host: Host, lab: Lab) -> None:
        self._host = host
        self._lab = lab
        self._streams: dict[int, tuple[int, bytes, bool]] = {}
        self._poll = select.poll()
        self.answers: dict[str, list[Answer]] = {}
        self.entries: list[Entry] = []
        self.census = Census(host, {node.name: f"/run/netns/{node.netns}" for node in lab.plan.nodes})

    def __enter__(self) -> Observation:
        plan = self._lab.plan
        targets = [Target(name=guest.name, kind=LINE, address=guest.address, port=PORT) for guest in plan.guests]
        targets.append(Target(name=FLOATING_IP, kind=TOUCH, address=plan.floating_ip, port=CLOSED_PORT))
        self.answers = {target.name: [] for target in targets}
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self._start(
            "nsenter", f"--net=/run/netns/{plan.netns}", sys.executable, "-m", "kvmha.lab.watcher",
            *(target.word() for target in targets), env={"PYTHONPATH": package},
        )  # fmt: skip
        for node in plan.nodes:
            if self._lab.leader(node.name) is not None:
                self._start(*self._lab.enter_argv(node.name, *cluster_log.ARGV), is_journal=True)
        self.census.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.census.__exit__(*error)
        for fd, (pid, _, _) in self._streams.items():
            self._host.end(pid)
            os.close(fd)
        self._streams = {}

    def read(self, seconds: float) -> None:
        """Take in what is said within that time."""
        until = self._host.now() + seconds
        while True:
            left = max(until - self._host.now(), 0)
            for fd, _ in self._poll.poll(left * 1000):
                self._take(fd)
            if not left:
                return

    def last_answer(self, target: str) -> Answer | None:
        """Return the newest answer of a target."""
        return self.answers[target][-1] if self.answers[target] else None

    def answers_now(self, target: str, within: float = 1.0) -> bool:
        """Tell whether a target has answered within the last ``within`` seconds."""
        last = self.last_answer(target)
        return last is not None and self._host.wall_clock() - last.at < within

    def executing(self) -> dict[tuple[str, str], float]:
        """Return when each guest, by name, began to execute on each node."""
        names = {guest.uuid: guest.name for guest in self._lab.plan.guests}
        return {(names[uuid], node): at for (uuid, node), at in self.census.first_executing.items() if uuid in names}

    def _start(self, *argv: str, env: dict[str, str] | None = None, is_journal: bool = False) -> None:
        pid, fd = self._host.stream(*argv, env=env)
        self._streams[fd] = (pid, b"", is_journal)
        self._poll.register(fd, select.POLLIN)

    def _take(self, fd: int) -> None:
        pid, rest, is_journal = self._streams[fd]
        chunk = os.read(fd, 65536)
        if not chunk:
            # The journal of a node ends with the node.
            self._poll.unregister(fd)
            return
        *lines, rest = (rest + chunk).split(b"\n")
        self._streams[fd] = (pid, rest, is_journal)
        for line in lines:
            text = line.decode("utf-8", "replace")
            if is_journal:
                entry = cluster_log.parse_entry(text)
                if entry is not None:
                    self.entries.append(entry)
                continue
            answer = parse_answer(text)
            if answer is not None:
                self.answers[answer.target].append(answer)
