"""Make a cluster of a lab's nodes, by the same templates and the same way that a user takes: cluster.yaml and pcs."""

from __future__ import annotations

import functools
import io
import tarfile

from kvmha.cluster import description, render
from kvmha.cluster.contradictions.identity import fence_device
from kvmha.lab import bmc, lines, uml, uml_formation, vagrant
from kvmha.lab.guest import CONFIG_FOLDER
from kvmha.lab.plan import DISK, HACLUSTER_PASSWORD, QUORUM_NUMBER, UML, VAGRANT, LabError
from kvmha.tools import crm_mon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.image import Progress
    from kvmha.lab.lab import Lab
    from kvmha.lab.plan import LabPlan

FLOATING_IP = "vip"
NODE_FOLDER = "/root/kvmha-cluster"
"""Where the first node has cluster.yaml and what was rendered from it."""

# What a user does on every node before the cluster is made.
PREPARE = """\
set -e
mkdir -p "$1"
tar --extract --directory="$1"
cd "$1"
sh ./node.sh
sh ./libvirt/setup.sh
"""

PREPARE_TIMEOUT = 120.0
PCS_TIMEOUT = 400.0
START_TIMEOUT = 180.0
OWN_KERNEL_START_TIMEOUT = 600.0


def describe(plan: LabPlan, *, has_bmc: bool = True) -> str:
    """Return the cluster.yaml of a lab: its nodes and their BMCs, its guests, and an address that follows the first.

    Machines that Vagrant makes without a lab have no BMCs (``has_bmc``).
    """
    out = [f"cluster: {plan.name}", "nodes:"]
    options = ", ".join(f"{name}: {value}" for name, value in bmc.FENCING_OPTIONS.items())
    for node in plan.nodes:
        out += [
            f"  - name: {node.name}",
            f"    addresses: [{', '.join(node.addresses)}]",
            *([f"    migration_address: {node.management}"] if plan.kernel == VAGRANT else []),
        ]
        if has_bmc:
            out += ["    fencing:", "      agent: fence_ipmilan", f"      options: {{ip: {node.bmc}, {options}}}"]
    if plan.quorum_device:
        out.append(f"quorum: {{device: {{host: {quorum_address()}, tls: 'off'}}}}")
    # Nobody makes certificates for nodes that live for an hour, or has a cluster forget a move that was given up.
    out += _replicated(plan) if plan.has_kernels else ["migration: {transport: tcp, given_up: restart}"]
    out.append("guests:")
    for guest in plan.guests:
        out += [
            f"  - name: {guest.name}",
            f"    config: {CONFIG_FOLDER}/{guest.name}.xml",
            f"    prefers: {guest.prefers}",
            "    options: {migration_transport: tcp}",
        ]
        if plan.has_kernels:
            out += [f"    nodes: [{_pair(plan)}]", f"    disks: [{guest.name}]", f"    memory: {uml.GUEST_MEMORY_MIB}"]
    out += [
        "floating_ips:",
        f"  - name: {FLOATING_IP}",
        f"    ip: {plan.floating_ip}",
        "    cidr_netmask: 24",
        "    nic: br0",
        f"    follows: {plan.guests[0].name}",
    ]
    return "\n".join(out) + "\n"


def _replicated(plan: LabPlan) -> list[str]:
    """Return what cluster.yaml says of the guest's disk, which two nodes hold, and of nodes that are slow."""
    return [
        *_sbd(plan),
        "timing: {token: 5000}",
        # So slow a network makes the timeouts of a move long; nothing is held back by it.
        "migration: {transport: tcp, bandwidth: 1}",
        # A node answers a ping late where the machine has other work, and is not lost yet.
        "replication: {version: '8.4', link: 1, ping_timeout: 30}",
        "drbd:",
        f"  - name: {plan.guests[0].name}",
        "    minor: 0",
        f"    disk: {uml_formation.DISK}",
        "    port: 7788",
        f"    nodes: [{_pair(plan)}]",
    ]


def quorum_address() -> str:
    """Return the address of the machine with the quorum device, on the management network."""
    return f"10.77.9.{20 + QUORUM_NUMBER}"


def _sbd(plan: LabPlan) -> list[str]:
    """Return what cluster.yaml says of sbd, which is tried when a BMC has not fenced."""
    if not plan.sbd:
        return []
    devices = f"devices: [{vagrant.SBD_DISK}], " if plan.sbd == DISK else ""
    return [f"sbd: {{{devices}module: i6300esb, watchdog_timeout: {vagrant.WATCHDOG_S}}}"]


def _pair(plan: LabPlan) -> str:
    """Name the two nodes that DRBD 8.4 can have."""
    return ", ".join(node.name for node in plan.nodes[:2])


def form(host: Host, lab: Lab, progress: Progress) -> None:
    """Make the cluster and wait until all nodes are online and all resources run. Raises LabError."""
    plan = lab.plan
    first = plan.nodes[0].name
    text = describe(plan)
    if plan.kernel == VAGRANT:
        progress("cluster", "kvmha cluster apply")
        vagrant.run(host, plan, "provision", first, "--provision-with", "cluster", phase="cluster", progress=progress)
        _wait_started(host, lab, first, progress)
        return
    wanted = description.read(text, "the lab's cluster.yaml")
    files = render.render(wanted)
    if plan.kernel == UML:
        uml_formation.form(lab, wanted, files, progress)
        _wait_started(host, lab, first, progress)
        return
    progress("cluster", "putting the files of the nodes in place")
    prepare(lab, {"cluster.yaml": text, **files})
    # pcs.sh says its steps on standard output, and what pcs says goes to standard error.
    script = 'cd "$1" && exec sh ./pcs.sh 2> pcs.log'
    argv = lab.enter_argv(first, "sh", "-c", script, "kvmha-lab", NODE_FOLDER)
    env = {"HOME": "/root", "HACLUSTER_PASSWORD": HACLUSTER_PASSWORD}
    code = lines.run(
        host, *argv, each=lambda line: progress("cluster", line) if line else None, timeout=PCS_TIMEOUT, env=env
    )
    if code != 0:
        said = lab.run(first, "tail", "-n", "3", f"{NODE_FOLDER}/pcs.log", timeout=20.0, ok=None).out
        raise LabError(f"the nodes are up, but pcs made no cluster of them: {' '.join(said.split())}; {_ways(plan)}")
    _wait_started(host, lab, first, progress)


def prepare(lab: Lab, files: dict[str, str]) -> None:
    """Give every node all that was rendered, and have it put its own files in place and set libvirt up."""
    given = _archive(files, lab.host.wall_clock())

    def do(name: str) -> str:
        done = lab.run(name, "sh", "-c", PREPARE, "kvmha-lab", NODE_FOLDER, timeout=PREPARE_TIMEOUT, given=given)
        return done.out

    names = [node.name for node in lab.plan.nodes]
    calls = [functools.partial(do, name) for name in names]
    for name, found in zip(names, lab.host.together(calls, what="node.sh", timeout=PREPARE_TIMEOUT)):
        if isinstance(found, BaseException):
            raise LabError(f"{name} does not take its files: {found}; {_ways(lab.plan)}")


def _archive(files: dict[str, str], now: float) -> str:
    """Return files as the text of a tar archive; older than now, tar would wonder about them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, text in sorted(files.items()):
            content = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), render.mode_of(name), int(now)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue().decode()


def _wait_started(host: Host, lab: Lab, first: str, progress: Progress) -> None:
    timeout = OWN_KERNEL_START_TIMEOUT if lab.plan.has_kernels else START_TIMEOUT
    until = host.now() + timeout
    lacking = "an answer of the cluster"
    while host.now() < until:
        begun = host.now()
        status = crm_mon.parse(lab.run(first, *crm_mon.ARGV, timeout=30.0, ok=None).out)
        now = lacking if status is None else _lacking(lab.plan, status)
        if not now:
            return
        if now != lacking:
            progress("cluster", f"waiting for {now}")
        lacking = now
        # On a node with a slow kernel the question costs its one processor a second, which the guest needs to boot.
        host.sleep(min(max(0.3, 2 * (host.now() - begun)), 3.0))
    raise LabError(f"the cluster did not start {lacking} within {timeout:.0f} s; {_ways(lab.plan)}")


def _lacking(plan: LabPlan, status: crm_mon.ClusterStatus) -> str:
    """Name the nodes and resources that are not there yet."""
    online = {node.name for node in status.nodes if node.is_online and not node.is_unclean}
    wanted = [fence_device(node.name) for node in plan.nodes]
    wanted += [guest.name for guest in plan.guests] + [FLOATING_IP]
    running = {found.name for found in status.resources if found.nodes and not found.is_failed and not found.pending}
    lacking = [node.name for node in plan.nodes if node.name not in online]
    return ", ".join(lacking + [name for name in wanted if name not in running])


def _ways(plan: LabPlan) -> str:
    look = f"kvmha lab shell --name {plan.name} {plan.nodes[0].name}"
    return f"look around with {look}, and remove it with kvmha lab down --name {plan.name}"
