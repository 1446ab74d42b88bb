"""The node's memory: what a guest needs of it, and what is left of it for one more guest.

In a failover the cluster starts several guests at one time, and each takes its memory only as it boots. What is free
is therefore lessened by what young guests have not touched yet, and by the claims of starts that are under way. Each
start writes down its claim under a lock, so that of two starts which do not fit together the first goes on.
"""

from __future__ import annotations

import os

from kvmha.policy import start
from kvmha.policy.model import GuestIdentity
from kvmha.policy.start import Memory
from kvmha.tools import memory, qemu_memory, qemu_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.tools.domain_xml import Needs

FOLDER = "/run/kvmha/claims"
LOCK = "/run/kvmha/claims.lock"
LOCK_LIMIT = 3.0
"""Seconds to wait for the lock, which is held for some milliseconds; without it the look goes on."""

YOUNG = 600.0
"""Seconds after its start in which a guest is expected to take the rest of its memory. One that has not touched it
then may never do so, and memory that is overcommitted like that is the operator's choice."""


def look(agent: VirtualDomain, guest: GuestIdentity, needs: Needs) -> list[Memory]:
    """Return each kind of memory that the guest needs, with what this node has of it, and claim it."""
    host = agent.host
    wanted = _wanted(host, needs)
    if not needs.memory_kib and not needs.huge_pages:
        return []
    held = host.lock(LOCK, timeout=min(LOCK_LIMIT, agent.left() / 4))
    try:
        host.write(f"{FOLDER}/{agent.env.instance}", _claim(os.getpid(), guest, wanted))
        claimed = _claimed(host, agent.env.instance)
        return [found for want in wanted if (found := _found(host, want, claimed)) is not None]
    finally:
        host.unlock(held)


def release(agent: VirtualDomain) -> None:
    """Take the claim back. One that is left lasts as long as the process that made it."""
    agent.host.remove(f"{FOLDER}/{agent.env.instance}")


def _wanted(host: Host, needs: Needs) -> list[Memory]:
    whole = needs.memory_kib + sum(needs.huge_pages.values())
    ordinary = Memory(need_kib=needs.memory_kib + start.overhead(whole))
    return [
        ordinary,
        *(
            Memory(need_kib=kib, page_kib=size or memory.default_page_kib(host), numa_nodes=needs.numa_nodes)
            for size, kib in sorted(needs.huge_pages.items())
        ),
    ]


def _found(host: Host, want: Memory, claimed: dict[int, int]) -> Memory | None:
    """Return what there is of a kind of memory, or None where that cannot be told."""
    if want.page_kib:
        pool = memory.huge_pages(host, want.page_kib, want.numa_nodes)
        return want.replace(free_kib=pool.free_kib, promised_kib=claimed.get(want.page_kib, 0))
    available = memory.available_kib(host)
    if available is None:
        return None
    return want.replace(free_kib=available, promised_kib=_promised(host) + claimed.get(0, 0))


def _promised(host: Host) -> int:
    """Return what the young guests of this node have not touched yet."""
    young = [pid for pid in qemu_process.find_any(host) if qemu_memory.age(host, pid) < YOUNG]
    return sum(
        start.untouched(qemu_memory.guest_kib(host.cmdline(pid)), qemu_memory.resident_kib(host, pid)) for pid in young
    )


def _claim(pid: int, guest: GuestIdentity, wanted: list[Memory]) -> str:
    rows = [f"pid={pid}", f"name={guest.name}", f"uuid={guest.uuid}"]
    return "\n".join([*rows, *(f"{want.page_kib}={want.need_kib}" for want in wanted)]) + "\n"


def _claimed(host: Host, own: str) -> dict[int, int]:
    """Return what other starts that are under way have claimed, in KiB by size of the pages."""
    found: dict[int, int] = {}
    for name in host.names(FOLDER):
        if name == own:
            continue
        try:
            rows = dict(line.partition("=")[::2] for line in host.read(f"{FOLDER}/{name}").splitlines())
        except OSError:
            continue
        if not _is_under_way(host, rows):
            continue
        for page, need in rows.items():
            if page.isdigit() and need.isdigit():
                found[int(page)] = found.get(int(page), 0) + int(need)
    return found


def _is_under_way(host: Host, rows: dict[str, str]) -> bool:
    """Tell whether the agent that made a claim still runs, and its guest does not: that one is seen as a process."""
    pid = rows.get("pid", "")
    if not pid.isdigit() or not any("VirtualDomain" in word for word in host.cmdline(int(pid))):
        return False
    return not qemu_process.find(host, GuestIdentity(name=rows.get("name", ""), uuid=rows.get("uuid", "")))
