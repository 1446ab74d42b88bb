"""How a drill goes on after its fault: until what it should lead to has come about."""

from __future__ import annotations

from kvmha.drill import ending
from kvmha.drill.catalogue import DRAIN, MIGRATE
from kvmha.drill.records import FENCED, RESTARTED, UNDISTURBED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.drill.course import Course


def wait(course: Course) -> None:
    """Wait until the drill has led to what it should. Raises Stopped, CommandError, UserError, OSError."""
    leads_to, order = course.drill.leads_to, course.order
    if leads_to == UNDISTURBED:
        course.hold(order.hold_s)
    elif leads_to == RESTARTED:
        course.until("the guest did not start anew", lambda: _restarted(course))
    elif leads_to == FENCED:
        course.until(f"{order.node} was not fenced", lambda: was_fenced(course))
        course.note(f"{order.node} is fenced")
        course.seen.forget(order.node)
        course.until("what it ran does not run elsewhere", lambda: _all_run(course))
        course.note("all that it ran runs again")
    elif course.drill.name == MIGRATE:
        course.command_to_end("kvmha", "migrate", order.guest, course.stage.elsewhere)
        course.command_to_end("kvmha", "migrate", order.guest, order.node)
    elif course.drill.name == DRAIN:
        course.command_to_end("kvmha", "drain", order.node)
        course.command_to_end("kvmha", "undrain", order.node)


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


def _all_run(course: Course) -> bool:
    status, stage = course.seen.status, course.stage
    if status is None:
        return False
    # Where it should run nobody is asked: what should stay down, does.
    down = {fate.name for fate in stage.expected.fates if not fate.nodes}
    for resource in course.before.status.resources:
        name = resource.name
        is_ours = name in stage.uuids or name in stage.known.addresses.values()
        if not is_ours or not resource.nodes or name in down:
            continue
        now = status.resource(name)
        if now is None or not now.nodes or now.nodes == (course.order.node,) or now.pending:
            return False
    return not silent(course)


def _restarted(course: Course) -> bool:
    guest = course.order.guest
    status = course.seen.status
    now = status.resource(guest) if status is not None else None
    if now is None or len(now.nodes) != 1 or now.pending:
        return False
    since = course.struck_at or 0
    started = [at for (name, _), at in course.seen.processes.items() if name == guest and at > since]
    return bool(started) and not silent(course)
