"""A split brain: two replicas that were both written since they parted, and which of them may be given up.

Invariant: a side is given up only by name, and only if the other side stays: connected replicas lose nothing, a
promoted side is never given up under what uses it, and a side that was not seen is not said to be older or newer.
"""

from __future__ import annotations

from kvmha.policy.replica import CONNECTED, STANDALONE
from kvmha.record import Record


class Side(Record):
    """One node's side of a resource, as that node itself sees it."""

    node: str
    resource: str
    role: str
    disks: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    """The names of the other sides."""
    connections: tuple[str, ...] = ()
    """How it stands with each of them."""
    current: tuple[str, ...] = ()
    """The generation of each volume's data."""
    base: tuple[str, ...] = ()
    """The generation that both sides had last."""
    changed_kib: int | None = None
    """What this side knows to differ from its peer: after a parting, what it has written itself."""
    promoted_at: float | None = None
    """Since when it is promoted, or until when it was, as far as is known: seconds since the epoch."""
    is_promoted_last: bool = False
    """It was promoted when its generation was written down last."""
    parted_at: float | None = None
    """When it lost its peer: seconds since the epoch."""
    excluded: tuple[str, ...] = ()
    """The nodes that the cluster may not promote."""

    @property
    def is_connected(self) -> bool:
        """Tell whether it is connected to any peer."""
        return CONNECTED in self.connections

    @property
    def stands_alone(self) -> bool:
        """Tell whether it has given up a connection."""
        return STANDALONE in self.connections


SAME, AHEAD, BEHIND, PARTED, UNRELATED, UNSEEN = "same", "ahead", "behind", "parted", "unrelated", "unseen"


def relation(mine: Side, theirs: Side | None) -> str:
    """Return how one side's data stand to the other's, by the generations of both: the worst of all volumes."""
    if theirs is None or not mine.current or len(mine.current) != len(theirs.current):
        return UNSEEN
    pairs = zip(mine.current, mine.base, theirs.current, theirs.base)
    found = {_relation(*each) for each in pairs} - {SAME}
    if not found:
        return SAME
    return found.pop() if len(found) == 1 else (UNRELATED if UNRELATED in found else PARTED)


def _relation(mine: str, my_base: str, theirs: str, their_base: str) -> str:
    """Compare two generations: one that was written alone keeps, as its base, the last one that both had."""
    if mine == theirs:
        return SAME
    is_base, is_their_base = bool(my_base.strip("0")), bool(their_base.strip("0"))
    if is_base and is_their_base and my_base == their_base:
        return PARTED
    if is_base and my_base == theirs:
        return AHEAD
    if is_their_base and their_base == mine:
        return BEHIND
    return UNRELATED


def why_not_discard(sides: dict[str, Side | None], victim: str) -> str | None:
    """Return why one side's changes cannot be given up, or None. ``sides`` has every node of the resource."""
    if victim not in sides:
        return f"{victim} has no replica; there are {', '.join(sorted(sides))}"
    survivors = [side for name, side in sides.items() if name != victim and side is not None]
    given_up = sides[victim]
    for side in (given_up, *survivors):
        if side is not None and side.is_connected and not side.stands_alone:
            return f"{side.node} is connected: nothing has to be given up"
    if given_up is not None and given_up.role == "Primary":
        return f"{victim} is promoted: stop there what uses it, or discard the other side"
    if survivors and all(set(side.disks) != {"UpToDate"} for side in survivors):
        names = ", ".join(side.node for side in survivors)
        return f"{names} has no current data, so that nothing would be left"
    return None


def explain(sides: dict[str, Side | None], now: float) -> tuple[str, ...]:
    """Return what is known of each side, in sentences."""
    said = []
    for name, side in sorted(sides.items()):
        if side is None:
            said.append(f"{name}: not seen from here")
            continue
        words = [side.role, "/".join(side.disks) or "no disk"]
        if side.connections:
            words.append(", ".join(sorted(set(side.connections))))
        said.append(f"{name}: {', '.join(words)}")
        if side.current:
            said.append(f"  generation {' '.join(side.current)}, last common one {' '.join(side.base)}")
        if side.changed_kib is not None:
            said.append(f"  {amount(side.changed_kib)} differ from what both had")
        if side.promoted_at is not None:
            state = "promoted" if side.role == "Primary" else "not promoted"
            said.append(f"  {state} for {span(now - side.promoted_at)}")
        elif side.is_promoted_last and side.role != "Primary":
            said.append("  was promoted when it was last seen alive")
        if side.parted_at is not None:
            said.append(f"  alone for {span(now - side.parted_at)}")
    return tuple(said)


def amount(kib: float) -> str:
    """Return a quantity of data in words."""
    for unit in ("KiB", "MiB", "GiB"):
        if kib < 1024:
            return f"{kib:.0f} {unit}" if unit == "KiB" else f"{kib:.1f} {unit}"
        kib /= 1024
    return f"{kib:.1f} TiB"


def span(seconds: float) -> str:
    """Return a time in words, by its two largest units."""
    left = max(int(seconds), 0)
    words: list[str] = []
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (name == "s" and not words):
            words.append(f"{count} {name}")
    return " ".join(words[:2])
