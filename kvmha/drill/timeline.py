"""From what everybody saw to what happened when, on the runner's clock: the phases of a failover."""

from __future__ import annotations

from kvmha.drill import clients
from kvmha.drill.records import Expected, Moment, Recovery
from kvmha.record import Record
from kvmha.tools import cluster_log
from kvmha.tools.cluster_log import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FAULT, LOST, ASKED, FENCED, START_ASKED, PROCESS, STARTED, ANSWERS, RETURNED, UNDONE = (
    "fault", "lost", "fencing asked", "fenced", "start asked", "process up", "started", "answers", "node back",
    "undone",
)  # fmt: skip
ORDER = (FAULT, LOST, ASKED, FENCED, START_ASKED, PROCESS, STARTED, ANSWERS, RETURNED, UNDONE)

NOISE_S = 1.0
"""A silence of a client that is shorter than this is no absence: a move, or a lost packet."""

PHASES = {
    cluster_log.LOST: LOST, cluster_log.FENCING_ASKED: ASKED, cluster_log.FENCING_CONFIRMED: FENCED,
    cluster_log.START_ASKED: START_ASKED, cluster_log.STARTED: STARTED,
}  # fmt: skip


class Seen(Record):
    """All that was seen; times in seconds since the epoch, on the runner's clock."""

    struck_at: float
    until: float
    node: str
    """The target."""
    entries: tuple[Entry, ...] = ()
    processes: Mapping[tuple[str, str], float] = {}
    """When a guest, by the cluster's name, was first seen to execute on a node after the fault."""
    answers: Mapping[str, list[float]] = {}
    back_at: float | None = None
    """When the target was online again."""
    undone_at: float | None = None


def shifted(entries: Iterable[Entry], ahead: float) -> list[Entry]:
    """Put a node's entries onto the runner's clock."""
    return [entry.replace(at=entry.at - ahead) for entry in entries]


def moments(seen: Seen, names: Iterable[str]) -> tuple[Moment, ...]:
    """Return what happened, in seconds from the fault on; ``names`` are the guests and addresses of interest.

    Of what several nodes tell, the first counts.
    """
    wanted = set(names)
    found = {(FAULT, seen.node): Moment(at=0.0, phase=FAULT, subject=seen.node)}
    for entry in sorted(seen.entries, key=lambda entry: entry.at):
        phase = PHASES.get(entry.kind)
        subject = entry.subject or seen.node
        about = wanted if phase in (START_ASKED, STARTED) else {seen.node}
        if phase is None or subject not in about or entry.at < seen.struck_at:
            continue
        made = Moment(at=entry.at - seen.struck_at, phase=phase, subject=subject, node=entry.node)
        found.setdefault((phase, subject), made)
    for (name, node), at in sorted(seen.processes.items(), key=lambda item: item[1]):
        if name in wanted and at >= seen.struck_at:
            found.setdefault((PROCESS, name), Moment(at=at - seen.struck_at, phase=PROCESS, subject=name, node=node))
    for name, answers in seen.answers.items():
        gap = clients.longest_gap(answers, seen.struck_at, seen.until)
        back = clients.back_at(answers, seen.struck_at)
        if name in wanted and back is not None and gap is not None and gap > NOISE_S:
            found[ANSWERS, name] = Moment(at=back - seen.struck_at, phase=ANSWERS, subject=name)
    if seen.back_at is not None:
        found[RETURNED, seen.node] = Moment(at=seen.back_at - seen.struck_at, phase=RETURNED, subject=seen.node)
    if seen.undone_at is not None:
        found[UNDONE, seen.node] = Moment(at=seen.undone_at - seen.struck_at, phase=UNDONE, subject=seen.node)
    return tuple(
        sorted(found.values(), key=lambda moment: (round(moment.at, 3), ORDER.index(moment.phase), moment.subject))
    )


def recoveries(
    seen: Seen, found: tuple[Moment, ...], names: Iterable[str], places: Mapping[str, str], expected: Expected
) -> tuple[Recovery, ...]:
    """Return what each guest and address went through; ``places`` is where each runs at the end."""
    fates = {fate.name: fate for fate in expected.fates}
    made = []
    for name in names:
        own = {moment.phase: moment.at for moment in found if moment.subject == name}
        fate = fates.get(name)
        gap = clients.longest_gap(seen.answers[name], seen.struck_at, seen.until) if name in seen.answers else None
        made.append(
            Recovery(
                name=name,
                node=places.get(name, ""),
                start_asked=own.get(START_ASKED),
                process_up=own.get(PROCESS),
                started=own.get(STARTED),
                answers=own.get(ANSWERS),
                gap_s=round(gap, 3) if gap is not None else None,
                expected_s=fate.back_s if fate is not None else None,
                limit_s=fate.limit_s if fate is not None else None,
            )
        )
    return tuple(made)
