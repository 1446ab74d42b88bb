"""What a fault is, and how it is made and undone, as values: all families of faults answer with a plan."""

from __future__ import annotations

from kvmha.errors import UserError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

LIMIT = 15.0
"""Seconds for one command."""

TABLE = "kvmha_drill"
"""The table of nftables that a drill adds, and takes away as a whole."""

WORK_UNIT = "kvmha-drill-work"
"""The service in which something is done to the node for as long as the fault lasts."""

FOLDER = "/run/kvmha"
"""A reboot forgets what lies here, and undoes by itself what it is about."""

HUNT_FOUND = f"{FOLDER}/drill-hunt.json"
"""When an agent was met and killed, for whoever ordered it."""

DEFAULT_SIZE_MIB = 256


class Fault(Record):
    """What is to be done to this node."""

    name: str
    id: str
    """The drill's."""
    hold_s: float = 0.0
    links: tuple[str, ...] = ()
    name_of_guest: str = ""
    uuid: str = ""
    percent: int = 0
    delay_ms: int = 0
    target: str = ""
    """The node that the drill is about, where its fault is made on others."""
    path: str = ""
    """A folder or a device."""
    size_mib: int = 0
    at: float = 0.0
    """When it is made, on this node's clock, where several nodes do it at the same moment; 0 for at once."""


class Plan(Record):
    """How a fault is made and undone: commands, and what they are given."""

    act: tuple[str, ...] = ()
    given: str = ""
    undo: tuple[tuple[str, ...], ...] = ()
    said: str = ""
    is_late: bool = False
    """It is made a moment after this node has answered, since it could not answer any more."""
    keep: tuple[str, str] = ("", "")
    """A file, and what is written to it before anything is done: what the undoing needs."""
    then_kill_guest: bool = False
    is_timed: bool = False
    """It is made at the fault's moment, and ends by itself when its time is over: on all nodes at once."""


def here(host: Host) -> str:
    """Return this node's name."""
    return host.name()


def work(fault: Fault, *argv: str, properties: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the command that has a program run beside us, and ends it when the time of the fault is over."""
    # It ends by itself a little after it is undone, should systemd be all that is left.
    most = f"--property=RuntimeMaxSec={fault.hold_s + 30:g}"
    return ("systemd-run", "--quiet", "--collect", f"--unit={WORK_UNIT}", most, *properties, *argv)


def end_work() -> tuple[str, ...]:
    """Return the command that ends that program, and waits until it has ended."""
    return ("systemctl", "stop", f"{WORK_UNIT}.service")


def program(host: Host) -> str:
    """Return the path of our own command."""
    return host.which("kvmha") or "/usr/bin/kvmha"


def require(host: Host, plan: Plan) -> None:
    """Raise UserError where a program is missing with which a plan is made or undone."""
    for argv in (plan.act, *plan.undo):
        if argv and host.which(argv[0]) is None:
            raise UserError(f"{here(host)} has no {argv[0]}, which this drill needs")
