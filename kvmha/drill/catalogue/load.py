"""Drills of load: no monitor may fail, and nobody may be fenced."""

from __future__ import annotations

from kvmha.drill.catalogue.words import TIMER
from kvmha.drill.records import NODE, UNDISTURBED, Drill

CPU_LOAD, MEMORY_LOAD, IO_LOAD, NETWORK_LOAD = "cpu-load", "memory-load", "io-load", "network-load"

ENDED = f"its programs are ended; {TIMER}"

DRILLS = (
    Drill(
        name=CPU_LOAD,
        said="two programs for each processor of the node want it all the time",
        undone=ENDED,
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=30.0,
    ),
    Drill(
        name=MEMORY_LOAD,
        said="the node's free memory is taken, but for a GiB or a tenth of it all (or --size MiB); the kernel ends who "
        "took it before anybody else",
        undone=ENDED,
        aim=NODE, leads_to=UNDISTURBED, is_destructive=True, hold_s=30.0, options=("size",),
    ),
    Drill(
        name=IO_LOAD,
        said="--size MiB (256) are written and flushed on the node again and again, in the folder --path (/var/tmp)",
        undone=f"the program is ended, and its file removed; {TIMER}",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=30.0, options=("path", "size"),
    ),
    Drill(
        name=NETWORK_LOAD,
        said="the node sends as much as goes to all others on the network of one link",
        undone=ENDED,
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=30.0, has_link=True,
    ),
)  # fmt: skip
