"""What the loss of each node is predicted to cost, and whether that is what was promised."""

from __future__ import annotations

from kvmha.cluster.lint.fencing import action_of, limit_of
from kvmha.cluster.lint.rule import CIB, RING, WARNING, Fault, Rule
from kvmha.policy import timing
from kvmha.policy.timing.recovery import DECIDE_LEAST_S, DECIDE_MOST_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.lint.rule import Seen

AREA = "recovery"


def predict(facts: Facts, node: str) -> timing.Recovery | None:
    """Return what is predicted for the loss of a node; None where corosync.conf or the CIB is not known."""
    if facts.ring is None or facts.cib is None:
        return None
    device = facts.ring.quorum.device
    lost, chain = timing.lost(facts.ring.totem, device.times if device and device.algorithm == "ffsplit" else None)
    fencing = _fencing(facts, node)
    if fencing is None:
        return timing.Recovery(lost=lost, fenced=None, guests=(), chain=f"{chain}; nothing fences {node}")
    least, most, how = fencing
    fenced = lost.then(DECIDE_LEAST_S, DECIDE_MOST_S).then(least, most)
    guests = tuple(
        timing.guest_back(
            guest.id,
            fenced,
            boot_s=guest.boot_s,
            start_timeout_s=facts.timeout_s(guest.resource, "start")[0],
            limit_s=guest.recovery_limit_s,
        )
        for guest in facts.guests
    )
    decided = f"decided in {DECIDE_LEAST_S:g} to {DECIDE_MOST_S:g} s"
    return timing.Recovery(lost=lost, fenced=fenced, guests=guests, chain=f"{chain}; {decided}; {how}")


def _fencing(facts: Facts, node: str) -> tuple[float, float, str] | None:
    """Return the shortest and longest time of a node's fencing, delays included, and how it comes about.

    The longest is that of the first level: further levels are tried when it has failed, which is another story.
    """
    levels = facts.fencing_of(node)
    wait = facts.seconds("stonith-watchdog-timeout", 0.0)
    if not levels:
        return (wait, wait, f"watchdog {wait:g} s") if wait else None
    least = most = 0.0
    words = []
    for device in levels[0]:
        delay, longest = device.delay_base_s(node), max(device.delay_base_s(node), device.delay_max_s)
        if device.agent in ("fence_sbd", "external/sbd"):
            msgwait = facts.sbd.msgwait_s if facts.sbd is not None else 2 * timing.SBD_WATCHDOG_S
            least, most = least + delay + msgwait, most + longest + msgwait
            words.append(f"{device.id}: msgwait {msgwait:g} s")
            continue
        defaults = facts.agents.get(device.agent)
        times = timing.agent_times(device.agent, device.params, defaults, action=action_of(facts, device))
        worst = min(times.most_s, limit_of(facts, device)[0])
        least, most = least + delay + times.least_s, most + longest + worst
        waits = f"delay {delay:g} to {longest:g} + " if longest else ""
        words.append(f"{device.id}: {waits}{times.least_s:g} to {worst:g} s")
    # In a pair the survivor may be the side that counts less, which waits longer.
    priority = facts.seconds("priority-fencing-delay", 0.0) if facts.is_pair else 0.0
    if priority:
        words.append(f"priority-fencing-delay 0 to {priority:g} s")
    return least, most + priority, ", ".join(words)


def _limit(facts: Facts) -> Iterator[Seen]:
    for node in facts.node_names:
        recovery = predict(facts, node)
        for guest in recovery.guests if recovery else ():
            end = guest.answers or guest.started
            if recovery is None or guest.limit_s is None or end.least_s <= guest.limit_s:
                continue
            what = "answers" if guest.answers else "is started"
            yield Fault(
                subject=guest.guest,
                said=f"after the loss of {node} it {what} after {end.least_s:.1f} s at the best, and "
                f"{guest.limit_s:g} s were promised",
                chain=f"{recovery.chain}; started {guest.started}"
                + (f"; answers {guest.answers}" if guest.answers else ""),
                yaml="timing: a shorter token; or guests: a longer recovery_limit",
            )


RULES = (
    Rule(id="recovery-limit", severity=WARNING, area=AREA, needs=(RING, CIB), find=_limit,
         looks_at="The predicted time until a guest is back against its recovery_limit.",
         why="A promise that cannot be kept at the best is none."),
)  # fmt: skip
