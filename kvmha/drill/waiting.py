"""How a drill goes on after its fault: until what it should lead to has come about."""

from __future__ import annotations

import json

from kvmha.drill import ending, planned
from kvmha.drill.catalogue import SHUTDOWN
from kvmha.drill.records import COMMANDS, ENDURED, FENCED, KEPT, LEFT, PARTED, RESTARTED, UNDISTURBED
from kvmha.gather import fencing
from kvmha.host import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.drill.course import Course

POWER_PAUSE_S = 3.0
HUNT_PAUSE_S = 2.0
HUNT_LIMIT = 15.0


def wait(course: Course) -> None:
    """Wait until the drill has led to what it should. Raises Stopped, CommandError, UserError, OSError."""
    leads_to = course.drill.leads_to
    if course.drill.made_by == COMMANDS:
        planned.run(course)
        return
    if course.drill.hunts:
        _hunted(course)
    if leads_to == UNDISTURBED:
        course.hold(_left_to_hold(course))
    elif leads_to == RESTARTED:
        course.until("the guest did not start anew", lambda: _restarted(course))
    elif leads_to == KEPT:
        course.until("the guest does not run in one place", lambda: _runs(course))
    elif leads_to == FENCED:
        course.until(f"{course.order.node} was not fenced", lambda: was_fenced(course))
        _replaced(course)
    elif leads_to == ENDURED:
        _endured(course)
    elif leads_to == LEFT:
        _left(course)
    elif leads_to == PARTED:
        course.until("there is quorum all the same", lambda: _lacks_quorum(course))
        course.note("nobody has quorum")
        course.hold(_left_to_hold(course))


def _left_to_hold(course: Course) -> float:
    """Return how much of the fault's time is left: the first node's timer has run since the drill began."""
    passed = course.host.wall_clock() - (course.struck_at or course.host.wall_clock())
    return max(course.order.hold_s - passed, 0.0)


def was_fenced(course: Course) -> bool:
    """Tell whether the target was fenced since the drill began."""
    status = course.seen.status
    made = ending.fencings(status) - course.before.fencings if status is not None else frozenset()
    return any(target == course.order.node for target, _ in made)


def silent(course: Course) -> str:
    """Return who answered before the fault and does not now, as a sentence; nothing where all do."""
    now = course.host.wall_clock()
    clients = course.clients
    for target in clients.targets:
        answered = clients.answers[target.name]
        if answered and answered[0] < (course.struck_at or now) and not clients.answers_now(target.name, now=now):
            return f"{target.name} does not answer"
    return ""


def behind(course: Course) -> str:
    """Return which replicated disks had only current copies before the fault and have not now, as a sentence."""
    found = sorted(course.seen.behind() - course.before.behind)
    return f"not every copy of {', '.join(found)} is current (DRBD)" if found else ""


def is_gone(course: Course, node: str) -> bool:
    """Tell whether a node has left the cluster, in good order."""
    found = course.seen.status.node(node) if course.seen.status is not None else None
    return found is not None and not found.is_online and not found.is_unclean


def _replaced(course: Course) -> None:
    course.note(f"{course.order.node} is fenced")
    course.seen.forget(course.order.node)
    course.until("what it ran does not run elsewhere", lambda: _all_run(course))
    course.note("all that it ran runs again")


def _endured(course: Course) -> None:
    """Hold on, unless the target is lost: then it has to be fenced, and replaced."""
    until = course.host.now() + course.order.hold_s
    while course.host.now() < until and not was_fenced(course):
        course.tick()
    node = course.seen.status.node(course.order.node) if course.seen.status is not None else None
    if not was_fenced(course) and (node is None or not node.is_online or node.is_unclean):
        course.until(f"{course.order.node} is neither well nor fenced", lambda: was_fenced(course))
    if was_fenced(course):
        _replaced(course)


def _left(course: Course) -> None:
    node = course.order.node
    course.until(f"{node} did not leave the cluster", lambda: is_gone(course, node) or was_fenced(course))
    course.seen.forget(node)
    course.note(f"{node} has left the cluster")
    course.until("what it ran does not run elsewhere", lambda: _all_run(course))
    if course.drill.name != SHUTDOWN:
        return
    facts = fencing.live(course.host)

    def is_off() -> bool:
        course.hold(POWER_PAUSE_S)
        return fencing.switch(course.host, facts, node, course.reach.here, "status") == "off"

    course.until(f"{node} did not go off", is_off)
    course.note(f"{node} is off")


def _lacks_quorum(course: Course) -> bool:
    status = course.seen.status
    return status is not None and not status.is_quorate


def _hunted(course: Course) -> None:
    """Wait until the agent was met and killed; then the drill begins."""
    order = course.order
    (node,) = order.targets
    argv = planned.move_argv(order.guest, course.stage.elsewhere)
    is_move = "migrate" in course.drill.name
    if is_move:
        course.note(" ".join(argv))
        course.command_begins(*argv)
    asked = [course.host.now()]

    def met() -> bool:
        if was_fenced(course):
            # It told nobody in time, and what the cluster does of it proves it.
            return True
        if course.host.now() - asked[0] < HUNT_PAUSE_S:
            return False
        asked[0] = course.host.now()
        at = _met_at(course, node)
        course.struck_at = at if at is not None else course.struck_at
        return at is not None

    course.until(f"no agent of {order.guest} was met", met)
    course.note("the agent was killed")
    if is_move:
        # What the command says of it is the cluster's business; here it counts that it ends.
        course.command_ends(*argv)


def _met_at(course: Course, node: str) -> float | None:
    try:
        done = course.reach.run(node, "kvmha", "drill", "at-node", "hunted", timeout=HUNT_LIMIT, ok=None)
        told = json.loads(done.out)["at"]
    except (CommandError, ValueError, KeyError, TypeError):
        return None
    return float(told) - course.offsets.get(node, 0.0) if told is not None else None


def _all_run(course: Course) -> bool:
    """Tell whether what ran before runs, and not on the target as it was before that has gone."""
    status, stage = course.seen.status, course.stage
    if status is None:
        return False
    # It was gone, or nobody would ask; one that boots at once may have its guests before anybody else does.
    target = status.node(course.order.node)
    is_back = target is not None and target.is_online and not target.is_unclean and not target.is_pending
    # Where it should run nobody is asked: what should stay down, does.
    down = {fate.name for fate in stage.expected.fates if not fate.nodes}
    for resource in course.before.status.resources:
        name = resource.name
        is_ours = name in stage.uuids or name in stage.known.addresses.values()
        if not is_ours or not resource.nodes or name in down:
            continue
        now = status.resource(name)
        if now is None or not now.nodes or now.pending:
            return False
        if now.nodes == (course.order.node,) and not is_back:
            return False
    return not silent(course)


def _restarted(course: Course) -> bool:
    since, guest = course.struck_at or 0, course.order.guest
    started = [at for (name, _), at in course.seen.processes.items() if name == guest and at > since]
    return bool(started) and _runs(course)


def _runs(course: Course) -> bool:
    status = course.seen.status
    now = status.resource(course.order.guest) if status is not None else None
    return now is not None and len(now.nodes) == 1 and not now.pending and not now.is_failed and not silent(course)
