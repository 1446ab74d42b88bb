"""Drills of daemons and agents: killed, or standing still."""

from __future__ import annotations

from kvmha.drill.catalogue.words import FENCING_UNDOES, TIMER
from kvmha.drill.records import ELSEWHERE, ENDURED, FENCED, GUEST, KEPT, NODE, RESTARTED, TARGET, UNDISTURBED, Drill

COROSYNC_KILLED, COROSYNC_STOPPED = "corosync-killed", "corosync-stopped"
LIBVIRT_KILLED, LIBVIRT_STOPPED, QEMU_KILLED = "libvirt-killed", "libvirt-stopped", "qemu-killed"

PACEMAKER = {
    "pacemakerd": "Pacemaker's first process, which looks after all others",
    "pacemaker-based": "Pacemaker's keeper of the configuration",
    "pacemaker-controld": "Pacemaker's controller, which is the node's voice in the cluster",
    "pacemaker-attrd": "Pacemaker's keeper of attributes",
    "pacemaker-execd": "Pacemaker's executor, which calls the agents",
    "pacemaker-fenced": "Pacemaker's fencer",
    "pacemaker-schedulerd": "Pacemaker's scheduler",
}
"""Every daemon of Pacemaker, in the words of its own documents (Pacemaker Administration)."""

QEMU_OR_AGENT = "the cluster starts the guest anew; the failure that it notes is cleaned up afterwards"


def _killed(name: str, words: str) -> Drill:
    return Drill(
        name=f"{name}-killed", said=f"{name}, {words}, is killed on the node (SIGKILL)",
        undone=f"Pacemaker starts it again, or {FENCING_UNDOES}",
        aim=NODE, leads_to=ENDURED, is_destructive=True, event=("kill", "{node}"), hold_s=20.0,
    )  # fmt: skip


def _stopped(name: str, words: str) -> Drill:
    return Drill(
        name=f"{name}-stopped", said=f"{name}, {words}, stands still on the node (SIGSTOP)",
        undone=f"it is continued, or {FENCING_UNDOES}; {TIMER}",
        aim=NODE, leads_to=ENDURED, is_destructive=True, event=("kill", "{node}"), hold_s=60.0,
    )  # fmt: skip


def _agent(action: str, leads_to: str, said: str, *, made_on: str = TARGET) -> Drill:
    return Drill(
        name=f"agent-killed-{action}", said=said,
        undone=f"{FENCING_UNDOES if leads_to == FENCED else QEMU_OR_AGENT}; who waits for the agent ends by a timer",
        aim=GUEST, leads_to=leads_to, is_destructive=True, event=("fail", "{guest}"), hold_s=120.0, made_on=made_on,
        hunts=True, fails="guest",
    )  # fmt: skip


DRILLS = (
    Drill(
        name=COROSYNC_KILLED,
        said="corosync is killed on the node (SIGKILL)",
        undone=FENCING_UNDOES,
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("kill", "{node}"),
    ),
    Drill(
        name=COROSYNC_STOPPED,
        said="corosync stands still on the node (SIGSTOP)",
        undone=f"{FENCING_UNDOES}; {TIMER}",
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("kill", "{node}"), hold_s=60.0,
    ),
    *(_killed(name, words) for name, words in PACEMAKER.items()),
    *(_stopped(name, words) for name, words in PACEMAKER.items()),
    Drill(
        name=QEMU_KILLED,
        said="the guest's QEMU process is killed (SIGKILL)",
        undone=QEMU_OR_AGENT,
        aim=GUEST, leads_to=RESTARTED, is_destructive=True, event=("fail", "{guest}"), fails="guest",
    ),
    _agent("monitor", RESTARTED, "the guest's agent is killed in its next monitor"),
    _agent("start", RESTARTED, "the guest's QEMU is killed, and then the agent that starts it anew"),
    _agent("stop", FENCED, "the guest's QEMU is killed, and then the agent that should stop what is left of it"),
    _agent("migrate-to", KEPT, "the guest is moved, and its agent killed where it leaves"),
    _agent("migrate-from", KEPT, "the guest is moved, and its agent killed where it arrives", made_on=ELSEWHERE),
    Drill(
        name=LIBVIRT_KILLED,
        said="libvirt's daemon is killed on the node (SIGKILL)",
        undone="systemd starts it again",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=10.0,
    ),
    Drill(
        name=LIBVIRT_STOPPED,
        said="libvirt's daemon stands still on the node (SIGSTOP), longer than a monitor's interval",
        undone=f"the daemon is continued; {TIMER}",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=25.0,
    ),
)  # fmt: skip
