"""From what everybody saw to what happened when, on the runner's clock: the phases of a failover."""

from __future__ import annotations

from kvmha.drill import clients
from kvmha.drill.records import Expected, Moment, Recovery
from kvmha.record import Record
from kvmha.tools import cluster_log
from kvmha.tools.cluster_log import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FAULT, LOST, DECIDED, ASKED, FENCED, STORAGE, START_ASKED, PROCESS, RUNS, AGENT_STARTED, STARTED, GUEST_AGENT = (
    "fault", "lost", "decided", "fencing asked", "fenced", "storage ready", "start asked", "process up", "domain runs",
    "agent done", "started", "guest agent",
)  # fmt: skip
ANSWERS, RETURNED, UNDONE = "answers", "node back", "undone"
ORDER = (
    FAULT, LOST, DECIDED, ASKED, FENCED, STORAGE, START_ASKED, PROCESS, RUNS, AGENT_STARTED, STARTED, GUEST_AGENT,
    ANSWERS, RETURNED, UNDONE,
)  # fmt: skip

SAID_BY = {
    FAULT: "the runner", LOST: "corosync, Pacemaker", DECIDED: "Pacemaker's scheduler", ASKED: "Pacemaker",
    FENCED: "Pacemaker's fencer, its history", STORAGE: "DRBD", START_ASKED: "Pacemaker", PROCESS: "the kernel",
    RUNS: "libvirt", AGENT_STARTED: "ocf:kvmha:VirtualDomain", STARTED: "Pacemaker", GUEST_AGENT: "libvirt",
    ANSWERS: "a client", RETURNED: "Pacemaker", UNDONE: "the runner",
}  # fmt: skip
"""Who tells of each phase."""

NOISE_S = 1.0
"""A silence of a client that is shorter than this is no absence: a move, or a lost packet."""

PHASES = {
    cluster_log.LOST: LOST, cluster_log.DECIDED: DECIDED, cluster_log.FENCING_ASKED: ASKED,
    cluster_log.FENCING_CONFIRMED: FENCED, cluster_log.START_ASKED: START_ASKED, cluster_log.STARTED: STARTED,
    cluster_log.AGENT_STARTED: AGENT_STARTED,
}  # fmt: skip

OF_RESOURCE = (START_ASKED, STARTED, AGENT_STARTED)
"""Phases that entries tell of a guest or an address; all others are the node's."""


class Seen(Record):
    """All that was seen; times in seconds since the epoch, on the runner's clock."""

    struck_at: float
    until: float
    node: str
    """The target."""
    entries: tuple[Entry, ...] = ()
    processes: Mapping[tuple[str, str], float] = {}
    """When a guest, by the cluster's name, was first seen to execute on a node after the fault."""
    running: Mapping[tuple[str, str], float] = {}
    """When libvirt first said so."""
    agents: Mapping[tuple[str, str], float] = {}
    """When its guest agent was first there."""
    promoted: Mapping[tuple[str, str], float] = {}
    """When a replicated disk could first be written on a node."""
    disks: Mapping[str, str] = {}
    """By replicated disk, the guest that stands on it."""
    answers: Mapping[str, list[float]] = {}
    """When each guest or address answered its client."""
    stalls: tuple[tuple[float, float], ...] = ()
    """When the clients themselves stood still."""
    fenced_at: float | None = None
    """When the target was fenced by Pacemaker's history of fencing."""
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
    for made in (*_told(seen, wanted), *_watched(seen, wanted), *_answered(seen, wanted), *_ends(seen)):
        found.setdefault((made.phase, made.subject), made)
    return tuple(
        sorted(found.values(), key=lambda moment: (round(moment.at, 3), ORDER.index(moment.phase), moment.subject))
    )


def _told(seen: Seen, wanted: set[str]) -> Iterator[Moment]:
    """Yield what the journals tell."""
    for entry in sorted(seen.entries, key=lambda entry: entry.at):
        phase = PHASES.get(entry.kind)
        subject = entry.subject or seen.node
        about = wanted if phase in OF_RESOURCE else {seen.node}
        if phase is not None and subject in about and entry.at >= seen.struck_at:
            yield Moment(at=entry.at - seen.struck_at, phase=phase, subject=subject, node=entry.node)


def _watched(seen: Seen, wanted: set[str]) -> Iterator[Moment]:
    """Yield what the nodes saw of themselves."""
    promoted = {(seen.disks.get(disk, disk), node): at for (disk, node), at in seen.promoted.items()}
    kinds = ((STORAGE, promoted), (PROCESS, seen.processes), (RUNS, seen.running), (GUEST_AGENT, seen.agents))
    for phase, times in kinds:
        for (name, node), at in sorted(times.items(), key=lambda item: item[1]):
            if (name in wanted or phase == STORAGE) and at >= seen.struck_at:
                yield Moment(at=at - seen.struck_at, phase=phase, subject=name, node=node)


def _answered(seen: Seen, wanted: set[str]) -> Iterator[Moment]:
    for name, answers in seen.answers.items():
        gap = clients.longest_gap(answers, seen.struck_at, seen.until, seen.stalls)
        back = clients.back_at(answers, seen.struck_at, seen.stalls)
        if name in wanted and back is not None and gap is not None and gap > NOISE_S:
            yield Moment(at=back - seen.struck_at, phase=ANSWERS, subject=name)


def _ends(seen: Seen) -> Iterator[Moment]:
    """Yield the ends; what the history of fencing tells counts only where no journal told it."""
    for phase, at in ((FENCED, seen.fenced_at), (RETURNED, seen.back_at), (UNDONE, seen.undone_at)):
        if at is not None and seen.struck_at <= at <= seen.until:
            yield Moment(at=at - seen.struck_at, phase=phase, subject=seen.node)


def recoveries(
    seen: Seen, found: tuple[Moment, ...], names: Iterable[str], places: Mapping[str, str], expected: Expected
) -> tuple[Recovery, ...]:
    """Return what each guest and address went through; ``places`` is where each runs at the end."""
    fates = {fate.name: fate for fate in expected.fates}
    made = []
    for name in names:
        own = {moment.phase: moment.at for moment in found if moment.subject == name}
        fate = fates.get(name)
        gap = None
        if name in seen.answers:
            gap = clients.longest_gap(seen.answers[name], seen.struck_at, seen.until, seen.stalls)
        made.append(
            Recovery(
                name=name,
                node=places.get(name, ""),
                storage_ready=own.get(STORAGE),
                start_asked=own.get(START_ASKED),
                process_up=own.get(PROCESS),
                guest_agent=own.get(GUEST_AGENT),
                started=own.get(STARTED),
                answers=own.get(ANSWERS),
                gap_s=round(gap, 3) if gap is not None else None,
                expected_s=fate.back_s if fate is not None else None,
                limit_s=fate.limit_s if fate is not None else None,
            )
        )
    return tuple(made)
