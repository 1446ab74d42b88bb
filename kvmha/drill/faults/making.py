"""How a fault is made on this node, and undone.

Invariant: before a fault is made, how it is undone lies in a file of this node, and a timer that does it is running. So
a fault ends although whoever ordered it has died, and although this node cannot be reached any more. What a reboot
undoes by itself is kept where a reboot forgets it.
"""

from __future__ import annotations

import json

from kvmha.drill.faults import daemons, load, network, storage
from kvmha.drill.faults import host as of_host
from kvmha.drill.faults.plan import FOLDER, LIMIT, Fault, Plan, here, program, require
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

STATE = f"{FOLDER}/drill.json"
LOG = f"{FOLDER}/drill.log"
GIVEN = f"{FOLDER}/drill.given"
"""What a command that is made late reads."""

UNIT = "kvmha-drill-undo"
LATE_UNIT = "kvmha-drill-late"

GRACE_S = 5.0
"""How much later than ordered the timer undoes: whoever ordered the fault is given the first word."""

AGAIN_S = 5
"""The timer's command is called again so long after it has failed to undo it."""

PLANS = {**of_host.PLANS, **network.PLANS, **daemons.PLANS, **storage.PLANS, **load.PLANS}

GONE = (
    "No such file or directory", "not loaded", "Cannot delete qdisc with handle of zero", "Invalid handle",
    "must match existing qdisc",
)  # fmt: skip
"""What nft, systemctl and tc say of what is not there any more."""


class Made(Record):
    """What was done, and when it began, in seconds since the epoch."""

    at: float
    said: str


def ready(host: Host, node: str, fault: Fault) -> Plan:
    """Return how a fault would be made on this node, and do nothing. Raises UserError, CommandError."""
    name = here(host)
    if name != node:
        raise UserError(f"the fault is for {node}, and this is {name}")
    if host.exists(STATE):
        raise UserError(f"{node} is in a drill already ({STATE}); kvmha drill abort ends it")
    if fault.name not in PLANS:
        raise UserError(f'there is no fault "{fault.name}"; there are {", ".join(PLANS)}')
    plan = PLANS[fault.name](host, fault)
    require(host, plan)
    return plan


def strike(host: Host, node: str, fault: Fault) -> Made:
    """Make a fault on this node, which must be the one that is meant. Raises UserError, CommandError."""
    plan = ready(host, node, fault)
    if plan.is_late:
        # Also where there is nothing else to undo: it must not come when the drill was ended in the meantime.
        plan = plan.replace(undo=(_end_late(), *plan.undo))
    if plan.undo:
        if plan.keep[0]:
            host.write(plan.keep[0], plan.keep[1], mode=0o600)
        until = fault.at + fault.hold_s if plan.is_timed else 0.0
        told = {"id": fault.id, "fault": fault.name, "undo": plan.undo, "at": fault.at, "until": until}
        host.write(STATE, json.dumps(told))
        _set_timer(host, fault)
    try:
        return _make(host, fault, plan)
    except BaseException:
        undo(host)
        raise


def _make(host: Host, fault: Fault, plan: Plan) -> Made:
    if fault.name == "hang":
        # Its folder may not be there yet after a boot.
        host.write(LOG, "")
        host.start("/bin/sh", "-c", of_host.HANG.format(breath=of_host.BREATH_S, hold=fault.hold_s), log=LOG)
        return Made(at=host.wall_clock() + of_host.BREATH_S, said=plan.said)
    if plan.is_late:
        host.write(GIVEN, plan.given)
        argv = ("sh", "-c", f'exec "$@" <{GIVEN}', "late", *plan.act)
        late = ("systemd-run", "--quiet", "--collect", f"--unit={LATE_UNIT}")
        if plan.is_timed:
            host.run(*late, *argv, timeout=LIMIT)
            return Made(at=fault.at, said=plan.said)
        after = (f"--on-active={of_host.BREATH_S:g}", "--timer-property=AccuracySec=10ms")
        host.run(*late, *after, *argv, timeout=LIMIT)
        return Made(at=host.wall_clock() + of_host.BREATH_S, said=plan.said)
    at = host.wall_clock()
    if plan.act:
        host.run(*plan.act, given=plan.given, timeout=LIMIT)
    if plan.then_kill_guest:
        at = daemons.kill_guest(host, fault)
    return Made(at=at, said=plan.said)


def undo(host: Host) -> tuple[str, ...]:
    """Undo what was done to this node, if anything; return what was undone. Raises CommandError where that fails.

    The file stays until all is undone, so that whoever comes next tries again.
    """
    try:
        told = json.loads(host.read(STATE))
    except FileNotFoundError:
        return ()
    except ValueError as error:
        raise UserError(f"{STATE} cannot be read: {error}; look at nft list ruleset and systemctl status") from None
    now = host.wall_clock()
    if told.get("at", 0.0) <= now < told.get("until", 0.0):
        # It is over everywhere at that moment, and nowhere before.
        host.sleep(told["until"] - now)
    failed: CommandError | None = None
    for argv in told["undo"]:
        done = host.run(*argv, timeout=LIMIT, ok=None)
        if done.rc != 0 and not any(word in done.err for word in GONE):
            # What comes after it is undone all the same.
            failed = failed or CommandError(tuple(argv), f"exited with {done.rc}: {done.err.strip()[-160:]}")
    if failed is not None:
        raise failed
    host.remove(STATE)
    _stop_timer(host)
    return (str(told["fault"]),)


def _set_timer(host: Host, fault: Fault) -> None:
    lasts = fault.hold_s + GRACE_S + max(fault.at - host.wall_clock(), 0.0)
    host.run(
        "systemd-run", "--quiet", "--collect", f"--unit={UNIT}", f"--on-active={lasts:g}",
        "--timer-property=AccuracySec=100ms", "--property=Restart=on-failure", f"--property=RestartSec={AGAIN_S}",
        program(host), "drill", "at-node", "undo", timeout=LIMIT,
    )  # fmt: skip


def _stop_timer(host: Host) -> None:
    # When the timer itself undoes, its own service runs; only the timer is stopped. One that has gone is fine.
    host.run("systemctl", "stop", f"{UNIT}.timer", timeout=LIMIT, ok=None)


def _end_late() -> tuple[str, ...]:
    # Both at once fails as a whole where one is not loaded any more, and ends the other all the same.
    return ("systemctl", "stop", f"{LATE_UNIT}.timer", f"{LATE_UNIT}.service")
