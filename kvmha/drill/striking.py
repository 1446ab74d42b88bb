"""The moment at which a drill does what it does; the journal has said before that it would."""

from __future__ import annotations

import json

from kvmha.drill import catalogue, faults, journal
from kvmha.drill.catalogue import POWER_CUT
from kvmha.drill.records import MOVED
from kvmha.gather import fencing
from kvmha.host import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.drill.course import Course

COMMAND_LIMIT = 30.0


def strike(course: Course) -> None:
    """Do it. Raises Stopped, CommandError, UserError, OSError."""
    host, order = course.host, course.order
    course.step(journal.STRIKING)
    course.note(f"now: {course.drill.said}")
    if course.drill.name == POWER_CUT:
        facts = fencing.live(host)
        course.struck_at = host.wall_clock()
        fencing.switch(host, facts, order.node, course.reach.here, "off")
        # An agent takes seconds to switch, and to see that it has; the node itself was heard until it was off.
        course.tick()
        course.struck_at = max(course.struck_at, course.seen.last_seen(order.node))
    elif course.drill.leads_to == MOVED:
        course.struck_at = host.wall_clock()
    else:
        course.struck_at = _at_node(course)
    course.step(journal.STRUCK)


def _at_node(course: Course) -> float:
    """Have the target do it to itself; return when, on this node's clock."""
    host, order = course.host, course.order
    links = (order.link,) if order.link else ()
    fault = {
        "name": order.drill, "id": course.id, "hold_s": order.hold_s, "links": links, "name_of_guest": order.guest,
        "uuid": course.stage.uuids.get(order.guest, ""), "percent": order.percent, "delay_ms": order.delay_ms,
    }  # fmt: skip
    words = ("kvmha", "drill", "at-node", "strike", "--node", order.node, json.dumps(fault))
    sent = host.wall_clock()
    try:
        done = course.reach.run(order.node, *words, timeout=COMMAND_LIMIT)
    except CommandError as error:
        # A node that is cut off cannot say any more that it is.
        if order.drill != catalogue.LINKS_CUT:
            raise
        course.note(f"the target said nothing: {error}")
        course.tick()
        return max(sent, course.seen.last_seen(order.node))
    told = json.loads(done.out)
    course.note(str(told["said"]))
    at = float(told["at"]) - course.offsets.get(order.node, 0.0)
    # A hang comes a moment after it was answered for.
    return min(max(at, sent), host.wall_clock() + faults.BREATH_S)
