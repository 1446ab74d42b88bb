"""How each drill is undone: by its runner, or by whoever finds that there is none any more. Doing it twice is fine."""

from __future__ import annotations

import json

from kvmha.drill import catalogue, faults, journal
from kvmha.drill.catalogue import DRAIN, MIGRATE, POWER_CUT
from kvmha.drill.records import FENCED
from kvmha.errors import UserError
from kvmha.gather import fencing
from kvmha.host import CommandError
from kvmha.tools import crm_attribute, crm_mon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.drill.reach import Reach
    from kvmha.drill.records import Order
    from kvmha.host import Host

AT_NODE_LIMIT = 20.0
CLUSTER_LIMIT = 30.0
PAUSE = 2.0

MARGIN_S = 20.0
"""How long after its timer a node that was cut off is given to be reached again."""


def undo(reach: Reach, order: Order) -> tuple[str, ...]:
    """Undo what a drill may have done; return what there was to undo. Raises CommandError, UserError, OSError."""
    drill = catalogue.find(order.drill)
    if drill.name == POWER_CUT:
        return _power(reach, order)
    if drill.name == DRAIN:
        return _standby(reach, order)
    if drill.name == MIGRATE:
        # What a move leaves behind that was killed: the wish that the guest be elsewhere (crm_resource(8)).
        reach.host.run("crm_resource", "--clear", "--resource", order.guest, timeout=CLUSTER_LIMIT, ok=None)
        return ()
    return _at_node(reach, order, is_fenced=drill.leads_to == FENCED)


def _power(reach: Reach, order: Order) -> tuple[str, ...]:
    facts = fencing.live(reach.host)
    if fencing.switch(reach.host, facts, order.node, reach.here, "status") == "on":
        return ()
    fencing.switch(reach.host, facts, order.node, reach.here, "on")
    return (f"{order.node} was switched on",)


def _standby(reach: Reach, order: Order) -> tuple[str, ...]:
    status = crm_mon.look(reach.host, timeout=CLUSTER_LIMIT)
    node = status.node(order.node) if status is not None else None
    if node is not None and not node.is_standby:
        return ()
    reach.host.run(*crm_attribute.standby_argv(order.node, is_on=False), timeout=CLUSTER_LIMIT)
    return (f"{order.node} has left standby",)


def _at_node(reach: Reach, order: Order, *, is_fenced: bool) -> tuple[str, ...]:
    """Have the node undo it; one that is cut off does so by its timer, and one that was fenced has forgotten it."""
    host = reach.host
    until = host.now() + order.hold_s + faults.GRACE_S + MARGIN_S
    while True:
        try:
            done = reach.run(order.node, "kvmha", "drill", "at-node", "undo", timeout=AT_NODE_LIMIT)
            return tuple(json.loads(done.out)["undone"])
        except (CommandError, ValueError, KeyError, TypeError) as error:
            if is_fenced and _was_lost(host, order.node):
                return ()
            if host.now() > until:
                said = f"{order.node} could not be asked to undo {order.drill}: {error}"
                raise UserError(f"{said}; its timer does so; kvmha drill abort looks again") from None
        host.sleep(PAUSE)


def _was_lost(host: Host, node: str) -> bool:
    """Tell whether the cluster has lost the node, which then boots anew."""
    try:
        status = crm_mon.look(host, timeout=CLUSTER_LIMIT)
    except CommandError:
        return False
    found = status.node(node) if status is not None else None
    return found is not None and not found.is_online and not found.is_unclean


def recover(reach: Reach) -> tuple[str, ...]:
    """Undo what drills have left whose runner has died; return sentences. The caller holds the lock of drills.

    Raises UserError for what could not be undone; it is tried again by the next command.
    """
    said = []
    for told in journal.unfinished(reach.host):
        order = journal.order_of(told["order"])
        try:
            undone = undo(reach, order)
        except (CommandError, OSError) as error:
            raise UserError(f"the drill {told['id']} could not be undone: {error}; try again") from None
        journal.step(reach.host, told["id"], journal.UNDONE, order, said="its runner died; undone by a later command")
        what = ", ".join(undone) or "nothing was left of it"
        said.append(f"the drill {told['id']} had lost its runner: {what}")
    return tuple(said)
