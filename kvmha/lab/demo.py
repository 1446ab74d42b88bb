"""The demonstration: a live migration, then the power of a host is cut, and everything that ran there comes back."""

from __future__ import annotations

from kvmha.host import Host
from kvmha.lab import timeline
from kvmha.lab.formation import FLOATING_IP
from kvmha.lab.lab import Lab
from kvmha.lab.observation import Observation
from kvmha.lab.plan import LabError
from kvmha.lab.timeline import Moment, Observed, Recovery
from kvmha.lab.watcher import longest_gap
from kvmha.record import Record
from kvmha.tools import crm_mon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.tools.crm_mon import ClusterStatus

GUEST = "web1"
"""The guest that moves; the floating IP follows it."""

READY_LIMIT = 120.0
MOVE_LIMIT = 120.0
RECOVERY_LIMIT = 180.0
"""Seconds. Far above what is usual: they end a demonstration that went wrong, and measure nothing."""

SETTLE = 2.0
"""Seconds of steady answers on both sides of an event, so that a gap has two ends."""


class Move(Record):
    """A live migration as a client saw it."""

    guest: str
    source: str
    target: str
    gap: float
    """The longest time without an answer around the move, in seconds."""
    is_same_boot: bool


class Outcome(Record):
    """What the demonstration showed."""

    move: Move
    victim: str
    moments: tuple[Moment, ...]
    recoveries: tuple[Recovery, ...]
    all_back: bool
    ran_twice: tuple[str, ...]
    """A sentence for each time that a guest was seen executing in two places."""
    looks: int
    longest_pause: float
    cut_at: float

    @property
    def is_good(self) -> bool:
        """Tell whether all came back and none ran twice."""
        return self.all_back and not self.ran_twice and self.move.is_same_boot


class Demo:
    """One run on a lab that is up."""

    def __init__(self, host: Host, lab: Lab, say: Callable[[str], None], show: Callable[[Moment, float], None]) -> None:
        """``say`` tells what happens next; ``show`` gets each moment as it becomes known, and the time of the cut."""
        self._host = host
        self._lab = lab
        self._say = say
        self._show = show

    def run(self) -> Outcome:
        """Run it to its end. Raises LabError when the lab does not do what was asked of it at all."""
        with Observation(self._host, self._lab) as seen:
            self._wait_ready(seen)
            move = self._move(seen)
            victim = move.target
            lost = self._carried_by(victim)
            self._say(f"cutting the power of {victim}, which runs {', '.join(lost)}")
            cut_at = self._host.wall_clock()
            self._lab.power(victim, "off")
            moments = self._follow(seen, victim, lost, cut_at)
            # A last look when everything has calmed down, and proof that what came back stays.
            seen.read(SETTLE)
            observed = self._observed(seen, victim, cut_at)
            everybody = (*(guest.name for guest in self._lab.plan.guests), FLOATING_IP)
            return Outcome(
                move=move,
                victim=victim,
                moments=tuple(moments),
                recoveries=tuple(timeline.recovery(observed, name, moments) for name in lost),
                all_back=all(seen.answers_now(name, within=SETTLE) for name in everybody)
                and all(any(m.subject == name and m.phase == timeline.ANSWERS for m in moments) for name in lost),
                ran_twice=tuple(
                    f"{twice.copies[0].name} executed on {' and '.join(copy.node for copy in twice.copies)}"
                    for twice in seen.census.twice
                ),
                looks=seen.census.looks,
                longest_pause=seen.census.longest_pause,
                cut_at=cut_at,
            )

    def _status(self) -> ClusterStatus | None:
        """Ask the first node that answers."""
        for node in self._lab.plan.nodes:
            if self._lab.leader(node.name) is not None:
                done = self._lab.run(node.name, *crm_mon.ARGV, timeout=20, ok=None)
                status = crm_mon.parse(done.out)
                if status is not None:
                    return status
        return None

    def _wait_ready(self, seen: Observation) -> None:
        self._say("waiting until all guests and the floating IP answer a client")
        until = self._host.now() + READY_LIMIT
        waiting = list(seen.answers)
        while waiting:
            if self._host.now() > until:
                raise LabError(f"no answer from {', '.join(waiting)} within {READY_LIMIT:.0f} s; see kvmha lab status")
            seen.read(0.5)
            waiting = [name for name in seen.answers if not seen.answers_now(name)]
        seen.read(SETTLE)

    def _place_of(self, name: str) -> str:
        status = self._status()
        resource = status.resource(name) if status else None
        if resource is None or len(resource.nodes) != 1:
            raise LabError(f"{name} does not run on exactly one node; see kvmha lab status")
        return resource.nodes[0]

    def _carried_by(self, node: str) -> tuple[str, ...]:
        """Return the guests and the address that run on a node."""
        status = self._status()
        names = (*(guest.name for guest in self._lab.plan.guests), FLOATING_IP)
        here = []
        for name in names:
            resource = status.resource(name) if status else None
            if resource is not None and node in resource.nodes:
                here.append(name)
        return tuple(here)

    def _move(self, seen: Observation) -> Move:
        source = self._place_of(GUEST)
        target = next(node.name for node in self._lab.plan.nodes if node.name != source)
        self._say(f"moving {GUEST} live from {source} to {target}")
        boot = seen.answers[GUEST][-1].boot
        since = self._host.wall_clock()
        self._lab.run(source, "crm_resource", "--move", "--resource", GUEST, "--node", target, timeout=30)
        try:
            self._wait_moved(seen, target)
        finally:
            # The constraint that made it move must not keep it there.
            self._lab.run(target, "crm_resource", "--clear", "--resource", GUEST, timeout=30)
        until = self._host.wall_clock()
        seen.read(SETTLE)
        gap = longest_gap(seen.answers[GUEST], since, until)
        return Move(
            guest=GUEST,
            source=source,
            target=target,
            gap=gap.seconds if gap else 0.0,
            is_same_boot=seen.answers[GUEST][-1].boot == boot,
        )

    def _wait_moved(self, seen: Observation, target: str) -> None:
        until = self._host.now() + MOVE_LIMIT
        while self._host.now() < until:
            seen.read(1.0)
            status = self._status()
            mine = [status.resource(name) for name in (GUEST, FLOATING_IP)] if status else [None]
            if all(resource and resource.nodes == (target,) and not resource.pending for resource in mine):
                return
        raise LabError(f"{GUEST} did not arrive on {target} within {MOVE_LIMIT:.0f} s; see kvmha lab status")

    def _observed(self, seen: Observation, victim: str, cut_at: float) -> Observed:
        return Observed(
            cut_at=cut_at,
            victim=victim,
            entries=tuple(sorted(seen.entries, key=lambda entry: entry.at)),
            executing=seen.executing(),
            answers=seen.answers,
        )

    def _follow(self, seen: Observation, victim: str, lost: tuple[str, ...], cut_at: float) -> list[Moment]:
        """Show each moment as it comes, until all that was lost answers again or the time is up."""
        shown: set[tuple[str, str]] = set()
        until = self._host.now() + RECOVERY_LIMIT
        while True:
            seen.read(0.25)
            moments = timeline.moments(self._observed(seen, victim, cut_at), lost)
            for moment in moments:
                if (moment.phase, moment.subject) not in shown:
                    shown.add((moment.phase, moment.subject))
                    self._show(moment, cut_at)
            back = {moment.subject for moment in moments if moment.phase == timeline.ANSWERS}
            if back >= set(lost) or self._host.now() > until:
                return moments
