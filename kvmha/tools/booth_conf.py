"""booth.conf: who votes on tickets, and how long each is held (boothd(8))."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

FOLDER = "/etc/booth"

EXPIRE_S, TIMEOUT_S, RETRIES = 600.0, 5.0, 10
"""boothd(8): what holds where a ticket says nothing."""

DEFAULTS = "__defaults__"
"""The ticket whose values hold for all that follow."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class BoothTicket(Record):
    """A ticket's times in seconds."""

    name: str
    expire: float
    acquire_after: float
    timeout: float
    retries: int
    renewal: float


class BoothConf(Record):
    """The members that vote, and the tickets."""

    sites: tuple[str, ...]
    arbitrators: tuple[str, ...]
    tickets: tuple[BoothTicket, ...]


def parse(text: str) -> BoothConf:
    """Return what a booth.conf says; keys that are not about times and voters are passed over."""
    members: dict[str, list[str]] = {"site": [], "arbitrator": []}
    blocks: list[tuple[str, dict[str, str]]] = []
    for raw in text.splitlines():
        key, equals, value = raw.partition("=")
        key, value = key.strip(), value.split("#")[0].strip().strip("\"'")
        if not equals or key.startswith("#"):
            continue
        if key in members:
            members[key].append(value)
        elif key == "ticket":
            shared = next((values for name, values in blocks if name == DEFAULTS), {})
            blocks.append((value, dict(shared)))
        elif blocks:
            blocks[-1][1][key] = value
    return BoothConf(
        sites=tuple(members["site"]),
        arbitrators=tuple(members["arbitrator"]),
        tickets=tuple(_ticket(name, values) for name, values in blocks if name != DEFAULTS),
    )


def _ticket(name: str, values: dict[str, str]) -> BoothTicket:
    expire = _seconds(values.get("expire", ""), EXPIRE_S)
    retries = values.get("retries", "")
    return BoothTicket(
        name=name,
        expire=expire,
        acquire_after=_seconds(values.get("acquire-after", ""), 0.0),
        timeout=_seconds(values.get("timeout", ""), TIMEOUT_S),
        retries=int(retries) if retries.isdecimal() else RETRIES,
        # boothd(8): half of the time that the ticket is held, unless it is said.
        renewal=_seconds(values.get("renewal-freq", ""), expire / 2),
    )


def _seconds(text: str, default: float) -> float:
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    factor = _UNITS.get(text[len(digits) :] or "s")
    return float(digits) * factor if digits.isdecimal() and factor else default


def read(host: Host) -> str:
    """Return this node's configuration as text, empty where there is none. Raises OSError."""
    found = [name for name in host.names(FOLDER) if name.endswith(".conf")]
    return "\n".join(host.read(f"{FOLDER}/{name}") for name in found)
