"""One case, tried on one agent: every step that was taken, and what was true after it."""

from __future__ import annotations

import contextlib
import threading

from kvmha.record import Record
from tests.bench.stage import Guest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.calls import Ran, Side
    from tests.bench.stage import Stage

ALIVE = (0, 190)
"""What a monitor may say of a guest that runs: well, or running with something to be told."""
NOT_RUNNING = 7
REASON_LENGTH = 110

# The deadlines of the cases, in seconds: shorter than is usual, so that the bench ends. Every agent that is not done by
# then is killed with its process group, as Pacemaker does it.
MONITOR, START, STOP, MIGRATE = 10.0, 12.0, 20.0, 20.0


class Step(Record):
    """One call of the agent, and where the guest had a QEMU process right after it."""

    action: str
    node: str
    rc: int
    is_killed: bool
    seconds: float
    deadline: float
    reason: str
    places: tuple[str, ...]

    def said(self) -> str:
        """Return it in words."""
        how = f"KILLED at {self.deadline:.0f} s" if self.is_killed else f"{self.rc} in {self.seconds:.1f} s"
        where = f"runs on {' and '.join(self.places)}" if self.places else "does not run"
        reason = f' "{self.reason[:REASON_LENGTH]}"' if self.reason and not self.is_killed else ""
        return f"{self.action} {how}, it {where}{reason}"


class Finding(Record):
    """What one agent did with a case."""

    did: str
    is_right: bool
    steps: tuple[Step, ...] = ()


class Outcome(Record):
    """What both did."""

    number: int
    name: str
    wanted: str
    shell: Finding
    ours: Finding


class Case(Record):
    """One case of the acceptance list."""

    number: int
    name: str
    wanted: str
    attempt: Callable[[Trial], Finding]
    is_alone: bool = False
    """It takes both nodes, so the two agents have their turns one after the other."""


class Trial:
    """The hand that leads one agent through one case; what it changed is changed back at the end."""

    def __init__(self, stage: Stage, side: Side, node: str, nodes: tuple[str, ...]) -> None:
        """``node`` is where the guest starts, ``nodes`` are those that this trial has for itself."""
        self.stage = stage
        self.side = side
        self.node = node
        self.nodes = nodes
        self.undo = contextlib.ExitStack()
        self.steps: list[Step] = []

    @property
    def peer(self) -> str:
        """The other node, of a trial that has both."""
        return next(node for node in self.nodes if node != self.node)

    # ----------------------------------------------------------------- guests

    def guest(self, name: str, *xml: str, **values: str) -> Guest:
        """Define a guest that only idles, or is what the XML says."""
        return self._own(self.stage.guest(name, *xml, **values))

    def booting_guest(self, name: str, *, disk: str = "") -> Guest:
        """Define a guest that boots and answers."""
        return self._own(self.stage.booting_guest(name, disk=disk))

    def _own(self, guest: Guest) -> Guest:
        self.undo.callback(self.stage.wipe, guest, self.nodes)
        return guest

    # ------------------------------------------------------------------ steps

    def call(
        self, action: str, guest: Guest, timeout: float, *, on: str = "", name: str = "", killed_after: float = 0,
        **rest: object,
    ) -> Ran:  # fmt: skip
        """Call the agent, and note what it said and what is true."""
        node = on or self.node
        ran = self.stage.call(self.side, action, guest, node, timeout=timeout, killed_after=killed_after, **rest)
        self.steps.append(
            Step(
                action=name or action,
                node=node,
                rc=ran.rc,
                is_killed=ran.is_killed,
                seconds=ran.wall,
                deadline=killed_after or timeout,
                reason=ran.reason,
                places=tuple(self.places(guest)),
            )
        )
        return ran

    def monitor(self, guest: Guest, *, on: str = "", name: str = "", **rest: object) -> Ran:
        """Ask as the cluster does again and again."""
        return self.call("monitor", guest, MONITOR, on=on, name=name, interval=10, **rest)

    def probe(self, guest: Guest, *, on: str = "", name: str = "probe", **rest: object) -> Ran:
        """Ask as the cluster does once."""
        return self.call("monitor", guest, MONITOR, on=on, name=name, **rest)

    def start(self, guest: Guest, **rest: object) -> None:
        """Have the agent start the guest where nothing stands in its way. Raises Unfit."""
        ran = self.stage.call(self.side, "start", guest, self.node, timeout=60, **rest)
        if ran.rc != 0 or self.places(guest) != [self.node]:
            where = " and ".join(self.places(guest)) or "nowhere"
            raise Unfit(f"start, to begin with: {ran.rc}, it runs {where}; {ran.reason or ran.err[-200:]}")

    def stop(self, guest: Guest, *, on: str = "", name: str = "", **rest: object) -> Ran:
        """Have the agent stop the guest by force: whether guests obey is not the question of the cases."""
        return self.call("stop", guest, STOP, on=on, name=name, force_stop="true", **rest)

    def places(self, guest: Guest) -> list[str]:
        """Return the nodes of this trial that have a QEMU process of the guest."""
        return [node for node in self.stage.places(guest) if node in self.nodes]

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something in a while; it is done before the trial ends."""
        timer = threading.Timer(seconds, act)
        timer.start()
        self.undo.callback(timer.join)

    def finding(self, is_right: bool, *more: str) -> Finding:
        """Return what came of it."""
        did = "; ".join([*(step.said() for step in self.steps), *(text for text in more if text)])
        return Finding(did=did, is_right=is_right, steps=tuple(self.steps))


class Unfit(Exception):
    """An agent did not even come to the point at which the case begins."""
