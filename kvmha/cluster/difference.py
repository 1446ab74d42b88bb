"""What is different between the wanted and the live configuration, and whose doing it is.

Three configurations speak: the wanted one, the live one, and what was applied last (``kvmha.cluster.applied``). A
field that is live as it was applied may follow the description. One that is not was changed by hand: it is shown and
kept, unless somebody asks to overwrite it. Where nothing was ever applied, all that is there was made by hand, and
what is missing is simply not there yet.

Invariant: what was made by hand is neither changed nor removed without being asked for by name, or by ``all``.
"""

from __future__ import annotations

from kvmha.cluster import applied
from kvmha.cluster.difference_items import CONSTRAINT, items, same
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kvmha.cluster.difference_items import Item
    from kvmha.tools import cib

ALL = "all"

MAKE, CHANGE, REMOVE = "make", "change", "remove"

SECRETS = ("pass", "secret", "token", "community", "private_key", "session_key")
"""Parts of the names of parameters whose values are shown to nobody."""


def is_secret(name: str) -> bool:
    """Tell whether a parameter of this name holds what must not be shown."""
    return any(part in name.lower() for part in SECRETS)


class FieldChange(Record):
    """A field that is to get another value; None stands for not being there."""

    field: str
    live: str | None
    wanted: str | None

    @property
    def is_secret(self) -> bool:
        """Whether its values must not be shown."""
        return self.field.startswith("params.") and is_secret(self.field.partition(".")[2])


class Difference(Record):
    """One item that is to be made, changed or removed, or that somebody has made, changed or removed by hand."""

    act: str
    item: Item
    """As it is wanted; as it is live where it is to be removed."""
    live_id: str
    """The id under which it is live, which a constraint may have chosen for itself; empty where it is not."""
    fields: tuple[FieldChange, ...]
    """What follows the description."""
    kept: tuple[FieldChange, ...]
    """What was changed by hand, and is kept as it is."""
    by_hand: bool = False
    """The whole of it was made, or removed, by hand, and stays so."""

    @property
    def is_open(self) -> bool:
        """Whether there is something to do."""
        return not self.by_hand and (self.act != CHANGE or bool(self.fields))


class Comparison(Record):
    """All differences, in an order in which they can be applied, and what could not be compared."""

    differences: tuple[Difference, ...]
    unread: tuple[str, ...]
    was_applied: bool
    """Whether anything was ever applied."""
    wanted: tuple[Item, ...]
    """All items that are described."""

    def to_do(self) -> tuple[Difference, ...]:
        """Return what applying would change."""
        return tuple(each for each in self.differences if each.is_open)

    def by_hand(self) -> tuple[Difference, ...]:
        """Return what was changed by hand and would be kept."""
        return tuple(each for each in self.differences if each.by_hand or each.kept)


def compare(
    wanted: cib.Cib, live: cib.Cib, overwrite: Collection[str] = (),
    corosync: tuple[Mapping[str, Item], Mapping[str, Item]] = ({}, {}),
) -> Comparison:  # fmt: skip
    """Return the differences; ``overwrite`` names items whose changes by hand give way, or says all.

    ``corosync`` are the items of the wanted and the live corosync.conf.
    """
    record = applied.read(live)
    here, there = {**corosync[0], **items(wanted)}, {**corosync[1], **items(live)}
    names = _matched(here, there)
    found = []
    for item in here.values():
        old = there.get(names.get(item.id, ""))
        asked = ALL in overwrite or item.id in overwrite or item.parent in overwrite
        difference = _made(item, record, asked=asked) if old is None else _changed(item, old, record, asked=asked)
        if difference is not None:
            found.append(difference)
    gone = _gone(here, there, set(names.values()), record, overwrite)
    unread = tuple(f"{each.place} (live)" for each in live.unread) + tuple(each.place for each in wanted.unread)
    return Comparison(differences=(*found, *gone), unread=unread, was_applied=bool(record), wanted=tuple(here.values()))


def _matched(here: Mapping[str, Item], there: Mapping[str, Item]) -> dict[str, str]:
    """Return under which id each wanted item is live: its own, or that of a constraint that says the same."""
    names = {name: name for name in here if name in there}
    free = {name: item for name, item in there.items() if name not in names and item.kind == CONSTRAINT}
    for item in here.values():
        if item.id in names or item.kind != CONSTRAINT:
            continue
        twin = next((name for name, other in free.items() if _alike(item, other)), None)
        if twin is not None:
            names[item.id] = twin
            del free[twin]
    return names


def _alike(left: Item, right: Item) -> bool:
    keys = {*left.fields, *right.fields}
    return all(same(key, left.fields.get(key, ""), right.fields.get(key, "")) for key in keys)


def _made(item: Item, record: applied.Record, *, asked: bool) -> Difference | None:
    if not item.fields:
        return None
    fields = tuple(FieldChange(field=name, live=None, wanted=value) for name, value in item.fields.items())
    # It was there once by our doing, and somebody took it away.
    by_hand = item.id in record and not asked
    return Difference(act=MAKE, item=item, live_id="", fields=fields, kept=(), by_hand=by_hand)


def _changed(item: Item, old: Item, record: applied.Record, *, asked: bool) -> Difference | None:
    before = record.get(item.id)
    fields, kept = [], []
    for name in dict.fromkeys((*item.fields, *old.fields)):
        wanted, live = item.fields.get(name), old.fields.get(name)
        if wanted == live or (wanted is not None and live is not None and same(name, wanted, live)):
            continue
        change = FieldChange(field=name, live=live, wanted=wanted)
        if asked or _is_as_applied(before, name, live):
            fields.append(change)
        else:
            kept.append(change)
    if not fields and not kept:
        return None
    return Difference(act=CHANGE, item=item, live_id=old.id, fields=tuple(fields), kept=tuple(kept))


def _is_as_applied(before: Mapping[str, str] | None, name: str, live: str | None) -> bool:
    """Tell whether a field has the value that was applied, and so is nobody's work but ours."""
    if before is None or name not in before:
        # Nothing is known of it: what is there is somebody's, and what is not there is nobody's.
        return live is None
    return live is not None and applied.digest(live) == before[name]


def _gone(
    here: Mapping[str, Item], there: Mapping[str, Item], matched: set[str], record: applied.Record,
    overwrite: Collection[str],
) -> list[Difference]:  # fmt: skip
    """Return what is live and not described, what depends on others first."""
    found = []
    extra = {name: item for name, item in there.items() if name not in matched and name not in here and item.fields}
    removed: set[str] = set()
    for name, item in extra.items():
        asked = ALL in overwrite or name in overwrite
        before = record.get(name)
        is_ours = before is not None and all(
            _is_as_applied(before, field, value) for field, value in item.fields.items()
        )
        if is_ours or asked:
            removed.add(name)
    # A constraint, level or tag cannot outlive what it speaks of.
    for name, item in extra.items():
        if removed & {*item.refers, item.parent}:
            removed.add(name)
    for name, item in reversed(list(extra.items())):
        fields = tuple(FieldChange(field=key, live=value, wanted=None) for key, value in item.fields.items())
        by_hand = name not in removed
        found.append(Difference(act=REMOVE, item=item, live_id=name, fields=fields, kept=(), by_hand=by_hand))
    return found


def record_after(comparison: Comparison, live: cib.Cib, done: Collection[str]) -> applied.Record:
    """Return what is to be remembered once the items ``done`` have been applied.

    A field that is live as it is wanted was applied, whoever did it; one that was changed by hand keeps what was
    remembered of it, so that it stays known as such.
    """
    before = applied.read(live)
    differences = {each.item.id: each for each in comparison.differences}
    after: applied.Record = {}
    for item in comparison.wanted:
        difference = differences.get(item.id)
        old = before.get(item.id, {})
        if difference is None:
            after[item.id] = {name: applied.digest(value) for name, value in item.fields.items()}
            continue
        is_done = item.id in done or not difference.is_open
        if difference.by_hand or (difference.act == MAKE and not is_done):
            if item.id in before:
                after[item.id] = old
            continue
        other = {change.field for change in difference.kept}
        other |= set() if is_done else {change.field for change in difference.fields}
        fields = {name: applied.digest(value) for name, value in item.fields.items() if name not in other}
        after[item.id] = {**fields, **{name: old[name] for name in other if name in old}}
    # What is to be removed and still there is remembered until it is gone.
    for difference in comparison.differences:
        if difference.act == REMOVE and difference.item.id in before and difference.item.id not in done:
            after[difference.item.id] = before[difference.item.id]
    return after
