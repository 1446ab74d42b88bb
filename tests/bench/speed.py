"""What each action costs: both agents on the same guest, in turns, with the bare interpreter as the yardstick.

The rounds are interleaved, so that whatever else the machine does meets all of them alike. Processor time and wall
time come from timed runs, the number of processes and their memory from a counted one (see meter).
"""

from __future__ import annotations

from kvmha.lab.plan import LabError
from kvmha.record import Record
from tests.bench import calls
from tests.bench.calls import OURS, PYTHON, SIDES, Call, Job, Ran, Side

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.lab.lab import Lab
    from tests.bench.stage import Guest, Stage

    Key = tuple[str, str]

YARDSTICK = "python3 -IS -c pass"

# The aim of the monitor, as the project has set it for itself.
MOST_YARDSTICKS = 1.6
LEAST_GAIN = 10.0
MOST_PROCESSES = 1
MOST_MEMORY_KIB = 16 * 1024

CYCLES = 2
"""Timed stops by the guest's own shutdown of each agent. Each costs a boot of the guest, so they are few."""


class Row(Record):
    """What one action of one agent costs. Seconds, KiB."""

    action: str
    agent: str
    rc: int
    runs: int
    wall: float
    wall_p90: float
    cpu: float
    cpu_p90: float
    processes: int
    threads: int
    largest_kib: int
    together_kib: int
    yardsticks: float
    """Processor time as a multiple of the yardstick's in the same run."""


class Aim(Record):
    """One aim of the monitor: what it should be and what it was."""

    what: str
    aim: float
    measured: float
    is_reached: bool


class Speed(Record):
    """The whole table."""

    rows: tuple[Row, ...]
    aims: tuple[Aim, ...]


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least this share of all values does not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(int(-(-share * len(ordered) // 1)), 1)
    return ordered[rank - 1]


def median(values: list[float]) -> float:
    """Return the value in the middle, or the mean of the two there."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def row(action: str, agent: str, timed: list[Ran], counted: Ran, yardstick: float) -> Row:
    """Return the row for the runs of one action."""
    wall, cpu = [ran.wall for ran in timed], [ran.cpu for ran in timed]
    return Row(
        action=action,
        agent=agent,
        rc=next((ran.rc for ran in (*timed, counted) if ran.rc != counted.rc), counted.rc),
        runs=len(timed),
        wall=median(wall),
        wall_p90=percentile(wall, 0.9),
        cpu=median(cpu),
        cpu_p90=percentile(cpu, 0.9),
        processes=counted.processes,
        threads=counted.threads,
        largest_kib=counted.largest_kib,
        together_kib=counted.together_kib,
        yardsticks=median(cpu) / yardstick,
    )


def aims(
    rows: tuple[Row, ...], *, sides: tuple[Side, Side] = SIDES, yardsticks: float = MOST_YARDSTICKS,
    least_gain: float = LEAST_GAIN,
) -> tuple[Aim, ...]:  # fmt: skip
    """Return what was aimed at with the monitor, and what came of it; ``sides`` are the shell agent and ours."""
    shell, ours = (next(r for r in rows if (r.action, r.agent) == ("monitor", side.name)) for side in sides)
    gain = shell.cpu / ours.cpu

    def at_most(what: str, aim: float, measured: float) -> Aim:
        return Aim(what=what, aim=aim, measured=measured, is_reached=measured <= aim)

    return (
        at_most(f"processor time, times {YARDSTICK}, at most", yardsticks, ours.yardsticks),
        Aim(what="times less of it than the shell agent", aim=least_gain, measured=gain, is_reached=gain >= least_gain),
        at_most("processes, at most", MOST_PROCESSES, ours.processes),
        at_most("memory in MiB, at most", MOST_MEMORY_KIB / 1024, ours.largest_kib / 1024),
    )


def in_turns(
    lab: Lab, node: str, sides: tuple[Side, ...], actions: dict[str, Callable[[Side], Call]], runs: int,
    *, before: tuple[str, ...] = (),
) -> list[Row]:  # fmt: skip
    """Measure what changes nothing: every action of both agents in turns, and the yardstick, whose row is the first."""

    def turn(how: str) -> list[tuple[Key, Job]]:
        yardstick = Job(argv=(PYTHON, "-IS", "-c", "pass"), env=dict(calls.EXECUTOR), timeout=30, how=how)
        jobs: list[tuple[Key, Job]] = []
        for what, make in actions.items():
            jobs.append(((YARDSTICK, ""), yardstick))
            jobs += [((what, side.name), calls.job(side, make(side), node, how)) for side in sides]
        return jobs

    # The first round only warms the caches.
    rounds, last = [turn("timed") for _ in range(runs + 1)], turn("counted")
    plan = [pair for each in rounds for pair in each] + last
    done = list(zip((key for key, _ in plan), calls.run(lab, node, [made for _, made in plan], before=before)))
    timed: dict[Key, list[Ran]] = {}
    for key, ran in done[len(last) : -len(last)]:
        timed.setdefault(key, []).append(ran)
    counted = dict(done[-len(last) :])
    yardstick = median([ran.cpu for ran in timed[YARDSTICK, ""]])
    return [row(*key, timed[key], counted[key], yardstick) for key in timed]


class Measurement:
    """One measurement on a stage with a guest that runs there."""

    def __init__(self, stage: Stage, runs: int, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._runs = runs
        self._say = say
        self._node = stage.nodes[0]
        self._yardstick = 0.0

    def run(self) -> Speed:
        """Measure everything with a guest on the first node, and remove that guest."""
        self._say(f"speed: {self._runs} rounds of monitor, probe, meta-data and validate-all of both agents")
        rows = self._quick()
        self._say(f"speed: {CYCLES + 1} stops and starts of each agent, by the guest's own shutdown and by force")
        rows += self._cycles()
        self._stage.wipe(self._stage.benchmarked)
        return Speed(rows=tuple(rows), aims=aims(tuple(rows)))

    # ------------------------------------------------- what changes nothing

    def _quick(self) -> list[Row]:
        running = self._stage.benchmarked
        # By ours, because it remembers whom it has started; the shell agent remembers nothing that would help it.
        started = self._run(OURS, "start", "timed")
        if started.rc != 0:
            raise LabError(f"the guest to measure with does not start: {started.reason}")
        absent = self._stage.guest("absent")
        actions: dict[str, Callable[[Side], Call]] = {
            "monitor": lambda side: self._call(side, "monitor", running, timeout=30, interval=10),
            "probe, guest here": lambda side: self._call(side, "monitor", running, timeout=30),
            "probe, guest absent": lambda side: self._call(side, "monitor", absent, timeout=30, instance="absent"),
            "validate-all": lambda side: self._call(side, "validate-all", running, timeout=10),
            "meta-data": lambda side: self._call(side, "meta-data", running, timeout=5),
        }
        found = in_turns(self._stage.lab, self._node, SIDES, actions, self._runs)
        self._yardstick = found[0].cpu
        return found

    def _call(
        self, side: Side, action: str, guest: Guest, *, timeout: float, interval: float = 0, instance: str = "",
        **params: str,
    ) -> Call:  # fmt: skip
        return Call(
            action=action,
            instance=instance or self._stage.instance(side),
            params={"config": guest.config, "migration_transport": "tcp", **params},
            timeout=timeout,
            interval=interval,
        )

    # ------------------------------------------------------ start and stop

    def _cycles(self) -> list[Row]:
        """Stop and start the guest by turns of the agents: timed some times, then once counted."""
        timed: dict[tuple[str, str], list[Ran]] = {}
        counted: dict[tuple[str, str], Ran] = {}
        for turn in range(CYCLES + 1):
            how = "timed" if turn < CYCLES else "counted"
            for side in SIDES:
                for stop, params in (("stop, guest obeys", {}), ("stop, force_stop", {"force_stop": "true"})):
                    if not params:
                        self._stage.wait_booted(self._stage.benchmarked)
                    for action, what in (("stop", stop), ("start", "start")):
                        ran = self._run(side, action, how, **params)
                        timed.setdefault((what, side.name), []).extend([ran] if how == "timed" else [])
                        counted[what, side.name] = ran
        return [row(*key, timed[key], counted[key], self._yardstick) for key in sorted(timed)]

    def _run(self, side: Side, action: str, how: str, **params: str) -> Ran:
        call = self._call(side, action, self._stage.benchmarked, timeout=90, **params)
        return calls.run(self._stage.lab, self._node, [calls.job(side, call, self._node, how)])[0]
