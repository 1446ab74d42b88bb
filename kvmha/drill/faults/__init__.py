"""The faults, made and undone on the node itself: a module for each family, ``making`` for what they have in common."""

from __future__ import annotations

from kvmha.drill.faults.corosync_links import interfaces, links
from kvmha.drill.faults.host import BREATH_S
from kvmha.drill.faults.making import GRACE_S, LOG, PLANS, STATE, UNIT, Made, ready, strike, undo
from kvmha.drill.faults.plan import TABLE, Fault, Plan

__all__ = [
    "BREATH_S", "GRACE_S", "LOG", "PLANS", "STATE", "TABLE", "UNIT", "Fault", "Made", "Plan", "interfaces", "links",
    "ready", "strike", "undo",
]  # fmt: skip
