"""A client outside the nodes, which asks guests and addresses many times a second and notes every answer.

It runs as a process of its own in the lab's network namespace, so that nothing else delays its clock, and prints one
JSON object per answer. Every question is a new connection: a connection that outlives a move would be repaired by TCP,
and its retransmission timer would be measured instead of the guest.
"""

from __future__ import annotations

import errno
import json
import selectors
import socket
import sys
import time

from kvmha.record import Record

INTERVAL = 0.05
"""Seconds between two questions to one target."""

PATIENCE = 0.9
"""Seconds that one question may take; TCP repeats a lost first packet after 1 s, which would blur the answer's time."""

LINE, TOUCH = "line", "touch"
"""What counts as an answer: a line of the guest's service, or any sign of the address, a refusal included."""


class Target(Record):
    """Somebody to ask."""

    name: str
    kind: str
    address: str
    port: int

    def word(self) -> str:
        """Return the command-line form, which parse_target reads."""
        return f"{self.kind}:{self.name}={self.address}:{self.port}"


class Answer(Record):
    """One answer, as a client got it."""

    at: float
    """Seconds since the epoch."""
    target: str
    boot: str = ""
    """The guest's boot id; empty for a touch."""


class Gap(Record):
    """A time without an answer."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


def parse_target(word: str) -> Target:
    """Read ``line:web1=10.77.0.51:7000``. Raises ValueError."""
    kind, _, rest = word.partition(":")
    name, _, place = rest.partition("=")
    address, _, port = place.rpartition(":")
    if kind not in (LINE, TOUCH) or not name or not address:
        raise ValueError(f"{word!r} is not line:NAME=ADDRESS:PORT or touch:NAME=ADDRESS:PORT")
    return Target(name=name, kind=kind, address=address, port=int(port))


def parse_answer(line: str) -> Answer | None:
    """Read one line of the watcher's output; None for one that is not whole."""
    try:
        return Answer(**json.loads(line))
    except (ValueError, TypeError):
        return None


def longest_gap(answers: list[Answer], since: float, until: float) -> Gap | None:
    """Return the longest time without an answer that touches the span; None without an answer on both of its sides."""
    gaps = [
        Gap(start=before.at, end=after.at)
        for before, after in zip(answers, answers[1:])
        if after.at > since and before.at < until
    ]
    return max(gaps, key=lambda gap: gap.seconds, default=None)


class _Question:
    """One connection under way."""

    def __init__(self, target: Target, since: float) -> None:
        self.target = target
        self.since = since
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.refused = self.socket.connect_ex((target.address, target.port)) == errno.ECONNREFUSED

    def answer(self) -> Answer | None:
        """Return the answer if this event is one; whatever else it is, the question is over or goes on."""
        if self.target.kind == TOUCH:
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            alive = self.refused or error in (0, errno.ECONNREFUSED)
            return Answer(at=time.time(), target=self.target.name) if alive else None
        try:
            words = self.socket.recv(200).decode("ascii", "replace").split()
        except OSError:
            return None
        boot = next((word[len("boot=") :] for word in words if word.startswith("boot=")), "")
        return Answer(at=time.time(), target=self.target.name, boot=boot) if boot else None


def watch(targets: list[Target]) -> None:
    """Ask all targets for ever, and print every answer at once."""
    selector = selectors.DefaultSelector()
    next_round = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= next_round:
            next_round = max(next_round + INTERVAL, now)
            for target in targets:
                _ask(selector, target, now)
        for key, _ in selector.select(max(next_round - time.monotonic(), 0)):
            answer = key.data.answer()
            if answer is not None:
                _print(answer)
            _close(selector, key.data)
        for key in list(selector.get_map().values()):
            if time.monotonic() - key.data.since > PATIENCE:
                _close(selector, key.data)


def _ask(selector: selectors.BaseSelector, target: Target, now: float) -> None:
    try:
        question = _Question(target, now)
    except OSError:
        return
    if question.refused:
        answer = question.answer() if target.kind == TOUCH else None
        if answer is not None:
            _print(answer)
        question.socket.close()
        return
    # A touch is over when the connection is, in one way or the other; a line has to be read.
    events = selectors.EVENT_WRITE if target.kind == TOUCH else selectors.EVENT_READ
    selector.register(question.socket, events, question)


def _close(selector: selectors.BaseSelector, question: _Question) -> None:
    selector.unregister(question.socket)
    question.socket.close()


def _print(answer: Answer) -> None:
    print(json.dumps({"at": round(answer.at, 4), "target": answer.target, "boot": answer.boot}), flush=True)


if __name__ == "__main__":
    try:
        watch([parse_target(word) for word in sys.argv[1:]])
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(0)
