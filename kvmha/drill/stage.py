"""What a run has to know beforehand."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvmha.drill.clients import Target
    from kvmha.drill.records import Expected
    from kvmha.drill.watch import Known
    from kvmha.drill.writes import Service


class Stage(Record):
    """Who is there, and what should happen."""

    nodes: tuple[str, ...]
    cluster: str
    known: Known
    uuids: dict[str, str]
    """By guest, as far as known."""
    targets: tuple[Target, ...]
    """Whom clients ask."""
    expected: Expected
    gates: tuple[tuple[str, bool, str], ...]
    elsewhere: str = ""
    """Where a guest is moved to."""
    disks: Mapping[str, str] = {}
    """By replicated disk, as DRBD calls it, the guest that stands on it."""
    writes: tuple[Service, ...] = ()
    """Whom writers write to, all the time, to find out whether anything that was acknowledged is lost."""
