"""A node of the lab: a container, User Mode Linux, or a virtual machine, that boots systemd and can lose its power.

A node is found by what it is, never by a number that was written down: its leader is the first process of a process
namespace, and lives in the node's cgroup, or in its network namespace. All other processes of the node end with it, by
the kernel's doing, and that is what makes a power cut. A virtual machine is one process, and that is its leader.
"""

from __future__ import annotations

import os

from kvmha.host import SIGKILL, CommandError
from kvmha.lab import container, network, uml, vagrant
from kvmha.lab.plan import CONTAINER, MARK, VAGRANT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host
    from kvmha.lab.ground import Ground
    from kvmha.lab.plan import LabPlan, NodePlan

DEATH_TIMEOUT = 20.0
SUPERVISOR_TIMEOUT = 2.0
GONE_TIMEOUT = 3.0
"""Seconds without any process of a node that is to boot; between two boots there is a moment without."""

# rmdir of a cgroup fails while a process is dying in it, and so it is tried for a while.
FORGET_CGROUP = """\
mount -t cgroup2 none /sys/fs/cgroup
for try in 1 2 3 4 5 6 7 8 9 10; do
    [ -d "/sys/fs/cgroup/$1" ] || exit 0
    find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} + 2> /dev/null && exit 0
    sleep 0.1
done
"""


def start(host: Host, plan: LabPlan, node: NodePlan, ground: Ground) -> None:
    """Plug a node in and let it boot."""
    if plan.kernel == VAGRANT:
        vagrant.start(host, plan, node)
        return
    network.plug_in(host, plan, node)
    kind = container if plan.kernel == CONTAINER else uml
    kind.start(host, plan, node, ground, env={MARK: plan.folder})


def stop(host: Host, plan: LabPlan, node: NodePlan) -> None:
    """Take the power from a node: from one moment to the next it sends nothing, and then nothing of it runs.

    Raises CommandError if its processes do not end, as they would in D state.
    """
    network.pull_cables(host, plan, node)
    until = host.now() + DEATH_TIMEOUT
    while found := processes(host, plan, node):
        if host.now() > until:
            raise CommandError((f"node {node.name}",), f"did not end within {DEATH_TIMEOUT:g} s")
        first = leader(host, plan, node)
        if first is not None:
            host.kill(first, SIGKILL, still=_is_leader(host, plan, node, first), wait=DEATH_TIMEOUT)
        for pid in found:
            still = _belongs(host, plan, node, pid)
            # Signal 0 only waits: a supervisor that has lost its leader removes what it made in /run/systemd, and goes.
            # What has no leader, because it came no further, does not go by itself.
            if first is None or not host.kill(pid, 0, still=still, wait=SUPERVISOR_TIMEOUT):
                host.kill(pid, SIGKILL, still=still, wait=DEATH_TIMEOUT)
            # If it is a child of this very process, it would stay as a zombie.
            host.wait(pid, timeout=0.0)
    network.unplug(host, plan, node)
    forget_cgroup(host, node)


def leader(host: Host, plan: LabPlan, node: NodePlan) -> int | None:
    """Return the process id, on this machine, of the node's first process; None if the node has no power."""
    if plan.kernel == VAGRANT:
        return vagrant.process(host, node)
    netns = network.netns_id(node.netns)
    depth = len(_ids(host, os.getpid()))
    for pid in host.pids():
        ids = _ids(host, pid)
        # Of the node's own process namespace, and the first there; one more namespace down it is somebody else's first.
        if len(ids) != depth + 1 or ids[-1] != 1:
            continue
        if (netns is not None and netns_of(pid) == netns) or in_cgroup(host, node, pid):
            return pid
    return None


def processes(host: Host, plan: LabPlan, node: NodePlan) -> list[int]:
    """Return the ids, on this machine, of all that makes up a node: its own processes, and what starts and keeps it."""
    if plan.kernel == VAGRANT:
        pid = vagrant.process(host, node)
        return [] if pid is None else [pid]
    return [pid for pid in host.pids() if _belongs(host, plan, node, pid)()]


def members(host: Host, node: NodePlan) -> list[int]:
    """Return the ids, on this machine, of all processes in the node's network namespace."""
    netns = network.netns_id(node.netns)
    return [pid for pid in host.pids() if netns is not None and netns_of(pid) == netns]


def in_cgroup(host: Host, node: NodePlan, pid: int) -> bool:
    """Tell whether a process is in a node's cgroup; what is run in a node from outside is not."""
    try:
        text = host.read(f"/proc/{pid}/cgroup")
    except OSError:
        return False
    # cgroups(7): the version 2 hierarchy is number 0, and has no name.
    paths = (line[len("0::") :] + "/" for line in text.splitlines() if line.startswith("0::"))
    return any(path.startswith(f"/{node.netns}/") for path in paths)


def enter_argv(plan: LabPlan, node: NodePlan, pid: int, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that runs a command in a node that has power; ``pid`` is its leader."""
    return container.enter_argv(pid, argv) if plan.kernel == CONTAINER else uml.enter_argv(plan, node, argv)


def wait_booted(host: Host, plan: LabPlan, node: NodePlan, *, timeout: float) -> None:
    """Wait until the node's systemd has started all that it starts at boot, well or not. Raises CommandError."""
    until = host.now() + timeout
    seen, said = host.now(), "it never started"
    while host.now() < until:
        pid = leader(host, plan, node)
        if pid is not None:
            argv = enter_argv(plan, node, pid, ("systemctl", "is-system-running", "--wait"))
            done = host.run(*argv, timeout=max(until - host.now(), 1.0), ok=None)
            said = f"systemd says {(done.out or done.err).strip()}"
            if done.out.strip() in ("running", "degraded"):
                return
        if pid is not None or processes(host, plan, node):
            seen = host.now()
        elif host.now() - seen > GONE_TIMEOUT:
            break
        host.sleep(0.1)
    last = [line for line in host.read(f"{node.folder}/console.log").splitlines() if line.strip()][-1:]
    story = f"{said}; its console ends with: {''.join(last)[:160]}"
    raise CommandError((f"node {node.name}",), f"did not boot: {story}")


def forget_cgroup(host: Host, node: NodePlan) -> None:
    """Remove the empty cgroups that a node leaves."""
    argv = ("unshare", "--mount", "--propagation", "private", "sh", "-c", FORGET_CGROUP, "kvmha-lab", node.netns)
    host.run(*argv, timeout=20.0, ok=None)


def marked(host: Host, pid: int, folder: str) -> bool:
    """Tell whether a process was started by the lab with that folder, or by a process that was."""
    try:
        environment = host.read_bytes(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return False
    return f"{MARK}={folder}".encode() in environment


def _is_leader(host: Host, plan: LabPlan, node: NodePlan, pid: int) -> Callable[[], bool]:
    return lambda: leader(host, plan, node) == pid


def _belongs(host: Host, plan: LabPlan, node: NodePlan, pid: int) -> Callable[[], bool]:
    """Return what tells whether a process is of the node; before it has entered its cgroup, its arguments tell."""

    def still() -> bool:
        if plan.kernel == VAGRANT:
            return vagrant.is_machine(host, node, pid)
        if in_cgroup(host, node, pid):
            # A zombie has no arguments, and is not waited for here.
            return bool(host.cmdline(pid))
        return f"{node.folder}/root" in host.cmdline(pid) and marked(host, pid, plan.folder)

    return still


def netns_of(pid: int) -> tuple[int, int] | None:
    """Return device and inode of the network namespace of a process; None for one that has ended."""
    try:
        found = os.stat(f"/proc/{pid}/ns/net")
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _ids(host: Host, pid: int) -> list[int]:
    """Return a process's ids in all process namespaces that know it, the outermost first (proc(5), NSpid)."""
    try:
        text = host.read(f"/proc/{pid}/status")
    except OSError:
        return []
    for line in text.splitlines():
        if line.startswith("NSpid:"):
            return [int(word) for word in line.split()[1:]]
    return []
