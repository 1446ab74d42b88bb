"""What a client misses of an address that moves, or whose node has died: both agents, both families, in turns."""

from __future__ import annotations

import json
import os

from kvmha.record import Record
from tests.bench.address_cases import source
from tests.bench.calls import ADDRESS_SIDES, OUR_ADDRESS, PYTHON, SHELL_ADDRESS
from tests.bench.speed import Aim, median, percentile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Optional

    from kvmha.lab.lab import Lab
    from tests.bench.calls import Side

    Seen = dict[str, Optional[list[float]]]

EVENTS = {"failed": "its node died", "moved": "stopped and started elsewhere"}
ADDRESSES = {"IPv4": "10.77.0.100", "IPv6": "2001:db8::100"}
PER_RUN = 150.0
"""Seconds that one run may take in the worst of all cases."""

AIM = 0.5
"""A client is to miss the address for less than this share of the time that it does with the shell agent."""


class Missed(Record):
    """What clients missed with one agent. Seconds; None where no client was answered at all."""

    runs: int
    answered: int
    to_answer: float | None
    """From the beginning of the start to the first answer, median."""
    to_answer_p90: float | None
    silence: float | None
    """Without an answer, median."""


class Takeover(Record):
    """One event of one family, with both agents."""

    family: str
    event: str
    shell: Missed
    ours: Missed

    @property
    def ratio(self) -> float | None:
        """Time to the first answer with ours, as a share of that with the shell agent."""
        if self.ours.to_answer is None or self.shell.to_answer is None:
            return None
        return self.ours.to_answer / self.shell.to_answer

    @property
    def spread(self) -> float:
        """Seconds from the median to the ninetieth percentile, of the agent whose runs differ more."""
        each = [
            one.to_answer_p90 - one.to_answer
            for one in (self.shell, self.ours)
            if one.to_answer is not None and one.to_answer_p90 is not None
        ]
        return max(each, default=0.0)

    @property
    def is_in_noise(self) -> bool:
        """Tell whether the agents differ by less than the runs of one of them do."""
        if self.ours.to_answer is None or self.shell.to_answer is None:
            return False
        return abs(self.ours.to_answer - self.shell.to_answer) < self.spread


def missed(seen: list[Seen], event: str) -> Missed:
    """Return the middle of what was seen of an event."""
    pairs = [pair for pair in (one[event] for one in seen) if pair is not None]
    waits, gaps = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Missed(
        runs=len(seen),
        answered=len(pairs),
        to_answer=median(waits) if pairs else None,
        to_answer_p90=percentile(waits, 0.9) if pairs else None,
        silence=median(gaps) if pairs else None,
    )


def aims(found: tuple[Takeover, ...]) -> tuple[Aim, ...]:
    """Return the aim for each family: what a client misses when the node died.

    Where both agents are the same but for noise there is no share to be aimed at.
    """
    return tuple(
        Aim(
            what=f"{one.family}, node died: share of the shell agent's time to the first answer, less than",
            aim=AIM,
            measured=one.ratio,
            is_reached=one.ratio < AIM,
        )
        for one in found
        if one.event == "failed" and one.ratio is not None and not one.is_in_noise
    )


def noise(found: tuple[Takeover, ...]) -> tuple[str, ...]:
    """Return a sentence for each family and event in which the agents differ by less than their own runs do."""
    return tuple(
        f"{one.family}, {EVENTS[one.event]}: ours at {one.ours.to_answer * 1000:.0f} ms and the shell agent at "
        f"{one.shell.to_answer * 1000:.0f} ms differ by less than the runs of one agent do ({one.spread * 1000:.0f} ms "
        "from the median to p90)"
        for one in found
        if one.is_in_noise and one.ours.to_answer is not None and one.shell.to_answer is not None
    )


def measure(lab: Lab, node: str, *, runs: int, say: Callable[[str], None]) -> tuple[Takeover, ...]:
    """Let the address move by each agent, in turns, so that whatever else the machine does meets both alike."""
    seen: dict[tuple[str, Side], list[Seen]] = {}
    say(f"address: a client with a warm neighbour cache, {runs} times each, both agents and families")
    for _ in range(runs):
        for family, ip in ADDRESSES.items():
            for side in ADDRESS_SIDES:
                seen.setdefault((family, side), []).extend(_once(lab, node, side, ip))
    return tuple(
        Takeover(
            family=family,
            event=event,
            shell=missed(seen[family, SHELL_ADDRESS], event),
            ours=missed(seen[family, OUR_ADDRESS], event),
        )
        for family in ADDRESSES
        for event in EVENTS
    )


def _once(lab: Lab, node: str, side: Side, ip: str) -> list[Any]:
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    script = source(f"{tests}/contract/namespaces.py") + source(f"{tests}/bench/address_client.py")
    done = lab.run(node, PYTHON, "-", side.file, ip, "1", given=script, timeout=PER_RUN)
    found: list[Any] = json.loads(done.out.splitlines()[-1])
    return found
