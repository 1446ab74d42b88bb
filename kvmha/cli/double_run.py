"""kvmha double-run: an observer that tells when a guest is active twice."""

from __future__ import annotations

import json

from kvmha.drill import double_run
from kvmha.drill.reach import Reach
from kvmha.errors import UserError
from kvmha.record import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from kvmha.drill.records import Breach
    from kvmha.host import Host

FOUND = 1
"""The exit code where something was active twice."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "double-run",
        help="observe all nodes, and tell when a guest is active twice",
        description="Observe the QEMU processes of all nodes, without asking the cluster, and send an alert when a "
        "guest executes on two nodes, or a MAC address is in use twice. Nothing is done about it. Exit code 0: "
        "nothing was; 1: something was; 2: bad input.",
    )
    parser.add_argument("--seconds", metavar="S", help="observe for so long (default: for ever)")
    parser.add_argument("--json", action="store_true", help="what is found as JSON, one object to a line")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace, host: Host) -> int:
    """Observe."""
    seconds = None
    if args.seconds is not None:
        if not args.seconds.isdecimal() or not int(args.seconds):
            raise UserError(f'--seconds: "{args.seconds}" is no number of seconds, 1 or more')
        seconds = float(args.seconds)
    names = double_run.nodes(host)
    here = host.name()
    if here not in names:
        raise UserError(f"this host is called {here}, and the nodes are {', '.join(names)}")

    def tell(breach: Breach) -> None:
        print(json.dumps(plain(breach)) if args.json else breach.said, flush=True)
        double_run.send(host, breach)

    return FOUND if double_run.observe(host, Reach(host, here), names, seconds=seconds, tell=tell) else 0
