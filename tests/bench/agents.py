"""./dev bench agents: the shell agents and ours, what they cost and do, side by side: guests, addresses, DRBD.

It brings up a lab with a real cluster, measures everything in that one run, prints it, and removes the lab. It ends
with 0 if ours did what was wanted in every case; times, and the shell agent's results, gate nothing.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys

from kvmha.cli.lab import progress_printer
from kvmha.errors import UserError
from kvmha.host import CommandError, Host
from kvmha.lab.lab import Lab, load
from kvmha.lab.plan import make_plan
from kvmha.record import Record, plain
from tests.bench import address_cases, address_speed, address_takeover, cases, replica_cases, replicas, tables
from tests.bench.calls import ADDRESS_SIDES
from tests.bench.cases import Outcome
from tests.bench.replicas import Replicas
from tests.bench.speed import Measurement, Speed, aims
from tests.bench.stage import Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.bench.address_takeover import Takeover

SPEED, ADDRESS, TAKEOVER, REPLICA, PROMOTION = "speed", "address", "takeover", "replica", "promotion"
PARTS = (
    f"{SPEED} (guests), {ADDRESS} (cost and all cases of addresses), {TAKEOVER} (what clients miss of them), "
    f"{REPLICA} (cost and all cases of DRBD, on kernels of its own), {PROMOTION} (of its replicas, after power cuts)"
)
NODES = 2
MOST_TAKEOVERS = 10
"""Times that an address moves with each agent and family: one takes about six seconds."""


class Addresses(Record):
    """What was found of the agents for addresses."""

    speed: Speed | None
    takeovers: tuple[Takeover, ...]
    cases: tuple[Outcome, ...]


class Result(Record):
    """All that one run has found."""

    suite: str
    software: tuple[str, ...] = ()
    speed: Speed | None = None
    cases: tuple[Outcome, ...] = ()
    addresses: Addresses = Addresses(speed=None, takeovers=(), cases=())
    replicas: Replicas = Replicas()

    @property
    def is_good(self) -> bool:
        """Tell whether ours was right in every case that was run."""
        return all(outcome.ours.is_right for outcome in (*self.cases, *self.addresses.cases, *self.replicas.cases))


def main(words: list[str]) -> int:
    """Run it and return the exit code: 0 if ours was right in every case, 2 if it could not be run."""
    args = _parser().parse_args(words)
    # Whoever ends it has the lab removed as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(args, Host())
    except (UserError, CommandError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench agents", description=__doc__)
    parser.add_argument("--suite", default="bookworm", help="Debian release of the nodes: bookworm or trixie")
    parser.add_argument("--runs", type=int, default=20, help="rounds of the quick actions (default: 20)")
    parser.add_argument("--only", nargs="+", metavar="PART", help=f"{PARTS}, or numbers of cases such as 1 2 15")
    parser.add_argument("--name", default="bench", help="name of the lab (default: bench); one that is up is used")
    parser.add_argument("--keep", action="store_true", help="leave the lab up, that of DRBD too")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _run(args: argparse.Namespace, host: Host) -> int:
    parts = (SPEED, ADDRESS, TAKEOVER, REPLICA, PROMOTION)
    known = {*parts, *replica_cases.NUMBERS}
    known |= {str(case.number) for case in (*cases.CASES, *address_cases.CASES)}
    if set(args.only or ()) - known or args.runs < 1:
        numbers = ", ".join(sorted(known - set(parts), key=int))
        raise UserError(f"--only knows {', '.join(parts)} and {numbers}; --runs is at least 1")
    begun = host.now()
    say = _silent if args.json else _sayer(host, begun)
    only = set(args.only or ())
    # Its nodes and those of the cluster at one time would be too much for a small machine.
    found = Replicas()
    on_replicas = {REPLICA, PROMOTION, *replica_cases.NUMBERS}
    if not only or only & on_replicas:
        found = replicas.measure(
            host, args.runs, say, suite=args.suite, name=f"{args.name}-drbd",
            has_cost=not only or REPLICA in only, has_cuts=not only or PROMOTION in only,
            numbers=only & set(replica_cases.NUMBERS), keep=args.keep,
        )  # fmt: skip
    is_all = bool(only) and only <= on_replicas
    result = Result(suite=args.suite) if is_all else _in_cluster(args, host, say)
    result = result.replace(replicas=found)
    if args.json:
        print(json.dumps({**plain(result), "is_good": result.is_good}, indent=2))
    else:
        tables.show(result)
    return 0 if result.is_good else 1


def _in_cluster(args: argparse.Namespace, host: Host, say: cases.Say) -> Result:
    """Measure in a lab of its own what needs a cluster, and guests and addresses in it."""
    lab = Lab(host, make_plan(args.name, nodes=NODES, suite=args.suite))
    was_there = load(host, args.name) is not None
    result = None
    try:
        with progress_printer(quiet=args.json) as progress:
            lab.up(progress)
        say(f"the lab {args.name} is up")
        result = _measure(args, Stage(host, lab), say)
        say("done")
    except BaseException:
        lab.collect_logs("build/bench")
        raise
    finally:
        # A lab that was there before, and that this run could do nothing with, is its owner's to remove.
        if not args.keep and not (was_there and result is None):
            lab.down()
    return result


def _measure(args: argparse.Namespace, stage: Stage, say: cases.Say) -> Result:
    stage.set_up()
    speed = None
    if not args.only or SPEED in args.only:
        speed = Measurement(stage, args.runs, say).run()
    wanted = [case for case in cases.CASES if not args.only or str(case.number) in args.only]
    return Result(
        suite=args.suite,
        software=stage.software(),
        speed=speed,
        cases=tuple(cases.try_all(stage, wanted, say)),
        addresses=_measure_addresses(args, stage, say),
    )


def _measure_addresses(args: argparse.Namespace, stage: Stage, say: cases.Say) -> Addresses:
    only = set(args.only or (ADDRESS, TAKEOVER))
    speed = None
    if ADDRESS in only:
        rows = address_speed.measure(stage, args.runs, say)
        limits = {"yardsticks": address_speed.MOST_YARDSTICKS, "least_gain": address_speed.LEAST_GAIN}
        speed = Speed(rows=rows, aims=aims(rows, sides=ADDRESS_SIDES, **limits))
    wanted = [case for case in address_cases.CASES if ADDRESS in only or str(case.number) in only]
    runs = min(args.runs, MOST_TAKEOVERS)
    node = stage.nodes[0]
    return Addresses(
        speed=speed,
        cases=tuple(address_cases.try_all(stage.lab, node, wanted, say)),
        takeovers=address_takeover.measure(stage.lab, node, runs=runs, say=say) if TAKEOVER in only else (),
    )


def _sayer(host: Host, begun: float) -> cases.Say:
    return lambda text: print(f"{host.now() - begun:5.0f} s  {text}", flush=True)


def _silent(_text: str) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
