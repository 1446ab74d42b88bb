"""What Pacemaker's scheduler will do with a cluster, foretold from a snapshot without asking it.

kvmha whatif asks the scheduler itself; this is the second opinion against which its answers are held, and which works
where Pacemaker is not installed. It knows nodes, quorum, fencing, location, stickiness, colocation, utilization and
failures, not the order of starts.

Invariant: nothing is foretold to start on a node while it may be active on another that is not fenced; without quorum
nothing starts, and only with the policy "freeze" what runs in this partition may still move inside of it; nothing is
foretold to run in two places.

The rules are those of *Pacemaker Explained* and of the scheduler's own sources (pcmk_sched_nodes.c, compare_nodes;
pcmk_sched_primitive.c; pe_can_fence), each held against crm_simulate by tests/lab/test_expectation.py.
"""

from __future__ import annotations

from kvmha.policy.expectation.scores import Scores
from kvmha.policy.snapshot import FENCING, INFINITY, Node, Resource, Snapshot
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STOP, FREEZE, IGNORE, DEMOTE = "stop", "freeze", "ignore", "demote"

UNMANAGED, BLOCKED = "unmanaged", "blocked"


class Expectation(Record):
    """What will be."""

    fenced: tuple[str, ...]
    """Nodes that are fenced, sorted."""
    places: Mapping[str, tuple[str, ...]]
    """Where each resource is active afterwards, sorted; empty for nowhere."""
    waits_for: Mapping[str, tuple[str, ...]]
    """By resource that starts anew, the nodes that have to be fenced before."""
    stuck: Mapping[str, str]
    """By resource that stays where it is although it should not, why."""

    def starts(self, snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
        """Return resource and node of everything that begins to run where it did not."""
        known = {resource.name: resource.nodes for resource in snapshot.resources}
        return tuple(
            (name, node) for name, nodes in sorted(self.places.items()) for node in nodes if node not in known[name]
        )


def foresee(snapshot: Snapshot) -> Expectation:
    """Return what the scheduler will do."""
    return _Scheduler(snapshot).run()


class _Scheduler:
    """One run: resources are given their nodes in their turn, each once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.nodes = {node.name: node for node in sorted(snapshot.nodes, key=lambda node: node.name)}
        self.resources = {resource.name: resource for resource in snapshot.resources}
        self.policy = snapshot.properties.get("no-quorum-policy", STOP)
        self.has_devices = any(resource.kind == FENCING for resource in snapshot.resources)
        self.fenced = tuple(node.name for node in self.nodes.values() if self.is_fenced(node))
        self.strategy = snapshot.properties.get("placement-strategy", "default")
        self.left = {name: dict(node.utilization) for name, node in self.nodes.items()}
        self.count = dict.fromkeys(self.nodes, 0)
        self.assigned: dict[str, tuple[str, ...]] = {}
        self.places: dict[str, tuple[str, ...]] = {}
        self.stuck: dict[str, str] = {}
        self.under_way: set[str] = set()
        self.scores = Scores(snapshot, self.nodes, self.assigned, self.is_usable)

    # ---------------------------------------------------------------- nodes

    @property
    def is_acting(self) -> bool:
        """Whether this partition may start and fence."""
        return bool(self.snapshot.is_quorate) or self.policy == IGNORE

    def is_fenced(self, node: Node) -> bool:
        if not (node.is_unclean and self.snapshot.is_fencing_on and self.has_devices):
            return False
        # Fencing waits while there is nothing to manage, as in maintenance (any_managed_resources).
        word = self.snapshot.properties.get("maintenance-mode", "false").strip().lower()
        is_maintained = word in ("true", "on", "yes", "y", "1")
        if is_maintained or not any(resource.is_managed for resource in self.resources.values()):
            return False
        # Without quorum only a node that is a member, and so obeys, may be fenced (pe_can_fence).
        return bool(self.snapshot.is_quorate) or self.policy == IGNORE or node.is_online

    @property
    def may_start(self) -> bool:
        """Whether anything may start at all: with fencing on and no device for it, nothing does."""
        return self.has_devices or not self.snapshot.is_fencing_on

    # ------------------------------------------------------------ resources

    def run(self) -> Expectation:
        for name in self.order():
            self.assign(name)
        self.hold_back()
        waits = {}
        for name, nodes in self.places.items():
            lost = [node for node in self.resources[name].nodes if node in self.fenced]
            if lost and set(nodes) - set(self.resources[name].nodes):
                waits[name] = tuple(sorted(lost))
        return Expectation(
            fenced=self.fenced,
            places={name: tuple(sorted(nodes)) for name, nodes in sorted(self.places.items())},
            waits_for=waits,
            stuck=dict(sorted(self.stuck.items())),
        )

    def hold_back(self) -> None:
        """Stop what must be with something that was assigned a node and cannot start there."""
        held = {name for name, nodes in self.assigned.items() if nodes and not self.places[name]}
        waiting = sorted(held)
        while waiting:
            name = waiting.pop()
            for pairing in self.scores.followers(name):
                follower = pairing.resource
                if pairing.score < INFINITY or follower in held:
                    continue
                held.add(follower)
                waiting.append(follower)
                if follower in self.places and follower not in self.stuck:
                    self.places[follower] = ()

    def order(self) -> list[str]:
        """Return the turn of the resources: by priority, and where sizes count, by where they are wanted most."""
        if self.strategy == "default":
            return [each.name for each in sorted(self.resources.values(), key=lambda each: -each.priority)]
        nodes = sorted(self.nodes, key=lambda name: (not self.is_usable(name), self.balance(name), name))
        rows = {}
        for resource in self.resources.values():
            scores = {name: self.scores.own(resource, name) for name in self.nodes}
            for pairing in self.scores.followed(resource.name):
                other = self.resources.get(pairing.with_resource)
                if other is not None:
                    self.scores.join(scores, {name: self.scores.own(other, name) for name in self.nodes}, pairing.score)
            here = scores.get(resource.nodes[0], -INFINITY) if resource.nodes else -INFINITY
            rows[resource.name] = (-resource.priority, -here, [-scores[name] for name in nodes])
        return sorted(rows, key=lambda name: rows[name])

    def balance(self, name: str) -> int:
        return self.strained(name) if self.strategy == "balanced" else 0

    def assign(self, name: str) -> None:
        """Give a resource its place, after those that it has to follow."""
        if name in self.places or name in self.under_way or name not in self.resources:
            return
        self.under_way.add(name)
        resource = self.resources[name]
        for pairing in self.scores.followed(name):
            self.assign(pairing.with_resource)
        kept, why = self.kept(resource)
        if why:
            self.stuck[name] = why
        if why in (UNMANAGED, BLOCKED):
            self.assign_to(resource, kept)
            self.places[name] = kept
        elif resource.is_clone:
            fit = tuple(node for node in self.nodes if self.fits(resource, node) and node not in kept)
            self.assign_to(resource, fit)
            self.places[name] = (*kept, *self.allowed(resource, fit))
        else:
            chosen = self.choose(resource)
            nodes = (chosen,) if chosen else ()
            self.assign_to(resource, nodes)
            self.places[name] = kept if why else self.allowed(resource, nodes)
            if not self.may_start and nodes and set(nodes) != set(resource.nodes):
                self.stuck[name] = "no fence device: nothing starts"
        self.under_way.discard(name)

    def assign_to(self, resource: Resource, nodes: tuple[str, ...]) -> None:
        """Assign a resource to nodes: what follows it and who is counted go by that, even where it cannot start."""
        self.assigned[resource.name] = nodes
        for node in nodes:
            if node in self.count:
                self.count[node] += 1
                for what, amount in resource.utilization.items():
                    self.left[node][what] = self.left[node].get(what, 0) - amount

    def allowed(self, resource: Resource, nodes: tuple[str, ...]) -> tuple[str, ...]:
        """Return where a resource runs of the nodes that it was assigned to, quorum and fencing being what they are."""
        if not self.snapshot.is_quorate and self.policy in (STOP, DEMOTE):
            return ()
        if resource.is_clone:
            return tuple(node for node in nodes if node in resource.nodes or (self.is_acting and self.may_start))
        # Without quorum what runs in this partition may move inside of it.
        is_under_way = bool(resource.nodes) and self.policy == FREEZE
        if not (self.is_acting or is_under_way):
            return ()
        return nodes if self.may_start or not nodes else resource.nodes

    def kept(self, resource: Resource) -> tuple[tuple[str, ...], str]:
        """Return the nodes on which a resource stays whatever the scores say, and why; nothing where it is free."""
        if not resource.is_managed:
            # What makes one instance of a clone unmanaged may be its node's maintenance.
            there = tuple(node for node in resource.nodes if self.nodes[node].is_maintenance)
            if resource.is_clone and there:
                return there, "maintenance"
            return resource.nodes, UNMANAGED
        if resource.is_blocked:
            return resource.nodes, BLOCKED
        lost = tuple(node for node in resource.nodes if self.is_out_of_reach(node))
        if not lost:
            return (), ""
        stops = not self.snapshot.is_quorate and self.policy in (STOP, DEMOTE)
        why = f"may run on {', '.join(lost)}, which is not fenced"
        return lost if stops or resource.is_clone else resource.nodes, why

    def is_out_of_reach(self, name: str) -> bool:
        """Tell whether nobody can say what runs on a node, and it will not be fenced."""
        node = self.nodes.get(name)
        return node is not None and node.is_unclean and name not in self.fenced and self.snapshot.is_fencing_on

    def choose(self, resource: Resource) -> str:
        """Return the node for a resource, empty for none."""
        if not resource.is_wanted:
            return ""
        scores = self.scores.merged(resource)
        fit = [name for name in self.nodes if scores[name] >= 0 and self.is_usable(name)]
        if self.strategy != "default":
            whole = self.needs(resource)
            fit = [name for name in fit if self.has_room(whole, name)] or [
                name for name in fit if self.has_room(resource.utilization, name)
            ]
        if not fit:
            return ""
        most = max(scores[name] for name in fit)
        best = min((name for name in fit if scores[name] == most), key=lambda name: self.rank(resource, name, scores))
        # One that runs stays where the score is as good as the best.
        here = [name for name in resource.nodes if name in fit and scores[name] == scores[best] and scores[name] > 0]
        return here[0] if here else best

    def rank(self, resource: Resource, name: str, scores: Mapping[str, int]) -> tuple[object, ...]:
        """Return what nodes are compared by: score, free capacity, number of resources, where it runs, name."""
        count = self.count[name]
        is_away = name not in resource.nodes
        if self.strategy == "minimal":
            return (-scores[name], name)
        return (-scores[name], self.balance(name), count, is_away, name)

    def strained(self, name: str) -> int:
        """Return on how many things another node has more left than this one, less the other way round."""
        mine = self.left[name]
        total = 0
        for other, theirs in self.left.items():
            if other == name or not self.is_usable(other):
                continue
            names = {*mine, *theirs}
            more = sum(theirs.get(what, 0) > mine.get(what, 0) for what in names)
            less = sum(theirs.get(what, 0) < mine.get(what, 0) for what in names)
            total += (more > less) - (more < less)
        return total

    def needs(self, resource: Resource) -> dict[str, int]:
        """Return what a resource takes with all that must run where it does and has no place yet."""
        members, waiting = {resource.name}, [resource.name]
        while waiting:
            name = waiting.pop()
            for pairing in (*self.scores.followed(name), *self.scores.followers(name)):
                if pairing.score < INFINITY:
                    continue
                other = pairing.with_resource if pairing.resource == name else pairing.resource
                if other in self.resources and other not in members and other not in self.assigned:
                    members.add(other)
                    waiting.append(other)
        total: dict[str, int] = {}
        for name in members:
            for what, amount in self.resources[name].utilization.items():
                total[what] = total.get(what, 0) + amount
        return total

    def has_room(self, needed: Mapping[str, int], name: str) -> bool:
        return all(self.left[name].get(what, 0) >= amount for what, amount in needed.items())

    def is_usable(self, name: str) -> bool:
        return self.nodes[name].is_usable and name not in self.fenced

    def fits(self, resource: Resource, name: str) -> bool:
        """Tell whether an instance of a clone is to run on a node."""
        return resource.is_wanted and self.is_usable(name) and self.scores.own(resource, name) > -INFINITY


def check_invariants(snapshot: Snapshot, found: Expectation) -> None:
    """Raise AssertionError where something is foretold that must never be."""
    scheduler = _Scheduler(snapshot)
    for name, node in found.starts(snapshot):
        resource = scheduler.resources[name]
        for other in resource.nodes:
            there = scheduler.nodes.get(other)
            if there is not None and there.is_unclean and snapshot.is_fencing_on and other not in found.fenced:
                raise AssertionError(f"{name} starts on {node} and may run on {other}, which is not fenced")
        moves = [other for other in resource.nodes if scheduler.nodes[other].is_online]
        if not scheduler.is_acting and not (scheduler.policy == FREEZE and moves):
            raise AssertionError(f"{name} starts on {node} without quorum")
        if not scheduler.nodes[node].is_usable:
            raise AssertionError(f"{name} starts on {node}, which takes nothing")
    for name, nodes in found.places.items():
        resource = scheduler.resources[name]
        if len(nodes) > 1 and not resource.is_clone and name not in found.stuck:
            raise AssertionError(f"{name} is to run on {', '.join(nodes)}")
    for name in found.fenced:
        if not snapshot.is_quorate and scheduler.policy != IGNORE and not scheduler.nodes[name].is_online:
            raise AssertionError(f"{name} is to be fenced without quorum")
