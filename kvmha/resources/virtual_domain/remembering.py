"""What a move was forecast to take and what it took, remembered on its source for the next forecast."""

from __future__ import annotations

from kvmha.policy import forecast
from kvmha.policy.timing import DEFAULT_BANDWIDTH_MIB_S
from kvmha.resources.virtual_domain import history, migration_order
from kvmha.tools.libvirtd import LibvirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.forecast import Past
    from kvmha.policy.model import GuestIdentity
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.resources.virtual_domain.steering import Steering
    from kvmha.tools.libvirtd import Libvirt, Progress

OUTCOME_RESERVE = 12.0
"""Seconds of the action without which the target is not asked what it counted."""


def remember(
    agent: VirtualDomain, guest: GuestIdentity, target: str, steering: Steering, peer: Libvirt, *, reason: str = ""
) -> None:
    """Write down a move that is over; ``reason`` is why the guest stayed. What fails here fails nothing else."""
    try:
        outcome = None if reason else _outcome(agent, guest, peer)
        move = _past(agent, target, steering, outcome, reason)
        history.add(agent.host, agent.env.instance, move)
    except OSError as error:
        agent.report.log(f"could not remember the move of {guest.name}: {error}", warning=True)


def _outcome(agent: VirtualDomain, guest: GuestIdentity, peer: Libvirt) -> Progress | None:
    if agent.left() < OUTCOME_RESERVE:
        return None
    try:
        return peer.outcome(guest)
    except LibvirtError:
        return None


def _past(agent: VirtualDomain, target: str, steering: Steering, outcome: Progress | None, reason: str) -> Past:
    seen = outcome or steering.seen
    last = steering.seen or outcome
    memory = seen.total_mib if seen is not None else 0.0
    # The whole memory through the time of copying: pages of zeros count as sent, as they will the next time.
    copying = max(seen.elapsed_s if seen is not None else steering.elapsed, 0.1)
    dirty = last.dirty_mib_s if last is not None else 0.0
    is_throttled = last is not None and last.throttle > 0
    past = history.read(agent.host, agent.env.instance)
    source = agent.env.migrate_source or agent.env.node
    limit = float(agent.param("migration_bandwidth") or agent.param("migration_speed") or 0)
    path = forecast.path_speed(past, source, target, limit or DEFAULT_BANDWIDTH_MIB_S)
    made = forecast.forecast(
        memory_mib=memory,
        path_mib_s=min(path, limit) if limit else path,
        dirty_mib_s=dirty,
        schedule=migration_order.schedule_of(agent),
        limits=steering.limits,
    )
    means = forecast.POST_COPY if steering.is_post_copy else forecast.THROTTLED if is_throttled else forecast.PLAIN
    return forecast.Past(
        at=agent.host.wall_clock() - steering.elapsed,
        source=source,
        target=target,
        result=forecast.STAYED if reason else forecast.MOVED,
        seconds=round(steering.elapsed, 2),
        memory_mib=memory,
        speed_mib_s=memory / copying if not reason else (last.speed_mib_s if last is not None else 0.0),
        dirty_mib_s=dirty,
        downtime_ms=outcome.downtime_ms if outcome is not None else None,
        forecast_s=made.plain_s if memory else None,
        means=means,
        reason=reason,
    )
