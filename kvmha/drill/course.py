"""A drill under way: what its parts share, and how they let time pass."""

from __future__ import annotations

from kvmha.drill import catalogue, journal
from kvmha.drill.records import BROKEN, ERROR, LATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.drill.clients import Clients
    from kvmha.drill.ending import Baseline
    from kvmha.drill.reach import Reach
    from kvmha.drill.records import Breach, Order
    from kvmha.drill.stage import Stage
    from kvmha.drill.watch import Watch
    from kvmha.host import Host

TICK_S = 0.5


class Stopped(Exception):
    """The drill ends early, for a reason."""

    def __init__(self, result: str, said: str) -> None:
        super().__init__(said)
        self.result = result


class Course:
    """What is known of a drill from its beginning to its end."""

    seen: Watch
    clients: Clients
    before: Baseline

    def __init__(self, host: Host, reach: Reach, order: Order, stage: Stage, say: Callable[[str], None]) -> None:
        self.host = host
        self.reach = reach
        self.order = order
        self.drill = catalogue.find(order.drill)
        self.stage = stage
        self.id = journal.new_id(host, order.drill)
        self.log: list[str] = []
        self.struck_at: float | None = None
        """On the runner's clock, as all times here."""
        self.back_at: float | None = None
        self.undone_at: float | None = None
        self.offsets: dict[str, float] = {}
        self.breaches: list[Breach] = []
        self.command = 0
        """The process of our own command that is under way; 0 for none."""
        self._say = say

    def step(self, state: str) -> None:
        """Write down how far it is. Raises OSError."""
        import os

        journal.step(self.host, self.id, state, self.order, pid=os.getpid())

    def note(self, text: str) -> None:
        """Tell the administrator, and keep it for the report."""
        at = self.host.wall_clock()
        since = f"{at - self.struck_at:7.2f} s  " if self.struck_at is not None else ""
        self.log.append(f"{since}{text}")
        self._say(f"{since}{text}")

    def tick(self) -> None:
        """Watch for a moment. Raises Stopped where an invariant broke."""
        broken = self.seen.tick(TICK_S)
        self.breaches += broken
        if broken:
            self.note(f"an invariant is broken: {broken[0].said}")
            raise Stopped(BROKEN, broken[0].said)

    def hold(self, seconds: float) -> None:
        """Watch for so long. Raises Stopped."""
        until = self.host.now() + seconds
        while self.host.now() < until:
            self.tick()

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Watch until a condition holds. Raises Stopped with ``what`` where it does not in the time of the drill."""
        until = self.host.now() + self.order.limit_s
        while not condition():
            if self.host.now() > until:
                raise Stopped(LATE, f"{what} within {self.order.limit_s:g} s")
            self.tick()

    def command_to_end(self, *argv: str) -> None:
        """Run one of our own commands beside the watch. Raises Stopped where it fails, or does not end in time."""
        self.note(" ".join(argv))
        self.command_begins(*argv)
        code, last = self.command_ends(*argv)
        if code != 0:
            raise Stopped(ERROR, f"{' '.join(argv)} left with {code}: {last}"[:300])

    def command_begins(self, *argv: str) -> None:
        """Start one of our own commands; what undoes the drill ends it."""
        self.command = self.host.start(*argv, log=journal.path(self.id, "log"), env={journal.MARK: self.id})

    def command_ends(self, *argv: str) -> tuple[int, str]:
        """Watch until the command has ended; return its exit code and its last line. Raises Stopped."""
        until = self.host.now() + self.order.limit_s
        while True:
            code = self.host.wait(self.command, timeout=0.01)
            if code is not None:
                break
            if self.host.now() > until:
                raise Stopped(LATE, f"{' '.join(argv)} did not end within {self.order.limit_s:g} s")
            self.tick()
        self.command = 0
        said = self.host.read(journal.path(self.id, "log")) if code != 0 else ""
        words = [line.strip() for line in said.splitlines() if line.strip()]
        return code, words[-1] if words else ""
