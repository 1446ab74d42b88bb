"""Is the cluster protected: a verdict and one sentence on each thing that a failover needs.

Invariant: what is not known is never said to be well.
"""

from __future__ import annotations

from kvmha.policy import failover, fencing_proof, placement, quorum, survivor, timeline
from kvmha.policy.failover import Trouble
from kvmha.policy.snapshot import FENCING, GUEST, Snapshot
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kvmha.policy.snapshot import Resource

WELL, REDUCED, BAD, UNKNOWN = "well", "reduced", "bad", "unknown"

DAY_S = 86_400.0
STALE_PROOF_S = 90 * DAY_S
"""A fencing that worked longer ago than this proves little: firmware, cables and passwords have changed since."""


class Point(Record):
    """One thing that protection consists of."""

    name: str
    level: str
    said: str


class GuestRecovery(Record):
    """A guest: where it runs, and how long it would be away if its node died now."""

    name: str
    nodes: tuple[str, ...]
    state: str
    """running, stopped, failed, or what is under way."""
    usual_s: float | None = None
    """Until its start has ended, or until it answers where a description says how long it boots."""
    limit_s: float | None = None
    is_within: bool | None = None
    said: str = ""


class Status(Record):
    """All of it."""

    points: tuple[Point, ...]
    guests: tuple[GuestRecovery, ...]

    @property
    def level(self) -> str:
        """The worst of all points; what is unknown counts as reduced."""
        levels = {point.level for point in self.points}
        return BAD if BAD in levels else REDUCED if levels & {REDUCED, UNKNOWN} else WELL


def judge(snapshot: Snapshot, *, now: float | None = None, losses: int = 1) -> Status:
    """Return how well a cluster is protected; ``now`` is in seconds since the epoch.

    ``losses`` is after how many nodes at a time there has to be room for the guests.
    """
    points = (
        _nodes(snapshot),
        _quorum(snapshot),
        _fencing(snapshot, now),
        _room(snapshot, losses),
        *_disks(snapshot),
        *_split(snapshot),
        _actions(snapshot),
    )
    looks = {node.name: failover.outlook(snapshot, Trouble(dead=(node.name,))) for node in snapshot.members}
    return Status(points=points, guests=tuple(_guest(snapshot, guest, looks) for guest in snapshot.guests))


def _nodes(snapshot: Snapshot) -> Point:
    words = []
    for node in snapshot.nodes:
        state = (
            "unclean" if node.is_unclean else "offline" if not node.is_online else "pending" if node.is_pending
            else "in maintenance" if node.is_maintenance else "in standby" if node.is_standby else ""
        )  # fmt: skip
        words += [f"{node.name} is {state}"] if state else []
    if not words:
        return Point(name="nodes", level=WELL, said=f"{len(snapshot.nodes)} nodes are online")
    level = BAD if any(node.is_unclean for node in snapshot.nodes) else REDUCED
    return Point(name="nodes", level=level, said=", ".join(words))


def _quorum(snapshot: Snapshot) -> Point:
    if snapshot.is_quorate is False:
        return Point(name="quorum", level=BAD, said="there is none: nothing is started and nobody is fenced")
    settings, is_assumed = failover.settings_of(snapshot)
    online = [node.name for node in snapshot.members if node.is_online]
    is_mute = snapshot.is_device_alive is False
    found = quorum.judge(settings, [online], device_alive=not is_mute)
    verdict = found.parts[0]
    if is_assumed or snapshot.is_quorate is None:
        return Point(name="quorum", level=UNKNOWN, said="no corosync.conf is known, so its margin is not")
    if not verdict.part.is_quorate:
        return Point(name="quorum", level=REDUCED, said=f"the cluster says yes; by the file, {verdict.said[0]}")
    if is_mute:
        return Point(name="quorum", level=REDUCED, said="; ".join(("the quorum device does not vote", *verdict.said)))
    # The last one of a pair has nobody to lose.
    if verdict.spare:
        return Point(name="quorum", level=WELL, said=f"{verdict.said[0]}; {verdict.spare} more may be lost")
    level = REDUCED if len(online) < len(settings.voters) or verdict.fatal else WELL
    return Point(name="quorum", level=level, said="; ".join(verdict.said))


def _fencing(snapshot: Snapshot, now: float | None) -> Point:
    if not snapshot.is_fencing_on:
        return Point(name="fencing", level=BAD, said="it is off: a guest of a lost node may run twice")
    bare = [node.name for node in snapshot.members if not node.fencing and not node.has_watchdog_fencing]
    if bare:
        return Point(name="fencing", level=BAD, said=f"nothing can fence {', '.join(bare)}")
    failed = {failure.resource for failure in snapshot.failures}
    devices = [each for each in snapshot.resources if each.kind == FENCING]
    ill = [each.name for each in devices if each.is_failed or each.name in failed]
    if ill:
        return Point(name="fencing", level=BAD, said=f"{', '.join(ill)} failed")
    idle = [each.name for each in devices if not each.nodes]
    if idle:
        return Point(name="fencing", level=REDUCED, said=f"nobody watches {', '.join(idle)}: stopped")
    tried = _tried(snapshot, now)
    if tried.level == BAD:
        return tried
    level, said = _cut(snapshot, now)
    said = f"{said}; {tried.said}" if tried.said else said
    return Point(name="fencing", level=REDUCED if REDUCED in (level, tried.level) else level, said=said)


def _cut(snapshot: Snapshot, now: float | None) -> tuple[str, str]:
    """Say how long ago each node was really fenced."""
    unproven = [node.name for node in snapshot.members if node.fenced_at is None]
    if unproven:
        return REDUCED, f"it answers, and was never proven on {', '.join(unproven)}"
    oldest = min(snapshot.members, key=lambda node: node.fenced_at or 0.0, default=None)
    if oldest is None or oldest.fenced_at is None or now is None:
        return WELL, "proven on every node"
    days = (now - oldest.fenced_at) / DAY_S
    level = WELL if days * DAY_S < STALE_PROOF_S else REDUCED
    return level, f"proven on every node, longest ago on {oldest.name}: {_ago(days)}"


def _tried(snapshot: Snapshot, now: float | None) -> Point:
    """Say what trying every path of every device has shown; nothing where there is none to try, or no clock."""
    if not snapshot.fence_paths or now is None:
        return Point(name="fencing", level=WELL, said="")
    judged = fencing_proof.judge(snapshot.fence_paths, snapshot.fence_trials, now=now)
    is_proven, said = fencing_proof.sentence(judged, now=now)
    if is_proven is not False:
        return Point(name="fencing", level=WELL if is_proven else REDUCED, said=said)
    proven = {each.path.target for each in judged if each.is_proven}
    untried = {each.path.target for each in judged if not each.is_fresh}
    stranded = {each.path.target for each in judged} - proven - untried
    return Point(name="fencing", level=BAD if stranded else REDUCED, said=said)


def _ago(days: float) -> str:
    return f"{days:.0f} days ago" if days >= 1 else f"{days * 24:.0f} hours ago" if days * 24 >= 1 else "just now"


def _room(snapshot: Snapshot, losses: int) -> Point:
    short = placement.shortages(snapshot)
    if short:
        return Point(name="room", level=BAD, said=short[0].said)
    found = placement.n_plus_one(snapshot, losses)
    level = {True: WELL, False: BAD, None: UNKNOWN}[found.holds]
    return Point(
        name="room", level=level, said="; ".join(filter(None, (found.said, placement.not_looked_at(snapshot))))
    )


def _disks(snapshot: Snapshot) -> Iterable[Point]:
    disks = sorted({replica.disk for replica in snapshot.replicas})
    if not disks:
        return
    lacking = []
    for disk in disks:
        held = {node for each in snapshot.resources if _is_of(snapshot, each.name, disk) for node in each.nodes}
        scores = snapshot.replica_scores(disk)
        well = [node for node, score in scores.items() if (score or 0) >= failover.UP_TO_DATE_SCORE and node in held]
        if len(well) < 2:
            where = f"on {well[0]} alone" if well else "nowhere"
            lacking.append((BAD if not well else REDUCED, f"{disk} is up to date {where}"))
    if lacking:
        level = BAD if any(each == BAD for each, _ in lacking) else REDUCED
        yield Point(name="disks", level=level, said="; ".join(said for _, said in lacking))
    else:
        yield Point(name="disks", level=WELL, said=f"{len(disks)} DRBD resources are up to date on two nodes or more")


def _split(snapshot: Snapshot) -> Iterable[Point]:
    """Say of a pair which node a split would leave, and whether it is the one to keep."""
    decided = survivor.decide(snapshot)
    choice = decided.choice
    if choice is None:
        return
    why = f"{choice.node} should survive a split ({choice.reasons[0]})"
    if decided.act == survivor.KEEP:
        yield Point(name="split", level=WELL, said=f"{why}, and will")
        return
    found = failover.outlook(snapshot, Trouble(cut=(choice.node,)))
    word = "it is left to chance" if "chance" in found.race else f"{' '.join(found.acting) or 'nobody'} will"
    if found.acting == (choice.node,) and "chance" not in found.race:
        word = "will by so little that both may go off"
    wish = decided.said if decided.act == survivor.REFUSE else "kvmha survivor --apply sees to it"
    yield Point(name="split", level=REDUCED, said=f"{why}, and {word}; {wish}")


def _is_of(snapshot: Snapshot, name: str, disk: str) -> bool:
    return any(replica.resource == name and replica.disk == disk for replica in snapshot.replicas)


def _actions(snapshot: Snapshot) -> Point:
    pending = [f"{each.name} {each.pending.lower()}" for each in snapshot.resources if each.pending]
    failed = [
        f"{each.resource} {each.operation} on {each.node}" + (f" ({each.reason})" if each.reason else "")
        for each in snapshot.failures
    ]
    stuck = [each.name for each in snapshot.resources if each.is_blocked]
    twice = [
        each.name for each in snapshot.resources if each.kind == GUEST and len(each.nodes) > 1 and not each.pending
    ]
    words = [f"{name} runs on more than one node" for name in twice]
    words += [f"{len(stuck)} blocked: {_some(stuck)}"] if stuck else []
    words += [f"{len(failed)} failed: {_some(failed)}"] if failed else []
    words += [f"{len(pending)} under way: {_some(pending)}"] if pending else []
    if not words:
        return Point(name="actions", level=WELL, said="nothing failed, nothing is under way")
    level = BAD if twice or stuck else REDUCED
    return Point(name="actions", level=level, said="; ".join(words))


def _some(words: list[str]) -> str:
    return ", ".join(words[:3]) + (" ..." if len(words) > 3 else "")


def _guest(snapshot: Snapshot, guest: Resource, looks: Mapping[str, failover.Outlook]) -> GuestRecovery:
    state = (guest.pending.lower() or ("failed" if guest.is_failed else "running" if guest.nodes else "stopped")) + (
        "" if guest.is_managed else ", unmanaged"
    )
    made = GuestRecovery(name=guest.name, nodes=guest.nodes, state=state, limit_s=guest.limit_s)
    if len(guest.nodes) != 1:
        return made
    look = looks.get(guest.nodes[0])
    fencing = next((each for each in look.fencings if each.node == guest.nodes[0]), None) if look is not None else None
    if fencing is None or fencing.fails:
        why = "without quorum" if look is not None and not look.acting else "its node cannot be fenced"
        return made.replace(
            is_within=False if guest.limit_s is not None else None, said=f"it would not come back: {why}"
        )
    begin = timeline.decided(timeline.lost_after(snapshot)).usual_s + fencing.usual_s
    start = guest.start_s if guest.start_s is not None else timeline.USUAL_S[GUEST, "start"]
    usual = round(begin + start + (guest.boot_s or 0.0), 1)
    within = None if guest.limit_s is None else usual <= guest.limit_s
    return made.replace(usual_s=usual, is_within=within, said="until it answers" if guest.boot_s else "until it runs")
