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
        self._told: set[tuple[str, tuple[str, ...]]] = set()

    def take(self, holder: str, held: frozenset[str], at: float, since: float | None = None) -> tuple[Twice, ...]:
        """Take what one holder has at a time; return what was found out by that.

        A look that took its time, and shows what was at some moment from ``since`` to ``at``, counts as late for a
        begin and as early for an end. A thing and a pair are told once, and again only after one of the two was
        without it.
        """
        for thing in [thing for thing, spans in self._spans.items() if holder in spans and thing not in held]:
            self._let_go(thing, holder)
        for thing in held:
            spans = self._spans.setdefault(thing, {})
            first, _ = spans.get(holder, (at, at))
            spans[holder] = (first, at if since is None else since)
        made = [each for thing in sorted(held) for each in self._twice(thing, holder)]
        fresh = tuple(each for each in made if (each.thing, each.holders) not in self._told)
        self._told |= {(each.thing, each.holders) for each in fresh}
        return fresh

    def gone(self, holder: str) -> None:
        """Forget a holder that is known to be dead."""
        for thing in [thing for thing, spans in self._spans.items() if holder in spans]:
            self._let_go(thing, holder)

    def _let_go(self, thing: str, holder: str) -> None:
        del self._spans[thing][holder]
        if not self._spans[thing]:
            del self._spans[thing]
        self._told = {pair for pair in self._told if pair[0] != thing or holder not in pair[1]}

    def _twice(self, thing: str, holder: str) -> list[Twice]:
        first, last = self._spans[thing][holder]
        return [
            Twice(thing=thing, holders=tuple(sorted((holder, other))), at=max(first, since))
            for other, (since, until) in sorted(self._spans[thing].items())
            if other != holder and min(last, until) - max(first, since) > self._margin
        ]
