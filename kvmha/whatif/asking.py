"""Ask Pacemaker's scheduler what it does after events, and put what it does not know beside it."""

from __future__ import annotations

from kvmha.policy import failover, placement, whatif
from kvmha.policy.failover import ERROR, NOTE, WARNING, Caution, Trouble
from kvmha.policy.plan import Planned, Round
from kvmha.policy.snapshot import GUEST, REPLICA
from kvmha.policy.whatif import Answer, Asked
from kvmha.tools import cib as cib_reader
from kvmha.tools import crm_simulate
from kvmha.tools.cib import faults
from kvmha.whatif import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any as Element

    from kvmha.host import Host
    from kvmha.policy.failover import Outlook
    from kvmha.policy.snapshot import Snapshot
    from kvmha.policy.whatif import Phase
    from kvmha.whatif.events import Event

ROUNDS = 6
"""How often the scheduler is asked until it has nothing more to do."""

DISKLESS_SCORE = "10"
"""The promotion score of a replica that lost its own disk and reaches its peer's (policy/promotion: Scores.remote)."""

QUIET = ("", "reload", "reload-agent")
"""Words of the scheduler's summary for what disturbs nobody."""


class Asking:
    """One question: the cluster as it is, and where drafts go."""

    def __init__(
        self, host: Host, text: str, *, read: Callable[[str, str], Snapshot], folder: str, bandwidth: float
    ) -> None:
        self.host, self.text, self.read, self.folder, self.bandwidth = host, text, read, folder, bandwidth
        self.scheduler_s = 0.0
        self.status = ""
        self.planned: Snapshot | None = None
        self.asked: list[Asked] = []
        """All that was asked of the scheduler, and what it said."""

    def ask(self, words: Sequence[str]) -> Answer:
        """Return what becomes of the events. Raises UserError, CommandError."""
        began = self.host.now()
        now = self._transition(self.text)
        snapshot = self.read(self.text, shown(now, "cluster_status"))
        phases = events.parse(words, snapshot)
        restless = (*_restless(snapshot, now), *_not_looked_at(snapshot))
        trouble = Trouble()
        links: tuple[Event, ...] = ()
        found: list[Phase] = []
        for phase in phases:
            snapshot = self.planned or snapshot
            events.check(phase, snapshot)
            struck = events.trouble_of(phase, snapshot, before=links)
            trouble = trouble.replace(lacks_quorum=False).joined(struck)
            known = (*(restless if not found else ()), *_of_links(phase, snapshot, links))
            found.append(self._phase(phase, snapshot, trouble, known))
            # A link that is lost stays lost.
            links += tuple(event for event in phase if event.word == events.LINK_LOST)
            # Who was fenced is off, and no longer a trouble.
            trouble = trouble.replace(dead=(), cut=tuple(name for name in trouble.cut if name in trouble.unfenceable))
        taken = self.host.now() - began
        return Answer(
            source=snapshot.source,
            phases=tuple(found),
            unread=snapshot.unread,
            scheduler_s=round(self.scheduler_s, 3),
            own_s=round(taken - self.scheduler_s, 3),
        )

    def _phase(self, phase: Sequence[Event], snapshot: Snapshot, trouble: Trouble, known: tuple[Caution, ...]) -> Phase:
        look = failover.outlook(snapshot, trouble)
        root = cib_reader.tree(self.text)
        inject = self._apply(root, phase, snapshot, look)
        rounds = self._rounds(cib_reader.text_of(root), inject, look) if look.standing else ()
        self.planned = self.read(self.text, self.status) if rounds else snapshot
        asked = Asked(
            events=tuple(event.said for event in phase),
            trouble=trouble,
            before=snapshot,
            planned=self.planned,
            rounds=rounds,
            is_voluntary=all(event.word in (events.ADD_GUEST, events.MIGRATE) for event in phase),
            known=known,
        )
        self.asked.append(asked)
        return whatif.phase(asked, look, bandwidth=self.bandwidth)

    def _apply(self, root: Element, phase: Sequence[Event], snapshot: Snapshot, look: Outlook) -> tuple[str, ...]:
        """Write events into the CIB; return the options of crm_simulate for those that cannot be written."""
        for name in look.lost:
            node = snapshot.node(name)
            if node is None or node.is_online or node.is_unclean:
                faults.lose(root, name)
        faults.set_quorum(root, is_quorate=bool(look.acting))
        if look.standing and snapshot.dc not in look.standing:
            faults.set_dc(root, look.standing[0])
        inject: list[str] = []
        for event in phase:
            inject += _write(root, event, snapshot)
        return tuple(inject)

    def _rounds(self, text: str, inject: tuple[str, ...], look: Outlook) -> tuple[Round, ...]:
        """Let the scheduler plan until it has nothing more to do; the CIB after it is the text of what follows."""
        fails = any(each.fails for each in look.fencings)
        found: list[Round] = []
        self.text = text
        while len(found) < ROUNDS:
            made = self._transition(self.text, inject)
            self.text, inject, self.status = self._after(), (), shown(made, "revised_cluster_status")
            changes = tuple(
                Planned(
                    action=each.action,
                    subject=each.subject,
                    source=each.source,
                    target=each.target,
                    reason=each.reason,
                    is_blocked=each.is_blocked,
                )
                for each in made.changes
            )
            if found and not any(change.action not in QUIET for change in changes):
                break
            found.append(Round(changes=changes, actions=made.graph))
            # crm_simulate takes every fencing for done; where one fails, only the first plan is real.
            if fails:
                break
        return tuple(found)

    def _transition(self, text: str, inject: tuple[str, ...] = ()) -> crm_simulate.Transition:
        made = crm_simulate.transition(self.host, text, folder=self.folder, more=inject)
        self.scheduler_s += made.took_s
        return made

    def _after(self) -> str:
        return self.host.read_bytes(f"{self.folder}/{crm_simulate.AFTER}", crm_simulate.GRAPH_LIMIT).decode()


def shown(made: crm_simulate.Transition, part: str) -> str:
    """Return the part of what the scheduler printed that shows nodes and resources: before, or at the end."""
    return f"<shown>{made.text[made.text.find(f'<{part}>') : made.text.find(f'</{part}>')]}</{part}></shown>"


def _restless(snapshot: Snapshot, now: crm_simulate.Transition) -> tuple[Caution, ...]:
    """Say what Pacemaker is about to do without any event; what-if starts from a cluster at rest."""
    changes = [change for change in now.changes if change.action not in QUIET]
    if not changes:
        return ()
    words = ", ".join(f"{change.action} {change.subject}" for change in changes[:4])
    more = f" and {len(changes) - 4} more" if len(changes) > 4 else ""
    said = f"the cluster is not at rest, and Pacemaker acts without any event: {words}{more}"
    return (Caution(code="not-at-rest", severity=WARNING, subject=snapshot.cluster or "cluster", said=said),)


def _not_looked_at(snapshot: Snapshot) -> tuple[Caution, ...]:
    """Say what placement does not know of the nodes."""
    said = placement.not_looked_at(snapshot)
    return (Caution(code="not-looked-at", severity=NOTE, subject="placement", said=said),) if said else ()


def _write(root: Element, event: Event, snapshot: Snapshot) -> list[str]:
    if event.word in (events.STANDBY, events.ONLINE):
        faults.set_standby(root, event.values[0], is_standby=event.word == events.STANDBY)
    elif event.word == events.MIGRATE:
        faults.prefer(root, *event.values)
    elif event.word == events.ADD_GUEST:
        _add_guest(root, event, snapshot)
    elif event.word == events.FAIL:
        resource = snapshot.resource(event.values[0])
        return [word for node in (resource.nodes if resource else ()) for word in _failed(event.values[0], node)]
    elif event.word == events.LOSE_STORAGE:
        return _lose_storage(root, event.values[0], snapshot)
    return []


def _failed(name: str, node: str) -> list[str]:
    return ["--op-inject", f"{name}_monitor_10000@{node}=1"]


def _lose_storage(root: Element, node: str, snapshot: Snapshot) -> list[str]:
    """Take a node's disks: a replica there falls back to its peer's disk, and a guest on anything else fails."""
    lost = {replica.disk for replica in snapshot.replicas if replica.node == node and replica.score is not None}
    for resource in snapshot.resources:
        if resource.kind == REPLICA and node in resource.nodes:
            for name, value in (snapshot.node(node) or snapshot.nodes[0]).attributes.items():
                is_score = name.endswith(tuple(lost)) or name == f"master-{resource.name}"
                if is_score and value.lstrip("-").isdigit():
                    faults.set_transient(root, node, name, DISKLESS_SCORE)
    bare = [each.name for each in snapshot.on(node) if each.kind == GUEST and not set(each.disks) & lost]
    return [word for name in bare for word in _failed(name, node)]


def _add_guest(root: Element, event: Event, snapshot: Snapshot) -> None:
    """Add a guest that says its size under the name by which the others do."""
    size = events.mebibytes(event.values[0])
    names = [name for guest in snapshot.guests for name in guest.utilization if "memory" in name]
    name = next((f"new-guest{number}" for number in _counted() if snapshot.resource(f"new-guest{number}") is None), "")
    faults.add_guest(root, name, {max(set(names), key=names.count) if names else "hv_memory": size})


def _counted() -> Sequence[str]:
    return ("", *(f"-{number}" for number in range(2, 1000)))


def _of_links(phase: Sequence[Event], snapshot: Snapshot, before: tuple[Event, ...]) -> list[Caution]:
    struck = [event for event in phase if event.word == events.LINK_LOST]
    found = []
    for event in struck:
        node, number = event.values
        left = events.links_left(node, (*before, *struck), snapshot)
        if left is None:
            said, severity = "no corosync.conf is known, so whether another link carries on is not", WARNING
        elif left:
            said, severity = f"{len(left)} more carry on, corosync changes over by itself, and nothing moves", NOTE
        else:
            said, severity = "none is left: the node is cut off", ERROR
        found.append(Caution(code="link", severity=severity, subject=node, said=f"link {number}: {said}"))
    for pair in events.parted((*before, *struck), snapshot) if struck else ():
        said = "they have no link in common any more"
        if len(snapshot.members) > 2:
            said += ": corosync wants every node to reach each other one, and what it makes of this is not foretold"
        found.append(Caution(code="link", severity=ERROR, subject=" and ".join(pair), said=said))
    return found
