"""kvmha status: what runs where, and whether the cluster is protected."""

from __future__ import annotations

import json
import tempfile
import time

from kvmha.cli import cluster_source
from kvmha.cli.drbd.status import redundancies
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.policy import protection
from kvmha.policy.protection import BAD, REDUCED, UNKNOWN, WELL, Point
from kvmha.record import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from kvmha.host import Host
    from kvmha.policy.protection import Status
    from kvmha.policy.snapshot import Snapshot

UNPROTECTED = 1
"""The exit code where anything is not well."""

PAUSE = 5.0
"""Seconds between two looks of --watch: each one asks the cluster and the scheduler once."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "status",
        help="say what runs where, and whether the cluster is protected",
        description="Say what runs where, and whether the cluster is protected: nodes, quorum and its margin, fencing "
        "and when it was proven, room for the guests of a lost node, DRBD, what failed or is under way; and how long "
        "each guest would be away if its node died now. Exit code 0: all is well; 1: something is not; 2: bad input.",
    )
    cluster_source.add_options(parser)
    parser.add_argument(
        "--pairs", action="store_true", help="ask for room after the loss of any two nodes, and not of one only"
    )
    parser.add_argument("--watch", action="store_true", help="full screen, looked at every few seconds; ^C ends")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace, host: Host) -> int:
    """Look once, or go on looking."""
    if args.watch and args.json:
        raise UserError("--watch is for people and --json for programs; give one of them")
    if args.watch:
        return _watch(args, host)
    snapshot, status = look(args, host)
    if args.json:
        said = {"level": status.level, **plain(status), "nodes": plain(snapshot.nodes)}
        print(json.dumps({**said, "resources": plain(snapshot.resources), "unread": plain(snapshot.unread)}, indent=2))
    else:
        from rich.console import Console

        from kvmha.observe.status_view import view

        Console(highlight=False).print(view(snapshot, status, taken=_taken(snapshot)))
    return 0 if status.level == WELL else UNPROTECTED


def look(args: argparse.Namespace, host: Host) -> tuple[Snapshot, Status]:
    """Return the cluster as it is now, and what that means."""
    with tempfile.TemporaryDirectory(prefix="kvmha-") as folder:
        source = cluster_source.load(args, host, folder)
        snapshot = source.read(source.text, "").replace(at=host.wall_clock())
    snapshot = cluster_source.as_seen(snapshot, source.status)
    status = protection.judge(snapshot, now=snapshot.at, losses=2 if args.pairs else 1)
    if source.status is not None:
        status = status.replace(points=(*status.points, *_seen_here(host)))
    return snapshot, status


def _seen_here(host: Host) -> tuple[Point, ...]:
    """Return what DRBD itself says on this node, which knows more than the promotion scores in the cluster."""
    try:
        found = redundancies(host)
    except CommandError as error:
        return (Point(name="drbd here", level=UNKNOWN, said=f"DRBD does not answer: {error}"),)
    levels = {"well": WELL, "reduced": REDUCED, "failed": BAD}
    short = [each for each in found if each.level != "well"]
    if found and not short:
        return (Point(name="drbd here", level=WELL, said=f"{len(found)} resources have all their copies in step"),)
    return tuple(Point(name="drbd here", level=levels.get(each.level, UNKNOWN), said=each.sentence) for each in short)


def _taken(snapshot: Snapshot) -> str:
    return time.strftime("%H:%M:%S", time.localtime(snapshot.at)) if snapshot.at is not None else ""


def _watch(args: argparse.Namespace, host: Host) -> int:
    """Show it on a screen of its own until somebody ends it; a cluster that does not answer is shown as that."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from kvmha.observe.status_view import view

    level = ""
    try:
        with Live(Text("asking the cluster"), console=Console(), screen=True, auto_refresh=False) as live:
            while True:
                try:
                    snapshot, status = look(args, host)
                    level = status.level
                    live.update(view(snapshot, status, taken=_taken(snapshot)), refresh=True)
                except (CommandError, UserError) as error:
                    if not level:
                        raise
                    live.update(
                        Text(f"{time.strftime('%H:%M:%S')}  the cluster does not answer: {error}"), refresh=True
                    )
                host.sleep(PAUSE)
    except KeyboardInterrupt:
        return 0 if level == WELL else UNPROTECTED
