"""Drills of storage."""

from __future__ import annotations

from kvmha.drill.catalogue.words import TIMER
from kvmha.drill.records import NODE, UNDISTURBED, Drill

DRBD_CUT, DISK_ERROR, DEVICE_FULL, NFS_LOST = "drbd-cut", "disk-error", "device-full", "nfs-lost"

DRILLS = (
    Drill(
        name=DRBD_CUT,
        said="what the DRBD resources of the node send to their peers is dropped, and what those send",
        undone=f"the rule is taken away, and DRBD connects again; {TIMER}",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=20.0,
    ),
    Drill(
        name=DISK_ERROR,
        said="a device of the device mapper (--path), which DRBD or a guest uses, answers everything with an error",
        undone=f"its table is put back, and DRBD takes the disk again; {TIMER}",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=True, hold_s=20.0,
        options=("path",),
    ),
    Drill(
        name=DEVICE_FULL,
        said="a file takes all that is free in the file system of --path (/var/lib/pacemaker)",
        undone=f"the file is removed, and Pacemaker told that it can write again; {TIMER}",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=True, hold_s=25.0, options=("path",),
    ),
    Drill(
        name=NFS_LOST,
        said="what the node sends to the NFS servers of its file systems is dropped, and what those send",
        undone=f"the rule is taken away; {TIMER}",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=True, hold_s=15.0,
    ),
)  # fmt: skip
