"""Clients of guests and addresses: each connects again and again, and notes when it was answered.

Every question is a new connection: one that outlives a move would be repaired by TCP, and its retransmission timer
would be measured instead of the guest.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time

from kvmha.errors import UserError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Stalls = Sequence[tuple[float, float]]

INTERVAL = 0.1
"""Seconds between two questions to one target."""

PATIENCE = 0.9
"""Seconds that a question may take; TCP repeats a lost first packet after 1 s, which would blur the answer's time."""

STALL_S = 0.5
"""The clients look at their watch ten times a second; when more than this has passed, they stood still themselves, and
what they did not hear meanwhile is nobody's silence."""

SERVICE, ADDRESS = "service", "address"
"""What counts as an answer: a connection; or any sign of the address, a refusal included."""

CLOSED_PORT = 9
"""Nothing listens there (discard, RFC 863): a refusal shows that the address is there."""


class Target(Record):
    """Somebody to ask."""

    name: str
    """The guest's or the address's, as the cluster calls it."""
    kind: str
    address: str
    port: int


def parse(text: str) -> Target:
    """Read ``GUEST=tcp://HOST:PORT`` or ``GUEST=HOST:PORT``. Raises UserError."""
    name, _, place = text.partition("=")
    place = place[len("tcp://") :] if place.startswith("tcp://") else place
    host, _, port = place.rpartition(":")
    if not name or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f'--watch: "{text}" is not understood; give it as web1=tcp://192.0.2.7:80')
    return Target(name=name, kind=SERVICE, address=host.strip("[]"), port=int(port))


class Clients:
    """A context in which all targets are asked; ``answers`` has when each of them answered, ``stalls`` when nobody was
    asked because this machine stood still.
    """

    def __init__(self, targets: tuple[Target, ...]) -> None:
        self.targets = targets
        self.answers: dict[str, list[float]] = {target.name: [] for target in targets}
        self.stalls: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="clients", daemon=True)

    def __enter__(self) -> Clients:
        if self.targets:
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        if self.targets:
            self._thread.join(timeout=5)

    def answers_now(self, name: str, *, now: float, within: float = 1.0) -> bool:
        """Tell whether a target has answered in the last moments; of one that nobody asks, True."""
        heard = self.answers.get(name)
        return heard is None or bool(heard and now - heard[-1] < within)

    def _work(self) -> None:
        with selectors.DefaultSelector() as selector:
            due = before = time.monotonic()
            while not self._stop.is_set():
                now = time.monotonic()
                if now - before > STALL_S:
                    self.stalls.append((time.time() - (now - before), time.time()))
                before = now
                if now >= due:
                    due = max(due + INTERVAL, now)
                    for target in self.targets:
                        self._ask(selector, target)
                for key, _ in selector.select(max(min(due - time.monotonic(), INTERVAL), 0.001)):
                    self._hear(key.data[0], key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))  # type: ignore[union-attr]
                    _close(selector, key.fileobj)
                for key in list(selector.get_map().values()):
                    if time.monotonic() - key.data[1] > PATIENCE:
                        _close(selector, key.fileobj)
            for key in list(selector.get_map().values()):
                _close(selector, key.fileobj)

    def _ask(self, selector: selectors.BaseSelector, target: Target) -> None:
        family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
        asking = socket.socket(family, socket.SOCK_STREAM)
        asking.setblocking(False)
        try:
            code = asking.connect_ex((target.address, target.port))
        except OSError:
            asking.close()
            return
        if code == errno.EINPROGRESS:
            selector.register(asking, selectors.EVENT_WRITE, (target, time.monotonic()))
            return
        self._hear(target, code)
        asking.close()

    def _hear(self, target: Target, code: int) -> None:
        if code == 0 or (target.kind == ADDRESS and code == errno.ECONNREFUSED):
            self.answers[target.name].append(time.time())


def _close(selector: selectors.BaseSelector, asking: object) -> None:
    selector.unregister(asking)  # type: ignore[arg-type]
    asking.close()  # type: ignore[attr-defined]


def _silence(begin: float, end: float, stalls: Stalls) -> float:
    """Return how long it was silent between two moments, without the time in which nobody listened."""
    return end - begin - sum(max(min(end, last) - max(begin, first), 0.0) for first, last in stalls)


def longest_gap(answers: list[float], since: float, until: float, stalls: Stalls = ()) -> float | None:
    """Return the longest time without an answer that touches the span; None where nothing was heard before it.

    A target that does not answer any more has a gap up to the end of the span.
    """
    before = [at for at in answers if at <= since]
    if not before:
        return None
    during = [at for at in answers if since < at <= until]
    points = [before[-1], *during, until]
    return max(_silence(earlier, later, stalls) for earlier, later in zip(points, points[1:]))


def back_at(answers: list[float], since: float, stalls: Stalls = ()) -> float | None:
    """Return when a target answered again after the longest silence that followed; None if it has not."""
    before = [at for at in answers if at <= since]
    after = [at for at in answers if at > since]
    if not after:
        return None
    points = [before[-1] if before else since, *after]
    gaps = [(_silence(earlier, later, stalls), later) for earlier, later in zip(points, points[1:])]
    return max(gaps)[1]
