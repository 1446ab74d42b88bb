"""What speaks against a start.

Invariant: a guest that may run on a peer is not started here. What is not known about a peer counts as "may be", unless
the cluster knows that the peer is down, or had no copy of the guest. Everything else that is checked only spares a
start that would fail, or that would harm the guests which run here already, and says so in numbers.

Each function returns the reason in one sentence, or None.
"""

from __future__ import annotations

from kvmha.record import Record

ACTIVE, ABSENT, UNKNOWN = "active", "absent", "unknown"
ANSWERS = (ACTIVE, ABSENT, UNKNOWN)

BASE_KIB = 96 * 1024
PAGE_TABLES = 512
"""What QEMU needs beside the guest's memory: its own code, heap and devices, and page tables, of which eight bytes map
four KiB, once for the process (an estimate on the low side: a refusal shall not be wrong)."""

MIB = 1024


class Peer(Record):
    """What is known of another node."""

    name: str
    is_online: bool = True
    is_unclean: bool = False
    """The cluster has lost it, and has not fenced it yet; or it is to be fenced."""
    has_guest: bool = False
    """The cluster has the guest active there, failed and blocked included."""
    answer: str = UNKNOWN
    """One of ANSWERS: what its libvirt said of the guest."""
    silence: str = ""
    """Why its libvirt gave no answer."""


class Disk(Record):
    """What was found where a guest expects a disk."""

    path: str
    wanted: str
    """``file``, ``block device`` or ``folder``."""
    found: str = ""
    """The same, or ``special file``; empty for nothing."""
    error: str = ""
    """Why it cannot be looked at, or opened as the guest will."""
    minor: int = -1
    """The minor number of a device of DRBD, -1 for any other."""
    resource: str = ""
    """The DRBD resource that it is a device of, if that is neither promoted here nor will be when it is opened."""
    role: str = ""


class Memory(Record):
    """One kind of memory; all in KiB."""

    need_kib: int
    free_kib: int = 0
    promised_kib: int = 0
    """What guests that have just begun have not touched yet, and will."""
    page_kib: int = 0
    """The size of the huge pages, 0 for ordinary memory."""
    numa_nodes: tuple[int, ...] = ()


def why_not_beside(guest: str, peer: Peer) -> str | None:
    """Return why a peer keeps us from a start."""
    if peer.answer == ACTIVE:
        return f"{guest} runs on {peer.name} already, says its libvirt"
    if peer.answer == ABSENT:
        return None
    if peer.has_guest and (peer.is_online or peer.is_unclean):
        silence = f", and its libvirt {peer.silence}" if peer.silence else ""
        return f"{guest} may run on {peer.name}: the cluster has it there{silence}"
    if peer.is_unclean:
        return f"{guest} may run on {peer.name}, which the cluster has lost and not fenced yet"
    return None


def why_not_from(disk: Disk) -> str | None:
    """Return why a disk keeps us from a start."""
    if disk.resource:
        return f"disk {disk.path}: DRBD resource {disk.resource} is {disk.role} here, not promoted"
    if disk.error:
        return f"disk {disk.path}: {disk.error}"
    # A path to a character device serves as a disk as well, and sockets are others' business.
    if disk.found not in (disk.wanted, "special file"):
        return f"disk {disk.path} is a {disk.found}, and the definition says {disk.wanted}"
    return None


def why_not_within(memory: Memory, guest: str, node: str) -> str | None:
    """Return why the memory keeps us from a start."""
    if memory.need_kib <= memory.free_kib - memory.promised_kib:
        return None
    need, free = _mib_up(memory.need_kib), max(memory.free_kib - memory.promised_kib, 0) // MIB
    if memory.page_kib:
        place = f"NUMA node {','.join(map(str, memory.numa_nodes))} of {node}" if memory.numa_nodes else node
        size = f"{memory.page_kib // MIB} MiB" if memory.page_kib >= MIB else f"{memory.page_kib} KiB"
        return f"{guest} needs {need} MiB in huge pages of {size}, and {place} has {free} MiB of them free"
    promised = ""
    if memory.promised_kib:
        promised = f", {memory.promised_kib // MIB} MiB less for guests that have just started"
    return f"{guest} needs {need} MiB and {node} has {free} MiB free{promised}"


def why_not(
    guest: str, node: str, peers: tuple[Peer, ...], disks: tuple[Disk, ...], memory: tuple[Memory, ...]
) -> tuple[str, ...]:
    """Return every reason against a start of a guest on this node, the weightiest first; empty if there is none."""
    found = [
        *(why_not_beside(guest, peer) for peer in peers),
        *(why_not_from(disk) for disk in disks),
        *(why_not_within(each, guest, node) for each in memory),
    ]
    return tuple(reason for reason in found if reason)


def overhead(memory_kib: int) -> int:
    """Return what a guest's QEMU will take beside that memory."""
    return memory_kib // PAGE_TABLES + BASE_KIB


def untouched(memory_kib: int, resident_kib: int) -> int:
    """Return what a QEMU process may still take."""
    return max(memory_kib - resident_kib, 0)


def _mib_up(kib: int) -> int:
    return -(-kib // MIB)
