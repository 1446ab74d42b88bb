"""All drills, as data: what each does, what it should lead to, how it is undone, and whether it is harmless."""

from __future__ import annotations

from kvmha.drill.records import FENCED, GUEST, MOVED, NODE, RESTARTED, UNDISTURBED, Drill
from kvmha.errors import UserError

FENCING_UNDOES = "the cluster fences the node, which boots anew"
TIMER = "the target undoes it itself, by a timer that was set before, if nobody else has done so"

POWER_CUT, HANG, COROSYNC_KILLED, COROSYNC_STOPPED = "power-cut", "hang", "corosync-killed", "corosync-stopped"
LIBVIRT_KILLED, LIBVIRT_STOPPED, QEMU_KILLED = "libvirt-killed", "libvirt-stopped", "qemu-killed"
LINK_CUT, LINKS_CUT, LINK_LOSS, LINK_DELAY = "link-cut", "links-cut", "link-loss", "link-delay"
DRAIN, MIGRATE = "drain", "migrate"

DRILLS = (
    Drill(
        name=POWER_CUT,
        said="the power of the node is switched off by its own fence device, outside the cluster",
        undone=f"{FENCING_UNDOES}; a node that is still off at the end is switched on",
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("kill", "{node}"),
    ),
    Drill(
        name=HANG,
        said="all processes of the node are stopped (SIGSTOP), its guests' too; its kernel goes on",
        undone=f"{FENCING_UNDOES}; one process is spared, and continues all others when the time is over",
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("kill", "{node}"), hold_s=60.0,
    ),
    Drill(
        name=COROSYNC_KILLED,
        said="corosync is killed on the node (SIGKILL)",
        undone=FENCING_UNDOES,
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("kill", "{node}"), needs=("systemctl",),
    ),
    Drill(
        name=COROSYNC_STOPPED,
        said="corosync stands still on the node (SIGSTOP)",
        undone=f"{FENCING_UNDOES}; {TIMER}",
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("kill", "{node}"), hold_s=60.0,
        needs=("systemctl", "systemd-run"),
    ),
    Drill(
        name=LINKS_CUT,
        said="all packets on all links of corosync are dropped on the node, in both directions",
        undone=f"{FENCING_UNDOES}; {TIMER}",
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("cut", "{node}"), hold_s=60.0,
        needs=("nft", "systemd-run"),
    ),
    Drill(
        name=QEMU_KILLED,
        said="the guest's QEMU process is killed (SIGKILL)",
        undone="the cluster starts the guest anew; the failure that it notes is cleaned up afterwards",
        aim=GUEST, leads_to=RESTARTED, is_destructive=True, event=("fail", "{guest}"),
    ),
    Drill(
        name=LIBVIRT_KILLED,
        said="libvirt's daemon is killed on the node (SIGKILL)",
        undone="systemd starts it again",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=10.0, needs=("systemctl",),
    ),
    Drill(
        name=LIBVIRT_STOPPED,
        said="libvirt's daemon stands still on the node (SIGSTOP), longer than a monitor's interval",
        undone=f"the daemon is continued; {TIMER}",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=25.0, needs=("systemctl", "systemd-run"),
    ),
    Drill(
        name=LINK_CUT,
        said="all packets on the network of one link of corosync are dropped on the node, in both directions",
        undone=f"the rule is taken away; {TIMER}",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, event=("link", "{node}", "{link}"), hold_s=20.0,
        has_link=True, needs=("nft", "systemd-run"),
    ),
    Drill(
        name=LINK_LOSS,
        said="some of the packets that arrive on the network of one link are dropped on the node, by chance",
        undone=f"the rule is taken away; {TIMER}",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=20.0, has_link=True, needs=("nft", "systemd-run"),
    ),
    Drill(
        name=LINK_DELAY,
        said="all packets that leave by the network of one link are held back on the node",
        undone=f"the queueing discipline is taken away; {TIMER}",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=20.0, has_link=True, needs=("tc", "systemd-run"),
    ),
    Drill(
        name=DRAIN,
        said="all guests are moved away from the node, which then may be used again",
        undone="the node leaves standby (kvmha undrain)",
        aim=NODE, leads_to=MOVED, is_destructive=False, event=("standby", "{node}"),
    ),
    Drill(
        name=MIGRATE,
        said="the guest moves live to another node, and back",
        undone="a move that does not come to an end is aborted, and the guest runs on where it is",
        aim=GUEST, leads_to=MOVED, is_destructive=False,
    ),
)  # fmt: skip


def find(name: str) -> Drill:
    """Return a drill by its name. Raises UserError."""
    found = next((drill for drill in DRILLS if drill.name == name), None)
    if found is None:
        raise UserError(f'there is no drill "{name}"; there are {", ".join(drill.name for drill in DRILLS)}')
    return found
