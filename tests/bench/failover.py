"""./dev bench failover: how long a guest is away when the power of its host is cut, in three configurations.

In one lab with a real cluster: the shell agents as pcs sets them up by default, the shell agents with our templates,
and our agents with our templates, by turns. It ends with 0 if the guest and its address came back every time and never
ran twice; times gate nothing, and the aims are printed beside what was measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys

from kvmha.cli.lab import progress_printer
from kvmha.errors import UserError
from kvmha.host import CommandError, Host
from kvmha.lab import container
from kvmha.lab.lab import Lab, load
from kvmha.lab.plan import SIZES, make_plan
from kvmha.record import Record, plain
from tests.bench import failover_tables
from tests.bench.failover_setups import SETUPS, Wardrobe
from tests.bench.power_cut import Cutter, PowerCut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[str], None]

PARTS = ("defaults", "templates", "ours")


class Result(Record):
    """All that one run has found."""

    suite: str
    nodes: int
    runs: int
    times: dict[str, str]
    """Corosync's times in each setup."""
    cuts: dict[str, tuple[PowerCut, ...]]
    """By the setup's key."""

    @property
    def is_good(self) -> bool:
        """Tell whether all came back every time, and nothing ever ran twice."""
        every = [cut for cuts in self.cuts.values() for cut in cuts]
        return all(cut.answers is not None and cut.address is not None and not cut.ran_twice for cut in every)


def main(words: list[str]) -> int:
    """Run it and return the exit code: 0 if all came back every time, 2 if it could not be run."""
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
    parser = argparse.ArgumentParser(prog="./dev bench failover", description=__doc__)
    parser.add_argument("--suite", default="bookworm", help="Debian release of the nodes: bookworm or trixie")
    parser.add_argument("--nodes", type=int, default=3, choices=SIZES, help="nodes of the lab (default: 3)")
    parser.add_argument("--runs", type=int, default=10, help="power cuts in each configuration (default: 10)")
    parser.add_argument(
        "--firmware",
        type=float,
        default=0,
        metavar="SECONDS",
        help="how long a node tests itself before it boots (default: 0). A real one takes minutes, and nobody else's "
        "processors; a node of a lab boots at once, on those of the others",
    )
    parser.add_argument("--minutes", type=float, help="begin no further round after so many minutes")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some of the configurations")
    parser.add_argument("--name", default="bench", help="name of the lab (default: bench); one that is up is used")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _run(args: argparse.Namespace, host: Host) -> int:
    if args.runs < 1:
        raise UserError(f"--runs: at least 1 power cut is needed, not {args.runs}")
    lab = Lab(host, make_plan(args.name, nodes=args.nodes, suite=args.suite))
    begun = host.now()
    was_there = load(host, args.name) is not None
    result = None
    try:
        with progress_printer(quiet=args.json) as progress:
            lab.up(progress)

        def say(text: str) -> None:
            if not args.json:
                print(f"{host.now() - begun:5.0f} s  {text}", flush=True)

        say(f"the lab {args.name} is up")
        host.write(f"{lab.plan.folder}/{container.FIRMWARE}", f"{args.firmware:g}\n")
        result = _measure(args, host, lab, say)
    except BaseException:
        lab.collect_logs("build/bench")
        raise
    finally:
        # A lab that was there before, and that this run could do nothing with, is its owner's to remove.
        if not args.keep and not (was_there and result is None):
            lab.down()
    if args.json:
        summary = plain(failover_tables.summaries(result.cuts))
        print(json.dumps({**plain(result), "summary": summary, "is_good": result.is_good}, indent=2))
    else:
        failover_tables.show(result)
    return 0 if result.is_good else 1


def _measure(args: argparse.Namespace, host: Host, lab: Lab, say: Say) -> Result:
    wardrobe, cutter = Wardrobe(lab), Cutter(host, lab)
    say("making the configurations")
    wardrobe.prepare()
    setups = [setup for setup in SETUPS if not args.only or setup.key in args.only]
    cuts: dict[str, list[PowerCut]] = {setup.key: [] for setup in setups}
    times = {}
    begun = host.now()
    for turn in range(args.runs):
        if args.minutes is not None and turn and host.now() - begun > args.minutes * 60:
            say(f"no further round after {args.minutes:g} minutes")
            break
        # By turns, so that whatever else the machine does meets all of them alike.
        for setup in setups:
            say(f"{turn + 1} of {args.runs}: the cluster takes up {setup.name}")
            wardrobe.put_on(setup)
            times[setup.key] = wardrobe.token()
            cut = cutter.cut()
            cuts[setup.key].append(cut)
            say(f"    {times[setup.key]}; {failover_tables.told(cut)}")
            cutter.wait_whole()
    return Result(
        suite=args.suite,
        nodes=args.nodes,
        runs=min(map(len, cuts.values())),
        times=times,
        cuts={key: tuple(found) for key, found in cuts.items()},
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
