"""Decisions that can be written down, and made again.

Invariant: what is written holds every input, whole; replay gives those very inputs to the function that decides today,
and compares its answer with the one that was given. Nothing is read but values of kvmha.policy: a journal that
somebody else wrote runs no code of his.

A kind of decision is a row of KINDS. Its inputs are the function's arguments by name, its answer is what that returns.
"""

from __future__ import annotations

import importlib

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

RECORD, FIELDS = "record", "fields"
"""The keys of a record as it is written: its module and name, and its fields."""


LAST_MOMENT = 253402300800.0
"""The end of the year 9999, beyond which there are no dates."""


class Kind(Record):
    """A sort of decision: who decides, and which rules are tried in which order, by their codes."""

    name: str
    module: str
    function: str
    rules: tuple[str, ...]

    def decider(self) -> Callable[..., Any]:
        """Return the function that decides today."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), self.function)
        return found


PLACES = (
    "unavailable", "banned", "memory-unknown", "cpus", "cpu-feature", "device", "network", "storage", "replica",
    "memory", "huge-pages", "utilization", "apart",
)  # fmt: skip
"""The rules of placement (policy/placement/fitting), in the order in which they are tried on each host."""

TARGETS = (
    "no-quorum", "not-running", "already-there", "target-offline", "target-standby", "target-maintenance",
    "target-banned", "fencing-pending", "not-managed", "not-well", "not-allowed", "mode-cold", "abort-restarts",
    "libvirt-silent", "copy-there", "copy-unknown", "cpu", "machine-missing", "versions", "memory", "huge-pages",
    "moves-under-way", "steal", "devices", "bridges", "networks", "local-disks", "drbd", "path",
)  # fmt: skip
"""The rules of a preflight (policy/migration), in the order in which they are looked at."""

KINDS = (
    Kind(
        name="admission",
        module="kvmha.policy.placement.admission",
        function="admit",
        rules=(*PLACES, "n-plus-one"),
    ),
    Kind(
        name="copy-disks",
        module="kvmha.policy.copying",
        function="decide",
        rules=("not-on-source", "definition-missing", "no-file", "has-backing", "file-there", "storage-short"),
    ),
    Kind(name="drain", module="kvmha.policy.placement.admission", function="why_not_drain", rules=PLACES),
    Kind(name="drain-plan", module="kvmha.policy.draining", function="plan", rules=("preflight", "memory", "priority")),
    Kind(
        name="forecast",
        module="kvmha.policy.forecast",
        function="forecast",
        rules=("plain", "auto-converge", "post-copy", "moves-before"),
    ),
    Kind(
        name="survivor",
        module="kvmha.policy.survivor",
        function="decide",
        rules=(
            "no-pair",
            "fencing-off",
            "no-quorum",
            "not-whole",
            "busy",
            "no-device",
            "fence-device-failed",
            "storm",
            "data",
            "faults",
            "room",
            "priority",
            "as-it-is",
            "guests",
            "name",
            "head-start",
        ),
    ),
    Kind(
        name="quorum",
        module="kvmha.policy.quorum",
        function="judge",
        rules=("refusal", "device", "two-node", "wait-for-all", "votes", "tie-breaker", "last-man-standing"),
    ),
    Kind(
        name="whatif",
        module="kvmha.policy.whatif",
        function="judge",
        rules=(
            "outlook",
            "timeline",
            "held",
            "not-recovered",
            "limit",
            *PLACES,
            "disk-stale",
            "no-margin",
            "n-plus-one",
        ),
    ),
    Kind(
        name="promote",
        module="kvmha.policy.promotion",
        function="why_not_promote",
        rules=("quorum", "stale", "running"),
    ),
    Kind(name="preflight", module="kvmha.policy.migration", function="decide", rules=TARGETS),
    Kind(
        name="push",
        module="kvmha.policy.convergence",
        function="next_step",
        rules=("deadline", "silence", "post-copy", "pause", "hopeless"),
    ),
    Kind(name="start", module="kvmha.policy.start", function="why_not", rules=("beside", "disk", "memory")),
)


class Unreadable(ValueError):
    """What was written cannot be read back by today's code; the message says what of it."""


class Entry(Record):
    """A decision as it was written down; ``inputs`` and ``answer`` as written, not read back."""

    id: str
    at: float
    """Seconds since the epoch."""
    node: str
    version: str
    """The version of kvmha that decided."""
    kind: str
    subject: str
    """What was asked, in a few words."""
    guests: tuple[str, ...]
    said: str
    """The answer in one sentence."""
    rules: tuple[str, ...]
    inputs: Mapping[str, Any]
    alternatives: tuple[Any, ...]
    """What else was looked at, with its numbers."""
    answer: Any
    overridden: bool = False
    """Whether somebody went on against it."""


class Replay(Record):
    """The same question asked of today's code."""

    is_same: bool
    differences: tuple[str, ...] = ()
    """Where the answers differ: the place in the answer, what it was, and what it is."""
    answer: Any = None
    """Today's answer, as it would be written."""


def kind_of(name: str) -> Kind | None:
    """Return the kind of that name, or None."""
    return next((kind for kind in KINDS if kind.name == name), None)


def written(value: Any) -> Any:
    """Return a value as JSON can hold it, whole: every field of every record, those at their defaults too."""
    if isinstance(value, Record):
        kind = type(value)
        fields = {name: written(getattr(value, name)) for name in value._fields}
        return {RECORD: f"{kind.__module__}:{kind.__name__}", FIELDS: fields}
    if isinstance(value, (list, tuple)):
        return [written(inner) for inner in value]
    if isinstance(value, (set, frozenset)):
        return [written(inner) for inner in sorted(value)]
    if isinstance(value, dict):
        return {str(key): written(inner) for key, inner in value.items()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be written into the journal")


def read_back(value: Any) -> Any:
    """Return the value that ``written`` made this of; lists come back as tuples. Raises Unreadable."""
    if isinstance(value, list):
        return tuple(read_back(inner) for inner in value)
    if not isinstance(value, dict):
        return value
    if set(value) != {RECORD, FIELDS}:
        return {key: read_back(inner) for key, inner in value.items()}
    if not isinstance(value[FIELDS], dict):
        raise Unreadable(f"{value[RECORD]} has no fields")
    fields = {name: read_back(inner) for name, inner in value[FIELDS].items()}
    try:
        return _record(value[RECORD])(**fields)
    except TypeError as error:
        raise Unreadable(str(error)) from None


def _record(name: Any) -> type[Record]:
    module, _, kind = str(name).partition(":")
    if not module.startswith("kvmha.policy."):
        raise Unreadable(f"{name} is no value that decisions are made of")
    try:
        found = getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError):
        raise Unreadable(f"today's code has no {name}") from None
    if not (isinstance(found, type) and issubclass(found, Record)):
        raise Unreadable(f"{name} is no value that decisions are made of")
    return found


def again(entry: Entry) -> Replay:
    """Make the decision once more, from the same inputs. Raises Unreadable."""
    kind = kind_of(entry.kind)
    if kind is None:
        raise Unreadable(f'today\'s code has no decision "{entry.kind}"')
    inputs = {name: read_back(value) for name, value in entry.inputs.items()}
    try:
        answer = written(kind.decider()(**inputs))
    except (TypeError, AttributeError, LookupError, ValueError, ArithmeticError) as error:
        raise Unreadable(f"today's {kind.name} does not take these inputs: {error}") from None
    differences = tuple(_differences("answer", entry.answer, answer))
    return Replay(is_same=not differences, differences=differences, answer=answer)


def _differences(place: str, was: Any, is_now: Any) -> Iterator[str]:
    """Yield where two answers as written differ."""
    if isinstance(was, dict) and isinstance(is_now, dict):
        # The names of modules may change; the fields are what counts.
        if set(was) == {RECORD, FIELDS} == set(is_now) and isinstance(was[FIELDS], dict):
            was, is_now = was[FIELDS], is_now[FIELDS]
        for key in sorted({*was, *is_now}):
            if key not in was or key not in is_now:
                yield f"{place}.{key}: {'is new' if key not in was else 'is gone'}"
            else:
                yield from _differences(f"{place}.{key}", was[key], is_now[key])
    elif isinstance(was, list) and isinstance(is_now, list):
        if len(was) != len(is_now):
            yield f"{place}: there were {len(was)}, and are {len(is_now)}"
        for number, (one, other) in enumerate(zip(was, is_now)):
            yield from _differences(f"{place}[{number}]", one, other)
    elif was != is_now:
        yield f"{place}: was {was!r}, is {is_now!r}"


def entry_of(values: Mapping[str, Any]) -> Entry:
    """Return an entry as JSON has it. Raises Unreadable for what is none."""
    try:
        known = {name: values[name] for name in Entry._fields if name in values}
        for name in ("guests", "rules", "alternatives"):
            known[name] = tuple(known[name])
        found = Entry(**known)
    except (KeyError, TypeError) as error:
        raise Unreadable(f"it is no decision: {error}") from None
    if not (isinstance(found.inputs, dict) and isinstance(found.kind, str) and _is_moment(found.at)):
        raise Unreadable("it is no decision: its kind, its inputs or its time is none")
    return found


def _is_moment(at: Any) -> bool:
    """Tell whether a time in seconds since the epoch can be written as a date."""
    return isinstance(at, (int, float)) and 0 <= at < LAST_MOMENT
