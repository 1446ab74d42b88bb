"""All that the bench measures and tries of DRBD replicas: what a call costs, the cases, and promotions after a cut."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.lab import package
from kvmha.lab.lab import Lab
from kvmha.lab.plan import LabError, make_plan
from kvmha.record import Record
from tests.bench import replica_cases, replica_promotion, replica_speed
from tests.bench.case import Outcome
from tests.bench.replica_promotion import Promotion
from tests.bench.replica_speed import REPLICA_SIDES
from tests.bench.speed import Speed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host

    Say = Callable[[str], None]


class Replicas(Record):
    """What was found."""

    speed: Speed | None = None
    cases: tuple[Outcome, ...] = ()
    promotions: tuple[Promotion, ...] = ()


def measure(
    host: Host, runs: int, say: Say, *, suite: str, name: str, has_cost: bool, has_cuts: bool, numbers: set[str],
    keep: bool = False,
) -> Replicas:  # fmt: skip
    """Measure what is wanted: cost with all cases, or the cases of these numbers, and promotions after power cuts.

    The lab is removed again, unless it is to be kept. Raises LabError.
    """
    lab = Lab(host, make_plan(name, nodes=2, suite=suite, kernel="uml"))
    say("replica: two nodes with kernels of their own")
    found = Replicas()
    try:
        if has_cost or numbers:
            lab.up(_quiet, bare=True, package=package.find(None))
            replica_speed.prepare(lab)
            speed = replica_speed.measure(lab, min(runs, replica_speed.MOST_RUNS), say) if has_cost else None
            wanted = set() if has_cost else numbers
            cases = tuple(replica_cases.try_all(lab, REPLICA_SIDES, wanted, replica_speed.call, say))
            replica_speed.clear(lab)
            found = Replicas(speed=speed, cases=cases)
        return found.replace(promotions=_promotions(host, lab, runs, say, keep)) if has_cuts else found
    except BaseException:
        lab.collect_logs("build/bench")
        raise
    finally:
        if not keep:
            lab.down()


def _promotions(host: Host, lab: Lab, runs: int, say: Say, keep: bool) -> tuple[Promotion, ...]:
    """Measure them in the cluster that two nodes are or become; what cannot be measured keeps nothing else from it."""
    say("promotion: a cluster of the two nodes")
    try:
        lab.up(_quiet)
        return replica_promotion.measure(host, lab, runs, say, put_back=keep)
    except (LabError, CommandError) as error:
        lab.collect_logs("build/bench")
        say(f"promotion: could not be measured: {error}")
        return ()


def _quiet(_phase: str, _text: str) -> None:
    pass
