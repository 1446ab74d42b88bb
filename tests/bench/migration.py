"""./dev bench migration: moves of guests that write to their memory, by the shell agent and by ours, by turns.

In one lab with a real cluster, each way with a guest of its own, all alike: idle, and writing half of what the path
carries, as much, and twice as much. Three moves of each take 20 to 30 minutes; --runs 10 is the whole of it. Each
move is printed as it ends, and whatever ends the bench early, it prints the table of what was seen by then. It ends
with 0 if no move of ours ended in a restart and nothing ever ran twice; times gate nothing, and the aims are printed
beside what was measured.
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
from kvmha.lab.plan import SIZES, LabError, make_plan
from kvmha.record import plain
from tests.bench import migration_plot, migration_tables
from tests.bench.migration_runs import RATES, RESTARTED, SHELL, WAYS, Mover, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[str], None]

PATIENCE = 3
"""Moves in turn that could not be made, after which no other is tried."""


def main(words: list[str]) -> int:
    """Run it and return the exit code: 2 if it could not be run."""
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
    parser = argparse.ArgumentParser(prog="./dev bench migration", description=__doc__)
    parser.add_argument("--suite", default="bookworm", help="Debian release of the nodes: bookworm or trixie")
    parser.add_argument("--nodes", type=int, default=2, choices=SIZES, help="nodes of the lab (default: 2)")
    parser.add_argument("--runs", type=int, default=3, help="moves by each way at each rate (default: 3)")
    parser.add_argument("--rates", nargs="+", choices=tuple(RATES), default=list(RATES), help="some of the rates")
    parser.add_argument("--only", nargs="+", choices=[way.key for way in WAYS], help="some of the ways")
    parser.add_argument("--name", default="bench", help="name of the lab (default: bench); one that is up is used")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    parser.add_argument("--plot", default="build/bench/migration.svg", metavar="FILE", help="where the picture goes")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _run(args: argparse.Namespace, host: Host) -> int:
    if args.runs < 1:
        raise UserError(f"--runs: at least 1 move is needed, not {args.runs}")
    lab = Lab(host, make_plan(args.name, nodes=args.nodes, suite=args.suite))
    begun = host.now()
    was_there = load(host, args.name) is not None
    runs: list[Run] = []
    is_whole = True
    try:
        with progress_printer(quiet=args.json) as progress:
            lab.up(progress)

        def say(text: str) -> None:
            if not args.json:
                print(f"{host.now() - begun:5.0f} s  {text}", flush=True)

        try:
            _measure(args, Mover(host, lab), runs, say)
        except (KeyboardInterrupt, LabError) as error:
            # What was seen by then is worth a table.
            print(f"bench: ended after {len(runs)} moves{f': {error}' if str(error) else ''}", file=sys.stderr)
            is_whole = isinstance(error, KeyboardInterrupt)
            if not runs:
                raise
    except BaseException:
        lab.collect_logs("build/bench/migration")
        raise
    finally:
        # A lab that was there before, and that this run could do nothing with, is its owner's to remove.
        if not args.keep and not (was_there and not runs):
            lab.down()
    found = tuple(runs)
    host.write(args.plot, migration_plot.svg(migration_tables.curves(found)))
    is_good = not any(run.ran_twice or (run.outcome == RESTARTED and run.way != SHELL.key) for run in found)
    if args.json:
        table = migration_tables.rows(found)
        summary = {"rows": plain(table), "aims": plain(migration_tables.aims(table)), "is_good": is_good}
        print(json.dumps({"runs": plain(found), **summary}, indent=2))
    else:
        migration_tables.show(found)
        print(f"the same curves as a picture: {args.plot}")
    if not is_whole:
        return 2
    return 0 if is_good else 1


def _measure(args: argparse.Namespace, mover: Mover, runs: list[Run], say: Say) -> None:
    say("giving each way a guest of its own")
    mover.prepare()
    missed = 0
    ways = [way for way in WAYS if not args.only or way.key in args.only]
    for turn in range(args.runs):
        # By turns, so that whatever else the machine does meets all of them alike.
        for rate in args.rates:
            for way in ways:
                try:
                    run = mover.move(way, rate)
                except LabError as error:
                    # On a busy machine a guest may be deaf for a while; the next one is tried all the same.
                    missed += 1
                    say(f"{turn + 1} of {args.runs}, {rate}, {way.name}: not seen, as {error}")
                    if missed == PATIENCE:
                        raise
                    continue
                missed = 0
                runs.append(run)
                say(f"{turn + 1} of {args.runs}, {rate}, {way.name}: {migration_tables.said(run)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
