"""Proof that nothing was stopped: which QEMU process each guest has, and where each resource is, before and after."""

from __future__ import annotations

from functools import partial

from kvmha.host import CommandError
from kvmha.policy.model import GuestIdentity
from kvmha.record import Record
from kvmha.tools import crm_mon, domain_xml, libvirtd, migration_uri, qemu_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kvmha.host import Host
    from kvmha.tools.cib import Cib
    from kvmha.tools.crm_mon import ClusterStatus

ANSWER_LIMIT = 5.0
"""Seconds that another node's libvirt may take."""

LOOK_LIMIT = 30.0


class Run(Record):
    """One run of a guest on one node, so far as it can be told from here.

    ``process`` and ``started`` (in ticks since the node booted, proc(5) field 22) are its QEMU process on this very
    node; ``number`` is what libvirt on another node says. Either changes with every start.
    """

    guest: str
    node: str
    process: int = 0
    started: int = 0
    number: int = 0
    silence: str = ""
    """Why neither is known, if so."""

    @property
    def is_known(self) -> bool:
        """Whether a change would show."""
        return bool(self.process or self.number)

    def became(self, later: Run) -> bool:
        """Whether a later look shows another run; where one of the two could not be told, it does not."""
        return self.is_known and later.is_known and self.marks() != later.marks()

    def marks(self) -> tuple[int, int, int]:
        """Return what differs between two runs."""
        return self.process, self.started, self.number

    def __str__(self) -> str:
        if self.process:
            return f"process {self.process} on {self.node}, started {self.started} ticks after its boot"
        return f"run {self.number} of {self.node}'s libvirt" if self.number else f"not told: {self.silence}"


class Standing(Record):
    """Where the cluster sees a resource, and how."""

    nodes: tuple[tuple[str, str], ...]
    """Node and role of each instance."""
    is_failed: bool
    pending: str


def standings(status: ClusterStatus, resources: Iterable[str]) -> dict[str, Standing]:
    """Return how each of the resources stands; the instances of a clone together."""
    found = {}
    for name in resources:
        copies = [each for each in status.resources if each.name.partition(":")[0] == name]
        nodes = sorted((node, each.role) for each in copies for node in each.nodes)
        found[name] = Standing(
            nodes=tuple(nodes),
            is_failed=any(each.is_failed for each in copies),
            pending=next((each.pending for each in copies if each.pending), ""),
        )
    return found


def why_not_in_step(
    resource: str, best: int, nodes: Iterable[str], attributes: Mapping[str, Mapping[str, str]]
) -> str | None:
    """Return why the sides of a DRBD resource are not in step, by the promotion scores that the shell agent gave.

    Of two sides that are not, ours promotes none before they have met: it would be demoted under a running guest. The
    shell agent gives its best score to a side that knows all disks to be up to date; alone, only to a promoted one.
    ``attributes`` are the transient ones of each node.
    """
    there = tuple(nodes)
    if len(there) < 2:
        return f"it runs on {' '.join(there) or 'no node'} and on no second one, so that its data cannot be in step"
    for node in there:
        score = attributes.get(node, {}).get(SHELL_SCORE.format(resource=resource), "")
        if not score.lstrip("-").isdigit() or int(score) < best:
            return f"on {node} its promotion score is {score or 'not set'} and not {best}: its data may not be in step"
    return None


SHELL_SCORE = "master-{resource}"
"""The node attribute in which crm_master keeps a score, with Pacemaker 2.1 and 3.0."""


def unasked(wanted: Cib, resource: str, nodes: Iterable[str]) -> set[str]:
    """Return the nodes on which the cluster never looks for a resource (resource-discovery, Pacemaker Explained)."""
    names = {resource}
    found = wanted.resource(resource)
    while found is not None and found.parent:
        names.add(found.parent)
        found = wanted.resource(found.parent)
    about = [each for each in wanted.locations if each.resource in names and each.node]
    never = {each.node for each in about if each.discovery == "never"}
    only = {each.node for each in about if each.discovery == "exclusive"}
    return never | (set(nodes) - only if only else set())


def look(host: Host) -> ClusterStatus:
    """Return how the cluster stands. Raises CommandError where no cluster answers."""
    status = crm_mon.look(host, timeout=LOOK_LIMIT)
    if status is None:
        raise CommandError(crm_mon.ARGV, "found no cluster that answers on this node")
    return status


def runs(host: Host, guests: Mapping[str, Mapping[str, str]], places: Mapping[str, Standing]) -> tuple[Run, ...]:
    """Return the present run of every guest, by the parameters of its resource and where the cluster has it."""
    own = host.name()
    calls = [
        partial(_run, host, guest, params, node, own)
        for guest, params in guests.items()
        for node, _role in places[guest].nodes
    ]
    found = host.together(calls, what="libvirt", timeout=ANSWER_LIMIT + 1.0)
    names = [(guest, node) for guest in guests for node, _role in places[guest].nodes]
    return tuple(
        each if isinstance(each, Run) else Run(guest=guest, node=node, silence=str(each))
        for (guest, node), each in zip(names, found)
    )


def _run(host: Host, guest: str, params: Mapping[str, str], node: str, own: str) -> Run:
    identity = _identity(host, params)
    if node == own or node.partition(".")[0] == own.partition(".")[0]:
        pids = qemu_process.find(host, identity)
        if len(pids) != 1:
            return Run(guest=guest, node=node, silence=f"{len(pids)} QEMU processes of it are here")
        return Run(guest=guest, node=node, process=pids[0], started=started(host, pids[0]))
    try:
        libvirtd.load()
        until = host.now() + ANSWER_LIMIT
        far = libvirtd.Libvirt(host, _uri(params, node), lambda: max(until - host.now(), 0.0))
        return Run(guest=guest, node=node, number=far.number(identity) or 0, silence="libvirt there does not have it")
    except CommandError as error:
        return Run(guest=guest, node=node, silence=str(error))


def started(host: Host, pid: int) -> int:
    """Return when a process started, in ticks since the boot; 0 if there is none (proc(5), field 22 of stat)."""
    try:
        text = host.read(f"/proc/{pid}/stat")
    except OSError:
        return 0
    return int(text[text.rfind(")") + 1 :].split()[19])


def _identity(host: Host, params: Mapping[str, str]) -> GuestIdentity:
    if params.get("domain"):
        return GuestIdentity(name=params["domain"], uuid="")
    try:
        return domain_xml.parse_identity(host.read_bytes(params["config"]))
    except (OSError, ValueError, KeyError) as error:
        raise CommandError(("config",), f"cannot be read, so that the guest is not known: {error}") from None


def _uri(params: Mapping[str, str], node: str) -> str:
    """Return where another node's libvirt is reached, the way that a migration would take."""
    uri = params.get("remoteuri", "").replace("%n", node)
    if not uri:
        address = migration_uri.on_network(node, params.get("migration_network_suffix", ""))
        own = params.get("hypervisor") or "qemu:///system"
        uri = migration_uri.target_uri(
            own, address, params.get("migration_transport", ""), params.get("migration_user", "")
        )
    # Nobody is there to type a password.
    if "+ssh" in uri.partition("://")[0] and "no_tty" not in uri:
        uri += f"{'&' if '?' in uri else '?'}no_tty=1"
    return uri
