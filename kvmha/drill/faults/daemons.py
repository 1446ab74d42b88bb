"""Faults of daemons and agents: killed, or standing still."""

from __future__ import annotations

from kvmha.drill.faults.plan import HUNT_FOUND, LIMIT, Fault, Plan, end_work, program, work
from kvmha.errors import UserError
from kvmha.host import SIGKILL
from kvmha.policy.model import GuestIdentity
from kvmha.tools import qemu_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host

LIBVIRT_UNITS = ("virtqemud.service", "libvirtd.service")

COROSYNC, PACEMAKER = "corosync.service", "pacemaker.service"

PACEMAKER_DAEMONS = (
    "pacemakerd", "pacemaker-based", "pacemaker-controld", "pacemaker-attrd", "pacemaker-execd", "pacemaker-fenced",
    "pacemaker-schedulerd",
)  # fmt: skip

AGENT_ACTIONS = ("monitor", "start", "stop", "migrate_to", "migrate_from")
"""What Pacemaker asks of a guest's agent while a cluster runs."""

AFTER_A_FAILURE = ("start", "stop")
"""Actions that nobody asks for until the guest has failed."""


def _signal(unit: str, signal: str) -> tuple[str, ...]:
    # Only the daemon itself: QEMU's processes may be in the same control group. --kill-whom is its name from
    # systemd 252 on, which still knows this one.
    return ("systemctl", "kill", "--kill-who=main", f"--signal={signal}", unit)


def _killed(unit: str) -> Plan:
    return Plan(act=_signal(unit, "SIGKILL"), said=f"{unit.partition('.')[0]} was killed")


def _stopped(unit: str) -> Plan:
    said = f"{unit.partition('.')[0]} stands still"
    return Plan(act=_signal(unit, "SIGSTOP"), undo=(_signal(unit, "SIGCONT"),), said=said)


def _libvirt_unit(host: Host) -> str:
    for unit in LIBVIRT_UNITS:
        if host.run("systemctl", "is-active", "--quiet", unit, timeout=LIMIT, ok=None).rc == 0:
            return unit
    raise UserError(f"no daemon of libvirt runs: neither {' nor '.join(LIBVIRT_UNITS)} is active")


def _of_pacemaker(host: Host, name: str) -> str:
    """Return the process of one of Pacemaker's daemons, as a word. Raises UserError."""
    found = [pid for pid in host.pids() if host.exe(pid).rpartition("/")[2] == name]
    if len(found) != 1:
        raise UserError(f"{name} has {len(found)} processes here, and not one")
    return str(found[0])


def _daemon_killed(name: str) -> Callable[[Host, Fault], Plan]:
    return lambda host, fault: Plan(act=("kill", "-KILL", _of_pacemaker(host, name)), said=f"{name} was killed")


def _daemon_stopped(name: str) -> Callable[[Host, Fault], Plan]:
    # To go on is told to all of them: the number of a process may have become another's, and whoever runs does not
    # mind. Pacemaker itself kills a daemon that has not answered it for a while.
    undo = (("systemctl", "kill", "--signal=SIGCONT", PACEMAKER),)
    return lambda host, fault: Plan(
        act=("kill", "-STOP", _of_pacemaker(host, name)), undo=undo, said=f"{name} stands still"
    )


def _agent_killed(action: str) -> Callable[[Host, Fault], Plan]:
    def plan(host: Host, fault: Fault) -> Plan:
        argv = (program(host), "drill", "at-node", "hunt", "--guest", fault.name_of_guest, "--action", action)
        return Plan(
            act=work(fault, *argv), undo=(end_work(),), keep=(HUNT_FOUND, ""),
            then_kill_guest=action in AFTER_A_FAILURE,
            said=f"the agent of {fault.name_of_guest} is waited for in its next {action}, to be killed",
        )  # fmt: skip

    return plan


def _qemu_killed(host: Host, fault: Fault) -> Plan:
    return Plan(said=f"the QEMU of {fault.name_of_guest} was killed", then_kill_guest=True)


def kill_guest(host: Host, fault: Fault) -> float:
    """Kill a guest's QEMU, and nobody else's; return when. Raises UserError."""
    guest = GuestIdentity(name=fault.name_of_guest, uuid=fault.uuid)
    pids = qemu_process.find(host, guest)
    if len(pids) != 1:
        raise UserError(f"{fault.name_of_guest} has {len(pids)} QEMU processes here, and not one")
    at = host.wall_clock()
    host.kill(pids[0], SIGKILL, still=lambda: qemu_process.is_guest(host, pids[0], guest), wait=LIMIT)
    return at


PLANS: dict[str, Callable[[Host, Fault], Plan]] = {
    "corosync-killed": lambda host, fault: _killed(COROSYNC),
    "corosync-stopped": lambda host, fault: _stopped(COROSYNC),
    "libvirt-killed": lambda host, fault: _killed(_libvirt_unit(host)),
    "libvirt-stopped": lambda host, fault: _stopped(_libvirt_unit(host)),
    **{f"{name}-killed": _daemon_killed(name) for name in PACEMAKER_DAEMONS},
    **{f"{name}-stopped": _daemon_stopped(name) for name in PACEMAKER_DAEMONS},
    "qemu-killed": _qemu_killed,
    **{f"agent-killed-{action.replace('_', '-')}": _agent_killed(action) for action in AGENT_ACTIONS},
}
