"""When each action of a plan begins and ends, and which ones never do.

Invariant: nothing begins before all that it waits for has ended, and what waits for a fencing that fails never begins.
Three times go side by side: at the best, as usual, and the longest that the timeouts allow.
"""

from __future__ import annotations

from kvmha.policy import timing
from kvmha.policy.plan import FENCE
from kvmha.policy.snapshot import ADDRESS, FENCING, GUEST, PRIMARY, REPLICA
from kvmha.policy.timing.recovery import DECIDE_LEAST_S, DECIDE_MOST_S
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kvmha.policy.failover import Fencing, Outlook
    from kvmha.policy.plan import Action, Round
    from kvmha.policy.snapshot import Resource, Snapshot

DECIDE_USUAL_S = 0.6
"""From a new membership to the request for a fencing: 0.1 s, or 1.1 s about every second time (measured in the lab)."""

STEP_S = 0.03
"""From one action's end to the next one's beginning: a message to the node and back, measured in the lab."""

BRIEF_S = 0.1
"""A monitor or a notification, of which the scheduler waits for the first only."""

USUAL_S = {
    (GUEST, "start"): 1.0, (GUEST, "stop"): 15.0, (ADDRESS, "start"): 0.4, (ADDRESS, "stop"): 0.2,
    (REPLICA, "start"): 3.0, (REPLICA, "stop"): 1.0, (PRIMARY, "start"): 1.0, (PRIMARY, "stop"): 0.5,
    (FENCING, "start"): 1.0, (FENCING, "stop"): 0.1,
}  # fmt: skip
"""What an action takes where the cluster's history does not tell: about, on an idle node."""

OTHER_S = 1.0


class When(Record):
    """A time in seconds from the event on: at the best, as usual, and at the worst that the timeouts allow."""

    least_s: float = 0.0
    usual_s: float = 0.0
    most_s: float = 0.0

    def plus(self, other: When) -> When:
        """Return the time when something is over that takes so long and begins now."""
        return When(
            least_s=self.least_s + other.least_s,
            usual_s=self.usual_s + other.usual_s,
            most_s=self.most_s + other.most_s,
        )

    def latest(self, other: When) -> When:
        """Return the later of two, for each of the three by itself."""
        return When(
            least_s=max(self.least_s, other.least_s),
            usual_s=max(self.usual_s, other.usual_s),
            most_s=max(self.most_s, other.most_s),
        )


class Moment(Record):
    """Something that happens; ``begins`` and ``ends`` are None for what never does."""

    what: str
    subject: str
    node: str = ""
    begins: When | None = None
    ends: When | None = None
    said: str = ""


def every(seconds: float) -> When:
    """Return a time that is known."""
    return When(least_s=seconds, usual_s=seconds, most_s=seconds)


def lost_after(snapshot: Snapshot) -> When:
    """Return when the others know that a node is gone: corosync's token and consensus, and the device's vote."""
    if snapshot.totem is None:
        default = timing.totem(len(snapshot.members) or 2)
        span, _ = timing.lost(default)
    else:
        device = snapshot.quorum.device if snapshot.quorum is not None else None
        times = timing.QuorumDevice() if device is not None and device.algorithm == "ffsplit" else None
        span, _ = timing.lost(snapshot.totem, times)
    return When(least_s=span.least_s, usual_s=(span.least_s + span.most_s) / 2, most_s=span.most_s)


def decided(after: When) -> When:
    """Return when the scheduler has decided on what became known then."""
    return after.plus(When(least_s=DECIDE_LEAST_S, usual_s=DECIDE_USUAL_S, most_s=DECIDE_MOST_S))


def duration(resource: Resource | None, action: Action, bandwidth: float) -> When:
    """Return how long an action takes on a node with little else to do."""
    if not action.is_real:
        return every(0.0)
    if action.operation in ("monitor", "notify") or resource is None:
        return When(least_s=BRIEF_S, usual_s=BRIEF_S, most_s=20.0)
    if action.operation == "migrate_to":
        return _moving(resource, bandwidth)
    kind = resource.kind
    measured = {"start": resource.start_s, "stop": resource.stop_s}.get(action.operation)
    usual = USUAL_S.get((kind, action.operation), OTHER_S) if measured is None else measured
    most = {"start": resource.start_timeout_s, "stop": resource.stop_timeout_s}.get(action.operation, 60.0)
    least = usual / 2 if measured is None else usual * 0.8
    return When(least_s=least, usual_s=usual, most_s=max(most, usual))


def _moving(resource: Resource, bandwidth: float) -> When:
    if resource.kind != GUEST:
        return When(least_s=0.5, usual_s=OTHER_S, most_s=100.0)
    found = timing.forecast_migration(
        resource.memory_mib or 1024, bandwidth_mib_s=bandwidth, dirty_mib_s=resource.dirty_mib_s
    )
    return When(least_s=found.seconds / 2, usual_s=found.seconds + OTHER_S, most_s=2 * found.seconds + 15.0)


def schedule(
    snapshot: Snapshot, outlook: Outlook, rounds: Iterable[Round], begins: When, *, bandwidth: float
) -> tuple[tuple[Moment, ...], When]:
    """Return what happens, in order, from the first decision on, and when all of it is over.

    Guests that move at the same time share a node's migration-limit; the scheduler plans anew after each round.
    """
    fencings = {each.node: each for each in outlook.fencings}
    resources = {each.name: each for each in snapshot.resources}
    moments: list[Moment] = []
    over = begins
    for place, each in enumerate(rounds):
        start = over if place == 0 else decided(over)
        ends = _ends(snapshot, each.actions, resources, fencings, start, bandwidth)
        for action in each.actions:
            moments += _moment(action, ends[action.id], resources, fencings)
        for begin_end in ends.values():
            if begin_end is not None:
                over = over.latest(begin_end[1])
    return tuple(sorted(moments, key=_turn)), over


def _ends(
    snapshot: Snapshot,
    actions: tuple[Action, ...],
    resources: Mapping[str, Resource],
    fencings: Mapping[str, Fencing],
    start: When,
    bandwidth: float,
) -> dict[int, tuple[When, When] | None]:
    """Return begin and end of each action by its id, None for one that never begins."""
    known = {action.id: action for action in actions}
    ends: dict[int, tuple[When, When] | None] = {}
    limit = snapshot.properties.get("migration-limit", "")
    slots: dict[str, list[When]] = {}
    moving = {(action.resource, action.node) for action in actions if action.operation == "migrate_to"}
    guests = [node for name, node in moving if _is_guest(resources.get(name))]
    for action in _in_turn(known):
        # What waits for something outside the plan, or in a circle, never begins (Pacemaker: "terminated").
        before = [ends.get(name) for name in action.after]
        if any(each is None for each in before):
            ends[action.id] = None
            continue
        begin = start
        for each in before:
            if each is not None:
                begin = begin.latest(each[1])
        if action.operation == FENCE:
            ends[action.id] = _fenced(fencings.get(action.node), begin)
            continue
        resource = resources.get(action.resource.partition(":")[0])
        if action.is_real:
            begin = begin.plus(every(STEP_S))
        queue = slots.setdefault(action.node, [])
        if action.operation == "migrate_to" and limit.isdigit() and int(limit) and len(queue) >= int(limit):
            begin = begin.latest(queue.pop(0))
        at_once = min(guests.count(action.node), int(limit) if limit.isdigit() and int(limit) else len(guests))
        takes = duration(resource, action, bandwidth / max(at_once, 1))
        # What has moved away is stopped where it was in no time: there is nothing left to stop.
        is_gone = action.operation == "stop" and (action.resource, action.node) in moving
        end = begin.plus(When(least_s=BRIEF_S, usual_s=BRIEF_S, most_s=takes.most_s) if is_gone else takes)
        if action.operation == "migrate_to":
            queue.append(end)
            queue.sort(key=lambda when: when.usual_s)
        ends[action.id] = begin, end
    return ends


def _is_guest(resource: Resource | None) -> bool:
    return resource is not None and resource.kind == GUEST


def _in_turn(known: Mapping[int, Action]) -> list[Action]:
    """Return the actions so that each comes behind those that it waits for; circles are left as they come."""
    waiting = {name: {one for one in action.after if one in known} for name, action in known.items()}
    followers: dict[int, list[int]] = {}
    for name, before in waiting.items():
        for one in before:
            followers.setdefault(one, []).append(name)
    ready = sorted(name for name, before in waiting.items() if not before)
    found: list[Action] = []
    while ready:
        name = ready.pop(0)
        found.append(known[name])
        for follower in followers.get(name, ()):
            waiting[follower].discard(name)
            if not waiting[follower]:
                ready.append(follower)
    done = {action.id for action in found}
    return found + [action for name, action in sorted(known.items()) if name not in done]


def _fenced(fencing: Fencing | None, begin: When) -> tuple[When, When] | None:
    if fencing is None:
        return begin, begin.plus(When(least_s=1.0, usual_s=2.0, most_s=timing.STONITH_TIMEOUT_S))
    if fencing.fails:
        return None
    takes = When(least_s=fencing.least_s, usual_s=fencing.usual_s, most_s=max(fencing.most_s, fencing.usual_s))
    return begin, begin.plus(takes)


WORDS = {
    "start": "start", "stop": "stop", "promote": "promote", "demote": "demote", "migrate_to": "move away",
    "migrate_from": "arrive",
}  # fmt: skip


def _moment(
    action: Action,
    ends: tuple[When, When] | None,
    resources: Mapping[str, Resource],
    fencings: Mapping[str, Fencing],
) -> list[Moment]:
    begin, end = ends if ends is not None else (None, None)
    if action.operation == FENCE:
        fencing = fencings.get(action.node)
        said = fencing.said if fencing is not None else ""
        return [Moment(what="fence", subject=action.node, begins=begin, ends=end, said=said)]
    name = action.resource.partition(":")[0]
    resource = resources.get(name)
    is_told = action.is_real and action.operation in WORDS and (resource is None or resource.kind != FENCING)
    if not is_told or action.interval_ms:
        return []
    return [Moment(what=WORDS[action.operation], subject=name, node=action.node, begins=begin, ends=end)]


def _turn(moment: Moment) -> tuple[bool, float, float, str]:
    begin = moment.begins
    if begin is None or moment.ends is None:
        return True, 0.0, 0.0, moment.subject
    return False, round(begin.usual_s, 3), round(moment.ends.usual_s, 3), moment.subject


def check_invariants(actions: Iterable[Action], ends: Mapping[int, tuple[When, When] | None]) -> None:
    """Raise AssertionError where something begins before what it waits for has ended."""
    for action in actions:
        own = ends[action.id]
        for name in action.after:
            if name not in ends:
                continue
            before = ends[name]
            if own is None:
                continue
            assert before is not None, f"{action.operation} {action.resource} begins, and waits for what never ends"
            assert own[0].least_s >= before[1].least_s - 1e-9
            assert own[0].usual_s >= before[1].usual_s - 1e-9
