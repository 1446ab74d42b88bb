"""The scores of resources on nodes: location, stickiness, failures, and what colocation makes of them."""

from __future__ import annotations

from kvmha.policy.snapshot import INFINITY, Node, Pairing, Resource, Snapshot, add_scores

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FATAL = "INFINITY"
"""The fail count after a failed start, where start-failure-is-fatal (the default)."""

COUNT = "fail-count-"
"""The beginning of the node attribute that counts the failures of RESOURCE#OPERATION_INTERVAL."""


class Scores:
    """Reckons scores while resources are given their nodes; ``assigned`` is shared with whoever gives them."""

    def __init__(
        self,
        snapshot: Snapshot,
        nodes: Mapping[str, Node],
        assigned: Mapping[str, tuple[str, ...]],
        is_usable: Callable[[str], bool],
    ) -> None:
        self.snapshot = snapshot
        self.nodes = nodes
        self.resources = {resource.name: resource for resource in snapshot.resources}
        self.assigned = assigned
        self.is_usable = is_usable
        self.leading: dict[str, list[Pairing]] = {}
        self.following: dict[str, list[Pairing]] = {}
        for pairing in snapshot.pairings:
            if pairing.score:
                self.leading.setdefault(pairing.resource, []).append(pairing)
                self.following.setdefault(pairing.with_resource, []).append(pairing)
        self.located: dict[tuple[str, str], int] = {}
        for each in snapshot.preferences:
            key = each.resource, each.node
            self.located[key] = add_scores(self.located.get(key, 0), each.score)
        # By node, the resources that failed to start there.
        self.banned = {
            name: {_resource_of(key) for key, value in node.attributes.items() if value == FATAL and _is_count(key)}
            for name, node in nodes.items()
        }

    def followed(self, name: str) -> list[Pairing]:
        """Return whom a resource follows or avoids."""
        return self.leading.get(name, [])

    def followers(self, name: str) -> list[Pairing]:
        """Return who follows or avoids a resource."""
        return self.following.get(name, [])

    def own(self, resource: Resource, name: str) -> int:
        """Return the score of a resource on a node by itself: location, stickiness, failures."""
        # One that is active twice stays nowhere on purpose.
        stays = resource.stickiness if resource.nodes == (name,) else 0
        key = resource.name, name
        if resource.name in self.banned[name] or (self.opts_in and key not in self.located):
            return -INFINITY
        return add_scores(self.located.get(key, 0), stays)

    @property
    def opts_in(self) -> bool:
        word = self.snapshot.properties.get("symmetric-cluster", "true").strip().lower()
        return word in ("false", "off", "no", "n", "0")

    def merged(self, resource: Resource) -> dict[str, int]:
        """Return the scores of a resource on all nodes, those whom it follows and who follow it included."""
        scores = {name: self.own(resource, name) for name in self.nodes}
        for pairing in self.followed(resource.name):
            self.follow(scores, pairing)
        for pairing in self.followers(resource.name):
            if pairing.resource not in self.assigned:
                self.regard(scores, pairing, {resource.name})
        return scores

    def follow(self, scores: dict[str, int], pairing: Pairing) -> None:
        """Let a resource go where that is which it follows, or not go there."""
        there = self.assigned.get(pairing.with_resource)
        if there is None or (not there and pairing.score < 0):
            return
        after = dict(scores)
        for name in scores:
            if not there:
                after[name] = add_scores(after[name], -pairing.score)
            elif name in there:
                after[name] = add_scores(after[name], pairing.score) if pairing.score < INFINITY else after[name]
            elif pairing.score >= INFINITY:
                after[name] = -INFINITY
        # A wish that leaves no node is no wish (pcmk__apply_coloc_to_scores).
        if abs(pairing.score) >= INFINITY or any(after[name] >= 0 and self.is_usable(name) for name in after):
            scores.update(after)

    def regard(self, scores: dict[str, int], pairing: Pairing, seen: set[str]) -> None:
        """Add what a follower prefers, by the weight with which it follows; not if then no node would be left."""
        follower = self.resources.get(pairing.resource)
        if follower is None or follower.name in seen:
            return
        wishes = {name: self.own(follower, name) for name in self.nodes}
        for more in self.followers(follower.name):
            self.regard(wishes, more, {*seen, follower.name})
        self.join(scores, wishes, pairing.score)

    def join(self, scores: dict[str, int], wishes: Mapping[str, int], weight: int) -> None:
        """Add the scores of another resource by a weight; not at all if then no node would be left."""
        after = dict(scores)
        for name, wish in wishes.items():
            if weight < 0 and wish < 0:
                continue
            part = wish * weight / INFINITY
            whole = int(part + 0.5) if part > 0 else int(part - 0.5)
            if not whole and wish:
                # However small the weight, a wish does not vanish.
                whole = 1 if weight > 0 else -1
            after[name] = add_scores(after[name], max(-INFINITY, min(INFINITY, whole)))
        if any(after[name] >= 0 and self.is_usable(name) for name in after):
            scores.update(after)


def _is_count(attribute: str) -> bool:
    return attribute.startswith(COUNT) and "#" in attribute


def _resource_of(attribute: str) -> str:
    return attribute[len(COUNT) :].partition("#")[0]
