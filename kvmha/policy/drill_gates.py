"""May a drill be run now: what must hold before anybody breaks something on purpose.

Invariant: what is not known keeps a gate closed; a node is taken away only where the others keep quorum; and what may
harm is done to a node only where the others have room for its guests, and are proven to be able to fence it.
"""

from __future__ import annotations

from kvmha.policy import failover, fencing_proof, placement, quorum
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kvmha.policy.snapshot import Snapshot

NODES, QUORUM, ROOM, FENCING, DISKS, REST, DRILLS, MIGRATION, PLACE, BACKUP, WINDOW = (
    "nodes", "quorum", "room", "fencing", "disks", "rest", "drills", "migration", "place", "backup", "window",
)  # fmt: skip
GATES = (NODES, QUORUM, ROOM, FENCING, DISKS, REST, DRILLS, MIGRATION, PLACE, BACKUP, WINDOW)

DAY_MIN = 24 * 60


class Gate(Record):
    """One thing that must hold: whether it does, why, and what to do where it does not."""

    name: str
    is_open: bool
    said: str
    remedy: str = ""


class Backup(Record):
    """Whether there is a backup as fresh as the operator demands."""

    is_fresh: bool
    said: str


class Around(Record):
    """What bears on a drill beside the cluster itself."""

    here: str
    """The node from which it is run."""
    now: float
    minute: int
    """Of the local day."""
    window: str = ""
    """HH:MM-HH:MM, or nothing where none is demanded."""
    operations: Mapping[str, Mapping[str, str] | None] = {}
    """By node, what libvirt does with guests there and takes long: a move, a save; None for a node that says nothing
    of it."""
    drills: Mapping[str, str] = {}
    """By other node, the drill that is run from there; each takes its own node's lock before it asks the others, so
    that of two at the same time at least one sees the other."""
    backup: Backup | None = None
    """None where none is demanded."""


def judge(
    snapshot: Snapshot, around: Around, *, target: str, takes_node: bool, may_harm: bool = False
) -> tuple[Gate, ...]:
    """Return all gates of a drill on a node: of one that takes it away, and of one that interrupts what runs there,
    where a stop that fails afterwards takes the node away as well.
    """
    return tuple(_gates(snapshot, around, target, takes_node=takes_node, may_harm=may_harm or takes_node))


def _gates(snapshot: Snapshot, around: Around, target: str, *, takes_node: bool, may_harm: bool) -> Iterator[Gate]:
    yield _nodes(snapshot)
    yield _rest(snapshot)
    yield _drills(around.drills)
    yield _migration(snapshot, around.operations)
    yield _quorum(snapshot, target if takes_node else "")
    yield _disks(snapshot)
    if takes_node:
        yield _place(target, around.here)
    if may_harm:
        yield _room(snapshot)
        yield _fencing(snapshot, target, around.now)
    if around.backup is not None:
        yield _backup(around.backup)
    if around.window:
        yield _window(around.window, around.minute)


def _nodes(snapshot: Snapshot) -> Gate:
    away = [node.name for node in snapshot.members if not node.is_usable]
    if len(snapshot.members) < 2:
        return Gate(name=NODES, is_open=False, said="there is only one node", remedy="a drill needs somebody to go on")
    if away:
        said = f"{', '.join(away)} cannot run anything now"
        return Gate(name=NODES, is_open=False, said=said, remedy="bring all nodes back first; kvmha status says more")
    return Gate(name=NODES, is_open=True, said=f"all {len(snapshot.members)} nodes can run guests")


def _rest(snapshot: Snapshot) -> Gate:
    busy = [f"{each.name} is {each.pending.lower()}" for each in snapshot.resources if each.pending]
    failed = [f"{each.resource} failed on {each.node}" for each in snapshot.failures]
    blocked = [f"{each.name} is blocked" for each in snapshot.resources if each.is_blocked]
    idle = [f"{each.name} does not run" for each in snapshot.guests if each.is_wanted and not each.nodes]
    loose = [f"{each.name} is not managed" for each in snapshot.resources if not each.is_managed]
    words = [*busy, *failed, *blocked, *idle, *loose]
    if words:
        said = "; ".join(words[:3]) + (" ..." if len(words) > 3 else "")
        return Gate(name=REST, is_open=False, said=said, remedy="let it end, or mend it and crm_resource --cleanup")
    return Gate(name=REST, is_open=True, said="nothing failed, nothing is under way")


def _drills(drills: Mapping[str, str]) -> Gate:
    if drills:
        said = "; ".join(f"{drill} is run from {node}" for node, drill in sorted(drills.items()))
        return Gate(name=DRILLS, is_open=False, said=said, remedy="let it end, or end it there: kvmha drill abort")
    return Gate(name=DRILLS, is_open=True, said="no other node runs a drill")


def _migration(snapshot: Snapshot, operations: Mapping[str, Mapping[str, str] | None]) -> Gate:
    """Judge moves, also those that somebody has ordered past the cluster, and all else that libvirt is busy with."""
    found = [f"{each.name} is {each.pending.lower()}" for each in snapshot.guests if "migrat" in each.pending.lower()]
    silent = []
    for node in (each.name for each in snapshot.members):
        told = operations.get(node)
        silent += [node] if told is None else []
        found += [f"{what} of {name} is under way on {node}" for name, what in sorted((told or {}).items())]
    if found:
        said = "; ".join(found[:3]) + (" ..." if len(found) > 3 else "")
        return Gate(name=MIGRATION, is_open=False, said=said, remedy="let it end; virsh domjobinfo shows how far it is")
    if silent:
        said = f"it is not known whether a guest moves on {', '.join(silent)}"
        return Gate(name=MIGRATION, is_open=False, said=said, remedy="install this version of kvmha there")
    return Gate(name=MIGRATION, is_open=True, said="no guest moves, and none is being saved")


def _backup(backup: Backup) -> Gate:
    remedy = "" if backup.is_fresh else "make a backup first"
    return Gate(name=BACKUP, is_open=backup.is_fresh, said=backup.said, remedy=remedy)


def _quorum(snapshot: Snapshot, lost: str) -> Gate:
    if not snapshot.is_quorate:
        return Gate(name=QUORUM, is_open=False, said="the cluster has no quorum", remedy="kvmha quorum says why")
    settings, is_assumed = failover.settings_of(snapshot)
    left = [node.name for node in snapshot.members if node.is_online and node.name != lost]
    if is_assumed:
        return Gate(name=QUORUM, is_open=False, said="no corosync.conf is known", remedy="run it on a node")
    if not quorum.judge(settings, [left]).parts[0].part.is_quorate:
        said = f"without {lost} the others would have no quorum" if lost else "it would not hold"
        return Gate(name=QUORUM, is_open=False, said=said, remedy="kvmha quorum shows who would go on")
    return Gate(name=QUORUM, is_open=True, said=f"{', '.join(left)} keep it")


def _room(snapshot: Snapshot) -> Gate:
    found = placement.n_plus_one(snapshot)
    remedy = "" if found.holds else "make room, or say the sizes of guests (utilization hv_memory)"
    return Gate(name=ROOM, is_open=found.holds is True, said=found.said, remedy=remedy)


def _fencing(snapshot: Snapshot, target: str, now: float) -> Gate:
    if not snapshot.is_fencing_on:
        return Gate(name=FENCING, is_open=False, said="fencing is off", remedy="pcs property set stonith-enabled=true")
    known = [path for path in snapshot.fence_paths if path.target == target]
    judged = fencing_proof.judge(known, snapshot.fence_trials, now=now)
    is_proven, said = fencing_proof.sentence(judged, now=now)
    remedy = "" if is_proven else f"kvmha fence prove --node {target}, on every node"
    return Gate(name=FENCING, is_open=is_proven is True, said=said, remedy=remedy)


def _disks(snapshot: Snapshot) -> Gate:
    short = []
    for disk in sorted({replica.disk for replica in snapshot.replicas}):
        scores = snapshot.replica_scores(disk).values()
        if sum((score or 0) >= failover.UP_TO_DATE_SCORE for score in scores) < 2:
            short.append(disk)
    if short:
        said = f"{', '.join(short)} is not up to date on two nodes"
        return Gate(name=DISKS, is_open=False, said=said, remedy="kvmha drbd sync shows how far it is")
    return Gate(name=DISKS, is_open=True, said="no DRBD resource lacks a current copy")


def _place(target: str, here: str) -> Gate:
    if target == here:
        said = f"{target} is this very node, and would take the runner of the drill with it"
        return Gate(name=PLACE, is_open=False, said=said, remedy="run it on another node")
    return Gate(name=PLACE, is_open=True, said=f"it is run from {here}")


def minutes(window: str) -> tuple[int, int] | None:
    """Read HH:MM-HH:MM into minutes of the day; None for what is none."""
    found = []
    for word in window.split("-"):
        hours, colon, rest = word.strip().partition(":")
        is_time = colon and hours.isdecimal() and rest.isdecimal() and len(rest) == 2
        if not is_time or int(hours) > 23 or int(rest) > 59:
            return None
        found.append(int(hours) * 60 + int(rest))
    return (found[0], found[1]) if len(found) == 2 and found[0] != found[1] else None


def _window(window: str, minute: int) -> Gate:
    span = minutes(window)
    if span is None:
        return Gate(name=WINDOW, is_open=False, said=f'"{window}" is no window', remedy="give it as 22:00-04:00")
    first, last = span
    is_in = (minute - first) % DAY_MIN < (last - first) % DAY_MIN
    said = f"it is {minute // 60:02d}:{minute % 60:02d}, and the window is {window}"
    return Gate(name=WINDOW, is_open=is_in, said=said, remedy="" if is_in else "wait for it")


def check_invariants(gates: tuple[Gate, ...], *, takes_node: bool, may_harm: bool = False) -> None:
    """Raise AssertionError where a gate that must be asked was not, or one that is closed does not say what to do."""
    names = {gate.name for gate in gates}
    assert {NODES, QUORUM, DISKS, REST, DRILLS, MIGRATION} <= names
    assert not (takes_node or may_harm) or {ROOM, FENCING} <= names
    assert (PLACE in names) == takes_node
    for gate in gates:
        assert gate.is_open or gate.remedy, f"{gate.name} is closed, and does not say what to do"
