"""kvmha whatif: what a failure or a change would do, asked of Pacemaker's own scheduler."""

from __future__ import annotations

import json
import tempfile

from kvmha import journal
from kvmha.cli import cluster_source
from kvmha.errors import UserError
from kvmha.policy import timing
from kvmha.policy.failover import ERROR
from kvmha.policy.whatif import STAYS
from kvmha.record import plain
from kvmha.whatif import events, picture, words
from kvmha.whatif.asking import Asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from kvmha.host import Host
    from kvmha.policy.whatif import Answer

ALARMING = 1
"""The exit code where the plan would not work in reality, or a guest would not come back."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    table = "; ".join(f"{' '.join((word, *names))}: {said}" for word, (names, said) in events.WORDS.items())
    parser = subparsers.add_parser(
        "whatif",
        help="say what a failure or a change would do",
        description="Say what would happen: Pacemaker's own scheduler (crm_simulate) plans on a changed CIB, and "
        "what it does not know is put beside it: quorum, the time that each step takes, memory, DRBD, fencing that "
        "was never proven. Nothing is changed in the cluster. Exit code 0: all that serves comes back; 1: something "
        "does not, or the plan would not work; 2: bad input.",
        epilog=f"Events: {table}. Several happen at the same time; `then` between two lets the cluster come to rest.",
    )
    parser.add_argument("events", metavar="EVENT", nargs="+", help="such as: kill n1")
    cluster_source.add_options(parser)
    parser.add_argument("--svg", metavar="FILE", help="write the timeline as a picture, too")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace, host: Host) -> int:
    """Ask, and print the answer."""
    with tempfile.TemporaryDirectory(prefix="kvmha-") as folder:
        source = cluster_source.load(args, host, folder)
        asking = Asking(
            host, source.text, read=source.read, folder=folder,
            bandwidth=source.bandwidth or timing.DEFAULT_BANDWIDTH_MIB_S,
        )  # fmt: skip
        answer = asking.ask(args.events)
    if args.svg:
        try:
            host.write(args.svg, picture.svg(answer))
        except OSError as error:
            raise UserError(f"cannot write {args.svg}: {error.strerror}") from error
    if args.json:
        print(json.dumps({**plain(answer), "alarming": answer.is_alarming}, indent=2))
    else:
        for line in words.lines(answer):
            print(line)
    _record(host, args.events, asking, answer)
    return ALARMING if answer.is_alarming else 0


def _record(host: Host, asked: list[str], asking: Asking, answer: Answer) -> None:
    """Write it down, with what the scheduler said, so that it can be judged again without it."""
    alarms = [caution for phase in answer.phases for caution in phase.cautions if caution.severity == ERROR]
    struck = {fate.name for phase in answer.phases for fate in phase.fates if fate.how != STAYS}
    journal.record(
        host, "whatif", {"asked": tuple(asking.asked), "bandwidth": asking.bandwidth}, answer.phases,
        subject=f"what if {' '.join(asked)}",
        said=f"{alarms[0].subject}: {alarms[0].said}" if alarms else f"{len(struck)} do not stay, and all come back",
        guests=sorted(struck),
    )  # fmt: skip
