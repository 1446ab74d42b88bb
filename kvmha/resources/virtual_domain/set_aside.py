"""What a move with its disks has done so far, kept on the guest's source for whoever comes after a SIGKILL.

Invariant: the disks of the source get their names back only if the cluster has held the guest on its source ever since
it was stopped: then no other node ever started it, and these disks are what it was stopped with.
"""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.resources.virtual_domain import VirtualDomain

FOLDER = "/var/lib/kvmha/set-aside"

CIB_LIMIT = 10.0
"""Seconds for a look at the cluster's configuration."""


class SetAside(Record):
    """A move with its disks, under way or cut short."""

    source: str
    target: str
    pid: int
    """Of the command that leads it."""
    names: dict[str, str] = {}  # noqa: RUF012 (a default that nobody changes: records are frozen)
    """The other names that the source's disks get, by path."""
    copies: tuple[str, ...] = ()
    """What was made on the target."""


def read(host: Host, resource: str) -> SetAside | None:
    """Return what is written down of a guest's move; None where nothing is, or nothing readable."""
    import json

    try:
        found = json.loads(host.read(_path(resource)))
        return SetAside(**{**found, "copies": tuple(found.get("copies", ()))})
    except (OSError, ValueError, TypeError):
        return None


def write(host: Host, resource: str, found: SetAside) -> None:
    """Write it down, durably. Raises OSError."""
    import json

    from kvmha.record import plain

    host.write(_path(resource), json.dumps(plain(found)) + "\n")


def forget(host: Host, resource: str) -> None:
    """Remove it. Raises OSError."""
    host.remove(_path(resource))


def put_back(host: Host, found: SetAside) -> tuple[str, ...]:
    """Give the source's disks their names again, and return those that had lost them. Raises OSError."""
    lost = missing(host, found)
    for path in lost:
        host.rename(found.names[path], path)
    return lost


def missing(host: Host, found: SetAside) -> tuple[str, ...]:
    """Return the disks that are here by their other names only."""
    return tuple(path for path, new in found.names.items() if host.exists(new) and not host.exists(path))


def before_start(agent: VirtualDomain) -> None:
    """Put back the disks of a guest that is to start here after its move was cut short. Raises OcfError if it must not.

    The cluster does so by itself when the constraint that holds the guest has run out (moves.hold).
    """
    host, resource = agent.host, agent.env.instance.partition(":")[0]
    if not host.exists(_path(resource)):
        return
    found = read(host, resource)
    lost = missing(host, found) if found is not None else ()
    if found is None or not lost:
        return
    if _holder(agent, resource) != found.source:
        reason = (
            f"{lost[0]} is set aside as {found.names[lost[0]].rpartition('/')[2]}: {found.target} has the disks since "
            f"a move that was cut short; kvmha migrate {resource} here says more"
        )
        raise OcfError(codes.ERR_GENERIC, reason)
    try:
        put_back(host, found)
    except OSError as error:
        raise OcfError(codes.ERR_GENERIC, f"{lost[0]} has no name again: {error.strerror}") from None
    agent.report.log(f"gave {', '.join(lost)} back, set aside by a move that was cut short", warning=True)


def _holder(agent: VirtualDomain, resource: str) -> str:
    """Return the node on which the cluster holds the guest; nothing where none does, or nobody knows."""
    from kvmha.host import CommandError
    from kvmha.tools import cib

    try:
        return cib.held(agent.host, resource, timeout=min(CIB_LIMIT, agent.left() * 0.3))
    except CommandError:
        # The target may have started it.
        return ""


def _path(resource: str) -> str:
    return f"{FOLDER}/{resource.replace('/', '_')}.json"
