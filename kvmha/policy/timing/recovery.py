"""How long it takes until a guest of a dead node answers again, phase by phase.

The phases follow each other: the node is out of the membership (corosync), the others have quorum (and the quorum
device has said so), the coordinator has asked for the fencing and it is confirmed, the guest is started, and its
service answers. Each has a shortest and a longest time; the longest is what the timeouts allow and not what is usual.
"""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.timing.totem import QuorumDevice, Totem

DECIDE_LEAST_S, DECIDE_MOST_S = 0.1, 3.0
"""From the new membership to the request for fencing: a new coordinator is elected, nodes join, the scheduler runs.
Measured in the lab with Pacemaker 2.1.5: see docs/cluster-check.md."""

START_LEAST_S = 0.3
"""From the word that the node is fenced to a QEMU process of the guest, on a node with nothing else to do."""


class Span(Record):
    """A phase's end, in seconds from the node's death, at the earliest and at the latest."""

    least_s: float
    most_s: float

    def then(self, least_s: float, most_s: float) -> Span:
        """Return the end of what follows."""
        return Span(least_s=self.least_s + least_s, most_s=self.most_s + most_s)

    def __str__(self) -> str:
        return f"{self.least_s:.1f} to {self.most_s:.1f} s"


class GuestRecovery(Record):
    """A guest's way back; ``answers`` is None where nobody said how long it boots."""

    guest: str
    started: Span
    answers: Span | None
    limit_s: float | None = None


class Recovery(Record):
    """What is predicted for the loss of a node."""

    lost: Span
    fenced: Span | None
    """None where nothing fences the node: no guest comes back."""
    guests: tuple[GuestRecovery, ...]
    chain: str


def lost(totem: Totem, device: QuorumDevice | None = None) -> tuple[Span, str]:
    """Return when the others know that a node is gone and have quorum, and how that comes about.

    A lost token takes its whole time from the moment when it was last passed on, which on a quiet ring is as long ago
    as it rests there; then the others wait for the whole consensus. A quorum device with ffsplit gives no vote while
    the dead node's connection counts as alive: between 0.5 and 1.5 heartbeats after its last one.
    """
    least, most = (totem.lost_ms - totem.hold) / 1000.0, totem.lost_ms / 1000.0
    chain = totem.lost_chain
    if device is not None:
        forgotten = device.forgotten_ms / 1000.0
        least, most = max(least, (device.forgotten_ms - device.heartbeat) / 1000.0), max(most, forgotten)
        chain += f"; {device.chain}"
    return Span(least_s=least, most_s=most), chain


def guest_back(
    guest: str, fenced: Span, *, boot_s: float | None, start_timeout_s: float, limit_s: float | None = None
) -> GuestRecovery:
    """Return a guest's way back after the fencing; a start that takes longer than its timeout has failed."""
    started = fenced.then(START_LEAST_S, start_timeout_s)
    answers = None if boot_s is None else started.then(boot_s, boot_s)
    return GuestRecovery(guest=guest, started=started, answers=answers, limit_s=limit_s)
