"""From what was seen to what happened when: the phases of a failover, in seconds from the cut."""

from __future__ import annotations

from kvmha.lab.watcher import Answer, Gap, longest_gap
from kvmha.record import Record
from kvmha.tools import cluster_log
from kvmha.tools.cluster_log import Entry

CUT, LOST, FENCING_ASKED, FENCING_CONFIRMED = "power cut", "lost", "fencing asked", "fencing confirmed"
START_ASKED, QEMU_RUNNING, ANSWERS = "start asked", "QEMU running", "answers"
PHASES = (CUT, LOST, FENCING_ASKED, FENCING_CONFIRMED, START_ASKED, QEMU_RUNNING, ANSWERS)


class Moment(Record):
    """One line of a timeline."""

    at: float
    """Seconds since the epoch."""
    phase: str
    subject: str
    """The node, guest or address."""
    node: str = ""
    """Where it happened, for what starts somewhere."""


class Observed(Record):
    """All that was seen since the cut, by everybody who looked."""

    cut_at: float
    victim: str
    entries: tuple[Entry, ...]
    executing: dict[tuple[str, str], float]
    """When a guest (name, node) began to execute on a node."""
    answers: dict[str, list[Answer]]
    """By target, in order of time."""


class Recovery(Record):
    """What one guest or address went through, in seconds from the cut; None for a phase that was not seen."""

    name: str
    node: str
    start_asked: float | None
    qemu_running: float | None
    answers: float | None
    gap: float | None
    """Seconds without an answer, as a client saw it."""


def moments(seen: Observed, lost: tuple[str, ...]) -> list[Moment]:
    """Return the timeline of a failover; ``lost`` are the guests and addresses that the victim carried."""
    found = [Moment(at=seen.cut_at, phase=CUT, subject=seen.victim)]
    found += _of_the_node(seen)
    for name in lost:
        found += _of_the_resource(seen, name)
    return sorted(found, key=lambda moment: (moment.at, PHASES.index(moment.phase), moment.subject))


def _of_the_node(seen: Observed) -> list[Moment]:
    pairs = (
        (cluster_log.LOST, LOST),
        (cluster_log.FENCING_ASKED, FENCING_ASKED),
        (cluster_log.FENCING_CONFIRMED, FENCING_CONFIRMED),
    )
    found = []
    for kind, phase in pairs:
        times = [
            entry.at
            for entry in seen.entries
            if entry.kind == kind and entry.subject in ("", seen.victim) and entry.at >= seen.cut_at
        ]
        if times:
            found.append(Moment(at=min(times), phase=phase, subject=seen.victim))
    return found


def _of_the_resource(seen: Observed, name: str) -> list[Moment]:
    found = []
    asked = [
        entry
        for entry in seen.entries
        if entry.kind == cluster_log.START_ASKED and entry.subject == name and entry.at >= seen.cut_at
    ]
    if asked:
        found.append(Moment(at=asked[0].at, phase=START_ASKED, subject=name, node=asked[0].node))
    running = [(at, node) for (guest, node), at in seen.executing.items() if guest == name and at >= seen.cut_at]
    if running:
        at, node = min(running)
        found.append(Moment(at=at, phase=QEMU_RUNNING, subject=name, node=node))
    back = first_answer_of_the_new(seen.answers.get(name, []), seen.cut_at, asked[0].at if asked else None)
    if back is not None:
        found.append(Moment(at=back.at, phase=ANSWERS, subject=name, node=asked[0].node if asked else ""))
    return found


def first_answer_of_the_new(answers: list[Answer], cut_at: float, asked_at: float | None) -> Answer | None:
    """Return the first answer after a restart: of another boot of a guest, of an address after its start was asked."""
    old = {answer.boot for answer in answers if answer.at < cut_at}
    for answer in answers:
        if answer.at <= cut_at:
            continue
        if answer.boot:
            if answer.boot not in old:
                return answer
        elif asked_at is not None and answer.at > asked_at:
            return answer
    return None


def recovery(seen: Observed, name: str, timeline: list[Moment]) -> Recovery:
    """Return how one guest or address came back."""
    own = {moment.phase: moment for moment in timeline if moment.subject == name}

    def seconds(phase: str) -> float | None:
        return own[phase].at - seen.cut_at if phase in own else None

    gap: Gap | None = None
    if ANSWERS in own:
        gap = longest_gap(seen.answers.get(name, []), seen.cut_at, own[ANSWERS].at)
    return Recovery(
        name=name,
        node=own[START_ASKED].node if START_ASKED in own else "",
        start_asked=seconds(START_ASKED),
        qemu_running=seconds(QEMU_RUNNING),
        answers=seconds(ANSWERS),
        gap=gap.seconds if gap else None,
    )
