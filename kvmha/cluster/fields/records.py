"""What cluster.yaml says, as values. None means that it says nothing, () that it says "none"."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class FenceDevice(Record):
    """One way to power a node off: the fence agent, its options, and when it is tried."""

    agent: str
    options: Mapping[str, str]
    level: int
    name: str | None


class Node(Record):
    """A host of the cluster; ``addresses`` has one address for each corosync link, in the links' order.

    ``memory`` (MiB) and ``vcpu`` are what the guests of this node may use together; ``networks``, ``devices``,
    ``storage`` and ``cpu`` what it has for them, by name.
    """

    name: str
    addresses: tuple[str, ...]
    fencing: tuple[FenceDevice, ...]
    migration_address: str | None
    memory: int | None
    vcpu: int | None
    networks: tuple[str, ...] | None
    devices: tuple[str, ...] | None
    storage: tuple[str, ...] | None
    cpu: tuple[str, ...] | None


class QuorumDevice(Record):
    """A qnetd that votes; ``timeout`` and ``sync_timeout`` in milliseconds."""

    host: str
    algorithm: str
    port: int
    tls: str
    timeout: int
    sync_timeout: int
    tie_breaker: str


class Quorum(Record):
    """How the nodes find out whether they are the majority."""

    device: QuorumDevice | None
    wait_for_all: bool | None


class Timing(Record):
    """Times of corosync in milliseconds, and the head start of a pair's better side in seconds.

    A description that was read has all of them but ``join``, which is corosync's own where it is None.
    """

    token: int
    consensus: int
    join: int | None
    knet_ping_interval: int
    knet_ping_timeout: int
    knet_pong_count: int
    fencing_delay: int


class Network(Record):
    """How corosync uses its links; ``mtu`` None leaves it to knet's own discovery."""

    link_mode: str
    mtu: int | None
    crypto_cipher: str
    crypto_hash: str


class Sbd(Record):
    """Fencing by poison pill (with ``devices``) or by the watchdog alone (without); times in seconds."""

    devices: tuple[str, ...]
    watchdog: str
    module: str | None
    watchdog_timeout: int
    msgwait: int | None
    stonith_watchdog_timeout: int | None
    delay_start: bool
    level: int | None


class Migration(Record):
    """How guests move: ``bandwidth`` in MiB/s of the network that carries them, ``limit`` guests at a time."""

    transport: str
    suffix: str
    bandwidth: int
    limit: int
    given_up: str


class Replication(Record):
    """What all DRBD resources have in common.

    ``ping_timeout`` and ``timeout`` are tenths of seconds and ``ping_interval`` seconds, as in drbd.conf(5).
    """

    version: str
    protocol: str
    link: int
    fencing: str
    on_io_error: str
    ping_interval: int
    ping_timeout: int
    timeout: int
    max_rate: int
    verify_algorithm: str


class DrbdResource(Record):
    """A replicated disk; ``nodes`` have a copy each, ``diskless`` nodes only vote."""

    name: str
    minor: int
    disk: str
    port: int
    nodes: tuple[str, ...]
    diskless: tuple[str, ...]
    options: Mapping[str, str]


class Service(Record):
    """How a guest's service is asked; ``probe`` is a tcp:// or http:// address or a command's path."""

    probe: str
    interval: int
    timeout: int


class Guest(Record):
    """A guest as a resource; ``memory`` MiB, ``downtime_limit`` ms, ``dirty_rate`` MiB/s, other times seconds."""

    name: str
    config: str
    memory: int | None
    vcpu: int | None
    priority: int | None
    prefers: str | None
    nodes: tuple[str, ...]
    apart_from: tuple[str, ...]
    never_with: tuple[str, ...]
    disks: tuple[str, ...]
    migrate: bool
    downtime_limit: int | None
    recovery_limit: int | None
    boot_time: int | None
    shutdown_time: int
    dirty_rate: int | None
    service: Service | None
    ticket: str | None
    options: Mapping[str, str]


class FloatingIP(Record):
    """An address that moves; it prefers a node, or follows a guest, or goes anywhere."""

    name: str
    ip: str
    cidr_netmask: int
    nic: str
    prefers: str | None
    follows: str | None
    nodes: tuple[str, ...]
    ticket: str | None
    options: Mapping[str, str]


class Alert(Record):
    """A program that Pacemaker calls on events; ``timeout`` in seconds."""

    name: str
    path: str
    recipients: tuple[str, ...]
    options: Mapping[str, str]
    timeout: int


class Site(Record):
    """One of the clusters that share tickets, by the floating address of its booth."""

    name: str
    address: str


class Ticket(Record):
    """A right that one site holds at a time; times in seconds."""

    name: str
    expire: int
    acquire_after: int
    timeout: int
    retries: int
    loss_policy: str


class Booth(Record):
    """The second site: who the sites and arbitrators are, and which one this cluster is."""

    here: str
    nic: str
    cidr_netmask: int
    sites: tuple[Site, ...]
    arbitrators: tuple[str, ...]
    tickets: tuple[Ticket, ...]
    port: int


class Hosts(Record):
    """What every node is set up with beside the cluster; ``hugepages`` of 2 MiB, ``panic`` seconds."""

    time_servers: tuple[str, ...]
    hugepages: int | None
    panic: int
    firewall: bool
    power_button: str


class ClusterDescription(Record):
    """All that cluster.yaml says."""

    cluster: str
    nodes: tuple[Node, ...]
    quorum: Quorum
    timing: Timing
    network: Network
    sbd: Sbd | None
    properties: Mapping[str, str]
    resource_defaults: Mapping[str, str]
    migration: Migration
    replication: Replication
    drbd: tuple[DrbdResource, ...]
    guests: tuple[Guest, ...]
    floating_ips: tuple[FloatingIP, ...]
    alerts: tuple[Alert, ...]
    booth: Booth | None
    hosts: Hosts
