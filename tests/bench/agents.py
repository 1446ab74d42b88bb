"""./dev bench agents: ocf:heartbeat:VirtualDomain and ocf:kvmha:VirtualDomain, what they cost and do, side by side.

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
from tests.bench import cases, tables
from tests.bench.cases import Outcome
from tests.bench.speed import Measurement, Speed
from tests.bench.stage import Stage

SPEED = "speed"
NODES = 2


class Result(Record):
    """All that one run has found."""

    suite: str
    software: tuple[str, ...]
    speed: Speed | None
    cases: tuple[Outcome, ...]

    @property
    def is_good(self) -> bool:
        """Tell whether ours was right in every case that was run."""
        return all(outcome.ours.is_right for outcome in self.cases)


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
    parser.add_argument("--only", nargs="+", metavar="PART", help=f"{SPEED}, or numbers of cases such as 1 2 15")
    parser.add_argument("--name", default="bench", help="name of the lab (default: bench); one that is up is used")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _run(args: argparse.Namespace, host: Host) -> int:
    wanted = [case for case in cases.CASES if not args.only or str(case.number) in args.only]
    unknown = set(args.only or ()) - {SPEED} - {str(case.number) for case in cases.CASES}
    if unknown or args.runs < 1:
        raise UserError(f"--only knows {SPEED} and {', '.join(sorted({str(c.number) for c in cases.CASES}, key=int))}; "
                        "--runs is at least 1")  # fmt: skip
    lab = Lab(host, make_plan(args.name, nodes=NODES, suite=args.suite))
    begun = host.now()
    was_there = load(host, args.name) is not None
    result = None
    try:
        with progress_printer(quiet=args.json) as progress:
            lab.up(progress)
        say = _silent if args.json else _sayer(host, begun)
        say(f"the lab {args.name} is up")
        result = _measure(args, Stage(host, lab), wanted, say)
        say("done")
    except BaseException:
        lab.collect_logs("build/bench")
        raise
    finally:
        # A lab that was there before, and that this run could do nothing with, is its owner's to remove.
        if not args.keep and not (was_there and result is None):
            lab.down()
    if args.json:
        print(json.dumps({**plain(result), "is_good": result.is_good}, indent=2))
    else:
        tables.show(result)
    return 0 if result.is_good else 1


def _measure(args: argparse.Namespace, stage: Stage, wanted: list[cases.Case], say: cases.Say) -> Result:
    stage.set_up()
    speed = None
    if not args.only or SPEED in args.only:
        speed = Measurement(stage, args.runs, say).run()
    return Result(
        suite=args.suite,
        software=stage.software(),
        speed=speed,
        cases=tuple(cases.try_all(stage, wanted, say)),
    )


def _sayer(host: Host, begun: float) -> cases.Say:
    return lambda text: print(f"{host.now() - begun:5.0f} s  {text}", flush=True)


def _silent(_text: str) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
