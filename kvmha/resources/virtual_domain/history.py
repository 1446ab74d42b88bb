"""The moves of a guest that this node remembers, for the forecast of the next: one small file of JSON per guest."""

from __future__ import annotations

from kvmha.policy.forecast import Past, remember

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

FOLDER = "/var/lib/kvmha/migrations"


def read(host: Host, resource: str) -> tuple[Past, ...]:
    """Return them, the newest last; a file that is not there, or not readable, is none."""
    import json

    try:
        found = json.loads(host.read(_path(resource)))
        return tuple(Past(**{name: move[name] for name in Past._fields if name in move}) for move in found)
    except (OSError, ValueError, TypeError):
        return ()


def add(host: Host, resource: str, move: Past) -> None:
    """Remember one more move. Raises OSError."""
    import json

    from kvmha.record import plain

    moves = remember(read(host, resource), move)
    host.write(_path(resource), json.dumps([plain(each) for each in moves]) + "\n")


def _path(resource: str) -> str:
    return f"{FOLDER}/{resource.replace('/', '_')}.json"
