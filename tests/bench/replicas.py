"""All that the bench measures and tries of DRBD replicas: what a call costs, the cases, and promotions after a cut."""

from __future__ import annotations

from kvmha.lab.lab import Lab
from kvmha.lab.plan import make_plan
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


def measure(host: Host, runs: int, say: Say, *, suite: str, name: str, is_whole: bool, numbers: set[str]) -> Replicas:
    """Measure the whole, or try the cases of these numbers; every lab is removed again. Raises LabError."""
    found = Replicas()
    lab = Lab(host, make_plan(name, nodes=2, suite=suite, kernel="uml"))
    say("replica: two nodes with kernels of their own")
    try:
        lab.up(lambda _phase, _text: None, bare=True)
        replica_speed.prepare(lab)
        speed = replica_speed.measure(lab, min(runs, replica_speed.MOST_RUNS), say) if is_whole else None
        wanted = set() if is_whole else numbers
        cases = tuple(replica_cases.try_all(lab, REPLICA_SIDES, wanted, replica_speed.call, say))
        found = found.replace(speed=speed, cases=cases)
    finally:
        lab.down()
    return found.replace(promotions=_promotions(host, runs, say, suite=suite, name=name)) if is_whole else found


def _promotions(host: Host, runs: int, say: Say, *, suite: str, name: str) -> tuple[Promotion, ...]:
    lab = Lab(host, make_plan(name, nodes=2, suite=suite, kernel="uml"))
    say("promotion: a cluster of two nodes with kernels of their own")
    try:
        lab.up(lambda _phase, _text: None)
        return replica_promotion.measure(host, lab, runs, say)
    except BaseException:
        lab.collect_logs("build/bench")
        raise
    finally:
        lab.down()
