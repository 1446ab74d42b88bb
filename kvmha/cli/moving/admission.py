"""Whether a move takes from another guest the place that it would have after the loss of a host."""

from __future__ import annotations

from kvmha import journal
from kvmha.errors import UserError
from kvmha.gather import cluster
from kvmha.host import CommandError
from kvmha.policy import placement
from kvmha.policy.placement import admission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cli.moving.sight import Sight
    from kvmha.policy.placement import Cluster


def against_move(sight: Sight, guest: str, target: str, *, is_forced: bool = False) -> tuple[str, ...]:
    """Return a sentence for each reason to refuse a move to where nothing else forbids it; the journal keeps them."""
    plan = _plan(sight)
    if plan is None:
        return ()
    after = admission.moved(plan, guest, target)
    found = admission.admit(plan, after)
    said = () if found.is_admitted else tuple(reason.said for reason in found.reasons)
    journal.record(
        sight.host,
        "admission",
        {"before": plan, "after": after},
        found,
        subject=f"migrate {guest} {target}",
        said="; ".join(said) or "admitted",
        guests=(guest,),
        alternatives=placement.choices(plan, guest),
        overridden=bool(said) and is_forced,
    )
    return said


def against_drain(sight: Sight, node: str, *, is_forced: bool = False) -> tuple[str, ...]:
    """Return a sentence for each reason why the other nodes have no place for what runs on one; the journal too."""
    plan = _plan(sight)
    if plan is None:
        return ()
    found = admission.why_not_drain(plan, node)
    said = tuple(reason.said for reason in found)
    journal.record(
        sight.host,
        "drain",
        {"cluster": plan, "host": node},
        found,
        subject=f"drain {node}",
        said="; ".join(said) or "admitted",
        guests=sorted(guest.name for guest in plan.guests if guest.node == node),
        overridden=bool(said) and is_forced,
    )
    return said


def _plan(sight: Sight) -> Cluster | None:
    """Return the cluster as placement sees it; None where that cannot be made out, which forbids nothing."""
    try:
        nodes = cluster.definitions_of(sight.host, sight.cib_text)
        plan = placement.of_snapshot(cluster.snapshot_of(sight.host, sight.cib_text, nodes=nodes))
    except (CommandError, UserError):
        return None
    return plan if is_known(plan) else None


def is_known(plan: Cluster) -> bool:
    """Tell whether all sizes are known that a plan for a loss is made from.

    Where one is not, placement lets no guest go anywhere; whether this one fits, its preflight has asked libvirt.
    """
    return all(host.memory_mib is not None for host in plan.hosts) and all(
        guest.memory_mib is not None for guest in plan.guests
    )
