"""How long a fencing may take: the fence agent's own times, Pacemaker's timeouts around it, and delays.

Sources: fence-agents' lib/fencing.py for what an agent does with its options, fence_ipmilan(8) for its defaults;
stonithd and *Pacemaker Explained* for pcmk_*; sbd(8) for the disk and the watchdog. Seconds.
"""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STONITH_TIMEOUT_S = 60.0
"""Pacemaker's default of stonith-timeout."""

AGENT_DEFAULTS = {"delay": 0.0, "login_timeout": 5.0, "power_timeout": 20.0, "power_wait": 0.0, "retry_on": 1.0}
"""fence-agents' library, where an agent's metadata says nothing else."""

DEFAULTS_OF = {"fence_ipmilan": {"power_wait": 2.0}, "fence_redfish": {}}
"""What agents have instead (fence_ipmilan -h)."""

SBD_WATCHDOG_S = 5.0
"""sbd(8): the watchdog timeout where neither the disk nor SBD_WATCHDOG_TIMEOUT says another."""

MSGWAIT_FACTOR = 2.0
"""sbd(8): msgwait is twice the watchdog timeout."""

FENCE_CALL_S = 1.0
"""One conversation with a management controller, about."""


class AgentTimes(Record):
    """What one run of a fence agent takes."""

    least_s: float
    most_s: float
    chain: str


def agent_times(
    agent: str, params: Mapping[str, str], defaults: Mapping[str, str] | None = None, *, action: str = "reboot"
) -> AgentTimes:
    """Return what a fence agent may take for an action, by its options and the defaults that its metadata gives.

    Off: log in, switch, wait power_wait, and look for up to power_timeout whether it is off. Reboot does the same and
    then switches on, retry_on times at most; with method=cycle it only says so to the device.
    """
    times = {name: _seconds(name, agent, params, defaults or {}) for name in AGENT_DEFAULTS}
    delay, login, wait, limit = (times[name] for name in ("delay", "login_timeout", "power_wait", "power_timeout"))
    if action == "reboot" and params.get("method") == "cycle":
        most = delay + login + wait
        return AgentTimes(
            least_s=delay + wait + FENCE_CALL_S,
            most_s=most,
            chain=f"{_delay(delay)}login_timeout {login:g} + power_wait {wait:g} = {most:g} s, and no look",
        )
    steps, words = wait + limit, f"power_wait {wait:g} + power_timeout {limit:g}"
    least = delay + wait + FENCE_CALL_S
    most, chain = delay + login + steps, f"{_delay(delay)}login_timeout {login:g} + off ({words})"
    if action == "reboot":
        tries = int(times["retry_on"])
        most += tries * steps
        least += wait + FENCE_CALL_S
        chain += f" + {tries} x on ({words})" if tries > 1 else f" + on ({words})"
    return AgentTimes(least_s=least, most_s=most, chain=f"{chain} = {most:g} s")


def _seconds(name: str, agent: str, params: Mapping[str, str], defaults: Mapping[str, str]) -> float:
    for source in (params, defaults):
        text = source.get(name, "").removesuffix("s") if hasattr(str, "removesuffix") else source.get(name, "")
        try:
            return float(text)
        except ValueError:
            continue
    return DEFAULTS_OF.get(agent, {}).get(name, AGENT_DEFAULTS[name])


def _delay(delay: float) -> str:
    return f"delay {delay:g} + " if delay else ""


def msgwait_s(watchdog_s: float, msgwait_s: float | None = None) -> float:
    """Return sbd's msgwait: what is set, else twice the watchdog timeout."""
    return watchdog_s * MSGWAIT_FACTOR if msgwait_s is None else msgwait_s
