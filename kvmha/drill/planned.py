"""Drills of what is planned: our own commands, one after the other, watched like any other drill."""

from __future__ import annotations

from kvmha.drill import striking, watch
from kvmha.drill.catalogue import DRAIN, MIGRATE, MIGRATE_ALL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.drill.course import Course


def run(course: Course) -> None:
    """Do it all. Raises Stopped, CommandError, UserError, OSError."""
    order = course.order
    if course.drill.name == DRAIN:
        course.command_to_end("kvmha", "drain", order.node)
        course.command_to_end("kvmha", "undrain", order.node)
    elif course.drill.name == MIGRATE:
        course.command_to_end(*move_argv(order.guest, course.stage.elsewhere))
        course.command_to_end(*move_argv(order.guest, order.node))
    elif course.drill.name == MIGRATE_ALL:
        for guest in order.guests:
            _there_and_back(course, guest)
    else:
        for node in order.targets:
            _reboot(course, node)


def move_argv(guest: str, node: str) -> tuple[str, ...]:
    """Return the command that moves a guest."""
    return ("kvmha", "migrate", guest, node)


def _there_and_back(course: Course, guest: str) -> None:
    found = course.seen.status.resource(guest) if course.seen.status is not None else None
    if found is None or len(found.nodes) != 1:
        course.note(f"{guest} does not run on one node now, and stays")
        return
    (home,) = found.nodes
    there = next((node for node in course.stage.nodes if node != home), home)
    course.command_to_end(*move_argv(guest, there))
    course.command_to_end(*move_argv(guest, home))


def _reboot(course: Course, node: str) -> None:
    """Drain a node, reboot it, and have it back, before the next one's turn."""
    course.command_to_end("kvmha", "drain", node)
    striking.at_node(course, node)
    course.until(f"{node} did not leave the cluster", lambda: not _is_online(course, node))
    course.seen.forget(node)
    course.note(f"{node} has left the cluster")
    course.until(f"{node} is not back", lambda: _is_online(course, node))
    course.note(f"{node} is back")
    course.command_to_end("kvmha", "undrain", node)
    said = [""]

    def is_well() -> bool:
        said[0] = watch.why_not_well(course.before.status, course.seen.status)
        return not said[0]

    course.until("the cluster is not well again", is_well)


def _is_online(course: Course, node: str) -> bool:
    found = course.seen.status.node(node) if course.seen.status is not None else None
    return found is not None and found.is_online and not found.is_pending
