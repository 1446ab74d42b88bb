"""A cluster at one moment: its nodes, what runs on them, and what the configuration wants, as plain values.

All decisions that concern the whole cluster read this and nothing else. Invariant: None is "not known", and whoever
decides takes it for the worse case; what the reader did not understand is said in ``unread`` and never dropped.
"""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kvmha.policy.fencing_proof import Path, Trial
    from kvmha.policy.guest_needs import GuestNeeds
    from kvmha.policy.quorum import Settings
    from kvmha.policy.timing import Totem

INFINITY = 1_000_000
"""Pacemaker's largest score; its negative is a ban (crm/common/scores.h)."""

GUEST, ADDRESS, REPLICA = "guest", "address", "replica"
PRIMARY, FENCING, OTHER = "primary", "fencing", "other"
"""What a resource is: a KVM guest, a floating IP, a side of a DRBD resource, the right to write it, a fence device."""

MEMBER, REMOTE = "member", "remote"
"""Kinds of nodes: one that runs corosync and votes, and one with Pacemaker Remote alone (a host or a guest)."""


class Device(Record):
    """A fence device as it bears on one node."""

    name: str
    agent: str
    level: int = 1
    """Devices of one level act together; the next level is tried where they failed."""
    delay_s: float = 0.0
    delay_most_s: float = 0.0
    """With chance; never less than delay_s."""
    steered: str = ""
    """The delay that was laid over the configured one for the node of a pair that is to survive, as it is written."""
    unsteered: tuple[float, float] | None = None
    """delay_s and delay_most_s as they would be without that; None where nothing was laid over them."""
    usual_s: float = 0.0
    """What one fencing takes by itself where all goes well, without delays."""
    most_s: float = 0.0
    """What its timeouts allow."""
    is_measured: bool = False
    """usual_s follows from what the device's own last monitor took, and not from its agent's advertised times."""


class Node(Record):
    """A node as the cluster sees it. Sizes are MiB."""

    name: str
    kind: str = MEMBER
    is_online: bool = True
    is_unclean: bool = False
    """The cluster does not know what runs there; it counts as running all that it ran, until it is fenced."""
    is_standby: bool = False
    is_maintenance: bool = False
    is_pending: bool = False
    attributes: Mapping[str, str] = {}
    """Permanent and transient ones together; the transient one counts where both have the name."""
    utilization: Mapping[str, int] = {}
    """What the configuration says that it has."""
    memory_mib: int | None = None
    """What it has for guests: as the description or utilization says, else what the node itself told."""
    cpus: int | None = None
    fencing: tuple[Device, ...] = ()
    fenced_at: float | None = None
    """When it was last fenced with success, in seconds since the epoch; None where no history tells of it."""
    has_watchdog_fencing: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether something can be started there."""
        return self.is_online and not (self.is_unclean or self.is_standby or self.is_maintenance or self.is_pending)


class Resource(Record):
    """A primitive, or all instances of one in a clone, and where it runs. Memory in MiB, times in seconds."""

    name: str
    agent: str
    kind: str = OTHER
    nodes: tuple[str, ...] = ()
    """Where it is active; for one that is no clone, more than one is a fault."""
    promoted: tuple[str, ...] = ()
    is_clone: bool = False
    parent: str = ""
    """The group, clone or bundle around it."""
    is_managed: bool = True
    is_failed: bool = False
    is_blocked: bool = False
    is_orphaned: bool = False
    pending: str = ""
    target_role: str = "Started"
    priority: int = 0
    stickiness: int = 0
    is_movable: bool = False
    """Pacemaker moves it live."""
    utilization: Mapping[str, int] = {}
    memory_mib: int | None = None
    """A guest's memory, by its definition or its utilization."""
    cpus: int | None = None
    needs: GuestNeeds | None = None
    """What a guest needs of its host by name; None where its definition was not read."""
    disks: tuple[str, ...] = ()
    """The DRBD resources that it stands on, by DRBD's names."""
    start_s: float | None = None
    """What its last start took, as the cluster's history tells."""
    stop_s: float | None = None
    start_timeout_s: float = 20.0
    stop_timeout_s: float = 20.0
    boot_s: float | None = None
    """From the end of its start until it answers; only a description tells."""
    limit_s: float | None = None
    """How long it may be away, by the description."""
    dirty_mib_s: float | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether it is meant to run."""
        return self.target_role.lower() not in ("stopped",) and not self.is_orphaned


class Preference(Record):
    """That a resource prefers a node or is kept from it; ``rule`` says in words when, where it is not always."""

    id: str
    resource: str
    node: str
    score: int
    role: str = ""


class Pairing(Record):
    """That a resource runs where another one does (positive score), or where it does not (negative)."""

    id: str
    resource: str
    with_resource: str
    score: int
    role: str = ""
    with_role: str = ""


class Replica(Record):
    """What the cluster knows of one side of a DRBD resource: its promotion score, None for one that has none."""

    disk: str
    resource: str
    """Pacemaker's name of the primitive."""
    node: str
    score: int | None


class Failure(Record):
    """An operation that failed and was not cleaned up."""

    resource: str
    node: str
    operation: str
    rc: int
    reason: str = ""
    at: float = 0.0


class Snapshot(Record):
    """The whole cluster."""

    source: str = "live"
    """live, or the name of the file."""
    at: float | None = None
    """When it was taken, in seconds since the epoch."""
    cluster: str = ""
    dc: str = ""
    is_quorate: bool | None = None
    nodes: tuple[Node, ...] = ()
    resources: tuple[Resource, ...] = ()
    preferences: tuple[Preference, ...] = ()
    pairings: tuple[Pairing, ...] = ()
    replicas: tuple[Replica, ...] = ()
    failures: tuple[Failure, ...] = ()
    properties: Mapping[str, str] = {}
    totem: Totem | None = None
    """corosync's times; None where no corosync.conf is known."""
    quorum: Settings | None = None
    """How votes are counted; None where no corosync.conf is known."""
    is_device_alive: bool | None = None
    """Whether the quorum device votes for the nodes that are here; None where nobody was asked, or there is none."""
    fence_paths: tuple[Path, ...] = ()
    """Every way to fence a node: by which device, from which node."""
    fence_trials: tuple[Trial, ...] = ()
    """What the nodes have written down of trying them."""
    unread: tuple[str, ...] = ()
    """What of the configuration bears on decisions and was not understood, as sentences."""

    @property
    def members(self) -> tuple[Node, ...]:
        """The nodes that run corosync."""
        return tuple(node for node in self.nodes if node.kind == MEMBER)

    @property
    def guests(self) -> tuple[Resource, ...]:
        """The KVM guests."""
        return tuple(resource for resource in self.resources if resource.kind == GUEST)

    @property
    def is_fencing_on(self) -> bool:
        """Whether Pacemaker fences; it does so unless told not to."""
        word = self.properties.get("stonith-enabled", "true").strip().lower()
        return word in ("true", "on", "yes", "y", "1")

    def node(self, name: str) -> Node | None:
        """Return the node of that name, or None."""
        return next((node for node in self.nodes if node.name == name), None)

    def resource(self, name: str) -> Resource | None:
        """Return the resource of that name, or None."""
        return next((resource for resource in self.resources if resource.name == name), None)

    def on(self, node: str) -> Iterator[Resource]:
        """Yield what is active on a node."""
        return (resource for resource in self.resources if node in resource.nodes)

    def score(self, resource: str, node: str) -> int:
        """Return what location constraints add up to for a resource on a node, ended by the infinities."""
        return add_scores(*(p.score for p in self.preferences if p.resource == resource and p.node == node))

    def replica_scores(self, disk: str) -> Mapping[str, int | None]:
        """Return the promotion score of each side of a DRBD resource, by node."""
        return {each.node: each.score for each in self.replicas if each.disk == disk}


def add_scores(*scores: int) -> int:
    """Add scores as Pacemaker does: a ban beats everything, then plus infinity (Pacemaker Explained, Scores)."""
    if any(score <= -INFINITY for score in scores):
        return -INFINITY
    return min(sum(scores), INFINITY)


def score_of(text: str) -> int | None:
    """Read a score of the configuration; None for what is none. Empty is 0."""
    word = text.strip().lower()
    sign = -1 if word.startswith("-") else 1
    if word.lstrip("+-") in ("infinity", "inf"):
        return sign * INFINITY
    try:
        return max(-INFINITY, min(INFINITY, int(word or "0")))
    except ValueError:
        return None
