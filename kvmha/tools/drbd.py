"""DRBD as ``drbdsetup`` shows it, which answers alike for the kernel's 8.4 and for DRBD 9."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

MAJOR = 147
"""The major number of DRBD's devices (Linux, admin-guide/devices.txt)."""

TIMEOUT = 5.0
"""Seconds for one question to the kernel."""

PROMOTED = "Primary"
"""DRBD's own word for the role in which a device can be written."""


class Replica(Record):
    """This node's side of a DRBD resource."""

    resource: str
    role: str
    minors: tuple[int, ...] = ()
    may_promote: bool = False
    """DRBD 9 says that it could be promoted now; 8.4 does not tell."""


def events_argv(resource: str = "") -> tuple[str, ...]:
    """Ask for the present state of a resource, or of all."""
    return ("drbdsetup", "events2", "--now", *((resource,) if resource else ()))


def parse_events(text: str) -> tuple[Replica, ...]:
    """Read lines such as ``exists resource name:r0 role:Primary suspended:no``, and the devices of each resource."""
    resources: dict[str, dict[str, str]] = {}
    minors: dict[str, list[int]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 3 or words[0] != "exists":
            continue
        fields = {key: value for key, _, value in (word.partition(":") for word in words[2:])}
        name = fields.get("name", "")
        if words[1] == "resource":
            resources[name] = fields
        elif words[1] == "device" and fields.get("minor", "").isdigit():
            minors.setdefault(name, []).append(int(fields["minor"]))
    return tuple(
        Replica(
            resource=name,
            role=fields.get("role", ""),
            minors=tuple(minors.get(name, ())),
            may_promote=fields.get("may_promote") == "yes",
        )
        for name, fields in resources.items()
    )


def replicas(host: Host) -> tuple[Replica, ...]:
    """Return all resources of this node. Raises CommandError."""
    return parse_events(host.run(*events_argv(), timeout=TIMEOUT).out)


def show_argv(resource: str) -> tuple[str, ...]:
    """Ask for the options of a resource as the kernel has them."""
    return ("drbdsetup", "show", resource, "--show-defaults")


def promotes_itself(shown: str) -> bool:
    """Tell from the answer to ``show_argv`` whether opening a device promotes it (DRBD 9, option auto-promote)."""
    words = shown.replace(";", " ").split()
    return ("auto-promote", "yes") in zip(words, words[1:])
