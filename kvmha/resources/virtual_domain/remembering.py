"""What a move was forecast to take and what it took, remembered on its source for the next forecast."""

from __future__ import annotations

from kvmha.policy import forecast
from kvmha.policy.timing import DEFAULT_BANDWIDTH_MIB_S
from kvmha.record import Record
from kvmha.resources.virtual_domain import history, saving
from kvmha.tools import qemu_memory, qemu_process
from kvmha.tools.libvirtd import LibvirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.policy.forecast import Past
    from kvmha.policy.model import GuestIdentity
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.resources.virtual_domain.steering import Steering
    from kvmha.tools.libvirtd import Libvirt, Progress

FRESH_S = 60.0
"""Seconds for which it counts how fast a guest was seen to write."""

OUTCOME_RESERVE = 12.0
"""Seconds of the action without which the target is not asked what it counted."""


class Before(Record):
    """What was known of a guest before it began to move."""

    touched_mib: float | None = None
    written_mib_s: float | None = None
    past: tuple[Past, ...] = ()


def touched_mib(host: Host, guest: GuestIdentity) -> float | None:
    """Return the memory that a guest which runs on this node ever used; None where that cannot be seen."""
    pids = qemu_process.find(host, guest)
    found = qemu_memory.touched_kib(host, pids[0]) if len(pids) == 1 else None
    return found / 1024 if found is not None else None


def look(agent: VirtualDomain, guest: GuestIdentity, libvirt: Libvirt) -> Before:
    """Look at a guest that is about to move. Never raises: nothing depends on it."""
    past = history.read(agent.host, agent.env.instance)
    touched, written = touched_mib(agent.host, guest), None
    try:
        past = history.merged(past, history.parse(libvirt.note(guest)))
        # Whoever forecast the move has measured it a moment ago, and QEMU knows that still.
        written = libvirt.last_dirty_mib_s(guest, FRESH_S)
    except LibvirtError as error:
        agent.report.log(f"moving {guest.name}: {error}", warning=True)
    return Before(touched_mib=touched, written_mib_s=written, past=past)


def remember(
    agent: VirtualDomain,
    guest: GuestIdentity,
    target: str,
    steering: Steering,
    peer: Libvirt,
    before: Before,
    *,
    reason: str = "",
) -> None:
    """Write down a move that is over; ``reason`` is why the guest stayed. What fails here fails nothing else."""
    try:
        outcome = None if reason else _outcome(agent, guest, peer)
        moves = history.merged(before.past, (_past(agent, target, steering, outcome, before, reason),))
        history.write(agent.host, agent.env.instance, moves)
        # A definition that is kept of a guest when it stops is to be the operator's.
        if not saving.is_kept(agent) and agent.left() >= OUTCOME_RESERVE / 2:
            (steering.libvirt if reason else peer).set_note(guest, history.render(moves[-history.TAKEN_ALONG :]))
    except (OSError, LibvirtError) as error:
        agent.report.log(f"could not remember the move of {guest.name}: {error}", warning=True)


def _outcome(agent: VirtualDomain, guest: GuestIdentity, peer: Libvirt) -> Progress | None:
    if agent.left() < OUTCOME_RESERVE:
        return None
    try:
        return peer.outcome(guest)
    except LibvirtError:
        return None


def _past(
    agent: VirtualDomain, target: str, steering: Steering, outcome: Progress | None, before: Before, reason: str
) -> Past:
    seen = outcome or steering.seen
    memory = seen.total_mib if seen is not None else 0.0
    sent = seen.processed_mib if seen is not None else 0.0
    is_throttled = any(each is not None and each.throttle > 0 for each in (outcome, steering.seen))
    means = forecast.POST_COPY if steering.is_post_copy else forecast.THROTTLED if is_throttled else forecast.PLAIN
    source = agent.env.migrate_source or agent.env.node
    limit = float(agent.param("migration_bandwidth") or agent.param("migration_speed") or 0)
    made = _forecast(agent, steering, before, memory=memory, limit=limit, ends=(source, target)) if memory else None
    return forecast.Past(
        at=agent.host.wall_clock() - steering.elapsed,
        source=source,
        target=target,
        result=forecast.STAYED if reason else forecast.MOVED,
        seconds=round(steering.elapsed, 2),
        memory_mib=memory,
        speed_mib_s=round(sent / _copying(seen), 2) if seen is not None else 0.0,
        dirty_mib_s=steering.wrote_mib_s,
        written_mib_s=before.written_mib_s,
        sent_mib=round(sent, 1),
        limit_mib_s=limit,
        touched_mib=before.touched_mib,
        schedule=steering.schedule.name,
        may_post_copy=steering.limits.may_post_copy,
        downtime_ms=outcome.downtime_ms if outcome is not None else None,
        forecast_s=round(made.seconds, 2) if made is not None else None,
        means=means,
        reason=reason,
    )


def _copying(seen: Progress) -> float:
    """Return the seconds in which bytes went over the path."""
    return max(seen.elapsed_s - seen.setup_ms / 1000, 0.1)


def _forecast(
    agent: VirtualDomain, steering: Steering, before: Before, *, memory: float, limit: float, ends: tuple[str, str]
) -> forecast.Forecast:
    """Return what was to be expected of the move from what was known before it."""
    path = forecast.path_speed(before.past, *ends, limit or DEFAULT_BANDWIDTH_MIB_S)
    return forecast.forecast(
        memory_mib=memory,
        path_mib_s=min(path, limit) if limit else path,
        dirty_mib_s=before.written_mib_s,
        schedule=steering.schedule,
        limits=steering.limits,
        past=before.past,
        touched_mib=before.touched_mib,
        limit_mib_s=limit,
    )
