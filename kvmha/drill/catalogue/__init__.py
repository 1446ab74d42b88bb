"""All drills, as data: what each does, what it should lead to, how it is undone, and whether it is harmless.

A module for each family; the order here is that in which they are listed.
"""

from __future__ import annotations

from kvmha.drill.catalogue import daemons, host, load, network, planned, storage
from kvmha.drill.catalogue.daemons import QEMU_KILLED
from kvmha.drill.catalogue.host import HANG, KERNEL_CRASH, POWER_CUT, REBOOT, SHUTDOWN
from kvmha.drill.catalogue.network import LINK_DELAY, LINKS_CUT, PARTITION
from kvmha.drill.catalogue.planned import DRAIN, MIGRATE, MIGRATE_ALL, ROLLING_REBOOT
from kvmha.errors import UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.drill.records import Drill

__all__ = [
    "DRAIN", "DRILLS", "FAMILIES",
    "HANG", "KERNEL_CRASH", "LINKS_CUT", "LINK_DELAY", "MIGRATE", "MIGRATE_ALL", "PARTITION",
    "POWER_CUT", "QEMU_KILLED", "REBOOT", "ROLLING_REBOOT", "SHUTDOWN", "find",
]  # fmt: skip

FAMILIES = {
    "host": host.DRILLS, "network": network.DRILLS, "daemons": daemons.DRILLS, "storage": storage.DRILLS,
    "load": load.DRILLS, "planned": planned.DRILLS,
}  # fmt: skip

DRILLS: tuple[Drill, ...] = tuple(
    drill.replace(family=family) for family, drills in FAMILIES.items() for drill in drills
)


def find(name: str) -> Drill:
    """Return a drill by its name. Raises UserError."""
    found = next((drill for drill in DRILLS if drill.name == name), None)
    if found is None:
        raise UserError(f'there is no drill "{name}"; there are {", ".join(drill.name for drill in DRILLS)}')
    return found
