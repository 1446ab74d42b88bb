"""The forecast of a move: measured where that is possible, with what the moves before it taught."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.policy import forecast
from kvmha.policy.timing import DEFAULT_BANDWIDTH_MIB_S
from kvmha.record import Record
from kvmha.resources.virtual_domain import history, migration_order
from kvmha.resources.virtual_domain.remembering import touched_mib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.cli.moving.sight import GuestSight
    from kvmha.host import Host
    from kvmha.policy.forecast import Forecast, Past
    from kvmha.policy.migration_path import Path


class Basis(Record):
    """What a forecast is made from, and where it comes from."""

    memory_mib: float
    path_mib_s: float
    path_from: str
    dirty_mib_s: float | None
    past: tuple[Past, ...]
    touched_mib: float | None = None
    limit_mib_s: float = 0.0


def basis(host: Host, guest: GuestSight, path: Path, *, memory_mib: float, measures: bool) -> Basis:
    """Measure, or look up, what a forecast needs; the guest's writing is measured for a second if ``measures``."""
    past = _past(host, guest)
    limit = float(guest.agent.param("migration_bandwidth") or guest.agent.param("migration_speed") or 0)
    known, path_from = path.speed_mib_s, path.speed_from
    if not known:
        known, path_from = DEFAULT_BANDWIDTH_MIB_S, "assumed: one gigabit per second"
    if limit and limit < known:
        known, path_from = limit, "migration_bandwidth"
    dirty = None
    if measures:
        try:
            libvirt = guest.libvirt(guest.source)
            if not libvirt.job(guest.identity):
                dirty = libvirt.dirty_mib_s(guest.identity)
        except CommandError:
            dirty = None
    return Basis(
        memory_mib=memory_mib,
        path_mib_s=known,
        path_from=path_from,
        dirty_mib_s=dirty,
        past=past,
        touched_mib=touched_mib(host, guest.identity),
        limit_mib_s=limit,
    )


def _past(host: Host, guest: GuestSight) -> tuple[Past, ...]:
    """Return the moves that this node remembers, and those that the guest took along."""
    past = history.read(host, guest.name)
    try:
        return history.merged(past, history.parse(guest.libvirt(guest.source).note(guest.identity)))
    except CommandError:
        return past


def inputs(guest: GuestSight, found: Basis) -> dict[str, Any]:
    """Return the arguments of the forecast for a guest, with its own schedule and limits."""
    reserve = migration_order.RESERVE_S
    return {
        "memory_mib": found.memory_mib,
        "path_mib_s": found.path_mib_s,
        "dirty_mib_s": found.dirty_mib_s,
        "schedule": migration_order.schedule_of(guest.agent),
        "limits": migration_order.limits(guest.agent, max(guest.timeout_s - reserve, 1.0)),
        "past": found.past,
        "touched_mib": found.touched_mib,
        "limit_mib_s": found.limit_mib_s,
    }


def make(guest: GuestSight, found: Basis) -> Forecast:
    """Return the forecast for a guest."""
    return forecast.forecast(**inputs(guest, found))
