"""Constraints of the configuration as the plain values that decisions read: one resource, one node, one score.

Tags, patterns, sets and rules on node attributes are resolved; a rule that asks for something else, such as a date, is
left out and said.
"""

from __future__ import annotations

import re

from kvmha.policy.snapshot import Pairing, Preference, score_of
from kvmha.tools.cib import Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kvmha.tools.cib import Cib, Colocation, Expression, Location, Resource

    Attributes = Mapping[str, Mapping[str, str]]


class Reading:
    """Reads the constraints of one configuration; what it does not understand gathers in ``unread``."""

    def __init__(self, cib: Cib, attributes: Attributes) -> None:
        self.cib = cib
        self.attributes = attributes
        """By node, permanent and transient ones together."""
        self.unread: list[str] = []
        self.tags = {tag.id: tag.references for tag in cib.tags}
        self.names = tuple(resource.id for resource in cib.walk())
        self.families = {resource.id: tuple(_family(resource)) for resource in cib.walk()}

    def preferences(self) -> tuple[Preference, ...]:
        """Return all location constraints, for every node to which they say something."""
        return tuple(found for each in self.cib.locations for found in self._location(each))

    def pairings(self) -> tuple[Pairing, ...]:
        """Return all colocations; members of a set follow each other in their turn."""
        found = []
        for each in self.cib.colocations:
            score = self._score(each.id, each.score)
            if score is None:
                continue
            for one, other in self._pairs(each):
                found += [
                    Pairing(
                        id=each.id, resource=a, with_resource=b, score=score, role=each.role, with_role=each.with_role
                    )
                    for a in self._meant(one)
                    for b in self._meant(other)
                ]
        return tuple(found)

    def _pairs(self, each: Colocation) -> Iterator[tuple[str, str]]:
        if not each.sets:
            yield each.resource, each.with_resource
            return
        for one in each.sets:
            if one.sequential.lower() in ("", "true", "yes", "on", "1", "y"):
                yield from ((later, earlier) for earlier, later in zip(one.resources, one.resources[1:]))
        # The sets follow each other the other way round: the first set is placed with the second.
        for one, other in zip(each.sets, each.sets[1:]):
            yield from ((a, b) for a in one.resources[:1] for b in other.resources[-1:])

    def _location(self, each: Location) -> Iterator[Preference]:
        names = self._named(each)
        if each.node:
            score = self._score(each.id, each.score)
            if score is not None:
                yield from (self._preference(each, name, each.node, score) for name in names)
        for rule in each.rules:
            for node in self.attributes:
                score = self._rule_score(each, rule, node)
                if score is not None:
                    yield from (self._preference(each, name, node, score, rule.role) for name in names)

    def _preference(self, each: Location, name: str, node: str, score: int, role: str = "") -> Preference:
        return Preference(id=each.id, resource=name, node=node, score=score, role=role or each.role)

    def _named(self, each: Location) -> tuple[str, ...]:
        if each.pattern:
            try:
                wanted, is_not = each.pattern.lstrip("!"), each.pattern.startswith("!")
                return tuple(name for name in self.names if bool(re.search(wanted, name)) != is_not)
            except re.error:
                self.unread.append(f"{each.id}: the pattern {each.pattern} cannot be read, and is left out")
                return ()
        chosen = [each.resource] if each.resource else [name for one in each.sets for name in one.resources]
        return tuple(dict.fromkeys(name for one in chosen for name in self._meant(one)))

    def _meant(self, name: str) -> tuple[str, ...]:
        """Return the resources that a name in a constraint means: of a tag its own, and of a group or clone all."""
        found = self.tags.get(name, (name,)) if name not in self.families else (name,)
        return tuple(dict.fromkeys(inner for one in found for inner in self.families.get(one, (one,))))

    def _score(self, where: str, text: str) -> int | None:
        score = score_of(text)
        if score is None:
            self.unread.append(f"{where}: the score {text} cannot be read, and is left out")
        return score

    def _rule_score(self, each: Location, rule: Rule, node: str) -> int | None:
        """Return the score that a rule gives on a node; None where it does not hold, or cannot be told."""
        holds = self._holds(each.id, rule, node)
        if not holds:
            return None
        if rule.score_attribute:
            return score_of(self.attributes.get(node, {}).get(rule.score_attribute, "0"))
        return self._score(each.id, rule.score)

    def _holds(self, where: str, rule: Rule, node: str) -> bool | None:
        answers = [self._answer(where, one, node) for one in rule.expressions]
        if rule.join == "or":
            return True if True in answers else None if None in answers else False
        return False if False in answers else None if None in answers else True

    def _answer(self, where: str, one: Rule | Expression, node: str) -> bool | None:
        if isinstance(one, Rule):
            return self._holds(where, one, node)
        if one.kind != "expression":
            said = f"{where}: its rule asks for more than node attributes ({one.kind}), and is left out"
            if said not in self.unread:
                self.unread.append(said)
            return None
        return compares(one.attributes, {"#uname": node, **self.attributes.get(node, {})})


def compares(asked: Mapping[str, str], values: Mapping[str, str]) -> bool | None:
    """Tell whether an expression holds for a node's attributes (Pacemaker Explained, Node Attribute Expressions)."""
    found = values.get(asked.get("attribute", ""))
    word = asked.get("operation", "")
    if word in ("defined", "not_defined"):
        return (found is not None) == (word == "defined")
    wanted = asked.get("value", "")
    kind = asked.get("type") or ("number" if word in ("lt", "gt", "lte", "gte") else "string")
    if found is None:
        # Nothing is less than anything: only "is not" holds for what is not there.
        return word == "ne"
    order = _order(found, wanted, kind)
    if order is None:
        return None
    answers = {"eq": order == 0, "ne": order != 0}
    answers.update({"lt": order < 0, "gt": order > 0, "lte": order <= 0, "gte": order >= 0})
    return answers.get(word)


def _order(one: str, other: str, kind: str) -> int | None:
    if kind == "string":
        a, b = one.lower(), other.lower()
        return (a > b) - (a < b)
    if kind == "version":
        left, right = ([int(word) for word in re.findall(r"\d+", text)] for text in (one, other))
        return (left > right) - (left < right)
    try:
        x, y = float(one), float(other)
    except ValueError:
        return None
    return (x > y) - (x < y)


def _family(resource: Resource) -> Iterator[str]:
    """Yield the names of a resource and of all that is inside it."""
    yield resource.id
    for child in resource.children:
        yield from _family(child)
