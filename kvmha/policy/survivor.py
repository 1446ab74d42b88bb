"""Which node of a pair is to survive a split, and the delay of a fence device that sees to it before trouble comes.

Both halves of a pair have quorum and fence each other. The one whose fencing waits longer survives. Invariant: a delay
is chosen only while the pair is whole, and never for a split after which nothing could run: what people have configured
is left as it is wherever it does, ours is laid over it where it does not, and on one node of the two only.
"""

from __future__ import annotations

import math

from kvmha.policy import placement
from kvmha.policy.failover import (
    NEARLY_S,
    UP_TO_DATE_SCORE,
    WARNING,
    Caution,
    first_level,
    priority_delay,
    priority_of,
    settings_of,
    shot_after,
    why_not_fence,
)
from kvmha.policy.snapshot import FENCING, GUEST, Snapshot
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kvmha.policy.placement import NPlusOne
    from kvmha.policy.snapshot import Device, Node

CHANGE, KEEP, REFUSE = "change", "keep", "refuse"

TOO_LONG_S = 5.0
"""By how much a delay that was laid over a device may be longer than is needed before it is shortened. What is needed
follows from what the last monitor of a device took, which is never twice the same; and each change is a new version of
the configuration on both nodes."""

HEADROOM = 1.5
"""How many times as long as usual its own shot may take and still be through in time: both nodes have more to do in a
split than when a fence device was asked last. A delay is laid over with so much room, and stays while it is enough
without it."""

CRITERIA = (
    "disks that only it has up to date",
    "faults on it",
    "guests without a place if the other one is lost",
    "the priority of its guests",
    "a split leaves it now",
    "the number of its guests",
)
"""What is compared, in this turn. Where data, faults, room and priorities are alike, the one that would survive anyhow
stays the one, so that nothing is written for each move of a guest."""


class Choice(Record):
    """Which node of a pair should survive a split, and by which delay that is had."""

    node: str
    rival: str
    reasons: tuple[str, ...]
    delay_s: float
    """How long the rival's shot is to wait so that its own is through before, with room; whole seconds."""
    device: str = ""
    """The fence device that has to wait, the first that is tried for the node; empty where there is none."""


class Survival(Record):
    """What is to be done for the survivor of a pair."""

    act: str
    """change, keep, or refuse: something is not as it should be, and this is no time to change it."""
    choice: Choice | None
    """None where no pair alone decides."""
    head_start_s: float | None = None
    """How long after the rival is off its own shot would begin, with what is configured; negative: the two cross."""
    delays: Mapping[str, str] = {}
    """By fence device, what is to be laid over its pcmk_delay_base; over every other one nothing is."""
    now: Mapping[str, str] = {}
    """The same as it is now."""
    cautions: tuple[Caution, ...] = ()
    """Why it is refused, or what to know."""
    said: str = ""


def decide(snapshot: Snapshot) -> Survival:
    """Return which node is to survive a split, and what has to be laid over the fence devices for that."""
    now = {device.name: device.steered for node in snapshot.members for device in node.fencing if device.steered}
    if not _is_pair(snapshot):
        said = "no pair alone decides here: three votes or a quorum device tell who goes on"
        return Survival(act=CHANGE if now else KEEP, choice=None, now=now, said=said)
    choice = favourite(snapshot)
    brakes = tuple(_brakes(snapshot, choice))
    if choice is None or brakes:
        said = brakes[0].said if brakes else "the pair is not whole"
        return Survival(act=REFUSE, choice=choice, delays=now, now=now, cautions=brakes, said=said)
    bare = unsteered(snapshot)
    ahead = head_start(bare, choice.node, choice.rival)
    # What is laid over a device stays until there is some margin without it: measured times are never the same.
    enough = NEARLY_S if choice.device in now else 0.0
    delays = {} if ahead >= enough else {choice.device: _delay(snapshot, choice, now)}
    why = f"{choice.node} is to survive a split ({choice.reasons[0]})"
    if not delays:
        how = f"it will, by what is configured: {choice.rival} is off {ahead:.1f} s before its own shot begins"
    else:
        how = f"{choice.device} waits for that, by pcmk_delay_base={delays[choice.device]}"
    return Survival(
        act=KEEP if delays == now else CHANGE,
        choice=choice,
        head_start_s=round(ahead, 1) if math.isfinite(ahead) else None,
        delays=delays,
        now=now,
        said=f"{why}; {how}",
    )


def _is_pair(snapshot: Snapshot) -> bool:
    settings, _ = settings_of(snapshot)
    return len(settings.voters) == 2 and settings.device is None


def _brakes(snapshot: Snapshot, choice: Choice | None) -> Iterator[Caution]:
    """Yield why this is no time to choose: trouble is there already, or its cause is shared, or nothing could wait."""
    if not snapshot.is_fencing_on:
        yield _brake("fencing-off", "cluster", "fencing is off, so that nobody survives by it")
    if snapshot.is_quorate is False:
        yield _brake("no-quorum", "quorum", "there is no quorum; what is not decided now is decided when it is back")
    for node in snapshot.members:
        words = (("unclean", node.is_unclean), ("offline", not node.is_online), ("pending", node.is_pending))
        state = next((word for word, holds in words if holds), "")
        if state:
            said = f"{node.name} is {state}: trouble is here, and nothing is changed in it"
            yield _brake("not-whole", node.name, said)
    busy = [each.name for each in snapshot.resources if each.pending and each.pending != "Monitoring"]
    if busy:
        yield _brake("busy", busy[0], f"{busy[0]} is {_word(snapshot, busy[0])}: what is to be kept changes just now")
    for node in snapshot.members:
        if not node.fencing:
            yield _brake("no-device", node.name, f"{node.name} has no fence device whose shot could wait")
    ill = {device.name for node in snapshot.members for device in node.fencing} & _failed(snapshot)
    for name in sorted(ill):
        yield _brake("fence-device-failed", name, f"the fence device {name} has failed; mend it first")
    if choice is not None:
        reason = why_not_fence(snapshot, choice.rival, _suffering(snapshot))
        if reason:
            yield _brake("storm", choice.rival, f"{choice.rival} would be fenced: {reason}")


def _word(snapshot: Snapshot, name: str) -> str:
    return next((each.pending.lower() for each in snapshot.resources if each.name == name), "")


def _brake(code: str, subject: str, said: str) -> Caution:
    return Caution(code=code, severity=WARNING, subject=subject, said=said)


def _failed(snapshot: Snapshot) -> set[str]:
    fencing = {each.name for each in snapshot.resources if each.kind == FENCING}
    failed = {each.name for each in snapshot.resources if each.is_failed}
    return fencing & (failed | {failure.resource for failure in snapshot.failures})


def _suffering(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the nodes on which the same resource has failed, where there are several: no single node is the cause."""
    where: dict[str, set[str]] = {}
    for failure in snapshot.failures:
        where.setdefault(failure.resource, set()).add(failure.node)
    return tuple(sorted({node for nodes in where.values() if len(nodes) > 1 for node in nodes}))


# --------------------------------------------------------------- who is to win


def favourite(snapshot: Snapshot) -> Choice | None:
    """Return the node of a pair that should survive a split; None where no pair alone decides, or it is not whole.

    Data comes first: a replica that nobody else has up to date. Then faults, then the guests that would have no place
    after the other one's loss, then priorities; what counts last is in ``CRITERIA``, and then the name.
    """
    nodes = [node for node in snapshot.members if node.is_online]
    if not _is_pair(snapshot) or len(nodes) != 2:
        return None
    room = placement.n_plus_one(snapshot)
    ranks = {one.name: _rank(snapshot, one, other, room) for one, other in (nodes, reversed(nodes))}
    best = min(ranks, key=lambda name: (tuple(-value for value in ranks[name]), name))
    rival = next(name for name in ranks if name != best)
    reasons = tuple(
        f"{word}: {abs(mine)} against {abs(theirs)}"
        for word, mine, theirs in zip(CRITERIA, ranks[best], ranks[rival])
        if mine != theirs
    )
    node = snapshot.node(best)
    devices = first_level(node) if node is not None else ()
    return Choice(
        node=best,
        rival=rival,
        reasons=reasons or ("nothing tells them apart but their names",),
        delay_s=math.ceil(_needed(unsteered(snapshot), best, rival)),
        device=devices[0].name if devices else "",
    )


def _rank(snapshot: Snapshot, node: Node, other: Node, room: NPlusOne) -> tuple[int, ...]:
    fresh = 0
    for disk in {replica.disk for replica in snapshot.replicas}:
        scores = snapshot.replica_scores(disk)
        well = [name for name, score in scores.items() if score is not None and score >= UP_TO_DATE_SCORE]
        fresh += well == [node.name]
    faults = int(not node.is_usable) + sum(failure.node == node.name for failure in snapshot.failures)
    # A guest of a size that nobody knows tells nothing for either.
    lacking = [
        each for plan in room.plans if plan.lost == (other.name,) for each in plan.stranded if not each.is_unknown
    ]
    guests = [each for each in snapshot.on(node.name) if each.kind == GUEST]
    wins = shot_after(snapshot, (other.name,), (node.name,)) - shot_after(snapshot, (node.name,), (other.name,))
    return fresh, -faults, -len(lacking), priority_of(snapshot, node.name), int(wins >= NEARLY_S), len(guests)


# ------------------------------------------------------------- how that is had


def unsteered(snapshot: Snapshot) -> Snapshot:
    """Return the cluster without what was laid over the delays of its fence devices."""
    return snapshot.replace(
        nodes=tuple(node.replace(fencing=tuple(_bare(device) for device in node.fencing)) for node in snapshot.nodes)
    )


def _bare(device: Device) -> Device:
    if device.unsteered is None:
        return device
    delay, most = device.unsteered
    return device.replace(delay_s=delay, delay_most_s=most, steered="", unsteered=None)


def head_start(snapshot: Snapshot, node: str, rival: str) -> float:
    """Return how long after a node has fenced its rival the rival's own shot would have begun; negative: not after."""
    target = snapshot.node(node)
    devices = first_level(target) if target is not None else ()
    waits = devices[0].delay_s if devices else math.inf
    return waits + priority_delay(snapshot, (rival,), (node,)) - _lands(snapshot, node, rival)


def _lands(snapshot: Snapshot, node: str, rival: str) -> float:
    """Return when at the latest a node's shot at its rival is through, as far as delays go."""
    target = snapshot.node(rival)
    chance = sum(device.delay_most_s - device.delay_s for device in first_level(target)) if target is not None else 0.0
    return shot_after(snapshot, (node,), (rival,)) + chance


def _least(snapshot: Snapshot, node: str, rival: str) -> float:
    """Return the least delay of the rival's shot after which the node's own is through before."""
    lands = _lands(snapshot, node, rival)
    # A rival that nothing can fence is a brake of its own, and no number.
    return lands - priority_delay(snapshot, (rival,), (node,)) if math.isfinite(lands) else 0.0


def _needed(snapshot: Snapshot, node: str, rival: str) -> float:
    target = snapshot.node(rival)
    usual = sum(device.usual_s for device in first_level(target)) if target is not None else 0.0
    return max(_least(snapshot, node, rival) + usual * (HEADROOM - 1) + NEARLY_S, NEARLY_S)


def _delay(snapshot: Snapshot, choice: Choice, now: Mapping[str, str]) -> str:
    """Return pcmk_delay_base for the device that has to wait: what it has, where that will do."""
    own = next((device for device in _devices(snapshot, choice.node) if device.name == choice.device), None)
    kept = own.delay_s if own is not None and own.steered else None
    least = _least(unsteered(snapshot), choice.node, choice.rival)
    if kept is not None and least <= kept <= choice.delay_s + TOO_LONG_S:
        return now[choice.device]
    delays: dict[str, float] = {choice.node: choice.delay_s}
    for device in _devices(unsteered(snapshot), choice.rival):
        if device.name == choice.device:
            # One device for both: the rival's fencing keeps what was configured for it.
            delays[choice.rival] = device.delay_s
    # Pacemaker 2.1.2 to 3.0.1 log an error for a delay without a name, and take the first one that a node's name begins
    # with (fenced_commands.c).
    return ";".join(f"{name}:{delays[name]:g}s" for name in sorted(delays, key=lambda name: (-len(name), name)))


def _devices(snapshot: Snapshot, name: str) -> tuple[Device, ...]:
    node = snapshot.node(name)
    return node.fencing if node is not None else ()


def check_invariants(snapshot: Snapshot, found: Survival) -> None:
    """Raise AssertionError where a decision breaks what this module promises."""
    assert len(found.delays) <= 1 or found.act == REFUSE, "delays are laid over more than one device"
    whole = all(node.is_online and not node.is_unclean and not node.is_pending for node in snapshot.members)
    assert found.act != CHANGE or found.choice is None or whole, "a delay is chosen while trouble is here"
    assert found.act != REFUSE or found.delays == found.now, "something is changed in spite of a brake"
    if found.delays and found.act != REFUSE:
        assert found.choice is not None
        assert set(found.delays) == {found.choice.device}, "another device waits than that of the survivor"
