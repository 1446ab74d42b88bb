"""The journal of decisions on this node: one file each, so that none is ever half written or mixed with another.

A journal that cannot be written stops nobody: the decision stands, and the system's log hears of it.
"""

from __future__ import annotations

import json

import kvmha
from kvmha.errors import UserError
from kvmha.policy import decisions
from kvmha.policy.decisions import Entry, Unreadable, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from kvmha.host import Host

FOLDER = "/var/lib/kvmha/decisions"
SUFFIX = ".json"

KEPT = 2000
"""How many decisions are kept; the oldest go first."""

KEPT_LARGE = 100
"""How many are kept of those that are larger than LARGE: the inputs of a large cluster are a megabyte."""

LARGE = 200_000

ROOM = 64 * 1024 * 1024
"""How many bytes the large ones may take together."""

MOST = ROOM // 2
"""What is larger than that is not written: a cluster of tens of thousands of guests."""


def record(
    host: Host,
    kind: str,
    inputs: Mapping[str, Any],
    answer: Any,
    *,
    subject: str,
    said: str,
    guests: Sequence[str] = (),
    alternatives: Sequence[Any] = (),
    overridden: bool = False,
) -> str:
    """Write a decision down and return its id; empty where that was not possible.

    ``inputs`` are the arguments, by name, of the function that ``policy.decisions.KINDS`` has for the kind.
    """
    known = decisions.kind_of(kind)
    if known is None:
        raise ValueError(f"no kind of decision is called {kind}")
    at = host.wall_clock()
    values = {
        "at": at,
        "node": _node(host),
        "version": kvmha.__version__,
        "kind": kind,
        "subject": subject,
        "guests": list(guests),
        "said": said,
        "rules": list(known.rules),
        "overridden": overridden,
        "alternatives": written(list(alternatives)),
        "answer": written(answer),
        "inputs": written(dict(inputs)),
    }
    text = json.dumps(values)
    if len(text) > MOST:
        warn(f"decision not written, it has {len(text)} bytes: {kind} {subject}: {said}")
        return ""
    # Never in a loop over something that hangs: a journal on a full or dead disk is no reason to wait.
    try:
        name = _name(host, at, text)
        host.write(f"{FOLDER}/{name}{SUFFIX}", json.dumps({"id": name, **values}), mode=0o600)
        _prune(host, is_large=len(text) > LARGE)
    except OSError as error:
        warn(f"decision not written to {FOLDER}: {error.strerror}: {kind} {subject}: {said}")
        return ""
    return name


def _node(host: Host) -> str:
    try:
        return host.name()
    except OSError:
        return ""


def _name(host: Host, at: float, text: str) -> str:
    """Return a name that sorts by time: the second, in UTC, a thousandth of it, and a few letters of the content."""
    import hashlib
    from datetime import datetime, timezone

    moment = datetime.fromtimestamp(at, timezone.utc).strftime("%Y%m%dT%H%M%S")
    digest = hashlib.sha256(text.encode()).hexdigest()[:4]
    return f"{moment}.{int(at % 1 * 1000):03d}-{digest}"


def warn(said: str) -> None:
    """Leave a warning in the system's log."""
    import syslog

    syslog.openlog("kvmha", 0, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_WARNING, said)


def _prune(host: Host, *, is_large: bool) -> None:
    names = [name for name in host.names(FOLDER) if name.endswith(SUFFIX)]
    for name in names[:-KEPT]:
        host.remove(f"{FOLDER}/{name}")
    if not is_large:
        return
    kept, left = 0, ROOM
    for name in reversed(names[-KEPT:]):
        size = host.size(f"{FOLDER}/{name}")
        if size <= LARGE:
            continue
        kept, left = kept + 1, left - size
        if kept > KEPT_LARGE or left < 0:
            host.remove(f"{FOLDER}/{name}")


def names(host: Host) -> list[str]:
    """Return the ids of all decisions, the oldest first."""
    return [name[: -len(SUFFIX)] for name in host.names(FOLDER) if name.endswith(SUFFIX)]


def read(host: Host, name: str) -> Entry:
    """Return a decision by its id, or by as much of its beginning as tells it from others. Raises UserError."""
    fit = [each for each in names(host) if each.startswith(name)] if name else []
    if len(fit) != 1 and name not in fit:
        lacks = f"{len(fit)} decisions begin with" if fit else "there is no decision"
        raise UserError(f'{lacks} "{name}" on this node; kvmha decisions lists them')
    path = f"{FOLDER}/{name if name in fit else fit[0]}{SUFFIX}"
    try:
        found = json.loads(host.read_bytes(path, ROOM))
        if not isinstance(found, dict):
            raise Unreadable("it is no decision")
        return decisions.entry_of(found)
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def entries(host: Host) -> Iterator[Entry]:
    """Yield all decisions that can be read, the newest first."""
    for name in reversed(names(host)):
        try:
            yield read(host, name)
        except UserError:
            continue
