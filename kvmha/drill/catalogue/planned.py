"""Drills of what an administrator does every month."""

from __future__ import annotations

from kvmha.drill.catalogue.words import STILL_OFF
from kvmha.drill.records import CLUSTER, COMMANDS, GUEST, LEFT, MOVED, NODE, OTHERS, Drill

DRAIN, MIGRATE, MIGRATE_ALL, ROLLING_REBOOT = "drain", "migrate", "migrate-all", "rolling-reboot"

STAYS = "a move that does not come to an end is aborted, and the guest runs on where it is"

DRILLS = (
    Drill(
        name=DRAIN,
        said="all guests are moved away from the node, which then may be used again",
        undone="the node leaves standby (kvmha undrain)",
        aim=NODE, leads_to=MOVED, is_destructive=False, event=("standby", "{node}"), made_by=COMMANDS,
    ),
    Drill(
        name=MIGRATE,
        said="the guest moves live to another node, and back",
        undone=STAYS,
        aim=GUEST, leads_to=MOVED, is_destructive=False, made_by=COMMANDS,
    ),
    Drill(
        name=MIGRATE_ALL,
        said="every guest moves live to another node, and back, one after the other",
        undone=STAYS,
        aim=CLUSTER, leads_to=MOVED, is_destructive=False, made_by=COMMANDS,
    ),
    Drill(
        name=ROLLING_REBOOT,
        said="one node after the other is drained, rebooted and used again, but not the one that runs the drill: "
        "the drill reboot, run from another node, is for that one",
        undone=f"a node that is in standby leaves it; {STILL_OFF}",
        aim=CLUSTER, leads_to=LEFT, is_destructive=True, event=("standby", "{node}"), made_by=COMMANDS, made_on=OTHERS,
    ),
)  # fmt: skip
