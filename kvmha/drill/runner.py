"""Runs one drill: watches, strikes, holds, undoes, waits until the cluster is well again, and gathers what was seen.

Invariant: what a drill does is undone whatever ends it, a broken invariant and ^C included; only a runner that is
killed leaves that to the target's timer and to the next command.
"""

from __future__ import annotations

import kvmha
from kvmha.drill import ending, journal, striking, undoing, waiting, watch
from kvmha.drill.clients import Clients
from kvmha.drill.course import TICK_S, Course, Stopped
from kvmha.drill.reach import Reach, Streams
from kvmha.drill.records import (
    ABORTED,
    BROKEN,
    ERROR,
    LATE,
    PASSED,
    UNDISTURBED,
    Order,
    Outcome,
)
from kvmha.drill.writes import Writers
from kvmha.errors import UserError
from kvmha.host import SIGTERM, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.drill.ending import Baseline
    from kvmha.drill.stage import Stage
    from kvmha.host import Host

BASELINE_S = 3.0
"""Everybody looks for so long before anything is done: clocks are measured, and a guest that ran twice is seen."""

SETTLE_S = 5.0
"""What nobody should notice is watched for so long after it has been undone."""


class Runner:
    """One drill."""

    def __init__(self, host: Host, reach: Reach, order: Order, stage: Stage, say: Callable[[str], None]) -> None:
        self.host = host
        self.reach = reach
        self.stage = stage
        self.course = Course(host, reach, order, stage, say)
        self.journals = ""
        """Of all nodes, for people, once it is over."""
        self._is_ended = False
        """Somebody wanted to end it while it was undone."""

    def run(self) -> Outcome:
        """Run it to its end. Raises UserError and CommandError only where nothing was done yet."""
        course = self.course
        begun, begun_at = self.host.now(), self.host.wall_clock()
        names = self.stage.nodes
        with (
            Streams(self.reach, names, "kvmha", "drill", "at-node", "watch") as streams,
            Clients(self.stage.targets) as course.clients,
            Writers(self.stage.writes, course.id) as writers,
        ):
            seen = course.seen = watch.Watch(self.host, streams, self.stage.known)
            course.before = self._baseline(seen, streams, writers)
            course.offsets = dict(streams.offsets)
            result, said = self._play()
            written = writers.compare()
            made = ending.lost(written, self.host.wall_clock())
            if result in (PASSED, LATE):
                made = (*ending.breaches(self.host, course.drill.leads_to, course.before, seen), *made)
            course.breaches += made
            result, said = (BROKEN, made[0].said) if made and result == PASSED else (result, said)
            until = self.host.wall_clock()
            told = ending.journals(self.reach, names, streams.offsets, begun_at, self.stage.uuids)
            self.journals = told.text(course.struck_at or begun_at)
        for word in told.silent:
            course.note(word)
        outcome = self._outcome(result, said, streams.offsets).replace(
            begun_at=begun_at, written=written, took_s=round(self.host.now() - begun, 1)
        )
        return ending.measured(
            outcome, self.stage, seen, course.clients, told.entries, until=until, back_at=course.back_at,
            undone_at=course.undone_at,
        )  # fmt: skip

    # ------------------------------------------------------------ the parts

    def _outcome(self, result: str, said: str, offsets: dict[str, float]) -> Outcome:
        course, stalls = self.course, self.course.clients.stalls
        return Outcome(
            id=course.id, order=course.order, cluster=self.stage.cluster, version=kvmha.__version__, begun_at=0.0,
            struck_at=course.struck_at, result=result, said=said, expected=self.stage.expected,
            gates=self.stage.gates, breaches=tuple(course.breaches), looks=course.seen.looks,
            offsets={node: round(value, 4) for node, value in offsets.items()},
            longest_pause_s=round(course.seen.longest_pause, 3),
            stalled_s=round(sum(end - begin for begin, end in stalls), 3), log=tuple(course.log),
        )  # fmt: skip

    def _baseline(self, seen: watch.Watch, streams: Streams, writers: Writers) -> Baseline:
        until = self.host.now() + BASELINE_S * 5
        least = self.host.now() + BASELINE_S
        while self.host.now() < least or (set(streams.offsets) < set(self.stage.nodes) and self.host.now() < until):
            broken = seen.tick(TICK_S)
            if broken:
                raise UserError(f"before anything was done: {broken[0].said}")
        silent = sorted(set(self.stage.nodes) - set(streams.offsets))
        if silent:
            raise UserError(f"{', '.join(silent)} cannot be watched: kvmha drill at-node watch prints nothing there")
        if seen.status is None:
            raise UserError("no cluster answers here; run it on a node")
        idle = [writer.service.name for writer in writers.writers if not writer.acknowledged]
        if idle:
            raise UserError(f"{', '.join(idle)} has acknowledged no record in {BASELINE_S:g} s; look at --writes")
        return ending.baseline(self.host, seen.status, seen, tuple(self.stage.uuids))

    def _play(self) -> tuple[str, str]:
        """Strike, wait, undo and wait again; return how it ended."""
        result, said, trouble = ABORTED, "it was ended from outside", ""
        try:
            result, said = self._act()
        finally:
            trouble = self._undo_all()
        if self._is_ended and result == PASSED:
            result, said = ABORTED, "it was ended from outside"
        if trouble:
            result, said = (ERROR if result == PASSED else result), "; ".join(filter(None, (said, trouble)))
        self.course.note(f"ended: {result} {said}".rstrip())
        try:
            self._return()
        except Stopped as stop:
            if result == PASSED:
                result, said = stop.result, str(stop)
        except KeyboardInterrupt:
            result, said = ABORTED, "it was ended from outside while the cluster recovered"
        return result, said

    def _act(self) -> tuple[str, str]:
        try:
            striking.strike(self.course)
            waiting.wait(self.course)
        except Stopped as stop:
            return stop.result, str(stop)
        except KeyboardInterrupt:
            return ABORTED, "it was ended from outside"
        except (CommandError, UserError, OSError) as error:
            return ERROR, str(error)
        return PASSED, ""

    def _undo_all(self) -> str:
        """Undo it; return why that did not succeed."""
        try:
            self._undo()
        except (CommandError, UserError, OSError) as error:
            return str(error)
        return ""

    def _undo(self) -> None:
        """Undo it, and let nobody interrupt that; whoever tries is heard afterwards."""
        import signal

        course, order = self.course, self.course.order
        held = {each: signal.signal(each, self._hear) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            if course.command:
                # The command of a move aborts it; ^C would not do, which a shell has its background ignore.
                self.host.kill(course.command, SIGTERM, still=lambda: True, wait=60.0)
                self.host.wait(course.command, timeout=1.0)
                course.command = 0
            for word in undoing.undo(self.reach, order):
                course.undone_at = self.host.wall_clock()
                course.note(f"undone: {word}")
            undoing.clean(self.reach, order)
            course.step(journal.UNDONE)
        finally:
            for number, handler in held.items():
                signal.signal(number, handler)

    def _hear(self, _number: int, _frame: object) -> None:
        self._is_ended = True

    def _return(self) -> None:
        """Wait until the cluster is as well as it was, or its time is over."""
        course, seen = self.course, self.course.seen
        course.hold(SETTLE_S if course.drill.leads_to == UNDISTURBED else 2.0)
        said = [""]

        def is_well() -> bool:
            said[0] = (
                watch.why_not_well(course.before.status, seen.status)
                or waiting.behind(course)
                or waiting.silent(course)
            )
            node = seen.status.node(course.order.node) if seen.status is not None else None
            is_there = node is not None and node.is_online and course.drill.takes_node
            if is_there and course.back_at is None and waiting.was_fenced(course):
                course.back_at = self.host.wall_clock()
                course.note(f"{course.order.node} is back")
            return not said[0]

        try:
            course.until("the cluster is not well again", is_well)
        except Stopped as stop:
            raise Stopped(stop.result, f"{stop}: {said[0]}" if said[0] and stop.result == LATE else str(stop)) from None
