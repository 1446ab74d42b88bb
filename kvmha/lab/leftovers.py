"""What a lab can leave behind, found by what it holds and not by what it is called, and removed.

A process belongs to a lab if it lives in one of its network namespaces or in the cgroup of one of its nodes, or if it
carries the lab's mark in its environment.
"""

from __future__ import annotations

import os

from kvmha.host import SIGKILL, CommandError
from kvmha.lab import network, nodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host
    from kvmha.lab.plan import LabPlan

TIMEOUT = 20.0


def namespaces(host: Host, plan: LabPlan) -> list[str]:
    """Return the names of the lab's network namespaces that exist."""
    wanted = {plan.netns, *(node.netns for node in plan.nodes)}
    return [name for name in host.names(network.NETNS_FOLDER) if name in wanted]


def exist(host: Host, plan: LabPlan) -> bool:
    """Tell whether anything of the lab is there beside its files."""
    return bool(namespaces(host, plan) or processes(host, plan))


def processes(host: Host, plan: LabPlan) -> list[int]:
    """Return the ids of all processes of the lab but our own and those above us."""
    spared = _ancestors(host)
    held = {network.netns_id(name) for name in namespaces(host, plan)}
    return [pid for pid in host.pids() if pid not in spared and _belongs(host, plan, pid, held)()]


def remove(host: Host, plan: LabPlan) -> None:
    """End all processes of the lab, then remove its namespaces and cgroups. Raises CommandError if one does not end."""
    held = {network.netns_id(name) for name in namespaces(host, plan)}
    until = host.now() + TIMEOUT
    while found := processes(host, plan):
        if host.now() > until:
            raise CommandError((f"process {found[0]}",), f"of the lab {plan.name} does not end")
        for pid in found:
            host.kill(pid, SIGKILL, still=_belongs(host, plan, pid, held), wait=TIMEOUT)
            host.wait(pid, timeout=0.0)
    for node in plan.nodes:
        network.unplug(host, plan, node)
        nodes.forget_cgroup(host, node)
    network.delete_namespace(host, plan.netns)
    network.forget_folder(host)


def _belongs(host: Host, plan: LabPlan, pid: int, held: set[tuple[int, int] | None]) -> Callable[[], bool]:
    def still() -> bool:
        netns = nodes.netns_of(pid)
        if netns is None or not host.cmdline(pid):
            return False
        return (
            netns in held
            or nodes.marked(host, pid, plan.folder)
            or any(nodes.in_cgroup(host, node, pid) for node in plan.nodes)
        )

    return still


def _ancestors(host: Host) -> set[int]:
    """Return our own process id and those of our parents."""
    found, pid = set(), os.getpid()
    while pid > 0:
        found.add(pid)
        try:
            text = host.read(f"/proc/{pid}/stat")
        except OSError:
            break
        # proc(5): the name in parentheses may hold anything; the state and then the parent follow the last of them.
        pid = int(text.rpartition(")")[2].split()[1])
    return found
