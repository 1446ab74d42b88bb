"""Packing guests onto the hosts that are left, by bins and not by sums.

Invariant: what is returned fits: no host gets more than it has, nobody a host that he may not have, nobody a neighbour
from whom he is kept apart. A packing that exists is found unless the search reaches its limit, and then that is said.

Guests that must run together are one item. Large items go first to the host that they leave least room on; where that
does not place all, a search with retreat does, which tries hosts that are alike once only.
"""

from __future__ import annotations

from kvmha.policy.placement.fitting import Bins
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STEPS = 4000
"""How many placements one search tries. Two thousand guests on 32 hosts need 62 where all goes well."""

DEEPEST = 300
"""With more items than this only the first way is gone, without retreat."""

CLOSELY = 12
"""Up to so many items that wait, each is asked how many hosts it has left, and the one with the fewest is next."""


class Item(Record):
    """Guests that go to one host together."""

    name: str
    guests: tuple[str, ...]
    claim: Mapping[str, int]
    hosts: tuple[str, ...]
    """Where they may run if there is room, sorted."""
    apart: frozenset[str]
    """Guests with which none of them shares a host."""
    priority: int = 0
    size: float = 0.0
    """The largest part of what an average host has, over all that is counted."""


class Packing(Record):
    """Where items go. ``is_proven`` says that what is left out could not be placed by anybody."""

    placed: Mapping[str, str]
    """Host by item."""
    left_out: tuple[str, ...]
    is_proven: bool


class Packer:
    """One packing under way: it changes the bins that it is given."""

    def __init__(self, bins: Bins, items: Sequence[Item], *, steps: int = STEPS) -> None:
        self.bins = bins
        self.items = {item.name: item for item in items}
        self.placed: dict[str, str] = {}
        self.steps = steps

    def whole(self) -> bool:
        """Place all items, or tell that no way was found; what is placed is left where it is."""
        order = sorted(self.items.values(), key=_largest_first)
        if not self._may_fit(order):
            return False
        if all(self._place_best(item) for item in order):
            return True
        self._clear()
        return bool(self._search(order))

    def pack(self) -> Packing:
        """Place all items; where that is impossible, those of higher priority first, and of these as many as can be."""
        order = sorted(self.items.values(), key=_largest_first)
        left = [item for item in order if not self._place_best(item)]
        if not left:
            return self._result((), is_proven=True)
        self._clear()
        if not self._may_fit(order):
            return self._best_part(is_proven=True)
        found = self._search(order)
        if found:
            return self._result((), is_proven=True)
        return self._best_part(is_proven=found is False)

    def _best_part(self, *, is_proven: bool) -> Packing:
        """Take the items in their worth, each if all that was taken before fits with it."""
        self._clear()
        taken: list[Item] = []
        left: list[str] = []
        for item in sorted(self.items.values(), key=_worthiest_first):
            if self._place_best(item) or self._repacked([*taken, item]):
                taken.append(item)
            else:
                left.append(item.name)
        return self._result(tuple(left), is_proven=is_proven)

    def _repacked(self, wanted: Sequence[Item]) -> bool:
        """Pack these anew; on failure all is as it was."""
        before = dict(self.placed)
        if self.steps < 0 or not self._may_fit(wanted):
            return False
        self._clear()
        if self._search(sorted(wanted, key=_largest_first)):
            return True
        self._clear()
        for name, host in before.items():
            self._put(self.items[name], host)
        return False

    def _may_fit(self, wanted: Sequence[Item]) -> bool:
        """Tell whether each alone and the sums of all would fit; where they do not, no search is needed."""
        if any(item.name not in self.placed and not self._has_room(item) for item in wanted):
            return False
        needed: dict[str, int] = {}
        for item in wanted:
            for what, amount in item.claim.items():
                needed[what] = needed.get(what, 0) + amount
        free: dict[str, int] = {}
        for left in self.bins.left.values():
            for what, amount in left.items():
                free[what] = free.get(what, 0) + max(amount, 0)
        for name in self.placed:
            for what, amount in self.items[name].claim.items():
                free[what] = free.get(what, 0) + amount
        return all(free.get(what, 0) >= amount for what, amount in needed.items())

    def _search(self, wanted: Sequence[Item]) -> bool | None:
        """Place all of them, going back where it does not go on. False: impossible; None: the limit was reached."""
        if len(self.placed) == len(wanted):
            return True
        if len(wanted) > DEEPEST:
            return None
        item = self._most_constrained(wanted)
        seen = set()
        for host in self._by_room(item):
            alike = self._likeness(item, host, wanted)
            if alike in seen:
                continue
            seen.add(alike)
            self.steps -= 1
            if self.steps < 0:
                return None
            self._put(item, host)
            found = self._search(wanted)
            if found or found is None:
                return found
            self.take(item.name)
        return False

    def _most_constrained(self, wanted: Sequence[Item]) -> Item:
        """Return the item with the fewest hosts left; of these the largest, which stands first."""
        waiting = [item for item in wanted if item.name not in self.placed]
        # Counting for all is what makes large searches slow, and the order by size is nearly as good there.
        return waiting[0] if len(waiting) > CLOSELY else min(waiting, key=lambda item: len(self._by_room(item)))

    def _likeness(self, item: Item, host: str, wanted: Sequence[Item]) -> object:
        """Return what tells a host from others for all that is still to be placed; without a twin it is itself."""
        if any(other.apart or other.hosts != item.hosts for other in wanted):
            return host
        return tuple(sorted(self.bins.left[host].items()))

    def _by_room(self, item: Item) -> list[str]:
        """Return the hosts that have room for an item now, the tightest first."""
        bins = self.bins
        fit = [
            host
            for host in item.hosts
            if bins.fits(item.claim, host) and not (item.apart and item.apart & bins.guests[host])
        ]
        return sorted(fit, key=lambda host: (_left_after(item, bins.left[host]), host))

    def _has_room(self, item: Item) -> bool:
        """Tell whether a host would have room for an item if nothing else were placed."""
        if not self.placed:
            return bool(self._by_room(item))
        return bool(item.hosts)

    def _place_best(self, item: Item) -> bool:
        fit = self._by_room(item)
        if fit:
            self._put(item, fit[0])
        return bool(fit)

    def _put(self, item: Item, host: str) -> None:
        for guest in item.guests:
            self.bins.put(guest, host)
        self.placed[item.name] = host

    def take(self, name: str) -> None:
        """Take an item out of its host again."""
        host = self.placed.pop(name)
        for guest in self.items[name].guests:
            self.bins.take(guest, host)

    def _clear(self) -> None:
        for name in list(self.placed):
            self.take(name)

    def _result(self, left: tuple[str, ...], *, is_proven: bool) -> Packing:
        return Packing(placed=dict(sorted(self.placed.items())), left_out=tuple(sorted(left)), is_proven=is_proven)


def _left_after(item: Item, left: Mapping[str, int]) -> int:
    """Return how much memory an item would leave, or of another thing where it takes no memory."""
    what = next(iter(item.claim), "")
    return left.get(what, 0) - item.claim.get(what, 0)


def _largest_first(item: Item) -> tuple[float, int, str]:
    return (-item.size, len(item.hosts), item.name)


def _worthiest_first(item: Item) -> tuple[int, float, str]:
    return (-item.priority, item.size, item.name)


def check_invariants(bins: Bins, items: Sequence[Item], packing: Packing) -> None:
    """Raise AssertionError where a packing, put into these bins, breaks what is promised at the top."""
    by_name = {item.name: item for item in items}
    if set(packing.placed) | set(packing.left_out) != set(by_name) or set(packing.placed) & set(packing.left_out):
        raise AssertionError("every item is either placed or left out")
    touched = set(packing.placed.values())
    for host in touched:
        counted = {what for name, place in packing.placed.items() if place == host for what in by_name[name].claim}
        if any(bins.left[host].get(what, 0) < 0 for what in counted) or bins.unknown[host]:
            raise AssertionError(f"{host} got more than it has")
    for name, host in packing.placed.items():
        item = by_name[name]
        if host not in item.hosts:
            raise AssertionError(f"{name} may not run on {host}")
        if item.apart & bins.guests[host]:
            raise AssertionError(f"{name} has a neighbour on {host} from whom it is kept apart")
