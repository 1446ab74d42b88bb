"""The smallest change after which a plan would hold.

Invariant: every change that is named was tried on the plan, and the plan held with it; a move is named only if all
other plans that held before still do.
"""

from __future__ import annotations

from kvmha.policy.placement.fitting import MEMORY, why_never
from kvmha.policy.placement.packing import CLOSELY
from kvmha.policy.placement.records import Help, Plan, Stranded, gib
from kvmha.policy.placement.survival import Survey, holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TRIES = 6
"""How many moves are tried for one plan."""

HOSTS_TRIED = 3
"""On how many hosts more memory is tried, those that come nearest."""

STEPS = 200
FEW_STEPS = 40
"""How far a trial searches: for few guests, and for many."""


def helps(survey: Survey, plan: Plan, others: Sequence[Plan]) -> tuple[Help, ...]:
    """Return the changes that mend a plan, the smallest first: a move costs nothing, memory what it measures."""
    if plan.holds or not [host for host in survey.cluster.hosts if host.is_available and host.name not in plan.lost]:
        return ()
    missing = tuple(_missing(survey, plan))
    if missing:
        return missing
    found = [*_moves(survey, plan, others), *_memory(survey, plan), *_shrunk(plan)]
    return tuple(sorted(found, key=lambda help_: (help_.mib, help_.code, help_.place)))


def _holds(survey: Survey, lost: tuple[str, ...]) -> bool:
    homeless = sum(len(survey.bins.guests[host]) for host in lost)
    return holds(survey, lost, steps=STEPS if homeless <= CLOSELY else FEW_STEPS)


def _moves(survey: Survey, plan: Plan, others: Sequence[Plan]) -> Iterator[Help]:
    """Yield the first move of a survivor's guest to another survivor that makes room."""
    held = [other.lost for other in others if other.holds and other.lost != plan.lost]
    for number, (guest, source, target) in enumerate(_movable(survey, plan)):
        if number >= TRIES:
            return
        _move(survey, guest, source, target)
        helped = _holds(survey, plan.lost) and all(_holds(survey, lost) for lost in held)
        _move(survey, guest, target, source)
        if helped:
            said = f"move {guest} from {source} to {target} beforehand"
            yield Help(code="move", guest=guest, place=target, mib=0, said=said)
            return


def _move(survey: Survey, guest: str, source: str, target: str) -> None:
    survey.bins.take(guest, source)
    survey.bins.put(guest, target)
    survey.guests[guest] = survey.guests[guest].replace(node=target)


def _movable(survey: Survey, plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Yield guest, source and target of moves that may help, those of small guests first."""
    bins = survey.bins
    need = min((each.short_mib for each in plan.stranded if each.short_mib is not None), default=0)
    found = []
    for source in sorted(set(bins.hosts) - set(plan.lost)):
        for guest in sorted(bins.guests[source]):
            claim = bins.claims[guest]
            if claim is None or claim[MEMORY] < need or len(survey.blocks[guest]) > 1:
                continue
            targets = set(survey.allowed(survey.guests[guest])) - {source, *plan.lost}
            found += [
                (claim[MEMORY], guest, source, target)
                for target in targets
                if bins.fits(claim, target) and not survey.apart[guest] & bins.guests[target]
            ]
    for _, guest, source, target in sorted(found):
        yield guest, source, target


def _memory(survey: Survey, plan: Plan) -> Iterator[Help]:
    """Yield how much more memory one host would need."""
    short: dict[str, int] = {}
    for each in plan.stranded:
        for reason in each.reasons:
            if reason.code == MEMORY and MEMORY in survey.bins.left[reason.place]:
                short[reason.place] = min(reason.numbers["short"], short.get(reason.place, reason.numbers["short"]))
    best: Help | None = None
    claims = (survey.bins.claims[each.guest] or {} for each in plan.stranded)
    most = sum(claim.get(MEMORY, 0) for claim in claims)
    for host in sorted(short, key=lambda name: (short[name], name))[:HOSTS_TRIED]:
        # What it is short of already, with what runs there, comes on top.
        high = max(most, short[host]) + max(-survey.bins.left[host][MEMORY], 0)
        mib = _least(survey, plan.lost, host, 1, high)
        if mib is not None and (best is None or mib < best.mib):
            said = f"{gib(mib)} more memory in {host}"
            best = Help(code=MEMORY, guest="", place=host, mib=mib, said=said)
    if best is not None:
        yield best


def _least(survey: Survey, lost: tuple[str, ...], host: str, low: int, high: int) -> int | None:
    """Return the least memory more with which a plan holds, between two bounds; None where even the upper fails."""

    def suffices(mib: int) -> bool:
        survey.bins.left[host][MEMORY] += mib
        found = _holds(survey, lost)
        survey.bins.left[host][MEMORY] -= mib
        return found

    if not suffices(high):
        return None
    if suffices(low):
        return low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def _shrunk(plan: Plan) -> Iterator[Help]:
    """Yield by how much the one guest without a place is too large."""
    if len(plan.stranded) == 1 and plan.stranded[0].short_mib is not None:
        only: Stranded = plan.stranded[0]
        mib = plan.stranded[0].short_mib
        said = f"{only.guest} with {gib(mib)} less memory"
        yield Help(code="shrink", guest=only.guest, place=only.nearest, mib=mib, said=said)


def _missing(survey: Survey, plan: Plan) -> Iterator[Help]:
    """Yield what lacks for guests that may run on none of the survivors, however empty these are."""
    for each in plan.stranded:
        guest = survey.guests[each.guest]
        if set(survey.allowed(guest)) - set(plan.lost):
            continue
        hosts = [host for host in survey.cluster.hosts if host.is_available and host.name not in plan.lost]
        nearest = min(hosts, key=lambda host: (sum(1 for _ in why_never(guest, host)), host.name))
        reasons = list(why_never(guest, nearest))
        said = f"make {nearest.name} fit for {guest.name}: {'; '.join(reason.said for reason in reasons)}"
        yield Help(code=reasons[0].code, guest=guest.name, place=nearest.name, mib=0, said=said)
