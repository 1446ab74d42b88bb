"""What libvirt says of the node that it runs on, as far as that matters to a guest which may come."""

from __future__ import annotations

from kvmha.tools.libvirtd.connection import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMPARISONS = {0: "incompatible", 1: "identical", 2: "superset"}
"""virCPUCompareResult; anything else is an error."""

PROBE_LIMIT = 8.0
"""Seconds for one question: QEMU may have to be asked for its abilities first."""


class NodeQuestions(Connection):
    """Questions about a node."""

    def versions(self) -> tuple[int, int]:
        """Return libvirt's version and QEMU's, as libvirt writes them: 9.0.0 is 9000000."""
        return self._call(lambda _libvirt, connection: (connection.getLibVersion(), connection.getVersion()))

    def free_memory_mib(self) -> float | None:
        """Return the memory that programs could have, in MiB: free, and what the kernel only caches."""

        def ask(libvirt: Any, connection: Any) -> float | None:
            stats = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS, 0)
            if "free" not in stats:
                return None
            return float(sum(stats.get(name, 0) for name in ("free", "buffers", "cached")) / 1024)

        return self._call(ask)

    def free_pages_mib(self, sizes: tuple[int, ...]) -> dict[int, float]:
        """Return the free huge pages in MiB, by their size in KiB; a size that the node does not have is 0."""

        def ask(libvirt: Any, connection: Any) -> dict[int, float]:
            found = {}
            for size in sizes:
                try:
                    cells = connection.getFreePages([size], 0, 1, 0)
                except libvirt.libvirtError:
                    found[size] = 0.0
                    continue
                found[size] = sum(next(iter(cell.values())) for cell in cells.values()) * size / 1024
            return found

        return self._call(ask)

    def compare_cpu(self, definition: str) -> str | None:
        """Return how the node's processor, with its QEMU, compares to that of a running guest: of COMPARISONS, or None.

        None is for a guest without a model of its own, and for a libvirt that does not compare.
        """
        arch, machine, kind, cpu = _cpu_of(definition)
        if not cpu:
            return None

        def ask(libvirt: Any, connection: Any) -> str | None:
            try:
                return COMPARISONS.get(connection.compareHypervisorCPU(None, arch, machine, kind, cpu, 0))
            except libvirt.libvirtError as error:
                if error.get_error_code() in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_CONFIG_UNSUPPORTED):
                    return None
                raise

        return self._call(ask, limit=PROBE_LIMIT)

    def lacks_machine(self, definition: str) -> str:
        """Return the guest's machine type if the node's QEMU does not have it, else nothing."""
        arch, machine, kind, _ = _cpu_of(definition)

        def ask(libvirt: Any, connection: Any) -> str:
            try:
                connection.getDomainCapabilities(None, arch, machine, kind, 0)
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_INVALID_ARG:
                    return machine
                raise
            return ""

        return self._call(ask, limit=PROBE_LIMIT) if machine else ""

    def active_networks(self) -> tuple[str, ...]:
        """Return the names of libvirt's networks that are active."""

        def ask(libvirt: Any, connection: Any) -> tuple[str, ...]:
            networks = connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
            return tuple(sorted(network.name() for network in networks))

        return self._call(ask)

    def links(self) -> tuple[str, ...] | None:
        """Return the names of the node's bridges and other interfaces; None where libvirt does not know them.

        It reads them anew each time, where its list of node devices is that of udev, which a container does not have.
        """

        def ask(libvirt: Any, connection: Any) -> tuple[str, ...] | None:
            try:
                names = {each.name() for each in connection.listAllInterfaces(0)}
            except libvirt.libvirtError:
                return None
            return tuple(sorted(names)) if "lo" in names else None

        return self._call(ask)

    def moves_under_way(self) -> int:
        """Return how many guests come to the node or leave it at the moment."""

        def ask(libvirt: Any, connection: Any) -> int:
            count = 0
            for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                try:
                    count += domain.jobStats().get("operation") in (4, 5)
                except libvirt.libvirtError:
                    # It ended in between, or its QEMU does not answer.
                    continue
            return count

        return self._call(ask)


def _cpu_of(definition: str) -> tuple[str, str, str, str]:
    """Return architecture, machine type, kind of virtualisation and the processor's element of a definition."""
    from xml.etree import ElementTree

    domain = ElementTree.fromstring(definition)
    system, cpu = domain.find("os/type"), domain.find("cpu")
    if system is None:
        return "", "", "", ""
    text = ElementTree.tostring(cpu, encoding="unicode") if cpu is not None and len(cpu) else ""
    return system.get("arch", ""), system.get("machine", ""), domain.get("type", ""), text
