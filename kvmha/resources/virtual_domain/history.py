"""The moves of a guest, for the forecast of the next: a small file of JSON on their source, and the guest's own note.

Each move begins where the one before has ended, so the guest takes along what its last moves were, in the metadata of
its domain. That is lost when it is shut down; the files stay.
"""

from __future__ import annotations

from kvmha.policy.forecast import KEPT, Past

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

TAKEN_ALONG = 8
"""Moves in the guest's note: it is a part of each copy of its definition."""

FOLDER = "/var/lib/kvmha/migrations"


def read(host: Host, resource: str) -> tuple[Past, ...]:
    """Return them, the newest last; a file that is not there, or not readable, is none."""
    try:
        return parse(host.read(_path(resource)))
    except OSError:
        return ()


def parse(text: str) -> tuple[Past, ...]:
    """Read moves as they are written down; none where they are not readable."""
    import json

    try:
        found = json.loads(text or "[]")
        return tuple(Past(**{name: move[name] for name in Past._fields if name in move}) for move in found)
    except (ValueError, TypeError):
        return ()


def render(moves: tuple[Past, ...]) -> str:
    """Write moves down."""
    import json

    from kvmha.record import plain

    return json.dumps([plain(each) for each in moves])


def merged(*lists: tuple[Past, ...]) -> tuple[Past, ...]:
    """Return the moves of several lists, each once, the newest last."""
    found = {(move.at, move.source): move for moves in lists for move in moves}
    return tuple(found[key] for key in sorted(found))[-KEPT:]


def write(host: Host, resource: str, moves: tuple[Past, ...]) -> None:
    """Have this node remember these moves. Raises OSError."""
    host.write(_path(resource), render(moves) + "\n")


def _path(resource: str) -> str:
    return f"{FOLDER}/{resource.replace('/', '_')}.json"
