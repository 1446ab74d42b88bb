"""The moment at which a drill does what it does; the journal has said before that it would."""

from __future__ import annotations

import json

from kvmha.drill import faults, journal
from kvmha.drill.records import COMMANDS, PARTED, POWER
from kvmha.gather import fencing
from kvmha.host import CommandError, CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.drill.course import Course
    from kvmha.drill.records import Order
    from kvmha.drill.stage import Stage
    from kvmha.host import Completed

COMMAND_LIMIT = 30.0

LEAD_S = 15.0
"""Until all nodes do at the same moment what they are told at the same time; logins take their time."""

REFUSED = 2
"""Our own exit code for what is not done, for a reason."""


def strike(course: Course) -> None:
    """Do it. Raises Stopped, CommandError, UserError, OSError."""
    course.step(journal.STRIKING)
    course.note(f"now: {course.drill.said}")
    if course.drill.made_by == POWER:
        switch(course, course.drill.power)
    elif course.drill.made_by == COMMANDS:
        course.struck_at = course.host.wall_clock()
    else:
        _at_nodes(course)
    course.step(journal.STRUCK)


def _at_nodes(course: Course) -> None:
    """Have all targets do it to themselves; at one moment, where they cut each other off."""
    host, nodes = course.host, course.order.targets
    at = host.wall_clock() + LEAD_S if course.drill.leads_to == PARTED else 0.0
    sent = host.wall_clock()
    calls = [lambda node=node: _tell(course, node, at) for node in nodes]
    answers = host.together(calls, what="the targets", timeout=COMMAND_LIMIT + 5.0)
    moments = [_made(course, node, answer, sent) for node, answer in zip(nodes, answers)]
    course.struck_at = at or moments[0]


def switch(course: Course, action: str) -> None:
    """Switch the target's power by its fence device. Raises Stopped, CommandError, UserError, OSError."""
    host, order = course.host, course.order
    facts = fencing.live(host)
    course.struck_at = host.wall_clock()
    fencing.switch(host, facts, order.node, course.reach.here, action)
    # An agent takes seconds to switch, and to see that it has; the node itself was heard until it was off.
    course.tick()
    course.struck_at = max(course.struck_at, course.seen.last_seen(order.node))


def fault(order: Order, stage: Stage, name: str) -> dict[str, object]:
    """Return what a node is told to do to itself, in the drill of that name."""
    return {
        "name": order.drill, "id": name, "hold_s": order.hold_s, "links": (order.link,) if order.link else (),
        "name_of_guest": order.guest, "uuid": stage.uuids.get(order.guest, ""), "percent": order.percent,
        "delay_ms": order.delay_ms, "target": order.node, "path": order.path, "size_mib": order.size_mib,
    }  # fmt: skip


def at_node(course: Course, node: str) -> float:
    """Have a node do it to itself; return when, on this node's clock. Raises Stopped, CommandError."""
    sent = course.host.wall_clock()
    try:
        answer: Completed | BaseException = _tell(course, node, 0.0)
    except CommandError as error:
        answer = error
    return _made(course, node, answer, sent)


def _tell(course: Course, node: str, at: float) -> Completed:
    told = fault(course.order, course.stage, course.id)
    told["at"] = at + course.offsets.get(node, 0.0) if at else 0.0
    words = ("kvmha", "drill", "at-node", "strike", "--node", node, json.dumps(told))
    return course.reach.run(node, *words, timeout=COMMAND_LIMIT)


def _made(course: Course, node: str, answer: Completed | BaseException, sent: float) -> float:
    """Return when a node did it, by what it answered. Raises CommandError where it did not."""
    if isinstance(answer, BaseException):
        is_refused = isinstance(answer, CommandFailed) and answer.done.rc == REFUSED
        # A node that is cut off cannot say any more that it is.
        if not isinstance(answer, CommandError) or is_refused or not course.drill.cuts_off:
            raise answer
        course.note(f"{node} said nothing: {answer}")
        course.tick()
        return max(sent, course.seen.last_seen(node))
    made = json.loads(answer.out)
    course.note(f"{node}: {made['said']}")
    at = float(made["at"]) - course.offsets.get(node, 0.0)
    # A hang comes a moment after it was answered for.
    return min(max(at, sent), course.host.wall_clock() + faults.BREATH_S)
