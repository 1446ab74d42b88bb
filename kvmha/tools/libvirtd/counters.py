"""What libvirt counts of a guest's processors and disks (virConnectGetAllDomainStats)."""

from __future__ import annotations

from kvmha.policy.performance import Counters
from kvmha.tools.libvirtd.connection import Connection, lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.policy.model import GuestIdentity

NS = 1e9


class GuestCounters(Connection):
    """Questions about how a guest does."""

    def counters(self, guest: GuestIdentity) -> Counters | None:
        """Return what is counted of a guest that runs; None for one that does not."""
        import time

        def ask(libvirt: Any, connection: Any) -> Counters | None:
            domain = lookup(libvirt, connection, guest)
            if domain is None or not domain.isActive():
                return None
            wanted = libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_VCPU | libvirt.VIR_DOMAIN_STATS_BLOCK
            found = connection.domainListGetStats([domain], wanted, 0)
            return counters_of(found[0][1], time.monotonic()) if found else None

        return self._call(ask)


def counters_of(stats: dict[str, Any], at_s: float) -> Counters | None:
    """Read the answer; None for one that does not count processors."""
    if "cpu.time" not in stats:
        return None
    cpus = [number for number in range(stats.get("vcpu.maximum", 0)) if f"vcpu.{number}.state" in stats]
    delays = [stats[f"vcpu.{number}.delay"] for number in cpus if f"vcpu.{number}.delay" in stats]
    disks = range(stats.get("block.count", 0))
    kinds = ("rd", "wr", "fl")
    return Counters(
        at_s=at_s,
        cpus=len(cpus),
        cpu_s=stats["cpu.time"] / NS,
        delay_s=sum(delays) / NS if cpus and len(delays) == len(cpus) else None,
        requests=sum(stats.get(f"block.{disk}.{kind}.reqs", 0) for disk in disks for kind in kinds),
        request_s=sum(stats.get(f"block.{disk}.{kind}.times", 0) for disk in disks for kind in kinds) / NS,
    )
