"""What becomes of a cluster when something fails: who goes on, who is fenced by whom, and which of two survives.

Invariant: an unreachable node that was not fenced counts as running all that it ran; a part without quorum starts
nothing and fences nobody; and fencing is never advised for the last healthy node, nor where the cause is shared.
"""

from __future__ import annotations

from kvmha.policy import quorum
from kvmha.policy.snapshot import Snapshot
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kvmha.policy.snapshot import Device, Node

NEARLY_S = 1.0
"""Two fencings that are nearer to each other than this may both go through: about as long as one call takes."""

ERROR, WARNING, NOTE = "error", "warning", "note"

UP_TO_DATE_SCORE = 1000
"""The least promotion score of a replica that is up to date (policy/promotion: Scores.alone)."""


class Trouble(Record):
    """What happens to the cluster at one moment; names of nodes."""

    dead: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    """Alive, and each of them seen by nobody else."""
    unfenceable: tuple[str, ...] = ()
    """Nodes whose fencing fails."""
    device_alive: bool = True
    lacks_quorum: bool = False
    """Quorum is taken away for whatever reason."""
    without_storage: tuple[str, ...] = ()
    """Nodes that lost the disks of their guests."""

    def joined(self, later: Trouble) -> Trouble:
        """Return both: what has happened before still holds."""
        return Trouble(
            dead=tuple(dict.fromkeys((*self.dead, *later.dead))),
            cut=tuple(dict.fromkeys((*self.cut, *later.cut))),
            unfenceable=tuple(dict.fromkeys((*self.unfenceable, *later.unfenceable))),
            device_alive=self.device_alive and later.device_alive,
            lacks_quorum=self.lacks_quorum or later.lacks_quorum,
            without_storage=tuple(dict.fromkeys((*self.without_storage, *later.without_storage))),
        )


class Caution(Record):
    """Something to know; ``code`` is for programs."""

    code: str
    severity: str
    subject: str
    said: str


class Fencing(Record):
    """A node that is fenced: by which nodes it is asked for, with which devices, and how long that takes."""

    node: str
    asked_by: tuple[str, ...]
    devices: tuple[str, ...]
    least_s: float
    usual_s: float
    most_s: float
    fails: bool = False
    said: str = ""


class Outlook(Record):
    """Who goes on."""

    judgement: quorum.Judgement
    acting: tuple[str, ...]
    """The nodes that go on and decide; empty where nobody has quorum, unless no-quorum-policy=ignore."""
    standing: tuple[str, ...]
    """The nodes of the part that is looked at: those that act, or else the largest part."""
    lost: tuple[str, ...]
    """The nodes that these do not see."""
    fencings: tuple[Fencing, ...] = ()
    race: str = ""
    """Where both halves fence each other, how that ends."""
    said: tuple[str, ...] = ()
    warnings: tuple[Caution, ...] = ()


def settings_of(snapshot: Snapshot) -> tuple[quorum.Settings, bool]:
    """Return how votes are counted, and whether that had to be assumed: one vote each, and two_node for a pair."""
    if snapshot.quorum is not None and snapshot.quorum.voters:
        return snapshot.quorum, False
    voters = tuple(quorum.Voter(name=node.name, nodeid=place) for place, node in enumerate(snapshot.members, 1))
    return quorum.Settings(voters=voters, two_node=len(voters) == 2), True


def outlook(snapshot: Snapshot, trouble: Trouble) -> Outlook:
    """Return who goes on after a trouble, seen from the part that acts."""
    settings, is_assumed = settings_of(snapshot)
    # A node that is off already is nobody's voter; one that is unclean is lost as well, and waits for its fencing.
    gone = {node.name for node in snapshot.members if not node.is_online and not node.is_unclean}
    missing = {node.name for node in snapshot.members if node.is_unclean and not node.is_online}
    names = [voter.name for voter in settings.voters]
    alive = [name for name in names if name not in gone | missing | set(trouble.dead)]
    alone = [[name] for name in alive if name in trouble.cut]
    rest = [name for name in alive if name not in trouble.cut]
    parts = ([rest] if rest else []) + alone
    device_alive = trouble.device_alive and snapshot.is_device_alive is not False
    judgement = quorum.judge(settings, parts, device_alive=device_alive)
    quorate = [verdict.part.members for verdict in judgement.parts if verdict.part.is_quorate]
    if trouble.lacks_quorum:
        quorate = []
    race = ""
    if len(quorate) > 1:
        acting, race = _winner(snapshot, quorate)
    else:
        acting = quorate[0] if quorate else ()
    standing = acting or max((tuple(part) for part in parts), key=len, default=())
    if snapshot.properties.get("no-quorum-policy") == "ignore":
        # Every part acts then, this one too; that it should not is one of the warnings.
        acting = standing
    lost = tuple(name for name in names if name not in standing and name not in gone)
    warnings = _quorum_warnings(snapshot, judgement, is_assumed=is_assumed, is_race=bool(race))
    fencings = tuple(_fencing(snapshot, name, acting, trouble) for name in lost) if acting else ()
    return Outlook(
        judgement=judgement,
        acting=acting,
        standing=standing,
        lost=lost,
        fencings=fencings,
        race=race,
        said=tuple(_sentences(snapshot, judgement, acting, trouble)),
        warnings=(*warnings, *_fencing_warnings(snapshot, fencings), *_storm(snapshot, trouble)),
    )


def _winner(snapshot: Snapshot, halves: list[tuple[str, ...]]) -> tuple[tuple[str, ...], str]:
    """Return the half that fences the other first, and how that comes about."""
    one, other = halves[:2]
    times = {half: shot_after(snapshot, half, rival) for half, rival in ((one, other), (other, one))}
    first, second = sorted(halves[:2], key=lambda half: (times[half], half))
    apart = times[second] - times[first]
    names = " ".join(first), " ".join(second)
    if apart < NEARLY_S:
        return first, (
            f"{names[0]} and {names[1]} fence each other within {apart:.1f} s: which one survives is left to chance, "
            "and both may go off; kvmha survivor tells which one to keep, and with --apply lets its fencing wait"
        )
    return first, f"{names[0]} fences {names[1]} {apart:.1f} s before it would be fenced itself, and survives"


def shot_after(snapshot: Snapshot, by: tuple[str, ...], targets: tuple[str, ...]) -> float:
    """Return how many seconds one half waits and works until the other one is off."""
    found = []
    for name in targets:
        node = snapshot.node(name)
        if node is None or not node.fencing:
            return float("inf")
        found.append(sum(device.delay_s + device.usual_s for device in first_level(node)))
    return max(found, default=0.0) + priority_delay(snapshot, by, targets)


def priority_delay(snapshot: Snapshot, by: Iterable[str], targets: Iterable[str]) -> float:
    """Return what priority-fencing-delay adds for those who fence nodes with more important resources than their own.

    *Pacemaker Explained*: it counts only where half of the nodes or fewer are left, and the sums differ.
    """
    delay = _seconds(snapshot.properties.get("priority-fencing-delay", ""))
    left = list(by)
    if not delay or 2 * len(left) > len(snapshot.members):
        return 0.0
    own = max((priority_of(snapshot, name) for name in left), default=0)
    return delay if max((priority_of(snapshot, name) for name in targets), default=0) > own else 0.0


def priority_of(snapshot: Snapshot, node: str) -> int:
    """Return the sum of the priorities of what runs on a node; a promoted one counts one more (*Explained*)."""
    return sum(each.priority + (1 if each.priority and node in each.promoted else 0) for each in snapshot.on(node))


def first_level(node: Node) -> tuple[Device, ...]:
    """Return the devices that are tried first for a node, in their turn."""
    least = min((device.level for device in node.fencing), default=1)
    level = tuple(device for device in node.fencing if device.level == least)
    # Without levels each device alone will do, and the fencer takes the first that can.
    has_levels = any(device.level != least for device in node.fencing) or len(level) == 1
    return level if has_levels else level[:1]


def _fencing(snapshot: Snapshot, name: str, acting: tuple[str, ...], trouble: Trouble) -> Fencing:
    node = snapshot.node(name)
    devices = first_level(node) if node is not None else ()
    delay = priority_delay(snapshot, acting, (name,))
    fails = name in trouble.unfenceable
    watchdog = node is not None and not devices and node.has_watchdog_fencing
    wait = _seconds(snapshot.properties.get("stonith-watchdog-timeout", ""))
    words = ", ".join(device.name for device in devices) or ("its watchdog" if watchdog else "nothing")
    return Fencing(
        node=name,
        asked_by=acting,
        devices=tuple(device.name for device in devices),
        least_s=wait if watchdog else sum(device.delay_s + device.usual_s for device in devices) + delay,
        usual_s=wait
        if watchdog
        else sum((device.delay_s + device.delay_most_s) / 2 + device.usual_s for device in devices) + delay,
        most_s=wait if watchdog else sum(device.delay_most_s + device.most_s for device in devices) + delay,
        fails=fails or not (devices or watchdog) or not snapshot.is_fencing_on,
        said=f"by {words}" + (f", {delay:g} s later for the priority of what it runs" if delay else ""),
    )


def _sentences(
    snapshot: Snapshot, judgement: quorum.Judgement, acting: tuple[str, ...], trouble: Trouble
) -> Iterable[str]:
    for verdict in judgement.parts:
        names = " ".join(verdict.part.members)
        yield f"{names}: {'; '.join(verdict.said)}"
        if not verdict.part.is_quorate or (acting and verdict.part.members != acting) or trouble.lacks_quorum:
            said = inquorate(snapshot, verdict.part.members) if not verdict.part.is_quorate or not acting else ""
            if said:
                yield said


NO_QUORUM = {
    "freeze": "keeps what it runs and starts nothing",
    "stop": "stops all that it runs",
    "suicide": "fences itself",
    "demote": "demotes what is promoted and stops nothing else",
    "ignore": "goes on as if it had quorum, and guests may run twice",
}


def inquorate(snapshot: Snapshot, members: tuple[str, ...]) -> str:
    """Say what a part without quorum does with what it runs (*Pacemaker Explained*, no-quorum-policy)."""
    policy = snapshot.properties.get("no-quorum-policy", "stop")
    does = NO_QUORUM.get(policy, NO_QUORUM["stop"])
    return f"{' '.join(members)}: no-quorum-policy={policy}: without quorum it {does}"


def _quorum_warnings(
    snapshot: Snapshot, judgement: quorum.Judgement, *, is_assumed: bool, is_race: bool
) -> list[Caution]:
    found = []
    if is_assumed:
        said = "no corosync.conf is known: one vote for each node is assumed, and two_node for a pair"
        found.append(Caution(code="votes-assumed", severity=NOTE, subject="quorum", said=said))
    for said in judgement.warnings:
        severity = WARNING if is_race else ERROR
        found.append(Caution(code="quorum", severity=severity, subject="quorum", said=said))
    if snapshot.properties.get("no-quorum-policy") == "ignore" and any(
        not verdict.part.is_quorate for verdict in judgement.parts
    ):
        said = "no-quorum-policy=ignore: a part without quorum starts guests that may run elsewhere"
        found.append(Caution(code="no-quorum-ignored", severity=ERROR, subject="no-quorum-policy", said=said))
    return found


def _fencing_warnings(snapshot: Snapshot, fencings: tuple[Fencing, ...]) -> Iterable[Caution]:
    for each in fencings:
        node = snapshot.node(each.node)
        if not snapshot.is_fencing_on:
            said = f"fencing is off: what {each.node} ran is started elsewhere while it may still run there"
            yield Caution(code="fencing-off", severity=ERROR, subject=each.node, said=said)
        elif each.fails:
            why = "nothing can fence it" if not each.devices else "its fencing fails"
            said = f"{why}: it counts as running all that it ran, and none of that is started elsewhere"
            yield Caution(code="not-fenced", severity=ERROR, subject=each.node, said=said)
        elif node is not None and node.fenced_at is None:
            brake = why_not_fence(snapshot, each.node, ())
            advice = f"do not try it now: {brake}" if brake else "try it before it is needed (pcs stonith fence)"
            said = f"its fencing was never seen to work; {advice}"
            yield Caution(code="fencing-unproven", severity=WARNING, subject=each.node, said=said)
        yield from _sick_devices(snapshot, each)


def _sick_devices(snapshot: Snapshot, fencing: Fencing) -> Iterable[Caution]:
    for name in fencing.devices:
        resource = snapshot.resource(name)
        if resource is None:
            continue
        if resource.is_failed or any(failure.resource == name for failure in snapshot.failures):
            said = f"the fence device {name} has failed; the fencing of {fencing.node} may fail too"
            yield Caution(code="fence-device-failed", severity=ERROR, subject=name, said=said)
        elif not resource.nodes:
            said = f"the fence device {name} runs nowhere: nobody has looked whether it answers"
            yield Caution(code="fence-device-stopped", severity=WARNING, subject=name, said=said)


def _storm(snapshot: Snapshot, trouble: Trouble) -> Iterable[Caution]:
    for suffering in (trouble.cut, trouble.without_storage):
        for name in suffering:
            reason = why_not_fence(snapshot, name, suffering, gone=trouble.dead)
            if reason:
                code = "shared-cause" if len(suffering) > 1 else "last-node"
                yield Caution(code=code, severity=WARNING, subject=name, said=reason)


def why_not_fence(snapshot: Snapshot, node: str, suffering: Iterable[str], *, gone: Iterable[str] = ()) -> str | None:
    """Return why fencing a node should not be advised: it is the last healthy one, or others suffer the same.

    ``suffering`` are the nodes that show the same trouble, ``gone`` those that are lost anyway. A dead switch or
    storage is not mended by a reboot, and a fencing then only takes away what still runs.
    """
    names = sorted({*suffering, node})
    members = [each for each in snapshot.members if each.is_online and each.name not in gone]
    healthy = [each.name for each in members if each.is_usable and each.name not in names]
    if len(names) > 1 and 2 * len(names) > len(members):
        return (
            f"{' and '.join(names)} suffer the same, {len(names)} of {len(members)} nodes: the cause is shared (a "
            f"switch, a storage) and has to be found first; fencing {node} mends nothing, and stops what runs there"
        )
    if not healthy and any(each.name == node for each in members):
        return (
            f"{node} is the last node that can run anything: fencing it stops all guests, and none of them has "
            "another place; bring another node back first"
        )
    return None


def _seconds(text: str) -> float:
    """Read a cluster property that is a time, as far as decisions need it: seconds, with s, ms or min behind."""
    word = text.strip().lower()
    for unit, factor in (("ms", 0.001), ("min", 60.0), ("m", 60.0), ("s", 1.0), ("", 1.0)):
        if word.endswith(unit) and word[: len(word) - len(unit)].strip().isdigit():
            return float(word[: len(word) - len(unit)]) * factor
    return 0.0


def check_invariants(snapshot: Snapshot, found: Outlook, started: Mapping[str, Iterable[str]]) -> None:
    """Raise AssertionError where an outlook, and what is started in it (by node), break what this module promises."""
    quorum.check_invariants(found.judgement)
    assert found.acting or not any(started.values()), "a part without quorum starts something"
    assert found.acting or not found.fencings, "a part without quorum fences"
    unfenced = {each.node for each in found.fencings if each.fails} if snapshot.is_fencing_on else set()
    held = {each.name for each in snapshot.resources for node in each.nodes if node in unfenced and not each.is_clone}
    for names in started.values():
        assert not held & set(names), "something is started that may run on a node that was not fenced"
