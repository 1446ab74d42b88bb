"""kvmha lab demo: a cluster, a live migration, a power cut, and the failover with its phases."""

from __future__ import annotations

import argparse
import json

from kvmha.host import Host
from kvmha.record import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.lab.demo import Outcome
    from kvmha.lab.timeline import Moment


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser."""
    parser = subparsers.add_parser(
        "demo",
        help="bring a lab up, move a guest live, cut a host's power, and show the failover",
        description="Bring a lab up, move a guest live, cut the power of its host, and show the failover with its "
        "phases. Ends with 0 only if everything came back and no guest ever ran twice.",
    )
    parser.add_argument("--name", default="demo", help="name of the lab (default: demo)")
    parser.add_argument("--nodes", type=int, default=3, help="2 or 3 nodes (default: 3)")
    parser.add_argument("--suite", default="bookworm", help="Debian release of the nodes: bookworm or trixie")
    parser.add_argument(
        "--package",
        metavar="FILE",
        help="kvmha package for the nodes (default: the newest in dist/)",
    )
    parser.add_argument("--keep", action="store_true", help="leave the lab up and say how to look around")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace, host: Host) -> int:
    """Run the demonstration; 0 only if it showed what it should."""
    from kvmha.cli.lab import progress_printer
    from kvmha.lab.demo import Demo
    from kvmha.lab.lab import Lab, load
    from kvmha.lab.plan import make_plan

    lab = Lab(host, make_plan(args.name, nodes=args.nodes, suite=args.suite))
    was_there = load(host, args.name) is not None
    begun = host.now()
    outcome = None
    try:
        with progress_printer(quiet=args.json) as progress:
            lab.up(progress, package=args.package)
        say = _silent if args.json else _say
        say(f"lab {args.name} is up after {host.now() - begun:.0f} s")
        outcome = Demo(host, lab, say, _no_row if args.json else _Rows()).run()
    finally:
        # A lab that was there before, and that this run could do nothing with, is its owner's to remove.
        if not args.keep and not (was_there and outcome is None):
            lab.down()
    if args.json:
        print(json.dumps({**plain(outcome), "is_good": outcome.is_good}, indent=2))
    else:
        _print_outcome(outcome)
        if args.keep:
            _print_ways(args.name, outcome.victim)
    return 0 if outcome.is_good else 1


class _Rows:
    """The timeline, a row at a time as it becomes known."""

    def __init__(self) -> None:
        self._has_head = False

    def __call__(self, moment: Moment, cut_at: float) -> None:
        if not self._has_head:
            self._has_head = True
            print(
                f"\n  {'seconds':>8}  {'what':<18}  {'whom':<6}  where\n  {'-' * 8}  {'-' * 18}  {'-' * 6}  -----",
                flush=True,
            )
        print(f"  {moment.at - cut_at:8.2f}  {moment.phase:<18}  {moment.subject:<6}  {moment.node}", flush=True)


def _no_row(_moment: Moment, _cut_at: float) -> None:
    pass


def _say(text: str) -> None:
    print(f"* {text}", flush=True)


def _silent(_text: str) -> None:
    pass


def _print_outcome(outcome: Outcome) -> None:
    from rich.console import Console
    from rich.table import Table

    move = outcome.move
    table = Table(title=f"Recovery after the power cut of {outcome.victim}, seconds from the cut")
    for column in ("", "on", "start asked", "QEMU running", "answers", "a client waited"):
        table.add_column(column, justify="left" if column in ("", "on") else "right")
    for back in outcome.recoveries:
        times = (back.start_asked, back.qemu_running, back.answers, back.gap)
        table.add_row(back.name, back.node or "-", *("-" if time is None else f"{time:.2f}" for time in times))
    console = Console(soft_wrap=True)
    console.print()
    console.print(table)
    same = "the same boot" if move.is_same_boot else "ANOTHER BOOT: it was restarted"
    console.print(
        f"live migration of {move.guest} from {move.source} to {move.target}: "
        f"a client waited {move.gap * 1000:.0f} ms at most, {same}"
    )
    if outcome.ran_twice:
        for sentence in outcome.ran_twice:
            console.print(f"RAN TWICE: {sentence}", style="bold red")
    else:
        console.print(
            f"no guest ever ran twice: {outcome.looks} looks at all QEMU processes by UUID, "
            f"never more than {outcome.longest_pause * 1000:.0f} ms apart"
        )
    console.print(
        "all came back" if outcome.all_back else "NOT ALL CAME BACK",
        style=None if outcome.all_back else "bold red",
    )


def _print_ways(name: str, victim: str) -> None:
    print(f"""
The lab stays up. To look around:
  kvmha lab status --name {name}                       nodes, guests, addresses
  kvmha lab shell --name {name} n1 pcs status          any command in a node; without one, a shell
  kvmha lab console --name {name} web1                 a guest's console (Ctrl-] leaves it)
  kvmha lab power --name {name} {victim} cycle             cut a node's power and give it back
  kvmha lab cut --name {name} n1 --link 0              unplug a cable; heal n1 plugs it in again
  kvmha lab down --name {name}                         remove everything
From a checkout, say .venv/bin/python -m kvmha instead of kvmha.""")
