"""What is known of a cluster's configuration. None is "not known"; an empty tuple is "there is none"."""

from __future__ import annotations

from functools import cached_property

from kvmha.policy import timing
from kvmha.record import Record
from kvmha.tools.cib import is_true, milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kvmha.policy.guest_needs import GuestNeeds
    from kvmha.policy.node import NodeFacts
    from kvmha.tools.booth_conf import BoothConf
    from kvmha.tools.cib import Cib, Resource
    from kvmha.tools.corosync_conf import Section
    from kvmha.tools.drbd_conf import DrbdResource

GUEST_AGENTS = ("ocf:kvmha:VirtualDomain", "ocf:heartbeat:VirtualDomain")
ADDRESS_AGENTS = ("ocf:kvmha:FloatingIP", "ocf:heartbeat:IPaddr2")
DRBD_AGENTS = ("ocf:kvmha:DRBD", "ocf:linbit:drbd", "ocf:heartbeat:drbd")
REMOTE_AGENT = "ocf:pacemaker:remote"
PRIMARY_AGENT = "ocf:kvmha:DRBDPrimary"

DESCRIPTION, FILES, LIVE = "cluster.yaml", "files", "live"

DEFAULT_TIMEOUT_S = 20.0
"""What Pacemaker gives an operation that names no timeout: what the agent's metadata says is only advice to people."""


class RingNode(Record):
    """A node as corosync.conf has it; ``addresses`` by link."""

    name: str
    nodeid: int | None
    addresses: tuple[tuple[int, str], ...]
    votes: int


class Device(Record):
    """The quorum device of corosync.conf."""

    host: str
    algorithm: str
    tls: str
    votes: int | None
    times: timing.QuorumDevice
    heuristics: bool


class Quorum(Record):
    """How corosync.conf has votes counted."""

    provider: str
    two_node: bool
    wait_for_all: bool | None
    expected_votes: int | None
    last_man_standing: bool
    auto_tie_breaker: bool
    allow_downscale: bool
    device: Device | None

    @property
    def waits(self) -> bool:
        """Whether a node waits at boot until it has seen all others once; votequorum(5): two_node implies it."""
        return self.two_node if self.wait_for_all is None else self.wait_for_all


class Ring(Record):
    """All of corosync.conf that matters here."""

    cluster: str
    nodes: tuple[RingNode, ...]
    totem: timing.Totem
    quorum: Quorum
    transport: str
    link_mode: str
    cipher: str
    hash: str
    mtu: int | None
    section: Section

    @property
    def expected_votes(self) -> int:
        """The votes that corosync expects when it starts with this file (votequorum(5))."""
        device = self.quorum.device
        own = sum(node.votes for node in self.nodes) + ((device.votes or 0) if device is not None else 0)
        return own if self.quorum.expected_votes is None else self.quorum.expected_votes

    @property
    def links(self) -> tuple[int, ...]:
        """The numbers of the links."""
        return tuple(sorted({number for node in self.nodes for number, _ in node.addresses}))

    def addresses(self, link: int) -> tuple[tuple[str, str], ...]:
        """Return name and address of each node on a link."""
        return tuple(
            (node.name, address) for node in self.nodes for number, address in node.addresses if number == link
        )


class FenceDevice(Record):
    """A fence device, with its options and the cluster's defaults."""

    id: str
    agent: str
    params: Mapping[str, str]
    targets: tuple[str, ...] | None
    """The nodes that it is said to fence; None where only the device itself could tell."""
    is_enabled: bool
    has_monitor: bool
    banned: tuple[str, ...]
    """Nodes that it may not run on."""
    configured_delay: str = ""
    """What the configuration says of pcmk_delay_base; ``params`` has what was laid over it, too."""
    steered_delay: str = ""
    """What was laid over it for the node of a pair that is to survive; empty where nothing was."""

    def delay_base_s(self, node: str) -> float:
        """Return the fixed delay before it fences a node; pcmk_delay_base may have one for each node."""
        return _delay_s(self.params.get("pcmk_delay_base", ""), node)

    def configured_delay_s(self, node: str) -> float:
        """Return the fixed delay as it was configured."""
        return _delay_s(self.configured_delay, node)

    @property
    def delay_max_s(self) -> float:
        """The largest delay, of which the part above the fixed one is left to chance."""
        return (milliseconds(self.params.get("pcmk_delay_max", "")) or 0) / 1000.0


def _delay_s(text: str, node: str) -> float:
    if ":" in text:
        pairs = dict(part.split(":", 1) for part in text.replace(";", " ").split() if ":" in part)
        text = pairs.get(node, "")
    return (milliseconds(text) or 0) / 1000.0


class GuestFacts(Record):
    """A guest as a resource, and what else is known of it."""

    id: str
    resource: Resource
    memory_mib: int | None
    dirty_mib_s: float | None = None
    shutdown_s: float = 60.0
    downtime_ms: int | None = None
    recovery_limit_s: float | None = None
    boot_s: float | None = None
    is_on_drbd: bool = False
    needs: GuestNeeds | None = None
    """What its definition needs of a host by name; None where nobody has read it."""

    @property
    def identity(self) -> str:
        """What names the guest: the path of its definition, or its domain."""
        return self.resource.params.get("config") or self.resource.params.get("domain", "")

    @property
    def is_movable(self) -> bool:
        """Whether Pacemaker moves it live."""
        return is_true(self.resource.meta.get("allow-migrate", "false"))


class Sbd(Record):
    """sbd's settings; times in seconds."""

    devices: tuple[str, ...]
    watchdog_s: float
    msgwait_s: float
    delay_start_s: float | None
    """None: no delay at the start."""
    module: str = ""

    @property
    def is_diskless(self) -> bool:
        """Whether the watchdog alone fences."""
        return not self.devices


class Facts(Record):
    """A cluster, as far as it is known."""

    source: str
    ring: Ring | None
    cib: Cib | None
    nodes: tuple[NodeFacts, ...] = ()
    guests: tuple[GuestFacts, ...] = ()
    sbd: Sbd | None = None
    uses_sbd: bool = False
    drbd: tuple[DrbdResource, ...] | None = None
    booth: BoothConf | None = None
    agents: Mapping[str, Mapping[str, str]] = {}
    """By fence agent, the defaults of its options in its own metadata."""
    bandwidth_mib_s: float | None = None
    node_memory: Mapping[str, int] = {}
    """By node, MiB that its guests may use together."""
    node_offers: Mapping[str, Mapping[str, str]] = {}
    """By node, what a description says that it has for guests by name, as attributes of nodes say it."""
    has_migration_network: bool | None = None

    @property
    def node_names(self) -> tuple[str, ...]:
        """The cluster's nodes, as corosync knows them, or else Pacemaker."""
        if self.ring is not None and self.ring.nodes:
            return tuple(node.name for node in self.ring.nodes)
        return tuple(node.name for node in self.cib.nodes) if self.cib is not None else ()

    @property
    def is_pair(self) -> bool:
        """Whether two nodes alone decide who goes on after a split."""
        has_device = self.ring is not None and self.ring.quorum.device is not None
        return len(self.node_names) == 2 and not has_device

    @property
    def member_names(self) -> tuple[str, ...]:
        """All that can be fenced as a node: the cluster's nodes, remote nodes, and guests that are nodes themselves."""
        if self.cib is None:
            return self.node_names
        others = [node.name for node in self.cib.nodes]
        for resource in self.cib.primitives():
            others += [resource.id] if resource.agent == REMOTE_AGENT else []
            others += [resource.meta["remote-node"]] if "remote-node" in resource.meta else []
        return tuple(dict.fromkeys((*self.node_names, *others)))

    def property_(self, name: str, default: str = "") -> str:
        """Return a cluster property."""
        return self.cib.properties.get(name, default) if self.cib is not None else default

    def seconds(self, name: str, default: float) -> float:
        """Return a cluster property that is a time, in seconds."""
        text = self.property_(name)
        found = milliseconds(text) if text else None
        return default if found is None else found / 1000.0

    def resources(self, agents: tuple[str, ...]) -> tuple[Resource, ...]:
        """Return the primitives of some agents, with their defaults."""
        if self.cib is None:
            return ()
        found = (self.cib.effective(resource) for resource in self.cib.primitives())
        return tuple(resource for resource in found if resource.agent in agents)

    @cached_property
    def fence_devices(self) -> tuple[FenceDevice, ...]:
        """All fence devices."""
        if self.cib is None:
            return ()
        found = (self.cib.effective(resource) for resource in self.cib.primitives() if resource.is_fence_device)
        return tuple(_fence_device(self.cib, resource) for resource in found)

    def fencing_of(self, node: str) -> tuple[tuple[FenceDevice, ...], ...]:
        """Return the devices of each level for a node, in their turn; without levels all of its devices are one."""
        devices = {device.id: device for device in self.fence_devices if device.is_enabled}
        if self.cib is None:
            return ()
        # Pacemaker takes 1 to 9 for an index, and passes over a level that has another one.
        fit = (each for each in self.cib.levels if each.target == node and each.index.isdecimal())
        levels = sorted(fit, key=lambda each: int(each.index))
        if levels:
            found = (tuple(devices[name] for name in level.devices if name in devices) for level in levels)
            return tuple(level for level in found if level)
        fitting = [device for device in devices.values() if device.targets is None or node in device.targets]
        return tuple((device,) for device in fitting)

    def timeout_s(self, resource: Resource, operation: str) -> tuple[float, bool]:
        """Return the timeout of an operation, and whether anybody set it."""
        found = [op for op in resource.operations if op.name == operation]
        text = next((op.timeout for op in found if op.timeout), "")
        text = text or (self.cib.operation_defaults.get("timeout", "") if self.cib is not None else "")
        read = milliseconds(text) if text else None
        return (DEFAULT_TIMEOUT_S, False) if read is None else (read / 1000.0, True)

    @property
    def moves_at_once(self) -> int:
        """How many guests of a node move at a time; 1 where nothing limits them, for which there is a rule."""
        word = self.property_("migration-limit", "-1")
        return int(word) if word.isdigit() and int(word) else 1

    @property
    def bandwidth(self) -> float:
        """MiB/s of the network that migrations take, as said or as assumed."""
        return self.bandwidth_mib_s or timing.DEFAULT_BANDWIDTH_MIB_S

    def wanted_timeouts(self, guest: GuestFacts) -> timing.GuestTimeouts:
        """Return the timeouts to give a guest."""
        return timing.guest_timeouts(**self._about(guest))

    def least_timeouts(self, guest: GuestFacts) -> timing.GuestTimeouts:
        """Return the timeouts below which a guest is bound to suffer."""
        return timing.least_guest_timeouts(**self._about(guest))

    def _about(self, guest: GuestFacts) -> dict[str, Any]:
        return {
            "memory_mib": guest.memory_mib,
            "bandwidth_mib_s": self.bandwidth,
            "dirty_mib_s": guest.dirty_mib_s,
            "shutdown_s": guest.shutdown_s,
            "drbd": guest.is_on_drbd,
            "at_once": self.moves_at_once,
        }

    def of_node(self, name: str) -> NodeFacts | None:
        """Return what a node said of itself."""
        return next((node for node in self.nodes if node.node == name), None)


def _fence_device(cib: Cib, resource: Resource) -> FenceDevice:
    params = {**resource.params, **resource.steering}
    targets: tuple[str, ...] | None = None
    named = params.get("pcmk_host_list", "").replace(",", " ").replace(";", " ").split()
    mapped = [pair.partition(":")[0] for pair in params.get("pcmk_host_map", "").replace(";", " ").split()]
    if named or mapped:
        targets = tuple(dict.fromkeys((*named, *mapped)))
    banned = [each.node for each in cib.locations if each.resource == resource.id and each.score == "-INFINITY"]
    return FenceDevice(
        id=resource.id,
        agent=resource.agent.partition(":")[2],
        params=params,
        targets=targets,
        is_enabled=resource.meta.get("target-role", "Started") != "Stopped",
        has_monitor=any(op.name == "monitor" and milliseconds(op.interval) for op in resource.operations),
        banned=tuple(filter(None, banned)),
        configured_delay=resource.params.get("pcmk_delay_base", ""),
        steered_delay=resource.steering.get("pcmk_delay_base", ""),
    )
