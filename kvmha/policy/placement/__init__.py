"""Where guests may run, why not elsewhere, and whether every host may be lost without a guest being left over.

Invariant: what is promised fits, by bins and not by sums; what is not known speaks against.
"""

from __future__ import annotations

from kvmha.policy.placement.fitting import Choice, choices, why_not
from kvmha.policy.placement.mending import helps
from kvmha.policy.placement.offers import not_looked_at
from kvmha.policy.placement.reading import Shortage, of_snapshot, shortages
from kvmha.policy.placement.records import (
    INFINITY,
    Cluster,
    GuestNeed,
    Help,
    HostRoom,
    NPlusOne,
    Plan,
    Reason,
    Stranded,
    gib,
)
from kvmha.policy.placement.survival import Survey, losses, plan_of, plans
from kvmha.policy.snapshot import Snapshot

__all__ = [
    "INFINITY", "Choice", "Cluster", "GuestNeed", "Help", "HostRoom", "NPlusOne", "Plan", "Reason", "Shortage",
    "Stranded", "Survey", "choices", "gib", "helps", "losses", "n_plus_one", "not_looked_at", "of_snapshot", "plan_of",
    "plans", "shortages", "why_not",
]  # fmt: skip

MENDED = 4
"""For how many plans that do not hold a change is looked for; mending the first often mends the rest."""


def n_plus_one(cluster: Cluster | Snapshot, depth: int = 1) -> NPlusOne:
    """Return the plans for the loss of every host, or with a depth of 2 of every pair, and what would mend them."""
    known = of_snapshot(cluster) if isinstance(cluster, Snapshot) else cluster
    found = plans(known, depth)
    survey = Survey(known)
    mended, left = [], MENDED
    for plan in found.plans:
        if plan.holds or not left:
            mended.append(plan)
            continue
        left -= 1
        mended.append(plan.replace(helps=helps(survey, plan, found.plans)))
    return found.replace(plans=tuple(mended))
