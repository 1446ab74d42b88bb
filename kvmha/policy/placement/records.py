"""What placement speaks of: hosts with room, guests with needs, and the reasons for and against.

All memory is in MiB. None is "not known" and counts as the worse case: a host of which nobody knows how much memory it
has takes no guest, and a guest of unknown size fits nowhere. An empty collection is "there is none".
"""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

INFINITY = 1_000_000
"""The score from which on Pacemaker counts as infinite (*Pacemaker Explained*, Scores)."""

BASE_MIB = 160
"""What QEMU takes beside its guest's memory for its own code, heap and devices: an estimate on the high side, for a
plan has to hold. What a start is refused for (policy/start) is one on the low side."""

TABLES = 128
"""The part of the guest's memory that comes on top for page tables, vhost and migration buffers."""

UP_TO_DATE = "UpToDate"

UNKNOWN = "memory-unknown"
"""The code of the reason that a size is not known."""


class HostRoom(Record):
    """A node, and what it has for guests."""

    name: str
    memory_mib: int | None = None
    """All that the kernel has (MemTotal of proc(5)), huge pages included."""
    reserved_mib: int = 0
    """What the host keeps for itself and for programs that are no guests of the cluster."""
    huge_pages: Mapping[str, int] = {}
    """By the size of the pages in KiB: the MiB of the whole pool."""
    cpus: int | None = None
    features: tuple[str, ...] | None = None
    """What its processors can do, in libvirt's words: a model or a feature."""
    devices: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    storage: tuple[str, ...] | None = None
    capacity: Mapping[str, int] = {}
    """The utilization attributes of the node in the CIB; what it does not name, it has none of."""
    is_available: bool = True
    """Whether the cluster may start guests there: online, clean, and not in standby or maintenance."""
    why_unavailable: str = ""


class GuestNeed(Record):
    """A guest, and what it needs of a host."""

    name: str
    memory_mib: int | None = None
    overhead_mib: int | None = None
    """What QEMU takes beside it; None has it estimated."""
    page_kib: int = 0
    """The size of the huge pages that its memory is taken from, 0 for ordinary memory."""
    cpus: int = 0
    features: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    storage: tuple[str, ...] = ()
    replicas: Mapping[str, str] | None = None
    """By node, the state of the disk under it in DRBD's words; None for a guest that is not on DRBD."""
    utilization: Mapping[str, int] = {}
    scores: Mapping[str, int] = {}
    """Location scores by node; -INFINITY and less is a ban."""
    default_score: int = 0
    """The score of a node that ``scores`` does not name; -INFINITY in a cluster where guests opt in."""
    apart: tuple[str, ...] = ()
    """Guests that must not run on the same node."""
    together: tuple[str, ...] = ()
    """Guests that must run on the same node."""
    priority: int = 0
    node: str = ""
    """Where it runs, empty for nowhere."""

    @property
    def taken_mib(self) -> int | None:
        """What its QEMU takes of ordinary memory."""
        if self.memory_mib is None:
            return None
        beside = BASE_MIB + self.memory_mib // TABLES if self.overhead_mib is None else self.overhead_mib
        return beside + (0 if self.page_kib else self.memory_mib)


class Cluster(Record):
    """All hosts and all guests that are to run."""

    hosts: tuple[HostRoom, ...]
    guests: tuple[GuestNeed, ...]
    utilization: tuple[str, ...] = ()
    """The utilization attributes that Pacemaker counts; none where placement-strategy is default."""
    processors_shared: int | None = None
    """How many virtual processors may share one of a host; None limits no sum, only what one guest has."""

    def host(self, name: str) -> HostRoom | None:
        """Return the host of that name, or None."""
        return next((host for host in self.hosts if host.name == name), None)

    def guest(self, name: str) -> GuestNeed | None:
        """Return the guest of that name, or None."""
        return next((guest for guest in self.guests if guest.name == name), None)


class Reason(Record):
    """One thing that speaks for or against; code branches on ``code``, people read ``said``."""

    code: str
    subject: str
    """The guest."""
    place: str = ""
    """The host, or empty."""
    numbers: Mapping[str, int] = {}
    said: str = ""


class Stranded(Record):
    """A guest for which no host is left, and why not on each."""

    guest: str
    short_mib: int | None
    """How much memory lacks on the host that comes nearest; None where memory is not what lacks, or not known."""
    nearest: str
    """That host; empty for none."""
    reasons: tuple[Reason, ...]

    @property
    def is_unknown(self) -> bool:
        """Whether it might have a place if all sizes were known."""
        against: dict[str, set[str]] = {}
        for reason in self.reasons:
            against.setdefault(reason.place, set()).add(reason.code)
        return any(place and codes == {UNKNOWN} for place, codes in against.items())


class Help(Record):
    """A change after which a plan would hold."""

    code: str
    """move, memory, shrink, or the code of a reason that has to be taken away."""
    guest: str
    place: str
    mib: int
    said: str


class Plan(Record):
    """What becomes of the guests of some hosts when these are lost."""

    lost: tuple[str, ...]
    placed: Mapping[str, str]
    """Host by guest."""
    stranded: tuple[Stranded, ...]
    helps: tuple[Help, ...] = ()
    """The smallest change first; empty where the plan holds."""
    is_proven: bool = True
    """Whether it is certain that nobody could pack better; False where the search ended before its end."""

    @property
    def holds(self) -> bool:
        """Whether every guest has a place."""
        return not self.stranded


class NPlusOne(Record):
    """The plans for the loss of every host, or of every few."""

    depth: int
    plans: tuple[Plan, ...]

    @property
    def holds(self) -> bool | None:
        """Whether all plans hold; None where nothing but sizes that nobody knows speaks against it."""
        if self.is_protected:
            return True
        left = [stranded for plan in self.plans for stranded in plan.stranded]
        return None if left and all(stranded.is_unknown for stranded in left) else False

    @property
    def said(self) -> str:
        """The state in one sentence."""
        what = "any host" if self.depth == 1 else f"any {self.depth} hosts"
        if not self.plans:
            return "there is no host to lose" if self.depth == 1 else f"there are no {self.depth} hosts to lose"
        if self.is_protected:
            return f"the loss of {what} leaves room for every guest"
        worst = next(plan for plan in self.plans if not plan.holds)
        names = ", ".join(stranded.guest for stranded in worst.stranded)
        lost = f"without {' and '.join(worst.lost)} there is no place for {names}"
        first = worst.stranded[0]
        if self.holds is None:
            return f"whether {what} may be lost is not known: {first.reasons[0].said}"
        if first.short_mib is not None:
            lost += f": {first.nearest} is short of {gib(first.short_mib)} for {first.guest}"
        return f"{lost}; it would do to {worst.helps[0].said}" if worst.helps else lost

    @property
    def is_protected(self) -> bool:
        """Whether all plans hold; a cluster with nothing to lose is not protected."""
        return bool(self.plans) and all(plan.holds for plan in self.plans)

    def plan(self, *lost: str) -> Plan | None:
        """Return the plan for the loss of these hosts, or None."""
        return next((plan for plan in self.plans if set(plan.lost) == set(lost)), None)


def gib(mib: int) -> str:
    """Write an amount of memory for people: MiB below one GiB, else GiB with one digit, never rounded to nothing."""
    return f"{mib} MiB" if abs(mib) < 1024 else f"{mib / 1024:.1f} GiB"
