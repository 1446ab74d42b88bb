"""Drills of a whole node."""

from __future__ import annotations

from kvmha.drill.catalogue.words import FENCING_UNDOES, STILL_OFF
from kvmha.drill.records import FENCED, LEFT, NODE, POWER, Drill

POWER_CUT, RESET, KERNEL_CRASH, HANG = "power-cut", "reset", "kernel-crash", "hang"
REBOOT, SHUTDOWN = "reboot", "shutdown"

DRILLS = (
    Drill(
        name=POWER_CUT,
        said="the power of the node is switched off by its own fence device, outside the cluster",
        undone=f"{FENCING_UNDOES}; {STILL_OFF}",
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("kill", "{node}"), made_by=POWER, power="off",
    ),
    Drill(
        name=RESET,
        said="the node is reset by its own fence device, outside the cluster: it boots without having ended anything",
        undone=f"{FENCING_UNDOES}; {STILL_OFF}",
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("kill", "{node}"), made_by=POWER, power="reboot",
    ),
    Drill(
        name=KERNEL_CRASH,
        said="the kernel of the node crashes (sysrq c); refused in a container, whose kernel is another machine's",
        undone=FENCING_UNDOES,
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("kill", "{node}"), cuts_off=True,
    ),
    Drill(
        name=HANG,
        said="all processes of the node are stopped (SIGSTOP), its guests' too; its kernel goes on",
        undone=f"{FENCING_UNDOES}; one process is spared, and continues all others when the time is over",
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("kill", "{node}"), hold_s=60.0,
    ),
    Drill(
        name=REBOOT,
        said="the node is rebooted in an orderly way, as an administrator does without having drained it",
        undone=f"it boots by itself; {STILL_OFF}",
        aim=NODE, leads_to=LEFT, is_destructive=True, event=("standby", "{node}"),
    ),
    Drill(
        name=SHUTDOWN,
        said="the node is shut down in an orderly way, and is off",
        undone="its fence device switches it on again, as soon as it is off",
        aim=NODE, leads_to=LEFT, is_destructive=True, event=("standby", "{node}"),
    ),
)  # fmt: skip
