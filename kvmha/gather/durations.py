"""What operations take in a cluster, from what it and those who tried its fence devices have written down.

All times are seconds.
"""

from __future__ import annotations

import math
import statistics

from kvmha.cluster.lint.fencing import action_of, limit_of
from kvmha.gather import fencing
from kvmha.policy import timing
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cluster.facts import Facts
    from kvmha.cluster.facts.records import FenceDevice
    from kvmha.policy.fencing_proof import Trial
    from kvmha.tools.cib.history import Executed

CONVERSATIONS = 5
"""Calls that a reboot of fence-agents makes: look, switch off, look, switch on, look (lib/fencing.py, set_power_fn);
a monitor makes one."""

AGENT_START_SHARE, AGENT_START_MOST_S = 0.7, 0.7
"""How much of a monitor is the fence agent's own start, Python and its libraries, which comes once in each run, where
nobody has measured it. In the lab a monitor of fence_ipmilan takes 0.28 s and a reboot 0.6 s on an idle machine, and
0.8 s and 1.0 to 1.6 s on a busy one; a slow management controller is what is beyond the most."""


class Question(Record):
    """What a question to a fence device takes."""

    asked_s: float
    start_s: float | None = None
    """How much of it is the agent's own start; None where nobody has measured it."""


def of_questions(facts: Facts, ran: tuple[Executed, ...]) -> dict[str, Question]:
    """Return what a question to each fence device takes, as far as anybody has asked."""
    ever = {name: Question(asked_s=seconds) for name, seconds in _shortest(ran).items()}
    return {**ever, **_tried(facts)}


def _shortest(ran: tuple[Executed, ...]) -> dict[str, float]:
    """Return the seconds of the shortest operation of each resource that went well, and asked its agent something.

    The stop of a fence device only has the fencer forget it, in a millisecond.
    """
    found: dict[str, float] = {}
    for each in ran:
        if each.operation in ("start", "monitor") and each.rc == 0 and each.took_ms > 0:
            found[each.resource] = min(found.get(each.resource, math.inf), each.took_ms / 1000.0)
    return found


def _tried(facts: Facts) -> dict[str, Question]:
    """Return what a question to each fence device takes as a rule, where somebody has tried it.

    A history has the first monitor of a device only, which ran while the whole cluster was starting.
    """
    good: dict[str, list[Trial]] = {}
    for trial in fencing.trials(facts):
        if trial.is_good and trial.seconds:
            good.setdefault(trial.device, []).append(trial)
    found = {}
    for device, trials in good.items():
        starts = [trial.start_s for trial in trials if trial.start_s is not None]
        # The start was measured with the last question; those before it had a start of their own.
        asked = [trial.seconds[-1] for trial in trials if trial.start_s is not None or not starts]
        found[device] = Question(
            asked_s=statistics.median(asked), start_s=statistics.median(starts) if starts else None
        )
    return found


def of_device(facts: Facts, device: FenceDevice, asked: Question | None) -> tuple[float, float, bool]:
    """Return what a device takes as a rule and at most to do its work, and whether that follows from a question."""
    if device.agent in ("fence_sbd", "external/sbd"):
        wait = facts.sbd.msgwait_s if facts.sbd is not None else timing.msgwait_s(timing.SBD_WATCHDOG_S)
        return wait, wait, False
    action = action_of(facts, device)
    times = timing.agent_times(device.agent, device.params, facts.agents.get(device.agent), action=action)
    limit = max(limit_of(facts, device)[0], 1.0)
    if asked is None:
        return times.least_s, min(times.most_s, limit), False
    calls = CONVERSATIONS if action == "reboot" else CONVERSATIONS - 2
    start = min(asked.asked_s * AGENT_START_SHARE, AGENT_START_MOST_S)
    if asked.start_s is not None:
        start = min(asked.start_s, asked.asked_s)
    # What it waits by its options stays; only the guess of how long a call takes is replaced by what one took.
    waits = times.least_s - timing.FENCE_CALL_S * (2 if action == "reboot" else 1)
    return max(waits, 0.0) + start + calls * (asked.asked_s - start), min(times.most_s, limit), True


def of_operations(ran: tuple[Executed, ...]) -> dict[tuple[str, str], float]:
    """Return what the start and the stop of each resource take: its own last good one, or as others of its agent do.

    Pacemaker keeps the last operation alone: of a guest that has moved live since there is no start any more.
    """
    own = _took(ran)
    agents = {each.resource.partition(":")[0]: each.agent for each in ran}
    alike: dict[tuple[str, str], list[float]] = {}
    for (name, operation), seconds in own.items():
        alike.setdefault((agents[name], operation), []).append(seconds)
    usual = {key: statistics.median(seconds) for key, seconds in alike.items()}
    found = {}
    for name, agent in agents.items():
        for operation in ("start", "stop"):
            if (name, operation) in own or (agent, operation) in usual:
                found[name, operation] = own.get((name, operation)) or usual[agent, operation]
    return found


def _took(ran: tuple[Executed, ...]) -> dict[tuple[str, str], float]:
    """Return what the last good start and stop of each resource took, in seconds."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for each in ran:
        if each.rc == 0 and each.interval_ms == 0 and each.took_ms > 0:
            name = each.resource.partition(":")[0], each.operation
            found[name] = max(found.get(name, (0, 0.0)), (each.at, each.took_ms / 1000.0))
    return {name: seconds for name, (_at, seconds) in found.items()}
