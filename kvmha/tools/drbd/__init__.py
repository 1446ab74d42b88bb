"""DRBD as ``drbdsetup`` shows it, which answers in the same words for the kernel's 8.4 and for DRBD 9.

``drbdsetup events2 --now`` is the one question that both versions understand; what only one of them tells is None for
the other.
"""

from __future__ import annotations

from kvmha.host import CommandError, CommandFailed
from kvmha.policy.replica import PRIMARY, Peer, PeerVolume, Replica, Volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvmha.host import Host

MAJOR = 147
"""The major number of DRBD's devices (Linux, admin-guide/devices.txt)."""

TIMEOUT = 5.0
"""Seconds for one question to the kernel."""

PROMOTED = PRIMARY
"""DRBD's own word for the role in which a device can be written."""

LOADED = "/proc/drbd"
"""A file that is there while the module is, in 8.4 and in 9. drbdsetup itself would load the module to ask it."""

UNKNOWN_RESOURCE = 10
"""The exit code for a resource that the kernel does not have (drbdsetup.c of drbd-utils 9.22, seen with 8.4)."""

END = "exists -"
"""The last line of a whole answer."""


def events_argv(resource: str = "", *, statistics: bool = False) -> tuple[str, ...]:
    """Ask for the present state of a resource, or of all; with statistics for what is out of sync as well."""
    words = ("--statistics",) if statistics else ()
    return ("drbdsetup", "events2", "--now", *words, *((resource,) if resource else ()))


def parse_events(text: str) -> tuple[Replica, ...]:
    """Read lines such as ``exists resource name:r0 role:Primary suspended:no``, and what belongs to each resource."""
    resources: dict[str, dict[str, str]] = {}
    volumes: dict[str, list[Volume]] = {}
    peers: dict[str, dict[str, dict[str, str]]] = {}
    peer_volumes: dict[tuple[str, str], list[PeerVolume]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 3 or words[0] != "exists":
            continue
        kind = words[1]
        fields = {key: value for key, _, value in (word.partition(":") for word in words[2:])}
        name, peer = fields.get("name", ""), fields.get("conn-name", "peer")
        if kind == "resource":
            resources[name] = fields
        elif kind == "connection":
            peers.setdefault(name, {})[peer] = fields
        elif kind == "device":
            volumes.setdefault(name, []).append(_volume(fields))
        elif kind == "peer-device":
            peer_volumes.setdefault((name, peer), []).append(_peer_volume(fields))
    return tuple(
        _replica(
            fields,
            tuple(volumes.get(name, ())),
            tuple(
                Peer(
                    name=peer,
                    connection=seen.get("connection", ""),
                    role=seen.get("role", "Unknown"),
                    volumes=_with_progress(peer_volumes.get((name, peer), ()), volumes.get(name, ())),
                )
                for peer, seen in sorted(peers.get(name, {}).items())
            ),
        )
        for name, fields in resources.items()
    )


def _replica(fields: dict[str, str], volumes: tuple[Volume, ...], peers: tuple[Peer, ...]) -> Replica:
    return Replica(
        resource=fields.get("name", ""),
        role=fields.get("role", ""),
        suspended=fields.get("suspended", "no"),
        fails_io=fields.get("force-io-failures") == "yes",
        may_promote=_flag(fields.get("may_promote")),
        promotion_score=_number(fields.get("promotion_score")),
        volumes=volumes,
        peers=peers,
    )


def _volume(fields: dict[str, str]) -> Volume:
    return Volume(
        number=_number(fields.get("volume")) or 0,
        minor=_index(fields.get("minor")),
        disk=fields.get("disk", ""),
        is_client=fields.get("client") == "yes",
        is_open=_flag(fields.get("open")),
        has_quorum=_flag(fields.get("quorum")),
        size_kib=_number(fields.get("size")),
    )


def _peer_volume(fields: dict[str, str]) -> PeerVolume:
    out_of_sync = _number(fields.get("out-of-sync"))
    if out_of_sync is None and "received" in fields:
        # Statistics leave out a zero.
        out_of_sync = 0
    done = fields.get("done", "")
    return PeerVolume(
        number=_number(fields.get("volume")) or 0,
        replication=fields.get("replication", "Off"),
        disk=fields.get("peer-disk", ""),
        is_client=fields.get("peer-client") == "yes",
        resync_suspended=fields.get("resync-suspended", "no"),
        out_of_sync_kib=out_of_sync,
        percent_done=float(done) if done.replace(".", "", 1).isdigit() else None,
    )


def _with_progress(peer_volumes: Sequence[PeerVolume], volumes: Sequence[Volume]) -> tuple[PeerVolume, ...]:
    """Work out, for 8.4, how much of a resynchronisation is done: of the whole disk, as its own status does."""
    sizes = {volume.number: volume.size_kib for volume in volumes}
    found = []
    for volume in sorted(peer_volumes, key=lambda one: one.number):
        size, missing = sizes.get(volume.number), volume.out_of_sync_kib
        if volume.percent_done is None and size and missing is not None and "Sync" in volume.replication:
            volume = volume.replace(percent_done=100 * (1 - missing / size))
        found.append(volume)
    return tuple(found)


def replica(host: Host, resource: str, *, timeout: float = TIMEOUT, statistics: bool = False) -> Replica | None:
    """Return this node's side of a resource, or None where the kernel has no such resource.

    Raises CommandError where that cannot be told.
    """
    if not host.exists(LOADED):
        return None
    argv = events_argv(resource, statistics=statistics)
    done = host.run(*argv, timeout=timeout, ok=None)
    for found in parse_events(done.out):
        if found.resource == resource:
            return found
    if done.rc == UNKNOWN_RESOURCE or (done.rc == 0 and done.out.rstrip().endswith(END)):
        return None
    if done.rc == 0:
        raise CommandError(argv, f"gave an answer without an end: {done.out.strip()[-80:]!r}")
    raise CommandFailed(done)


def replicas(host: Host, *, timeout: float = TIMEOUT) -> tuple[Replica, ...]:
    """Return all resources of this node. Raises CommandError."""
    return parse_events(host.run(*events_argv(), timeout=timeout).out)


def show_argv(resource: str) -> tuple[str, ...]:
    """Ask for the options of a resource as the kernel has them."""
    return ("drbdsetup", "show", resource, "--show-defaults")


def option(shown: str, name: str) -> str:
    """Return an option's value from the answer to ``show_argv``, empty for one that the kernel does not know."""
    words = shown.replace(";", " ").split()
    return next((value for word, value in zip(words, words[1:]) if word == name), "")


def promotes_itself(shown: str) -> bool:
    """Tell from the answer to ``show_argv`` whether opening a device promotes it (DRBD 9, option auto-promote)."""
    return option(shown, "auto-promote") == "yes"


def keeps_quorum(shown: str) -> bool:
    """Tell from the answer to ``show_argv`` whether nothing is written without a majority (DRBD 9, option quorum)."""
    return option(shown, "quorum") in ("majority", "all") or option(shown, "quorum").isdigit()


def fences(shown: str) -> bool:
    """Tell from the answer to ``show_argv`` whether a node that lost its peer waits until that has been dealt with."""
    return option(shown, "fencing") == "resource-and-stonith"


def _flag(text: str | None) -> bool | None:
    return {"yes": True, "no": False}.get(text or "")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _index(text: str | None) -> int:
    number = _number(text)
    return -1 if number is None else number
