"""Pressure on this host, as the kernel measures it (PSI, Documentation/accounting/psi.rst)."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

FOLDER = "/proc/pressure"
RESOURCES = ("memory", "io")

# Percent of the last ten seconds. "full" is time in which nobody who had work could do any: at a tenth of it, every
# second holds a stall that a guest cannot hide, and Android's lmkd calls the memory critically short (100 ms of 1 s).
# "some" is time in which at least one waited, and on a large host that may be the guest in question while others run
# on; a backup alone makes a fifth or a third of it, so it takes more.
LIMITS = {"full": 10.0, "some": 40.0}


class Pressure(Record):
    """The share of the last ten seconds, in percent, in which tasks waited for a resource."""

    resource: str
    kind: str
    """``full``: all of them; ``some``: at least one."""
    percent: float

    def __str__(self) -> str:
        """Say it in words."""
        who = "everything" if self.kind == "full" else "something"
        return f"{who} here waited for {self.resource} in {self.percent:.0f} % of the last 10 s"


def parse(resource: str, text: str) -> list[Pressure]:
    """Read ``some avg10=0.42 avg60=... total=...`` and the like, line by line; what is not of this form is left out."""
    found = []
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        for word in rest.split():
            name, _, value = word.partition("=")
            if name == "avg10" and value.replace(".", "", 1).isdigit():
                found.append(Pressure(resource=resource, kind=kind, percent=float(value)))
    return found


def of_host(host: Host) -> Pressure | None:
    """Return what this host is so short of that a guest on it may be slow through no fault of its own, or None.

    A kernel that does not measure (psi=0, the default of some) knows of no pressure.
    """
    found = []
    for resource in RESOURCES:
        try:
            found += parse(resource, host.read(f"{FOLDER}/{resource}"))
        except OSError:
            continue
    short = [one for one in found if one.percent >= LIMITS.get(one.kind, 101.0)]
    return max(short, key=lambda one: one.percent / LIMITS[one.kind], default=None)
