"""What must hold at every moment of a transition, whoever planned it and wherever it is interrupted.

Invariant, checked after every step, so that a transition may end after any of them: nothing that is no clone and no
fence device may be active on two nodes, but for the moment of its live migration; nothing starts while it may be active
elsewhere; what nobody fenced may be active; no right to write a DRBD resource is given where the replica has no
promotion score; without quorum nothing starts that does not run in this partition, and nobody is fenced who is not a
member of it.
"""

from __future__ import annotations

from kvmha.policy.snapshot import FENCING, PRIMARY, Snapshot
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvmha.policy.expectation import Expectation

FENCE, STOP, START, MIGRATE_TO, MIGRATE_FROM = "fence", "stop", "start", "migrate_to", "migrate_from"


class Step(Record):
    """One thing that is done; of a fencing the node alone."""

    act: str
    node: str
    resource: str = ""


class Unsafe(AssertionError):
    """A step after which, or by which, something holds that never must."""


def steps_of(snapshot: Snapshot, found: Expectation) -> tuple[Step, ...]:
    """Return the steps of an expectation in an order in which they are safe: fence, stop, start."""
    steps = [Step(act=FENCE, node=node) for node in found.fenced]
    stops, starts = [], []
    for resource in snapshot.resources:
        before, after = set(resource.nodes), set(found.places.get(resource.name, ()))
        gone = sorted(before - after - set(found.fenced))
        new = sorted(after - before)
        is_moved = resource.is_movable and len(gone) == 1 and len(new) == 1 and not resource.is_clone
        if is_moved and len(before) == 1:
            starts.append(Step(act=MIGRATE_TO, node=gone[0], resource=resource.name))
            starts.append(Step(act=MIGRATE_FROM, node=new[0], resource=resource.name))
            starts.append(Step(act=STOP, node=gone[0], resource=resource.name))
            continue
        stops += [Step(act=STOP, node=node, resource=resource.name) for node in gone]
        starts += [Step(act=START, node=node, resource=resource.name) for node in new]
    return (*steps, *stops, *starts)


class Walk:
    """A transition that is gone through step by step; ``may_be`` is where each resource may be active."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.resources = {resource.name: resource for resource in snapshot.resources}
        self.nodes = {node.name: node for node in snapshot.nodes}
        self.may_be = {resource.name: set(resource.nodes) for resource in snapshot.resources}
        self.moving: set[str] = set()
        self.fenced: set[str] = set()

    def take(self, step: Step) -> None:
        """Go one step. Raises Unsafe."""
        if step.act == FENCE:
            self._fence(step.node)
        elif step.act == STOP:
            self.may_be[step.resource].discard(step.node)
            if len(self.may_be[step.resource]) <= 1:
                self.moving.discard(step.resource)
        elif step.act == MIGRATE_TO:
            self.moving.add(step.resource)
        elif step.act in (START, MIGRATE_FROM):
            self._begin(step)

    def _fence(self, name: str) -> None:
        node = self.nodes[name]
        ignores = self.snapshot.properties.get("no-quorum-policy") == "ignore"
        if not (self.snapshot.is_quorate or ignores or node.is_online):
            raise Unsafe(f"{name} is fenced by a partition without quorum")
        self.fenced.add(name)
        for places in self.may_be.values():
            places.discard(name)

    def _begin(self, step: Step) -> None:
        resource = self.resources[step.resource]
        others = self.may_be[step.resource] - {step.node}
        if not self.snapshot.is_fencing_on:
            # Where fencing is off, Pacemaker takes a lost node for one that is off, and so this does.
            others = {name for name in others if self.nodes[name].is_online}
        # A fence device is a note of who may use it; in truth it runs nowhere, and two such notes do no harm.
        is_single = not resource.is_clone and resource.kind != FENCING
        if others and is_single and not (step.act == MIGRATE_FROM and step.resource in self.moving):
            raise Unsafe(f"{step.resource} starts on {step.node} and may be active on {', '.join(sorted(others))}")
        self._refuse_inquorate(step)
        if resource.kind == PRIMARY and not self._is_current(step):
            raise Unsafe(f"{step.resource} starts on {step.node}, whose replica has no promotion score")
        if step.node in self.fenced:
            raise Unsafe(f"{step.resource} starts on {step.node}, which was fenced")
        self.may_be[step.resource].add(step.node)

    def _refuse_inquorate(self, step: Step) -> None:
        policy = self.snapshot.properties.get("no-quorum-policy", "stop")
        if self.snapshot.is_quorate or policy == "ignore":
            return
        was_here = [name for name in self.resources[step.resource].nodes if self.nodes[name].is_online]
        if policy != "freeze" or not was_here:
            raise Unsafe(f"{step.resource} starts on {step.node} without quorum")

    def _is_current(self, step: Step) -> bool:
        disks = self.resources[step.resource].disks
        scores = [self.snapshot.replica_scores(disk).get(step.node) for disk in disks]
        return all(score is not None and score > 0 for score in scores)

    def now(self, lost: Sequence[str] = ()) -> Snapshot:
        """Return the cluster as it would be found if the transition ended here, and these nodes were lost as well."""
        nodes = tuple(
            node.replace(is_online=False, is_unclean=False)
            if node.name in self.fenced
            else node.replace(is_online=False, is_unclean=True)
            if node.name in lost
            else node
            for node in self.snapshot.nodes
        )
        resources = tuple(
            resource.replace(nodes=tuple(sorted(self.may_be[resource.name]))) for resource in self.snapshot.resources
        )
        return self.snapshot.replace(nodes=nodes, resources=resources)


def check(snapshot: Snapshot, steps: Sequence[Step]) -> Walk:
    """Go through all steps. Raises Unsafe at the first that is."""
    walk = Walk(snapshot)
    for step in steps:
        walk.take(step)
    return walk
