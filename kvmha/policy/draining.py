"""How a node is emptied: which guest goes where, in which order, how many at a time, and how long that takes.

Invariant: a guest is planned to go only where a preflight lets it, and no target is promised more memory than it has.
"""

from __future__ import annotations

from kvmha.policy.movability import COLD, LIVE, REFUSED, TIES
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.migration import Preflight

COLD_S = 60.0
"""About what a guest takes that is shut down and booted on the other side, where nothing is known of it."""


class Candidate(Record):
    """A target that a guest could have."""

    preflight: Preflight
    seconds: float
    """What the move would take."""


class Mover(Record):
    """A guest that has to go."""

    guest: str
    memory_mib: float
    priority: int
    candidates: tuple[Candidate, ...]


class Item(Record):
    """One planned move."""

    guest: str
    target: str
    seconds: float
    is_cold: bool


class Refusal(Record):
    """A guest that has nowhere to go, and why."""

    guest: str
    reasons: tuple[str, ...]


class Plan(Record):
    """All moves in their order."""

    items: tuple[Item, ...]
    refusals: tuple[Refusal, ...]
    at_once: int
    seconds: float
    """What it takes in all."""


def plan(movers: tuple[Mover, ...], free_mib: dict[str, float], *, at_once: int, may_be_cold: bool) -> Plan:
    """Return the plan: the largest guests choose first, and the quickest moves are made first."""
    free = dict(free_mib)
    items, refusals = [], []
    for mover in sorted(movers, key=lambda each: (-each.memory_mib, each.guest)):
        chosen = _choose(mover, free, may_be_cold=may_be_cold)
        if isinstance(chosen, Refusal):
            refusals.append(chosen)
        else:
            items.append(chosen)
            if chosen.target in free:
                free[chosen.target] -= mover.memory_mib
    priority = {mover.guest: mover.priority for mover in movers}
    items.sort(key=lambda item: (-priority[item.guest], item.seconds, item.guest))
    return Plan(
        items=tuple(items),
        refusals=tuple(sorted(refusals, key=lambda each: each.guest)),
        at_once=at_once,
        seconds=_makespan([item.seconds for item in items], at_once),
    )


def _choose(mover: Mover, free: dict[str, float], *, may_be_cold: bool) -> Item | Refusal:
    wanted = (LIVE, COLD) if may_be_cold else (LIVE,)
    reasons = []
    open_to = []
    for candidate in mover.candidates:
        found = candidate.preflight
        if found.verdict not in wanted:
            grave = [each.said for each in found.reasons if found.verdict != REFUSED or each.effect == TIES]
            reasons.append(grave[0] if grave else f"{mover.guest} cannot move to {found.target}")
        elif found.target in free and free[found.target] < mover.memory_mib:
            short = (mover.memory_mib - free[found.target]) / 1024
            reasons.append(
                f"{found.target}: short of {short:.1f} GiB for {mover.guest} beside the others that go there"
            )
        else:
            open_to.append(candidate)
    if not open_to:
        return Refusal(guest=mover.guest, reasons=tuple(reasons) or ("there is no other node",))
    best = min(
        open_to,
        key=lambda each: (
            wanted.index(each.preflight.verdict),
            -free.get(each.preflight.target, 0.0),
            each.preflight.target,
        ),
    )
    is_cold = best.preflight.verdict == COLD
    return Item(guest=mover.guest, target=best.preflight.target, seconds=best.seconds, is_cold=is_cold)


def _makespan(times: list[float], lanes: int) -> float:
    """Return how long moves take that begin in this order, so many at a time; they share the path."""
    ends = [0.0] * max(min(lanes, len(times)), 1)
    for time in times:
        ends.sort()
        ends[0] += time
    # On one path two at once take as long as one after the other, less what each does beside copying.
    return max(ends) if len(ends) == 1 else max(max(ends), sum(times) * SHARED)


SHARED = 0.75
"""Share of the moves' time, one after the other, that they take at least when they share a path."""


def check_invariants(made: Plan, movers: tuple[Mover, ...], free_mib: dict[str, float]) -> None:
    """Raise AssertionError for a plan that promises what is not there."""
    memory = {mover.guest: mover.memory_mib for mover in movers}
    allowed = {
        (mover.guest, each.preflight.target): each.preflight.verdict for mover in movers for each in mover.candidates
    }
    for node, free in free_mib.items():
        promised = sum(memory[item.guest] for item in made.items if item.target == node)
        assert promised <= free + 1e-6 * max(free, 1.0), f"{node} is promised {promised} of {free} MiB"
    for item in made.items:
        assert allowed[(item.guest, item.target)] in (LIVE, COLD)
    assert sorted(memory) == sorted([*(i.guest for i in made.items), *(r.guest for r in made.refusals)])
