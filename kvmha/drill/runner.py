"""Runs one drill: watches, strikes, holds, undoes, waits until the cluster is well again, and gathers what was seen.

Invariant: what a drill does is undone whatever ends it, a broken invariant and ^C included; only a runner that is
killed leaves that to the target's timer and to the next command.
"""

from __future__ import annotations

import json

import kvmha
from kvmha.drill import catalogue, ending, faults, journal, undoing, watch
from kvmha.drill.catalogue import DRAIN, MIGRATE, POWER_CUT, QEMU_KILLED
from kvmha.drill.clients import Clients
from kvmha.drill.reach import Reach, Streams
from kvmha.drill.records import (
    ABORTED,
    BROKEN,
    ERROR,
    FENCED,
    LATE,
    MOVED,
    PASSED,
    RESTARTED,
    UNDISTURBED,
    Breach,
    Order,
    Outcome,
)
from kvmha.errors import UserError
from kvmha.gather import fencing
from kvmha.host import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.drill.ending import Baseline
    from kvmha.drill.stage import Stage
    from kvmha.host import Host
    from kvmha.tools.crm_mon import ClusterStatus

BASELINE_S = 3.0
"""Everybody looks for so long before anything is done: clocks are measured, and a guest that ran twice is seen."""

TICK_S = 0.5
SETTLE_S = 5.0
"""What nobody should notice is watched for so long after it has been undone."""

COMMAND_LIMIT = 30.0
INTERRUPT = 2


class Stopped(Exception):
    """The drill ends early, for a reason."""

    def __init__(self, result: str, said: str) -> None:
        super().__init__(said)
        self.result = result


class Runner:
    """One drill."""

    def __init__(self, host: Host, reach: Reach, order: Order, stage: Stage, say: Callable[[str], None]) -> None:
        self.host = host
        self.reach = reach
        self.order = order
        self.drill = catalogue.find(order.drill)
        self.stage = stage
        self.id = journal.new_id(host, order.drill)
        self.log: list[str] = []
        self._say = say
        self._struck_at: float | None = None
        self._back_at: float | None = None
        self._undone_at: float | None = None
        self._command = 0
        self._offsets: dict[str, float] = {}
        self._breaches: list[Breach] = []
        self._fenced_before: frozenset[tuple[str, str]] = frozenset()

    def run(self) -> Outcome:
        """Run it to its end. Raises UserError and CommandError only where nothing was done yet."""
        begun, begun_at = self.host.now(), self.host.wall_clock()
        names = self.stage.nodes
        with (
            Streams(self.reach, names, "kvmha", "drill", "at-node", "watch") as streams,
            Clients(self.stage.targets) as clients,
        ):
            seen = watch.Watch(self.host, streams, self.stage.known)
            before = self._baseline(seen, streams)
            self._offsets = dict(streams.offsets)
            result, said = self._play(seen, clients, before)
            if result in (PASSED, LATE):
                made = ending.breaches(self.host, self.drill.leads_to, before, seen)
                self._breaches += made
                result, said = (BROKEN, made[0].said) if made and result == PASSED else (result, said)
            until = self.host.wall_clock()
            told, silent = ending.entries(self.reach, names, streams.offsets, begun_at)
        for word in silent:
            self._note(word)
        outcome = Outcome(
            id=self.id, order=self.order, cluster=self.stage.cluster, version=kvmha.__version__, begun_at=begun_at,
            struck_at=self._struck_at, result=result, said=said, expected=self.stage.expected,
            gates=self.stage.gates, breaches=tuple(self._breaches), looks=seen.looks,
            offsets={node: round(value, 4) for node, value in streams.offsets.items()},
            longest_pause_s=round(seen.longest_pause, 3), took_s=round(self.host.now() - begun, 1), log=tuple(self.log),
        )  # fmt: skip
        return ending.measured(
            outcome, self.stage, seen, clients, told, until=until, back_at=self._back_at, undone_at=self._undone_at
        )

    # ------------------------------------------------------------ the parts

    def _baseline(self, seen: watch.Watch, streams: Streams) -> Baseline:
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
        before = ending.baseline(self.host, seen.status, seen, tuple(self.stage.uuids))
        self._fenced_before = before.fencings
        return before

    def _play(self, seen: watch.Watch, clients: Clients, before: Baseline) -> tuple[str, str]:
        """Strike, wait, undo and wait again; return how it ended."""
        result, said, trouble = ABORTED, "it was ended from outside", ""
        try:
            result, said = self._act(seen, clients, before)
        finally:
            trouble = self._undo_all()
        if trouble:
            result, said = (ERROR if result == PASSED else result), "; ".join(filter(None, (said, trouble)))
        self._note(f"ended: {result} {said}".rstrip())
        try:
            self._return(seen, clients, before)
        except Stopped as stop:
            if result == PASSED:
                result, said = stop.result, str(stop)
        except KeyboardInterrupt:
            result, said = ABORTED, "it was ended from outside while the cluster recovered"
        return result, said

    def _act(self, seen: watch.Watch, clients: Clients, before: Baseline) -> tuple[str, str]:
        try:
            self._strike(seen)
            self._wait(seen, clients, before)
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

    def _strike(self, seen: watch.Watch) -> None:
        self._step(journal.STRIKING)
        self._note(f"now: {self.drill.said}")
        if self.drill.name == POWER_CUT:
            facts = fencing.live(self.host)
            self._struck_at = self.host.wall_clock()
            fencing.switch(self.host, facts, self.order.node, self.reach.here, "off")
            # An agent takes seconds to switch, and to see that it has; the node itself was heard until it was off.
            self._tick(seen)
            self._struck_at = max(self._struck_at, seen.last_seen(self.order.node))
        elif self.drill.leads_to == MOVED:
            self._struck_at = self.host.wall_clock()
        else:
            self._struck_at = self._at_node(seen)
        self._step(journal.STRUCK)

    def _at_node(self, seen: watch.Watch) -> float:
        """Have the target do it to itself; return when, on this node's clock."""
        order = self.order
        links = (order.link,) if order.link else ()
        fault = {
            "name": order.drill, "id": self.id, "hold_s": order.hold_s, "links": links, "name_of_guest": order.guest,
            "uuid": self.stage.uuids.get(order.guest, ""), "percent": order.percent, "delay_ms": order.delay_ms,
        }  # fmt: skip
        words = ("kvmha", "drill", "at-node", "strike", "--node", order.node, json.dumps(fault))
        sent = self.host.wall_clock()
        try:
            done = self.reach.run(order.node, *words, timeout=COMMAND_LIMIT)
        except CommandError as error:
            # A node that is cut off cannot say any more that it is.
            if order.drill != catalogue.LINKS_CUT:
                raise
            self._note(f"the target said nothing: {error}")
            self._tick(seen)
            return max(sent, seen.last_seen(order.node))
        told = json.loads(done.out)
        self._note(str(told["said"]))
        at = float(told["at"]) - self._offsets.get(order.node, 0.0)
        # A hang comes a moment after it was answered for.
        return min(max(at, sent), self.host.wall_clock() + faults.BREATH_S)

    def _wait(self, seen: watch.Watch, clients: Clients, before: Baseline) -> None:
        leads_to = self.drill.leads_to
        if leads_to == UNDISTURBED:
            self._hold(seen, self.order.hold_s)
        elif leads_to == RESTARTED:
            self._until(seen, "the guest did not start anew", lambda: self._restarted(seen, clients))
        elif leads_to == FENCED:
            self._until(seen, f"{self.order.node} was not fenced", lambda: self._was_fenced(seen))
            self._note(f"{self.order.node} is fenced")
            seen.forget(self.order.node)
            what = "what it ran does not run elsewhere"
            self._until(seen, what, lambda: self._all_run(seen, clients, before.status))
            self._note("all that it ran runs again")
        elif self.drill.name == MIGRATE:
            self._command_to_end(seen, "kvmha", "migrate", self.order.guest, self.stage.elsewhere)
            self._command_to_end(seen, "kvmha", "migrate", self.order.guest, self.order.node)
        elif self.drill.name == DRAIN:
            self._command_to_end(seen, "kvmha", "drain", self.order.node)
            self._command_to_end(seen, "kvmha", "undrain", self.order.node)

    def _undo(self) -> None:
        """Undo it, and let nobody interrupt that."""
        import signal

        held = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            if self._command:
                # The command of a move aborts it when it is interrupted.
                self.host.kill(self._command, INTERRUPT, still=lambda: True, wait=60.0)
                self.host.wait(self._command, timeout=1.0)
                self._command = 0
            for word in undoing.undo(self.reach, self.order):
                self._undone_at = self.host.wall_clock()
                self._note(f"undone: {word}")
            if self.drill.name == QEMU_KILLED and self._struck_at is not None:
                self.host.run(
                    "crm_resource", "--cleanup", "--resource", self.order.guest, timeout=COMMAND_LIMIT, ok=None
                )
            self._step(journal.UNDONE)
        finally:
            for number, handler in held.items():
                signal.signal(number, handler)

    def _return(self, seen: watch.Watch, clients: Clients, before: Baseline) -> None:
        """Wait until the cluster is as well as it was, or its time is over."""
        self._hold(seen, SETTLE_S if self.drill.leads_to == UNDISTURBED else 2.0)
        said = [""]

        def is_well() -> bool:
            said[0] = watch.why_not_well(before.status, seen.status) or self._silent(clients)
            node = seen.status.node(self.order.node) if seen.status is not None else None
            is_there = node is not None and node.is_online and self.drill.takes_node
            if is_there and self._back_at is None and self._was_fenced(seen):
                self._back_at = self.host.wall_clock()
                self._note(f"{self.order.node} is back")
            return not said[0]

        try:
            self._until(seen, "the cluster is not well again", is_well)
        except Stopped as stop:
            raise Stopped(stop.result, f"{stop}: {said[0]}" if said[0] and stop.result == LATE else str(stop)) from None

    # ---------------------------------------------------------- its questions

    def _until(self, seen: watch.Watch, what: str, condition: Callable[[], bool]) -> None:
        until = self.host.now() + self.order.limit_s
        while not condition():
            if self.host.now() > until:
                raise Stopped(LATE, f"{what} within {self.order.limit_s:g} s")
            self._tick(seen)

    def _hold(self, seen: watch.Watch, seconds: float) -> None:
        until = self.host.now() + seconds
        while self.host.now() < until:
            self._tick(seen)

    def _tick(self, seen: watch.Watch) -> None:
        broken = seen.tick(TICK_S)
        self._breaches += broken
        if broken:
            self._note(f"an invariant is broken: {broken[0].said}")
            raise Stopped(BROKEN, broken[0].said)

    def _was_fenced(self, seen: watch.Watch) -> bool:
        made = ending.fencings(seen.status) - self._fenced_before if seen.status is not None else frozenset()
        return any(target == self.order.node for target, _ in made)

    def _all_run(self, seen: watch.Watch, clients: Clients, before: ClusterStatus) -> bool:
        if seen.status is None:
            return False
        # Where it should run nobody is asked: what should stay down, does.
        down = {fate.name for fate in self.stage.expected.fates if not fate.nodes}
        for resource in before.resources:
            name = resource.name
            is_ours = name in self.stage.uuids or name in self.stage.known.addresses.values()
            if not is_ours or not resource.nodes or name in down:
                continue
            now = seen.status.resource(name)
            if now is None or not now.nodes or now.nodes == (self.order.node,) or now.pending:
                return False
        return not self._silent(clients)

    def _restarted(self, seen: watch.Watch, clients: Clients) -> bool:
        guest = self.order.guest
        now = seen.status.resource(guest) if seen.status is not None else None
        if now is None or len(now.nodes) != 1 or now.pending:
            return False
        started = [at for (name, _), at in seen.processes.items() if name == guest and at > (self._struck_at or 0)]
        return bool(started) and not self._silent(clients)

    def _silent(self, clients: Clients) -> str:
        now = self.host.wall_clock()
        for target in clients.targets:
            answered = clients.answers[target.name]
            if answered and answered[0] < (self._struck_at or now) and not clients.answers_now(target.name, now=now):
                return f"{target.name} does not answer"
        return ""

    def _command_to_end(self, seen: watch.Watch, *argv: str) -> None:
        """Run one of our own commands beside the watch."""
        path = journal.path(self.id, "log")
        self._note(" ".join(argv))
        self._command = self.host.start(*argv, log=path)
        until = self.host.now() + self.order.limit_s
        while True:
            code = self.host.wait(self._command, timeout=0.01)
            if code is not None:
                break
            if self.host.now() > until:
                raise Stopped(LATE, f"{' '.join(argv)} did not end within {self.order.limit_s:g} s")
            self._tick(seen)
        self._command = 0
        if code != 0:
            words = [line.strip() for line in self.host.read(path).splitlines() if line.strip()]
            raise Stopped(ERROR, f"{' '.join(argv)} left with {code}: {words[-1] if words else ''}"[:300])

    def _step(self, state: str) -> None:
        import os

        journal.step(self.host, self.id, state, self.order, pid=os.getpid())

    def _note(self, text: str) -> None:
        at = self.host.wall_clock()
        since = f"{at - self._struck_at:7.2f} s  " if self._struck_at is not None else ""
        self.log.append(f"{since}{text}")
        self._say(f"{since}{text}")
