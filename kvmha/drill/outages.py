"""What the journal of a node tells of real failures: how long guests were away that it took over from a dead node.

Invariant: an outage is told only where this node has heard that another was lost, that it was fenced, and that the
guest was started here after that, all of it within the time that one failure takes; what was a drill is left to its
report, which knows more.
"""

from __future__ import annotations

from kvmha.policy.ledger import Measured
from kvmha.tools import cluster_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kvmha.tools.cluster_log import Entry

REAL = "a real failure"
"""What stands in the place of a drill's name."""

SPAN_S = 900.0
"""From the loss of a node to the start of what it ran: longer than any fencing is waited for."""


AGAIN_S = 60.0
"""Several daemons tell of one loss, within seconds; a node that is lost again later had come back in between."""


def of_journal(entries: Iterable[Entry], guests: Iterable[str], *, detection_s: float) -> tuple[Measured, ...]:
    """Return the outages in a node's journal, in seconds from the fault on, drills among them.

    Nobody sees the fault itself: a node is lost ``detection_s`` after it.
    """
    wanted = set(guests)
    ordered = sorted(entries, key=lambda entry: entry.at)
    return tuple(
        made for lost, fenced in _fencings(ordered) for made in _starts(ordered, wanted, lost, fenced, detection_s)
    )


def real(found: Iterable[Measured], drills: Sequence[tuple[float, float]]) -> tuple[Measured, ...]:
    """Return measurements without those outages that were a drill's: ``drills`` are begins and ends."""
    return tuple(
        each for each in found if each.drill != REAL or not any(begin <= each.at <= end for begin, end in drills)
    )


def _fencings(entries: Sequence[Entry]) -> Iterator[tuple[float, float]]:
    """Yield when a node was lost and when it was fenced for that."""
    lost: dict[str, float] = {}
    for entry in entries:
        if entry.kind == cluster_log.LOST and entry.subject:
            if entry.at - lost.get(entry.subject, float("-inf")) > AGAIN_S:
                lost[entry.subject] = entry.at
        elif entry.kind == cluster_log.FENCING_CONFIRMED and entry.subject in lost:
            began = lost.pop(entry.subject)
            if entry.at - began <= SPAN_S:
                yield began, entry.at


def _starts(
    entries: Sequence[Entry], wanted: set[str], lost: float, fenced: float, detection_s: float
) -> Iterator[Measured]:
    """Yield the first start of each guest here after a fencing."""
    seen: set[str] = set()
    for entry in entries:
        is_start = entry.kind == cluster_log.AGENT_STARTED and entry.subject in wanted - seen
        if is_start and fenced <= entry.at <= lost + SPAN_S:
            seen.add(entry.subject)
            seconds = round(entry.at - lost + detection_s, 2)
            yield Measured(guest=entry.subject, seconds=seconds, at=lost, drill=REAL)
