"""Fencing of a pair: that two nodes do not shoot each other."""

from __future__ import annotations

from kvmha.cluster.lint.rule import CIB, ERROR, RING, WARNING, Fault, Rule, seconds
from kvmha.tools.cib import milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.facts.records import FenceDevice
    from kvmha.cluster.lint.rule import Seen

AREA = "fencing"

HEAD_START_S = 2.0
"""How much later the losing side of a pair must fire: the first shot has to land before. One conversation with a
management controller takes about a second, and one more is in reserve."""


def _pair(facts: Facts) -> tuple[str, str, list[float], list[float]] | None:
    """Return the nodes of a pair, the fixed delays of the fencing of each, and the parts left to chance."""
    if not facts.is_pair:
        return None
    first, second = sorted(facts.node_names)
    fixed, random = [], []
    for node in (first, second):
        levels = facts.fencing_of(node)
        devices = levels[0] if levels else ()
        fixed.append(max((device.delay_base_s(node) + _agent_delay(device) for device in devices), default=0.0))
        random.append(max((max(device.delay_max_s - device.delay_base_s(node), 0) for device in devices), default=0.0))
    return first, second, fixed, random


def _agent_delay(device: FenceDevice) -> float:
    return (milliseconds(device.params.get("delay", "")) or 0) / 1000.0


def _race(facts: Facts) -> Iterator[Seen]:
    pair = _pair(facts)
    if pair is None or facts.seconds("priority-fencing-delay", 0.0):
        return
    first, second, fixed, random = pair
    if all(facts.fencing_of(node) for node in (first, second)) and abs(fixed[0] - fixed[1]) == 0 and not any(random):
        yield Fault(
            subject=f"{first} and {second}",
            said="after a split both fence each other at the same moment, and both are off",
            chain=f"delay for {first} {seconds(fixed[0])}, for {second} {seconds(fixed[1])}, priority-fencing-delay 0",
            yaml="timing: {fencing_delay: 5}",
            commands=(
                f"pcs stonith update fence-{first} pcmk_delay_base={first}:5s",
                "pcs property set priority-fencing-delay=10s",
            ),
        )


def _head_start(facts: Facts) -> Iterator[Seen]:
    pair = _pair(facts)
    if pair is None or any(pair[3]):
        return
    first, second, fixed, _ = pair
    difference = abs(fixed[0] - fixed[1])
    if 0 < difference < HEAD_START_S:
        yield Fault(
            subject=f"{first} and {second}",
            said="the second shot may be fired before the first one has landed, and both nodes are off",
            chain=f"delays {seconds(fixed[0])} and {seconds(fixed[1])}: {seconds(difference)} apart, "
            f"at least {seconds(HEAD_START_S)}",
            yaml="timing: {fencing_delay: 5}",
            commands=(f"pcs stonith update fence-{first} pcmk_delay_base={first}:5s",),
        )


def _chance(facts: Facts) -> Iterator[Seen]:
    pair = _pair(facts)
    if pair is None or not any(pair[3]):
        return
    first, second, fixed, random = pair
    if abs(fixed[0] - fixed[1]) < HEAD_START_S and not facts.seconds("priority-fencing-delay", 0.0):
        most = max(random)
        share = min(1.0, 2 * HEAD_START_S / most) if most else 1.0
        yield Fault(
            subject=f"{first} and {second}",
            said=f"chance decides who fires first, and in about {share:.0%} of all splits the shots cross",
            chain=f"pcmk_delay_max leaves {seconds(most)} to chance; shots within {seconds(HEAD_START_S)} cross",
            yaml="timing: {fencing_delay: 5}, and no pcmk_delay_max",
            commands=(f"pcs stonith update fence-{first} pcmk_delay_base={first}:5s pcmk_delay_max=",),
        )


def _priority_short(facts: Facts) -> Iterator[Seen]:
    delay = facts.seconds("priority-fencing-delay", 0.0)
    longest = max(
        (
            max(device.delay_max_s, device.configured_delay_s(node))
            for device in facts.fence_devices
            for node in facts.node_names
        ),
        default=0.0,
    )
    if 0 < delay < 2 * longest:
        yield Fault(
            subject="priority-fencing-delay",
            said="a device's own delay can outweigh it, and the node with the more important guests is shot",
            chain=f"priority-fencing-delay {seconds(delay)} < 2 x the longest delay of a device {seconds(longest)}",
            yaml="timing: fencing_delay sets both; properties: leave priority-fencing-delay out",
            commands=(f"pcs property set priority-fencing-delay={int(2 * longest)}s",),
        )


def _priority_tie(facts: Facts) -> Iterator[Seen]:
    pair = _pair(facts)
    delay = facts.seconds("priority-fencing-delay", 0.0)
    if pair is None or not delay or any(pair[3]):
        return
    first, second, fixed, _ = pair
    if fixed[0] == fixed[1]:
        yield Fault(
            subject=f"{first} and {second}",
            said="while both have guests of the same total priority nobody waits, and after a split both are off",
            chain=f"priority-fencing-delay {seconds(delay)} only where priorities differ; device delays "
            f"{seconds(fixed[0])} and {seconds(fixed[1])}",
            yaml="timing: {fencing_delay: 5}",
            commands=(f"pcs stonith update fence-{first} pcmk_delay_base={first}:{int(delay / 2)}s",),
        )


def _priority_nobody(facts: Facts) -> Iterator[Seen]:
    delay = facts.seconds("priority-fencing-delay", 0.0)
    if not delay or facts.cib is None or not facts.guests:
        return
    if not any(milliseconds(guest.resource.meta.get("priority", "")) for guest in facts.guests):
        yield Fault(
            subject="priority-fencing-delay",
            said="no guest has a priority, so no node counts more than the other, and nobody waits",
            chain=f"priority-fencing-delay {seconds(delay)}; priority 0 on all {len(facts.guests)} guests",
            yaml="guests: a priority for each",
            commands=tuple(f"pcs resource meta {guest.id} priority=1" for guest in facts.guests[:3]),
        )


RULES = (
    Rule(id="fencing-race", severity=ERROR, area=AREA, needs=(RING, CIB), find=_race,
         looks_at="The delays of the fence devices of a pair.",
         why="With equal delays both nodes die in a split."),
    Rule(id="fencing-head-start", severity=WARNING, area=AREA, needs=(RING, CIB), find=_head_start,
         looks_at="How far the delays of a pair lie apart.",
         why="The first shot must land before the second one is fired."),
    Rule(id="fencing-chance", severity=WARNING, area=AREA, needs=(RING, CIB), find=_chance,
         looks_at="pcmk_delay_max on a pair without a fixed delay.",
         why="Random delays are sometimes nearly equal."),
    Rule(id="priority-delay-short", severity=WARNING, area=AREA, needs=(CIB,), find=_priority_short,
         looks_at="priority-fencing-delay against the delays of the devices.",
         why="Pacemaker's documentation asks for twice the longest of them."),
    Rule(id="priority-delay-tie", severity=ERROR, area=AREA, needs=(RING, CIB), find=_priority_tie,
         looks_at="priority-fencing-delay of a pair without a fixed delay of a device.",
         why="It decides nothing while both sides count the same."),
    Rule(id="priority-delay-idle", severity=ERROR, area=AREA, needs=(CIB,), find=_priority_nobody,
         looks_at="priority-fencing-delay without a guest that has a priority.",
         why="It counts priorities, and they are 0 unless somebody sets them."),
)  # fmt: skip
