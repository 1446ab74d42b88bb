"""How each drill is undone: by its runner, or by whoever finds that there is none any more. Doing it twice is fine."""

from __future__ import annotations

import json
from functools import partial

from kvmha.drill import catalogue, faults, journal
from kvmha.drill.catalogue import DRAIN, ROLLING_REBOOT
from kvmha.drill.records import COMMANDS, ENDURED, FENCED, LEFT, POWER
from kvmha.errors import UserError
from kvmha.gather import fencing
from kvmha.host import SIGTERM, CommandError
from kvmha.tools import crm_attribute, crm_mon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.drill.reach import Reach
    from kvmha.drill.records import Order
    from kvmha.host import Host

AT_NODE_LIMIT = 20.0
CLUSTER_LIMIT = 30.0
PAUSE = 2.0

MARGIN_S = 20.0
"""How long after its timer a node that was cut off is given to be reached again."""

COMMAND_LIMIT = 90.0
"""For a command of ours to undo what it has begun, such as a move."""

UP = ("running", "degraded", "starting", "initializing", "maintenance")
"""What systemctl is-system-running says of a node that is not on its way down (systemctl(1))."""


def undo(reach: Reach, order: Order) -> tuple[str, ...]:
    """Undo what a drill may have done; return what there was to undo. Raises CommandError, UserError, OSError."""
    drill = catalogue.find(order.drill)
    if drill.made_by == POWER:
        return _power(reach, order.node)
    if drill.name == DRAIN:
        return _standby(reach, order.node)
    if drill.name == ROLLING_REBOOT:
        return _each(order, lambda node: _going_down(reach, order, node) + _standby(reach, node))
    if drill.made_by == COMMANDS:
        _forget_moves(reach, order)
        return ()
    if drill.leads_to == LEFT:
        return _going_down(reach, order, order.node)
    if drill.hunts:
        _forget_moves(reach, order)
    is_fenced = drill.leads_to in (FENCED, ENDURED)
    return _each(order, lambda node: _at_node(reach, order, node, is_fenced=is_fenced))


def clean(reach: Reach, order: Order) -> None:
    """Clean up the failures that a drill makes the cluster note. Raises CommandError, UserError."""
    fails = catalogue.find(order.drill).fails
    names: tuple[str, ...] = (order.guest,) if fails == "guest" else ()
    if fails == "fence devices":
        names = tuple(device.id for level in fencing.live(reach.host).fencing_of(order.node) for device in level)
    for name in dict.fromkeys(names):
        reach.host.run("crm_resource", "--cleanup", "--resource", name, timeout=CLUSTER_LIMIT, ok=None)


def _each(order: Order, undo_one: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
    """Undo it on every node, though it fails on one; raise what failed first."""
    found: list[str] = []
    failed: list[Exception] = []
    for node in order.targets:
        try:
            found += undo_one(node)
        except (CommandError, UserError, OSError) as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return tuple(found)


def _forget_moves(reach: Reach, order: Order) -> None:
    # What a move leaves behind that was killed: the wish that the guest be elsewhere (crm_resource(8)).
    for guest in order.guests or (order.guest,):
        reach.host.run("crm_resource", "--clear", "--resource", guest, timeout=CLUSTER_LIMIT, ok=None)


def _power(reach: Reach, node: str) -> tuple[str, ...]:
    facts = fencing.live(reach.host)
    if fencing.switch(reach.host, facts, node, reach.here, "status") == "on":
        return ()
    fencing.switch(reach.host, facts, node, reach.here, "on")
    return (f"{node} was switched on",)


def _going_down(reach: Reach, order: Order, node: str) -> tuple[str, ...]:
    """Switch a node on that went off; one that is on its way down is waited for, since it would be off afterwards. One
    that is up may have been told a moment ago to go down, and is told that it need not.
    """
    host = reach.host
    until = host.now() + order.limit_s
    undone: tuple[str, ...] | None = None
    while True:
        switched_on = _power(reach, node)
        if switched_on:
            return switched_on
        try:
            done = reach.run(node, "systemctl", "is-system-running", timeout=AT_NODE_LIMIT, ok=None)
            state = done.out.strip()
        except CommandError as error:
            state = str(error)
        if state in UP and undone is not None:
            return undone
        if state in UP:
            # It may have begun just before that: so it is looked at once more.
            undone = _told_at_node(reach, node)
            if undone is not None:
                continue
        if host.now() > until:
            raise UserError(
                f"{node} has power, and does not come up: {state or 'it says nothing'}; look at its console"
            )
        host.sleep(PAUSE)


def _told_at_node(reach: Reach, node: str) -> tuple[str, ...] | None:
    """Have a node undo what it was told to do to itself; return what that was, None where it does not answer."""
    try:
        done = reach.run(node, "kvmha", "drill", "at-node", "undo", timeout=AT_NODE_LIMIT)
        return tuple(json.loads(done.out)["undone"])
    except (CommandError, ValueError, KeyError, TypeError):
        return None


def _standby(reach: Reach, name: str) -> tuple[str, ...]:
    status = crm_mon.look(reach.host, timeout=CLUSTER_LIMIT)
    node = status.node(name) if status is not None else None
    if node is not None and not node.is_standby:
        return ()
    reach.host.run(*crm_attribute.standby_argv(name, is_on=False), timeout=CLUSTER_LIMIT)
    return (f"{name} has left standby",)


def _at_node(reach: Reach, order: Order, node: str, *, is_fenced: bool) -> tuple[str, ...]:
    """Have the node undo it; one that is cut off does so by its timer, and one that was fenced has forgotten it."""
    host = reach.host
    until = host.now() + order.hold_s + faults.GRACE_S + MARGIN_S
    while True:
        try:
            done = reach.run(node, "kvmha", "drill", "at-node", "undo", timeout=AT_NODE_LIMIT)
            return tuple(json.loads(done.out)["undone"])
        except (CommandError, ValueError, KeyError, TypeError) as error:
            if is_fenced and _was_lost(host, node):
                return ()
            if host.now() > until:
                said = f"{node} could not be asked to undo {order.drill}: {error}"
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
        _end_commands(reach.host, str(told["id"]))
        try:
            undone = undo(reach, order)
            clean(reach, order)
        except (CommandError, OSError) as error:
            raise UserError(f"the drill {told['id']} could not be undone: {error}; try again") from None
        journal.step(reach.host, told["id"], journal.UNDONE, order, said="its runner died; undone by a later command")
        what = ", ".join(undone) or "nothing was left of it"
        said.append(f"the drill {told['id']} had lost its runner: {what}")
    return tuple(said)


def _end_commands(host: Host, name: str) -> None:
    """End what a runner has started that has died: it goes on, and would put a node into standby later. Raises
    UserError where it does not end.
    """
    for pid in list(host.pids()):
        if not _is_of(host, pid, name):
            continue
        words = " ".join(host.cmdline(pid)).rpartition("/")[2]
        if not host.kill(pid, SIGTERM, still=partial(_is_of, host, pid, name), wait=COMMAND_LIMIT):
            raise UserError(f"{words} of the drill {name} does not end: kill the process {pid}, and try again")


def _is_of(host: Host, pid: int, name: str) -> bool:
    """Tell whether a process was started by the runner of that drill."""
    try:
        environ = host.read_bytes(f"/proc/{pid}/environ")
    except OSError:
        return False
    return f"{journal.MARK}={name}".encode() in environ.split(b"\0")
