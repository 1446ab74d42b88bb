"""kvmha drbd: look at DRBD resources, and mend what only a person may decide.

Each of these runs on one node and does that node's part. What the other side looks like, it learns from DRBD while the
two are connected, and else by ssh as root where keys allow it without a question. What it could not see it says, and
what remains to be done there it prints as a command.
"""

from __future__ import annotations

import importlib
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from kvmha.host import Host


def add(subparsers: Any) -> None:
    """Add the verb with its subverbs to the command line."""
    parser = subparsers.add_parser("drbd", help="look at DRBD resources, and mend them", description=__doc__)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_status(verbs)
    _add_sync(verbs)
    _add_verify(verbs)
    _add_heal(verbs)
    _add_promote(verbs)


def _add_status(verbs: Any) -> None:
    verb = verbs.add_parser(
        "status",
        help="show each side of the resources of this node",
        description="Show each side of the resources of this node, and what is wrong. Exit code 0: all is well, "
        "1: redundancy is reduced, or more.",
    )
    verb.add_argument("resource", nargs="?", metavar="RESOURCE", help="this one only")
    verb.add_argument("--here", action="store_true", help="this node's own view only; no other node is asked")
    verb.add_argument("--json", action="store_true", help="print it as JSON")
    verb.set_defaults(handler=partial(_serve, "status"))


def _add_sync(verbs: Any) -> None:
    verb = verbs.add_parser(
        "sync",
        help="show how far a synchronisation is, until it is done",
        description="Show how far the synchronisation of a resource has come, how fast it goes and how long it will "
        "take, until both sides are up to date. Exit code 1 if it cannot go on.",
    )
    verb.add_argument("resource", metavar="RESOURCE")
    verb.add_argument("--once", action="store_true", help="one look, and no waiting")
    verb.add_argument("--json", action="store_true", help="print each look as a line of JSON")
    verb.set_defaults(handler=partial(_serve, "sync"))


def _add_verify(verbs: Any) -> None:
    verb = verbs.add_parser(
        "verify",
        help="compare the two sides block by block, while they are in use",
        description="Let DRBD compare all blocks of a resource on both sides while it is in use, show how far it is, "
        "and what differs. Exit code 0: the sides are equal, 1: they differ, or were not compared to the end.",
    )
    verb.add_argument("resource", nargs="?", metavar="RESOURCE", help="this one; or --all")
    verb.add_argument("--all", action="store_true", dest="everything",
                      help="each resource that is promoted on this node, one after the other")  # fmt: skip
    verb.add_argument("--json", action="store_true", help="print the result as JSON")
    verb.set_defaults(handler=partial(_serve, "verify"))


def _add_heal(verbs: Any) -> None:
    verb = verbs.add_parser(
        "heal",
        help="end a split brain by giving up one side's changes",
        description="Explain both sides of a split brain, and end it by giving up what one of them has written since "
        "they parted. Runs on either node; what it cannot do on the other one by ssh, it prints as a command.",
    )
    verb.add_argument("resource", metavar="RESOURCE")
    verb.add_argument("--discard", metavar="NODE", help="the side whose changes are given up; without it: explain only")
    verb.add_argument("--confirm", metavar="RESOURCE", help="the resource's name once more, instead of being asked")
    verb.add_argument("--no-wait", action="store_true", help="do not wait until both sides are up to date")
    verb.add_argument("--here", action="store_true", help="this node's part only; the other node is not asked")
    verb.add_argument("--json", action="store_true", help="print what is known of both sides as JSON")
    verb.set_defaults(handler=partial(_serve, "heal"))


def _add_promote(verbs: Any) -> None:
    verb = verbs.add_parser(
        "promote",
        help="let this node's data be promoted although a peer may have newer ones",
        description="Say what stands against promoting a resource on this node and what may be lost, and with "
        "--accept-loss let the cluster promote it all the same. For when the other node will not come back.",
    )
    verb.add_argument("resource", metavar="RESOURCE")
    verb.add_argument("--accept-loss", action="store_true", help="do it; the name is asked for once more")
    verb.add_argument("--confirm", metavar="RESOURCE", help="the resource's name once more, instead of being asked")
    verb.add_argument("--wait", type=int, default=120, metavar="SECONDS",
                      help="how long to wait for the cluster (default: %(default)s)")  # fmt: skip
    verb.add_argument("--json", action="store_true", help="print what may be lost as JSON")
    verb.set_defaults(handler=partial(_serve, "promote"))


def _serve(verb: str, args: argparse.Namespace, host: Host) -> int:
    """Run a verb, which is the module of its name; each is imported only when it is asked for."""
    module = importlib.import_module(f"{__name__}.{verb}")
    code: int = module.run(args, host)
    return code
