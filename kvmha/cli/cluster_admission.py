"""Whether a change of the configuration takes from a guest the place that it would have after the loss of a host."""

from __future__ import annotations

from kvmha import journal
from kvmha.errors import UserError
from kvmha.gather import cluster
from kvmha.host import CommandError
from kvmha.policy import expectation, placement
from kvmha.policy.placement import admission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cluster.apply_plan import Plan
    from kvmha.host import Host
    from kvmha.policy.placement import Cluster
    from kvmha.policy.snapshot import Snapshot


def against(host: Host, plan: Plan, *, name: str, is_overridden: bool) -> tuple[str, ...]:
    """Return a sentence for each reason to refuse a plan, and write the decision into the journal.

    Nothing speaks against what cannot be judged: a cluster that is not there yet, or sizes that nobody knows.
    """
    if not plan.is_there or plan.refused or not plan.result or not plan.comparison.to_do():
        return ()
    try:
        before, after = (
            cluster.snapshot_of(host, text, nodes=cluster.definitions_of(host, text))
            for text in (plan.before, plan.result)
        )
    except (CommandError, UserError):
        return ()
    was, becomes = placement.of_snapshot(before), settled(after)
    found = admission.admit(was, becomes)
    nowhere = _nowhere(was, becomes)
    said = (*(() if found.is_admitted else (reason.said for reason in found.reasons)), *nowhere)
    journal.record(
        host,
        "admission",
        {"before": was, "after": becomes},
        found,
        subject=f"cluster apply {name}",
        said="; ".join(said) or "admitted",
        guests=sorted({reason.subject for reason in found.reasons}),
        overridden=bool(said) and is_overridden,
    )
    return said


def settled(after: Snapshot) -> Cluster:
    """Return a cluster with its new guests where the scheduler is expected to start them."""
    found = expectation.foresee(after)
    resources = tuple(
        each.replace(nodes=found.places.get(each.name, ())) if each in after.guests and not each.nodes else each
        for each in after.resources
    )
    return placement.of_snapshot(after.replace(resources=resources))


def _nowhere(was: Cluster, becomes: Cluster) -> tuple[str, ...]:
    """Return a sentence for each new guest that no node has room for."""
    known = {guest.name for guest in was.guests}
    new = [guest for guest in becomes.guests if guest.name not in known and not guest.node]
    return tuple(
        f"there is no place for {guest.name}: {'; '.join(reason.said for reason in reasons)}"
        for guest in new
        for reasons in [[reason for each in placement.choices(becomes, guest.name) for reason in each.reasons]]
        if reasons
        and all(each.reasons for each in placement.choices(becomes, guest.name))
        and not all(reason.code == "memory-unknown" for reason in reasons)
    )
