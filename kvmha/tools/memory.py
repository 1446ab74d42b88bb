"""/proc/meminfo and the pools of huge pages: what a node could give to a guest now."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

MEMINFO = "/proc/meminfo"
POOLS = "/sys/kernel/mm/hugepages"
NODE_POOLS = "/sys/devices/system/node/node{}/hugepages"


class HugePages(Record):
    """The pool of huge pages of one size; all in KiB."""

    size_kib: int
    total_kib: int
    free_kib: int
    """What a new guest can have: free and promised to nobody, and what the kernel may still add to the pool."""


def parse_meminfo(text: str) -> dict[str, int]:
    """Read ``MemAvailable:   22612012 kB`` and its kin, in KiB; counts such as HugePages_Free stay counts."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0])
    return found


def available_kib(host: Host) -> int | None:
    """Return what the kernel could give to programs without swapping (proc(5), MemAvailable), or None."""
    try:
        return parse_meminfo(host.read(MEMINFO)).get("MemAvailable")
    except OSError:
        return None


def default_page_kib(host: Host) -> int:
    """Return the size of the huge pages that are meant where no size is named; 0 where there are none."""
    try:
        return parse_meminfo(host.read(MEMINFO)).get("Hugepagesize", 0)
    except OSError:
        return 0


def huge_pages(host: Host, size_kib: int, numa_nodes: tuple[int, ...] = ()) -> HugePages:
    """Return the pool of huge pages of a size, on some NUMA nodes or on all; an empty one if there is none."""
    folders = [NODE_POOLS.format(node) for node in numa_nodes] or [POOLS]
    total = free = 0
    for folder in folders:
        pool = f"{folder}/hugepages-{size_kib}kB"
        total += _count(host, f"{pool}/nr_hugepages")
        # Pages that are promised to a mapping and not touched yet count as free, and the kernel may add surplus pages
        # up to a limit (Linux, admin-guide/mm/hugetlbpage). The pools of single NUMA nodes do not have these files.
        free += _count(host, f"{pool}/free_hugepages") - _count(host, f"{pool}/resv_hugepages")
        if not numa_nodes:
            surplus = _count(host, f"{pool}/nr_overcommit_hugepages") - _count(host, f"{pool}/surplus_hugepages")
            free += max(surplus, 0)
    return HugePages(size_kib=size_kib, total_kib=total * size_kib, free_kib=max(free, 0) * size_kib)


def _count(host: Host, path: str) -> int:
    try:
        text = host.read(path).strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0
