"""The cluster, its guests and their hypervisors, as a move has to know them: asked now, and put into values."""

from __future__ import annotations

from kvmha.cli.moving import local_disks, path, replicas
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.ocf.env import OcfEnv
from kvmha.policy import migration
from kvmha.policy.model import GuestIdentity
from kvmha.resources.virtual_domain import VirtualDomain, migration_order
from kvmha.tools import cib, crm_mon, domain_devices, domain_xml, proc_stat, ssh
from kvmha.tools.libvirtd import Libvirt, LibvirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from kvmha.host import Host
    from kvmha.tools.crm_mon import ClusterStatus

    T = TypeVar("T")

AGENT = "ocf:kvmha:VirtualDomain"
PRIMARY = "ocf:kvmha:DRBDPrimary"

ASK_LIMIT = 30.0
"""Seconds for the cluster to answer, and for all questions to one hypervisor."""

STEAL_LIMIT = 8.0
"""Seconds to see what another node loses to its own host."""


class GuestSight:
    """One guest, and the hypervisor that has it."""

    def __init__(self, sight: Sight, name: str) -> None:
        self.name = name
        self._sight = sight
        resource = sight.cib.resource(name)
        if resource is None or resource.kind != "primitive" or sight.cib.effective(resource).agent != AGENT:
            raise UserError(f'"{name}" is no guest of this cluster; {sight.known_guests()}')
        self.resource = sight.cib.effective(resource)
        status = sight.status.resource(name)
        self.nodes = status.nodes if status is not None else ()
        # What a failed move has blocked is unmanaged as well, until the next one has that forgotten.
        self.is_managed = status is None or status.is_managed or status.is_blocked
        timeout = cib.milliseconds(self._operation("migrate_to", "timeout")) or 120_000
        env = OcfEnv(action="migrate_to", instance=name, params=dict(self.resource.params), timeout=timeout / 1000)
        self.agent = VirtualDomain(env, sight.host)
        self.timeout_s = timeout / 1000
        self.identity = self._identity()

    @property
    def source(self) -> str:
        """The node that runs it. Raises UserError if that is not one."""
        if len(self.nodes) != 1:
            where = f"on {' and '.join(self.nodes)}" if self.nodes else "nowhere"
            raise UserError(f"{self.name} runs {where}; only a guest that runs on one node can move")
        return self.nodes[0]

    @property
    def on_fail(self) -> str:
        """What the cluster does when a move fails; empty for its own choice, a stop on both sides and a start."""
        return self._operation("migrate_to", "on_fail")

    @property
    def has_primary(self) -> bool:
        """Tell whether the right to write its disk is a resource of its own, which moves before the guest."""
        agents = {each.id: self._sight.cib.effective(each).agent for each in self._sight.cib.primitives()}
        return any(
            pair.resource == self.name and agents.get(pair.with_resource) == PRIMARY
            for pair in self._sight.cib.colocations
        )

    @property
    def is_movable(self) -> bool:
        """Tell whether the cluster moves it live."""
        return cib.is_true(self.resource.meta.get("allow-migrate", "false"))

    def libvirt(self, node: str) -> Libvirt:
        """Return a new connection to the hypervisor of a node."""
        until = self._sight.host.now() + ASK_LIMIT
        uri = self.agent.param("hypervisor") if node == self._sight.here else migration_order.peer_uri(self.agent, node)
        return Libvirt(self._sight.host, uri, lambda: max(until - self._sight.host.now(), 0.1))

    def lasting_libvirt(self, node: str, limit: float = ASK_LIMIT) -> Libvirt:
        """Return a connection that is asked again and again, each time within the limit of the question."""
        uri = self.agent.param("hypervisor") if node == self._sight.here else migration_order.peer_uri(self.agent, node)
        return Libvirt(self._sight.host, uri, lambda: limit)

    def _operation(self, name: str, field: str) -> str:
        found = self._sight.cib.operation(self.resource, name)
        return str(getattr(found, field)) if found is not None else ""

    def _identity(self) -> GuestIdentity:
        """Return its name and UUID: from the definition where this node has it, else by the parameter domain."""
        domain = str(self.agent.param("domain"))
        if domain:
            return GuestIdentity(name=domain)
        path = str(self.agent.param("config"))
        try:
            return domain_xml.parse_identity(self._sight.host.read_bytes(path))
        except (OSError, domain_xml.DomainXmlError) as error:
            raise UserError(f"{self.name}: its definition {path} cannot be read on this node: {error}") from None


class Sight:
    """One look at the cluster; the hypervisors are asked when it comes to them."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.here = host.name()
        self.cib_text = cib.live(host, timeout=ASK_LIMIT)
        self.cib = cib.read(self.cib_text)
        self.status = self._look()
        self.measures_path = False
        """Send something through a path to see what it carries."""
        self._steal: dict[str, float | None] = {}

    def _look(self) -> ClusterStatus:
        found = crm_mon.look(self.host, timeout=ASK_LIMIT)
        if found is None:
            raise UserError("no cluster answers on this node; run it on a node of the cluster, as root")
        return found

    def refresh(self) -> ClusterStatus:
        """Look at nodes and resources anew."""
        self.status = self._look()
        return self.status

    @property
    def nodes(self) -> tuple[str, ...]:
        """The cluster's nodes, those that are guests themselves not counted."""
        return tuple(node.name for node in self.status.nodes if not node.is_guest)

    def known_guests(self) -> str:
        """Return a sentence's end that names the guests."""
        names = sorted(r.id for r in self.cib.primitives() if self.cib.effective(r).agent == AGENT)
        return f"there are {', '.join(names)}" if names else f"there is no resource of {AGENT}"

    def guest(self, name: str) -> GuestSight:
        """Return a guest. Raises UserError for what is none."""
        return GuestSight(self, name)

    def guests_on(self, node: str) -> tuple[GuestSight, ...]:
        """Return the guests that a node runs, by name."""
        names = [r.id for r in self.cib.primitives() if self.cib.effective(r).agent == AGENT]
        found = [self.status.resource(name) for name in sorted(names)]
        return tuple(self.guest(each.name) for each in found if each is not None and node in each.nodes)

    def node(self, name: str) -> str:
        """Return a node's name. Raises UserError for what is none."""
        if name not in self.nodes:
            raise UserError(f'"{name}" is no node of this cluster; there are {", ".join(self.nodes)}')
        return name

    def view(self, guest: GuestSight, target: str) -> migration.View:
        """Return all that the decision on a move is made from."""
        source = guest.nodes[0] if len(guest.nodes) == 1 else ""
        xml, state = self.definition(guest, source)
        there = self._libvirt(guest, target, xml)
        is_let_in = not there.silence and self.here != target
        return migration.View(
            guest=_described(guest, xml, state),
            target=target,
            places=self._places(guest),
            is_quorate=self.status.is_quorate,
            here=self._libvirt(guest, source, ""),
            there=there,
            drbd=replicas.of_guest(self, guest.name, _block_devices(xml), source=source, target=target),
            local_files=local_disks.on_local_file_systems(self, xml) if source == self.here else {},
            path=path.look(self.host, guest, target, here=self.here, is_let_in=is_let_in, measures=self.measures_path),
        )

    def definition(self, guest: GuestSight, source: str) -> tuple[str, str]:
        """Return the definition of the running guest with what is true of it, and its state; the file's elsewhere."""
        if source:
            try:
                libvirt = guest.libvirt(source)
                domain = libvirt.domain(guest.identity)
                xml = libvirt.live_definition(guest.identity)
                if domain is not None and xml:
                    guest.identity = domain.identity
                    return xml, domain.seen.state
            except LibvirtError as error:
                return self._file(guest), f"not known, as {source}'s libvirt does not answer ({error})"
        return self._file(guest), "not running"

    def _file(self, guest: GuestSight) -> str:
        try:
            return self.host.read(str(guest.agent.param("config")))
        except OSError:
            return ""

    def _places(self, guest: GuestSight) -> tuple[migration.Place, ...]:
        banned = {
            each.node
            for each in self.cib.locations
            if each.resource == guest.name and each.node and each.score.lower() == "-infinity"
        }
        return tuple(
            migration.Place(
                name=node.name,
                is_online=node.is_online,
                is_standby=node.is_standby,
                is_unclean=node.is_unclean,
                is_maintenance=node.is_maintenance,
                is_banned=node.name in banned,
            )
            for node in self.status.nodes
            if not node.is_guest
        )

    def _libvirt(self, guest: GuestSight, node: str, xml: str) -> migration.Libvirt:
        """Ask a hypervisor; with the guest's definition also how the guest would fit there."""
        if not node:
            return migration.Libvirt(silence="the guest runs nowhere")
        libvirt = guest.libvirt(node)
        try:
            version, qemu = libvirt.versions()
        except LibvirtError as error:
            return migration.Libvirt(silence=str(error))
        pages = tuple(_needs(xml).huge_pages) if xml else ()

        def has_copy() -> bool:
            copy = libvirt.domain(guest.identity)
            return copy is not None and copy.is_active

        return migration.Libvirt(
            version=version,
            qemu_version=qemu,
            free_mib=_tried(libvirt.free_memory_mib),
            free_pages_mib=_tried(lambda: libvirt.free_pages_mib(tuple(page for page in pages if page))) or {},
            cpu=_tried(lambda: libvirt.compare_cpu(xml)) if xml else None,
            machine_missing=(_tried(lambda: libvirt.lacks_machine(xml)) or "") if xml else "",
            has_copy=_tried(has_copy),
            bridges=_tried(libvirt.links),
            networks=_tried(libvirt.active_networks),
            moves=_tried(libvirt.moves_under_way),
            steal_percent=self._steal_percent(node),
        )

    def _steal_percent(self, node: str) -> float | None:
        """Measure it once for each node, on another one by ssh; None where root may not log in there."""
        if node not in self._steal:
            self._steal[node] = proc_stat.steal_percent(self.host) if node == self.here else self._steal_there(node)
        return self._steal[node]

    def _steal_there(self, node: str) -> float | None:
        try:
            done = self.host.run(*ssh.argv(node, *proc_stat.TWICE), timeout=STEAL_LIMIT, ok=None)
        except CommandError:
            return None
        return proc_stat.parse_twice(done.out) if done.rc == 0 else None


def _described(guest: GuestSight, xml: str, state: str) -> migration.Guest:
    needs = _needs(xml) if xml else domain_xml.Needs(memory_kib=0)
    devices = domain_devices.parse(xml) if xml else ()
    memory = needs.memory_kib + sum(needs.huge_pages.values())
    return migration.Guest(
        name=guest.name,
        nodes=guest.nodes,
        mode=guest.agent.param("migration_mode"),
        is_movable=guest.is_movable,
        is_managed=guest.is_managed,
        state=state,
        memory_mib=memory / 1024 or None,
        huge_pages_mib={size: kib / 1024 for size, kib in needs.huge_pages.items() if size},
        devices=devices,
        keeps_running=guest.on_fail == "block" or not guest.has_primary,
        transport=guest.agent.param("migration_transport"),
        limit_s=max(guest.timeout_s - migration_order.RESERVE_S, 1.0),
    )


def _block_devices(xml: str) -> list[str]:
    found = _needs(xml).disks if xml else ()
    return [disk.path for disk in found if disk.kind == "block" and not disk.is_read_only]


def _needs(xml: str) -> domain_xml.Needs:
    try:
        return domain_xml.parse_needs(xml)
    except domain_xml.DomainXmlError:
        return domain_xml.Needs(memory_kib=0)


def _tried(ask: Callable[[], T]) -> T | None:
    """Return an answer, None where there is none: what is not known is told as that."""
    try:
        return ask()
    except (LibvirtError, CommandError):
        return None
