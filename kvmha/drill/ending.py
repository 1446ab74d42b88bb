"""The end of a drill: what does not hold, and what all the witnesses together saw."""

from __future__ import annotations

from kvmha.drill import timeline, watch
from kvmha.drill.records import ENDURED, LEFT, MOVED, PARTED, UNDISTURBED, Breach
from kvmha.host import CommandError
from kvmha.record import Record
from kvmha.tools import cluster_log, crm_mon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kvmha.drill.clients import Clients
    from kvmha.drill.reach import Reach
    from kvmha.drill.records import Outcome, Written
    from kvmha.drill.stage import Stage
    from kvmha.host import Host
    from kvmha.tools.cluster_log import Entry, Line
    from kvmha.tools.crm_mon import ClusterStatus

LIMIT = 30.0

MOST_LINES, LONGEST = 3000, 300
"""Of the journals: more lines, and longer ones, are not read by anybody."""


class Baseline(Record):
    """How the cluster was before anything was done."""

    status: ClusterStatus
    failed: frozenset[tuple[str, str, str, int]]
    """What had failed and was not cleaned up."""
    fencings: frozenset[tuple[str, str]]
    pids: Mapping[str, int | None]
    """The process of each guest, where it was seen to execute."""
    behind: frozenset[str] = frozenset()
    """The replicated disks of which not all copies were current."""


def baseline(host: Host, status: ClusterStatus, seen: watch.Watch, guests: tuple[str, ...]) -> Baseline:
    """Return how the cluster is. Raises CommandError."""
    return Baseline(
        status=status,
        failed=frozenset(watch.failures(host)),
        fencings=fencings(status),
        pids={name: _pid(seen, status, name) for name in guests},
        behind=seen.behind(),
    )


def fencings(status: ClusterStatus) -> frozenset[tuple[str, str]]:
    """Return which nodes were fenced with success, and when, as the cluster remembers it."""
    return frozenset((each.target, each.completed) for each in status.fencings if each.status == "success")


def breaches(host: Host, leads_to: str, before: Baseline, seen: watch.Watch) -> tuple[Breach, ...]:
    """Return what does not hold after a drill."""
    at = host.wall_clock()
    try:
        now = crm_mon.look(host, timeout=LIMIT)
        new = watch.failures(host) - before.failed
    except CommandError as error:
        return (Breach(rule=watch.LEFT_FAILED, subject="cluster", said=str(error), at=at),)
    found = watch.after(before.status, now, new, at=at)
    return (*found, *(_disturbed(leads_to, before, now, seen, at) if now is not None else ()))


def _disturbed(leads_to: str, before: Baseline, now: ClusterStatus, seen: watch.Watch, at: float) -> list[Breach]:
    """Return what has moved or started anew although nobody should have noticed anything."""
    said: list[tuple[str, str]] = []
    fenced = sorted(fencings(now) - before.fencings)
    if leads_to in (UNDISTURBED, MOVED, LEFT, PARTED):
        said += [(name, f"{name} was fenced at {when}") for name, when in fenced]
    if leads_to == UNDISTURBED or (leads_to == ENDURED and not fenced):
        for name, pid in before.pids.items():
            was, then = before.status.resource(name), now.resource(name)
            if was is not None and then is not None and was.nodes != then.nodes:
                said.append((name, f"{name} has left {' '.join(was.nodes)}"))
            elif pid is not None and _pid(seen, now, name) != pid:
                said.append((name, f"{name} has another process than before"))
    return [Breach(rule=watch.DISTURBED, subject=name, said=words, at=at) for name, words in said]


def lost(written: tuple[Written, ...], at: float) -> tuple[Breach, ...]:
    """Return what was acknowledged to a client and is not there; what could not be found out is not known to be."""
    found = []
    for each in written:
        said = f"{len(each.lost)} of {each.acknowledged} records that {each.name} had acknowledged are lost" if (
            each.lost
        ) else f"of the {each.acknowledged} records that {each.name} had acknowledged: {each.said}"  # fmt: skip
        if each.lost or each.said:
            found.append(Breach(rule=watch.ACKNOWLEDGED, subject=each.name, said=said, at=at))
    return tuple(found)


def _pid(seen: watch.Watch, status: ClusterStatus, name: str) -> int | None:
    resource = status.resource(name)
    return seen.pid(name, resource.nodes[0]) if resource is not None and len(resource.nodes) == 1 else None


class Journals(Record):
    """What the journals of all nodes tell of a drill, on the runner's clock."""

    entries: tuple[Entry, ...]
    lines: tuple[Line, ...]
    """All that the cluster's daemons and our agents wrote, in its order."""
    silent: tuple[str, ...]
    """Whose could not be read, as sentences."""

    def text(self, since: float) -> str:
        """Return the lines for people, in seconds from a moment on."""
        shown = self.lines[:MOST_LINES]
        left = len(self.lines) - len(shown)
        told = [
            f"{line.at - since:8.2f} s  {' '.join(filter(None, (line.node, line.by)))}: {line.text.strip()[:LONGEST]}"
            for line in shown
        ]
        return "".join(f"{each}\n" for each in (*told, *([f"and {left} more"] if left else [])))


def journals(
    reach: Reach, nodes: tuple[str, ...], offsets: Mapping[str, float], since: float, guests: Iterable[str] = ()
) -> Journals:
    """Return what the journals of all nodes tell from a time on."""
    guests = tuple(guests)
    entries: list[Entry] = []
    lines: list[Line] = []
    silent = []
    for node in nodes:
        ahead = offsets.get(node, 0.0)
        try:
            done = reach.run(node, *cluster_log.since_argv(since + ahead, guests), timeout=LIMIT, ok=None)
        except CommandError as error:
            silent.append(f"the journal of {node} could not be read: {error}")
            continue
        told = [line for line in map(cluster_log.parse_line, done.out.splitlines()) if line is not None]
        entries += timeline.shifted(filter(None, map(cluster_log.entry_of, told)), ahead)
        lines += [line.replace(at=line.at - ahead, node=node) for line in told]
    ordered = sorted(lines, key=lambda line: line.at)
    return Journals(entries=tuple(entries), lines=tuple(ordered), silent=tuple(silent))


def measured(
    outcome: Outcome, stage: Stage, seen: watch.Watch, clients: Clients, told: Iterable[Entry], *, until: float,
    back_at: float | None, undone_at: float | None,
) -> Outcome:  # fmt: skip
    """Return a drill's outcome with its timeline, and what each guest and address went through."""
    if outcome.struck_at is None:
        return outcome
    order = outcome.order
    made = timeline.Seen(
        struck_at=outcome.struck_at, until=until, node=order.guest or order.node, entries=tuple(told),
        processes=seen.processes, running=seen.running, agents=seen.agents, promoted=seen.promoted, disks=stage.disks,
        answers=clients.answers, stalls=tuple(clients.stalls), back_at=back_at, undone_at=undone_at,
        fenced_at=_fenced_at(seen.status, order.node, outcome.struck_at),
    )  # fmt: skip
    names = tuple(dict.fromkeys((*stage.uuids, *stage.known.addresses.values())))
    found = timeline.moments(made, names)
    status = seen.status
    places = {each.name: " ".join(each.nodes) for each in status.resources} if status is not None else {}
    touched = {moment.subject for moment in found}
    recovered = timeline.recoveries(made, found, [name for name in names if name in touched], places, stage.expected)
    return outcome.replace(moments=found, recoveries=recovered)


def _fenced_at(status: ClusterStatus | None, node: str, since: float) -> float | None:
    """Return when a node was fenced by the cluster's history, which may tell whole seconds, cut off."""
    found = []
    for event in status.fencings if status is not None else ():
        at = crm_mon.when(event.completed)
        if event.target == node and event.status == "success" and at is not None:
            found.append(at if "." in event.completed else at + 1.0)
    return min((at for at in found if at >= since), default=None)
