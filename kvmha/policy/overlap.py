"""Who had a thing at the same time as somebody else: a guest that ran twice, an address that was there twice.

Nodes are looked at one after the other, so two looks that show the same thing in two places prove nothing: it may have
moved in between. Invariant: it counts as twice only when two holders were each seen with it at the begin and at the
end of one and the same time, which is longer than clocks may differ, and at no moment of it without.
"""

from __future__ import annotations

from kvmha.record import Record

MARGIN_S = 0.2
"""How far two nodes' clocks, and a look and what it shows, may be apart."""


class Twice(Record):
    """A thing that was in two places."""

    thing: str
    holders: tuple[str, ...]
    at: float


class Overlaps:
    """Takes looks in any order of nodes, and finds what was held twice."""

    def __init__(self, margin_s: float = MARGIN_S) -> None:
        self._margin = margin_s
        self._spans: dict[str, dict[str, tuple[float, float]]] = {}
        self.found: list[Twice] = []

    def take(self, holder: str, held: frozenset[str], at: float) -> tuple[Twice, ...]:
        """Take what one holder has at a time; return what was found out by that, each thing and pair once."""
        for thing, spans in self._spans.items():
            if thing not in held:
                spans.pop(holder, None)
        for thing in held:
            spans = self._spans.setdefault(thing, {})
            first, _ = spans.get(holder, (at, at))
            spans[holder] = (first, at)
        made = [each for thing in sorted(held) for each in self._twice(thing, holder)]
        known = {(each.thing, each.holders) for each in self.found}
        fresh = tuple(each for each in made if (each.thing, each.holders) not in known)
        self.found += fresh
        return fresh

    def gone(self, holder: str) -> None:
        """Forget a holder that is known to be dead."""
        for spans in self._spans.values():
            spans.pop(holder, None)

    def _twice(self, thing: str, holder: str) -> list[Twice]:
        first, last = self._spans[thing][holder]
        return [
            Twice(thing=thing, holders=tuple(sorted((holder, other))), at=max(first, since))
            for other, (since, until) in sorted(self._spans[thing].items())
            if other != holder and min(last, until) - max(first, since) > self._margin
        ]
