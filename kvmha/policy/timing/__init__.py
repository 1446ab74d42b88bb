"""The arithmetic of a cluster: its timeouts, how they follow from each other, and how long recovery takes.

Every other place that needs one of these numbers, the templates as well as the check, asks here.
"""

from __future__ import annotations

from kvmha.policy.timing.fencing import (
    FENCE_CALL_S,
    SBD_WATCHDOG_S,
    STONITH_TIMEOUT_S,
    AgentTimes,
    agent_times,
    msgwait_s,
)
from kvmha.policy.timing.operations import (
    CLEARED_MIB_S,
    DEFAULT_BANDWIDTH_MIB_S,
    FREED_MIB_S,
    MIGRATION_RESERVE_S,
    MONITOR,
    START_BASE_S,
    STOP_RESERVE_S,
    STOP_SLACK_S,
    DrbdTimeouts,
    Forecast,
    GuestTimeouts,
    drbd_timeouts,
    forecast_migration,
    guest_timeouts,
    least_guest_timeouts,
    peer_lost_s,
)
from kvmha.policy.timing.recovery import GuestRecovery, Recovery, Span, guest_back, lost
from kvmha.policy.timing.totem import Link, QuorumDevice, Totem, totem

__all__ = [
    "CLEARED_MIB_S",
    "DEFAULT_BANDWIDTH_MIB_S",
    "FENCE_CALL_S",
    "FREED_MIB_S",
    "MIGRATION_RESERVE_S",
    "MONITOR",
    "SBD_WATCHDOG_S",
    "START_BASE_S",
    "STOP_RESERVE_S",
    "STOP_SLACK_S",
    "STONITH_TIMEOUT_S",
    "AgentTimes",
    "DrbdTimeouts",
    "Forecast",
    "GuestRecovery",
    "GuestTimeouts",
    "Link",
    "QuorumDevice",
    "Recovery",
    "Span",
    "Totem",
    "agent_times",
    "drbd_timeouts",
    "forecast_migration",
    "guest_back",
    "guest_timeouts",
    "least_guest_timeouts",
    "lost",
    "msgwait_s",
    "peer_lost_s",
    "totem",
]
