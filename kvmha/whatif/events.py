"""The events that can be asked about: their words, and what each one needs to make sense.

A row of the table is a word, what it is given, and what it does; ``then`` lets the cluster come to rest in between.
"""

from __future__ import annotations

from itertools import combinations

from kvmha.errors import UserError
from kvmha.policy.failover import Trouble
from kvmha.policy.snapshot import MEMBER, Snapshot
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NODE, RESOURCE, SIZE, LINK = "NODE", "RESOURCE", "SIZE", "LINK"

KILL, CUT, STANDBY, ONLINE = "kill", "cut", "standby", "online"
FAIL_FENCING, MIGRATE, ADD_GUEST, FAIL = "fail-fencing", "migrate", "add-guest", "fail"
LINK_LOST, LOSE_STORAGE, LOSE_DEVICE, LOSE_QUORUM = "link", "lose-storage", "lose-device", "lose-quorum"
THEN = "then"

WORDS = {
    KILL: ((NODE,), "the node loses its power"),
    CUT: ((NODE,), "the node runs on and nobody reaches it"),
    LINK_LOST: ((NODE, LINK), "one of the node's links is lost"),
    STANDBY: ((NODE,), "the node is emptied"),
    ONLINE: ((NODE,), "the node leaves standby"),
    FAIL_FENCING: ((NODE,), "the node cannot be fenced"),
    LOSE_STORAGE: ((NODE,), "the node loses the disks of its guests"),
    LOSE_DEVICE: ((), "the quorum device is gone"),
    LOSE_QUORUM: ((), "quorum is lost"),
    FAIL: ((RESOURCE,), "the resource's monitor fails"),
    MIGRATE: ((RESOURCE, NODE), "the resource is sent to the node"),
    ADD_GUEST: ((SIZE,), "one guest more, so large"),
}

LONGEST = 9
"""How many digits a size may have."""

UNITS_MIB = {"mib": 1, "m": 1, "gib": 1024, "g": 1024, "tib": 1024 * 1024, "t": 1024 * 1024}


class Event(Record):
    """One thing that happens."""

    word: str
    values: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """The words by which it was asked for."""
        return " ".join((self.word, *self.values))


def parse(words: Sequence[str], snapshot: Snapshot) -> tuple[tuple[Event, ...], ...]:
    """Return the events, in phases that ``then`` parts. Raises UserError for words that name nothing here.

    Whether an event can happen in the state that the cluster is in by then is for ``check``.
    """
    phases: list[list[Event]] = [[]]
    left = list(words)
    while left:
        word = left.pop(0)
        if word == THEN:
            phases.append([])
            continue
        if word not in WORDS:
            raise UserError(f'there is no event "{word}"; there are {", ".join(WORDS)}, and "then" between two')
        names, _ = WORDS[word]
        values, left = tuple(left[: len(names)]), left[len(names) :]
        if len(values) < len(names) or any(value in WORDS or value == THEN for value in values):
            raise UserError(f"{word} wants {' and '.join(names)}: {word} {' '.join(names)}")
        event = Event(word=word, values=values)
        _check(event, snapshot)
        phases[-1].append(event)
    if not all(phases):
        raise UserError('"then" stands between two events')
    for phase in phases:
        _check_together(phase)
    return tuple(tuple(phase) for phase in phases)


def check(phase: Sequence[Event], snapshot: Snapshot) -> None:
    """Raise UserError for an event that cannot happen: to a node that is off, or to what does not run."""
    for event in phase:
        for kind, value in zip(WORDS[event.word][0], event.values):
            if kind == NODE:
                _check_state(event, value, snapshot)
            elif kind == RESOURCE:
                _check_place(event, value, snapshot)


def _check(event: Event, snapshot: Snapshot) -> None:
    names, _ = WORDS[event.word]
    for kind, value in zip(names, event.values):
        if kind == NODE:
            _check_node(event, value, snapshot)
        elif kind == RESOURCE:
            _check_resource(event, value, snapshot)
        elif kind == SIZE:
            mebibytes(value)
        elif kind == LINK:
            _check_link(value, snapshot)
    if event.word == LOSE_DEVICE and snapshot.quorum is None:
        raise UserError(
            "lose-device: no corosync.conf is known, so whether there is a quorum device is not; give --corosync-conf"
        )
    if event.word == LOSE_DEVICE and snapshot.quorum is not None and snapshot.quorum.device is None:
        raise UserError("lose-device: this cluster has no quorum device")
    if event.word == LOSE_DEVICE and snapshot.is_device_alive is False:
        raise UserError("lose-device: the quorum device does not vote already")


def _check_node(event: Event, name: str, snapshot: Snapshot) -> None:
    node = snapshot.node(name)
    if node is None:
        known = ", ".join(each.name for each in snapshot.nodes)
        raise UserError(f"{event.word}: there is no node {name}; the nodes are {known}")
    if node.kind != MEMBER and event.word in (KILL, CUT, FAIL_FENCING, LINK_LOST):
        raise UserError(f"{event.word}: {name} is a remote node; name the node on which its resource runs")


def _check_state(event: Event, name: str, snapshot: Snapshot) -> None:
    node = snapshot.node(name)
    if node is None:
        return
    if event.word in (KILL, CUT, STANDBY, LOSE_STORAGE) and not node.is_online:
        raise UserError(f"{event.word}: {name} is offline already")
    if event.word == STANDBY and node.is_standby:
        raise UserError(f"standby: {name} is in standby already")
    if event.word == ONLINE and not node.is_standby:
        raise UserError(f"online: {name} is not in standby")


def _check_resource(event: Event, name: str, snapshot: Snapshot) -> None:
    if snapshot.resource(name) is None:
        guests = ", ".join(guest.name for guest in snapshot.guests) or "none"
        raise UserError(f"{event.word}: there is no resource {name}; the guests are {guests}")


def _check_place(event: Event, name: str, snapshot: Snapshot) -> None:
    resource = snapshot.resource(name)
    if resource is None:
        return
    if event.word == FAIL and not resource.nodes:
        raise UserError(f"fail: {name} does not run, so its monitor cannot fail")
    if event.word == MIGRATE and event.values[1] in resource.nodes:
        raise UserError(f"migrate: {name} runs on {event.values[1]} already")
    if event.word == MIGRATE and not getattr(snapshot.node(event.values[1]), "is_online", True):
        raise UserError(f"migrate: {event.values[1]} is offline")


def _check_link(text: str, snapshot: Snapshot) -> None:
    known = [str(link.number) for link in snapshot.totem.links] if snapshot.totem is not None else None
    if known is not None and text not in known:
        raise UserError(f"link: there is no link {text}; the links are {', '.join(known)}")
    if not text.isdecimal() or not text.isascii():
        raise UserError(f'link: "{text}" is no link; give its number, such as link n1 0')


def _check_together(phase: list[Event]) -> None:
    struck = [event.values[0] for event in phase if event.word in (KILL, CUT, STANDBY, ONLINE)]
    for name in struck:
        if struck.count(name) > 1:
            raise UserError(f"{name} is struck twice at the same time; put then between the two events")
    sent = [event.values[0] for event in phase if event.word == MIGRATE]
    for name in sent:
        if sent.count(name) > 1:
            raise UserError(f"migrate: {name} is sent away twice at the same time; put then between the two events")
    gone = {event.values[0] for event in phase if event.word in (KILL, CUT)}
    for event in phase:
        if event.word == MIGRATE and event.values[1] in gone:
            raise UserError(f"migrate: {event.values[1]} is gone at the same time; put then between the two events")


def mebibytes(text: str) -> int:
    """Read a size such as 8GiB or 8192MiB. Raises UserError."""
    word = text.strip().lower()
    digits = word.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = word[len(digits) :].strip()
    # A number of more digits than that is no memory of any machine.
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= LONGEST and int(digits) > 0
    if not is_number or unit not in UNITS_MIB:
        raise UserError(f'add-guest: "{text[:40]}" is no size; give it as 8GiB or 8192MiB')
    return int(digits) * UNITS_MIB[unit]


def trouble_of(phase: Sequence[Event], snapshot: Snapshot, *, before: Sequence[Event] = ()) -> Trouble:
    """Return what the events of a phase mean for the nodes; ``before`` are the links that were lost earlier."""
    found = Trouble()
    lost = (*before, *(event for event in phase if event.word == LINK_LOST))
    for event in phase:
        first = event.values[:1]
        if event.word == KILL:
            found = found.joined(Trouble(dead=first))
        elif event.word == CUT or (event.word == LINK_LOST and links_left(first[0], lost, snapshot) == ()):
            found = found.joined(Trouble(cut=first))
        elif event.word == FAIL_FENCING:
            found = found.joined(Trouble(unfenceable=first))
        elif event.word == LOSE_STORAGE:
            found = found.joined(Trouble(without_storage=first))
        elif event.word == LOSE_DEVICE:
            found = found.joined(Trouble(device_alive=False))
        elif event.word == LOSE_QUORUM:
            found = found.joined(Trouble(lacks_quorum=True))
    halves = parted(lost, snapshot)
    if halves and len(snapshot.members) == 2 and any(event.word == LINK_LOST for event in phase):
        # Each has a link, and it is not the same one: neither sees the other.
        found = found.joined(Trouble(cut=halves[0][:1]))
    return found


def links_left(node: str, lost: Sequence[Event], snapshot: Snapshot) -> tuple[int, ...] | None:
    """Return the numbers of the links that a node has after these are lost; None where no corosync.conf tells."""
    if snapshot.totem is None:
        return None
    gone = {number for name, number in (event.values for event in lost) if name == node}
    return tuple(link.number for link in snapshot.totem.links if str(link.number) not in gone)


def parted(lost: Sequence[Event], snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    """Return the pairs of nodes that have links left, and none in common."""
    names = sorted({event.values[0] for event in lost})
    left = {name: frozenset(links_left(name, lost, snapshot) or ()) for name in names}
    return tuple(
        (one, other)
        for one, other in combinations(names, 2)
        if left[one] and left[other] and not left[one] & left[other]
    )
