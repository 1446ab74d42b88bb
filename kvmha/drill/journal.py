"""The journal of drills on the node that runs them: one file each, written before every step that changes anything.

Invariant: whatever a drill has done to a node, its file said before that it would. So whoever finds a file in the
middle of a drill, and no runner, knows what to undo.
"""

from __future__ import annotations

import json

from kvmha.drill.records import (
    Breach,
    Expected,
    Fate,
    Moment,
    Order,
    Outcome,
    Recovery,
    Written,
)
from kvmha.errors import UserError
from kvmha.record import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.host import Host

FOLDER = "/var/lib/kvmha/drills"
LOCK = "/run/kvmha/drill.lock"
RUNNER = "/run/kvmha/drill.pid"
"""The process that has the lock and runs a drill, from its first look at the cluster to its report."""

MARK = "KVMHA_DRILL"
"""In the environment of the commands of ours that a drill starts: its id. They outlive their runner."""

PLANNED, STRIKING, STRUCK, UNDONE, OVER = "planned", "striking", "struck", "undone", "over"
"""The steps: nothing done yet; it may be done; it is done; it is undone; all is written down."""

UNFINISHED = (STRIKING, STRUCK)

KEPT = 500

JOURNALS = "journals"
"""The journals of all nodes, beside a drill's own file: what is read by people alone would make that too big."""

BESIDE = ("html", "xml", "log", JOURNALS)


def new_id(host: Host, drill: str) -> str:
    """Return a name that sorts by time."""
    from datetime import datetime, timezone

    moment = datetime.fromtimestamp(host.wall_clock(), timezone.utc)
    return f"{moment.strftime('%Y%m%dT%H%M%S')}-{drill}"


def path(name: str, suffix: str = "json") -> str:
    """Return where a drill's file is, or its report."""
    return f"{FOLDER}/{name}.{suffix}"


def step(host: Host, name: str, state: str, order: Order, *, pid: int = 0, **more: Any) -> None:
    """Write down, durably, how far a drill is. Raises OSError: a drill that cannot be written down is not run."""
    values = {"id": name, "state": state, "at": host.wall_clock(), "pid": pid, "order": plain(order), **more}
    host.write(path(name), json.dumps(values), mode=0o600)


def finish(host: Host, outcome: Outcome) -> None:
    """Write down what came of a drill; the oldest ones go."""
    values = {"id": outcome.id, "state": OVER, "order": plain(outcome.order), "outcome": plain(outcome)}
    host.write(path(outcome.id), json.dumps(values), mode=0o600)
    for old in names(host)[:-KEPT]:
        for suffix in ("json", *BESIDE):
            host.remove(path(old, suffix))


def names(host: Host) -> list[str]:
    """Return the ids of all drills, the oldest first."""
    return [name[: -len(".json")] for name in host.names(FOLDER) if name.endswith(".json")]


def read(host: Host, name: str) -> dict[str, Any]:
    """Return a drill's file. Raises UserError."""
    try:
        found = json.loads(host.read(path(name)))
        if not isinstance(found, dict) or "order" not in found:
            raise ValueError("it is no drill")
        return found
    except FileNotFoundError:
        raise UserError(f'there is no drill "{name}" on this node; kvmha drill history lists them') from None
    except ValueError as error:
        raise UserError(f"{path(name)} cannot be read: {error}") from None


def runner(host: Host) -> tuple[int, str]:
    """Return the process that runs a drill here and the drill's id; 0 for none, no id before it has done anything."""
    try:
        pid = int(host.read(RUNNER))
    except (OSError, ValueError):
        return 0, ""
    for name in names(host)[-1:]:
        try:
            told = read(host, name)
        except UserError:
            continue
        if told.get("pid") == pid and told.get("state") != OVER:
            return pid, name
    return pid, ""


def unfinished(host: Host) -> list[dict[str, Any]]:
    """Return the files of drills that may have done something and have not undone it, the oldest first."""
    found = []
    for name in names(host):
        try:
            told = read(host, name)
        except UserError:
            continue
        if told.get("state") in UNFINISHED:
            found.append(told)
    return found


def outcome(host: Host, name: str) -> Outcome:
    """Return what came of a drill. Raises UserError for one that was not finished."""
    told = read(host, name)
    if "outcome" not in told:
        raise UserError(f"the drill {name} did not come to its end (it was {told.get('state')}), so it has no report")
    return outcome_of(told["outcome"])


def journals(host: Host, name: str) -> str:
    """Return what the journals of the nodes told of a drill; nothing where that was not kept."""
    try:
        return host.read(path(name, JOURNALS))
    except OSError:
        return ""


def outcomes(host: Host) -> list[Outcome]:
    """Return all drills that came to their end, the oldest first."""
    found = []
    for name in names(host):
        try:
            found.append(outcome(host, name))
        except UserError:
            continue
    return found


def order_of(told: dict[str, Any]) -> Order:
    """Return an order as it was written down; what a later version has beside is left out."""
    found: Order = _made(Order, told)
    return found


def outcome_of(told: dict[str, Any]) -> Outcome:
    """Return an outcome as it was written down. Raises UserError for what is none."""
    try:
        values = {name: told[name] for name in Outcome._fields if name in told}
        expected = values["expected"]
        values["order"] = order_of(values["order"])
        values["expected"] = Expected(
            said=tuple(expected["said"]),
            fates=tuple(_made(Fate, each) for each in expected["fates"]),
            times=dict(expected["times"]),
        )
        values["gates"] = tuple(tuple(each) for each in values.get("gates", ()))
        values["log"] = tuple(values.get("log", ()))
        for name, kind in (("moments", Moment), ("recoveries", Recovery), ("breaches", Breach),
                           ("written", Written)):  # fmt: skip
            values[name] = tuple(_made(kind, each) for each in values.get(name, ()))
        return Outcome(**values)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"a drill's file is not whole: {error}") from None


def _made(kind: Any, told: dict[str, Any]) -> Any:
    values = {name: told[name] for name in kind._fields if name in told}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
