"""The scores of resources on nodes: location, stickiness, failures, and what colocation makes of them."""

from __future__ import annotations

from kvmha.policy.snapshot import INFINITY, Node, Pairing, Resource, Snapshot, add_scores

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FATAL = "INFINITY"
"""The fail count after a failed start, where start-failure-is-fatal (the default)."""


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

    def followed(self, name: str) -> list[Pairing]:
        return [each for each in self.snapshot.pairings if each.resource == name and each.score]

    def own(self, resource: Resource, name: str) -> int:
        """Return the score of a resource on a node by itself: location, stickiness, failures."""
        # One that is active twice stays nowhere on purpose.
        stays = resource.stickiness if resource.nodes == (name,) else 0
        attributes = self.nodes[name].attributes
        prefix = f"fail-count-{resource.name}#"
        is_banned = any(key.startswith(prefix) and value == FATAL for key, value in attributes.items())
        score = add_scores(self.snapshot.score(resource.name, name), stays)
        if self.opts_in and not any(
            each.resource == resource.name and each.node == name for each in self.snapshot.preferences
        ):
            return -INFINITY
        return -INFINITY if is_banned else score

    @property
    def opts_in(self) -> bool:
        word = self.snapshot.properties.get("symmetric-cluster", "true").strip().lower()
        return word in ("false", "off", "no", "n", "0")

    def merged(self, resource: Resource) -> dict[str, int]:
        """Return the scores of a resource on all nodes, those whom it follows and who follow it included."""
        scores = {name: self.own(resource, name) for name in self.nodes}
        for pairing in self.followed(resource.name):
            self.follow(scores, pairing)
        for pairing in self.snapshot.pairings:
            if pairing.with_resource == resource.name and pairing.resource not in self.assigned and pairing.score:
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
        for more in self.snapshot.pairings:
            if more.with_resource == follower.name and more.score:
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
