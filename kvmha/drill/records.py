"""What a drill is, what is expected of it, and what came of it. Times are seconds; moments count from the fault on."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NODE, GUEST, CLUSTER = "NODE", "GUEST", "CLUSTER"
"""What a drill is aimed at."""

FENCED, UNDISTURBED, RESTARTED, MOVED = "fenced", "undisturbed", "restarted", "moved"
LEFT, PARTED, ENDURED, KEPT = "left", "parted", "endured", "kept"
"""What a drill should lead to: the node is fenced and its guests run elsewhere; nobody notices; the guest starts anew;
guests move and return; nodes go and come back in good order; nobody has quorum until it is over; nobody notices, or the
node is fenced; the guest runs on, or runs anew."""

AT_NODE, POWER, COMMANDS = "at-node", "power", "commands"
"""How a drill is made: nodes do it to themselves, by a fault of its name; by the fence device; by commands of ours."""

TARGET, OTHERS, EVERY, ELSEWHERE = "target", "others", "every", "elsewhere"
"""Which nodes do it to themselves: the target; all but the one that runs the drill; all; where the guest goes."""

PASSED, BROKEN, LATE, ABORTED, ERROR = "passed", "broken", "late", "aborted", "error"
"""How a drill ended: as it should; an invariant did not hold; the cluster was not well again in time; somebody ended
it; or it could not be carried out."""


class Drill(Record):
    """A drill, as a row of the catalogue."""

    name: str
    said: str
    """What it does to its target."""
    undone: str
    """How that ends, whoever has died meanwhile."""
    aim: str
    leads_to: str
    is_destructive: bool
    """It interrupts a guest, or takes a node away."""
    event: tuple[str, ...] = ()
    """The same as words of kvmha whatif, with {node}, {guest} and {link}."""
    hold_s: float = 0.0
    """How long the fault lasts before it is undone; 0 where it is over at once."""
    has_link: bool = False
    family: str = ""
    made_by: str = AT_NODE
    power: str = ""
    """What the fence device is told: off, or reboot."""
    made_on: str = TARGET
    cuts_off: bool = False
    """Its targets cannot answer any more once it is made."""
    hunts: bool = False
    """It waits for something, and is made when that comes."""
    fails: str = ""
    """What it makes the cluster note as failed, which is cleaned up afterwards: the guest, or fence devices."""
    options: tuple[str, ...] = ()
    """What else it can be told: path, size."""

    @property
    def takes_node(self) -> bool:
        """Whether the cluster loses its target."""
        return self.leads_to in (FENCED, LEFT, ENDURED)


class Order(Record):
    """A drill that was asked for."""

    drill: str
    node: str
    """The target, or the node on which the guest runs; the cluster's name where it is about all of it."""
    guest: str = ""
    link: str = ""
    hold_s: float = 0.0
    limit_s: float = 300.0
    """Until the cluster has to be well again."""
    percent: int = 20
    """The loss, where packets are lost."""
    delay_ms: int = 100
    nodes: tuple[str, ...] = ()
    """The nodes that do it to themselves, where it is not the target alone."""
    guests: tuple[str, ...] = ()
    """All that it moves."""
    path: str = ""
    size_mib: int = 0

    @property
    def targets(self) -> tuple[str, ...]:
        """The nodes that do it to themselves."""
        return self.nodes or (self.node,)


class Fate(Record):
    """What should become of a guest or an address."""

    name: str
    how: str
    nodes: tuple[str, ...]
    back_s: float | None = None
    most_s: float | None = None
    limit_s: float | None = None
    """What was promised to its clients."""


class Expected(Record):
    """What should happen, as kvmha whatif foretells it."""

    said: tuple[str, ...] = ()
    fates: tuple[Fate, ...] = ()
    times: Mapping[str, float] = {}
    """By phase, where it should be reached."""


class Moment(Record):
    """Something that happened."""

    at: float
    phase: str
    subject: str
    node: str = ""


class Breach(Record):
    """An invariant that did not hold."""

    rule: str
    subject: str
    said: str
    at: float


class Recovery(Record):
    """What a guest or an address went through; None for what was not seen."""

    name: str
    node: str = ""
    """Where it ran afterwards."""
    storage_ready: float | None = None
    """When its replicated disk could be written there; None for a guest without one."""
    start_asked: float | None = None
    process_up: float | None = None
    guest_agent: float | None = None
    started: float | None = None
    answers: float | None = None
    gap_s: float | None = None
    """The longest time without an answer that a client saw."""
    expected_s: float | None = None
    limit_s: float | None = None

    @property
    def took(self) -> float | None:
        """How long it was away: for its clients, where one asked it all the time; or else until the cluster had it
        started. A guest that moves late in a drill was not away from the fault on.
        """
        if self.answers is not None:
            return self.gap_s if self.gap_s is not None else self.answers
        return self.started


class Written(Record):
    """What came of the records that were written to a service during a drill."""

    name: str
    acknowledged: int
    lost: tuple[int, ...] = ()
    """Numbers that were acknowledged and are not there, or are something else."""
    said: str = ""
    """Why that could not be found out; nothing where it was."""


class Outcome(Record):
    """A drill that is over."""

    id: str
    order: Order
    cluster: str
    version: str
    begun_at: float
    """Seconds since the epoch."""
    struck_at: float | None
    result: str
    said: str
    expected: Expected
    gates: tuple[tuple[str, bool, str], ...] = ()
    """Name, whether it was open, and what it said."""
    moments: tuple[Moment, ...] = ()
    recoveries: tuple[Recovery, ...] = ()
    breaches: tuple[Breach, ...] = ()
    offsets: Mapping[str, float] = {}
    """By node, how far its clock is ahead of the runner's."""
    looks: int = 0
    """How often the nodes were looked at."""
    longest_pause_s: float = 0.0
    """Between two looks at a node that was there: what could have hidden was shorter."""
    written: tuple[Written, ...] = ()
    stalled_s: float = 0.0
    """How long the runner's machine itself stood still, so that nobody was asked; it counts as nobody's absence."""
    took_s: float = 0.0
    log: tuple[str, ...] = ()

    @property
    def recovery_s(self) -> float | None:
        """The longest recovery of any guest or address; None where nobody was away."""
        found = [each.took for each in self.recoveries if each.took is not None]
        return max(found) if found else None
