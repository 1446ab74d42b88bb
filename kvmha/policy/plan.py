"""What Pacemaker's scheduler plans, as plain values: actions, and which of them waits for which."""

from __future__ import annotations

from kvmha.record import Record

FENCE = "stonith"
"""The operation by which a node is fenced."""


class Action(Record):
    """One action of a plan, and those that must have ended before it begins."""

    id: int
    operation: str
    """start, stop, migrate_to, notify, stonith...; of the scheduler's own marks, such as load_stopped, what it calls
    them."""
    resource: str = ""
    node: str = ""
    """Where it runs; of a fencing the node that is fenced."""
    interval_ms: int = 0
    is_real: bool = True
    """False: nothing is executed for it; the stop of a resource on a node that was fenced is such a one."""
    after: tuple[int, ...] = ()
    """The ids of the actions that it waits for."""


class Planned(Record):
    """What becomes of a resource or a node, in the scheduler's own words."""

    action: str
    """move, migrate, restart, recover, stop, start, promote, demote, reload...; of a node ``Fence (reboot)``."""
    subject: str
    source: str = ""
    target: str = ""
    reason: str = ""
    is_blocked: bool = False


class Round(Record):
    """One transition: the scheduler plans, all is executed, and then it plans again."""

    changes: tuple[Planned, ...] = ()
    actions: tuple[Action, ...] = ()
