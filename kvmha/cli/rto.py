"""kvmha rto: how long each guest is away after its node's death, foretold and measured, against what was promised."""

from __future__ import annotations

import argparse
import json
import sys

from kvmha import alert
from kvmha.alert import Alert
from kvmha.cli import cluster_source, status
from kvmha.drill import measuring
from kvmha.drill.reach import Reach
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.policy import ledger, timeline
from kvmha.policy.fencing_proof import ago
from kvmha.policy.ledger import Known
from kvmha.record import plain
from kvmha.tools import cib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kvmha.host import Host
    from kvmha.policy.ledger import Entry, Measured
    from kvmha.policy.snapshot import Snapshot

BROKEN = 1
"""The exit code where a promise would not be kept."""

ALERT_S = 30.0

KNOWN = "/var/lib/kvmha/rto.json"
"""What was foretold when --alert looked last."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "rto",
        help="show each guest's recovery time, foretold and measured",
        description="Show how long each guest would be away if its node died now, by the configuration of this moment, "
        "how long it really was, in drills and in real failures that the nodes' journals tell of, and what its "
        "clients were promised (recovery_limit of the description). Exit code 0: every promise is kept; 1: one is "
        "not, or that is not known; 2: bad input.",
    )
    cluster_source.add_options(parser)
    parser.add_argument(
        "--alert", action="store_true",
        help="send an alert for each promise that would not be kept any more, once for each change that makes it so",
    )  # fmt: skip
    parser.add_argument("--here", action="store_true", help="measurements of this node alone; ask no other")
    parser.add_argument("--measured", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="as JSON")
    # status.look judges room for one loss, as kvmha status does unless it is asked for pairs.
    parser.set_defaults(handler=run, pairs=False)


def run(args: argparse.Namespace, host: Host) -> int:
    """Print the ledger."""
    snapshot, judged = status.look(args, host)
    measured = _measured(args, host, snapshot)
    if args.measured:
        return 0
    entries = ledger.ledger(judged.guests, measured, now=host.wall_clock())
    broken = [entry for entry in entries if entry.verdict == ledger.BREAKS]
    if args.alert:
        _tell(host, entries)
    if args.json:
        print(json.dumps(plain(entries), indent=2))
    else:
        for line in lines(entries):
            print(line)
    return BROKEN if broken or any(entry.verdict == ledger.UNKNOWN for entry in entries) else 0


def _measured(args: argparse.Namespace, host: Host, snapshot: Snapshot) -> tuple[Measured, ...]:
    """Return what was measured: of a saved cluster by the drills of this node, else by drills and journals of all."""
    if args.cib:
        return measuring.of_drills(host).measured
    names = [guest.name for guest in snapshot.guests]
    own = measuring.here(host, names, detection_s=timeline.lost_after(snapshot).usual_s)
    if args.measured:
        print(json.dumps(plain(own)))
        return ()
    reach = Reach(host, host.name())
    others = [] if args.here else [node.name for node in snapshot.members if node.is_online and node.name != reach.here]
    told, silent = measuring.elsewhere(reach, others)
    for node, why in silent.items():
        print(f"kvmha: {node} was not asked for its measurements: {why}", file=sys.stderr)
    return measuring.merged((own, *told))


def _tell(host: Host, entries: tuple[Entry, ...]) -> None:
    """Send an alert for what is new, and remember what was foretold; where that cannot be kept, all of it is new."""
    written = _written(host)
    for entry, before in ledger.news(entries, _known(host)):
        alert.send(host, _alarm(entry, before, written), seconds=ALERT_S)
    now = host.wall_clock()
    told = {each.guest: [each.foretold_s, each.verdict, now] for each in entries}
    host.write(KNOWN, json.dumps(told), mode=0o600)


def _known(host: Host) -> dict[str, Known]:
    try:
        told = json.loads(host.read(KNOWN))
        return {
            str(name): Known(foretold_s=None if seconds is None else float(seconds), verdict=str(verdict), at=float(at))
            for name, (seconds, verdict, at) in told.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _written(host: Host) -> str:
    """Return who has written the cluster's configuration last, as Pacemaker notes it; nothing where nobody knows."""
    try:
        root = cib.tree(cib.live(host), "live")
    except (CommandError, UserError):
        return ""
    by = " with ".join(filter(None, (root.get("update-user"), root.get("update-client"))))
    on, at = root.get("update-origin"), root.get("cib-last-written")
    words = [word for word in (by and f"by {by}", on and f"on {on}", at and f"at {at}") if word]
    return f"the configuration was last written {' '.join(words)}" if words else ""


def _alarm(entry: Entry, before: Known | None, written: str) -> Alert:
    parts = [
        f"{entry.guest} would be away longer than the {entry.limit_s:g} s that were promised: {entry.said}",
        f"it was {before.foretold_s:.1f} s {_by_when(before)}" if before and before.foretold_s is not None else "",
        written,
    ]
    return Alert(
        kind="recovery-limit", subject=entry.guest, facts={"limit_s": f"{entry.limit_s:g}"},
        sentence="; ".join(filter(None, parts)),
    )  # fmt: skip


def _by_when(known: Known) -> str:
    """Return when something was foretold, in words of UTC."""
    import datetime

    when = datetime.datetime.fromtimestamp(known.at, datetime.timezone.utc)
    return f"by the configuration of {when:%Y-%m-%d %H:%M} UTC"


def lines(entries: tuple[Entry, ...]) -> Iterator[str]:
    """Yield the ledger as a table."""
    rows = [("guest", "foretold", "last", "median", "times", "measured", "promised", "")]
    for each in entries:
        age = ago(each.age_s) if each.age_s is not None else "never"
        times = [_seconds(value) for value in (each.foretold_s, each.last_s, each.median_s)]
        words = f"{each.verdict}{f': {each.said}' if each.said else ''}"
        rows.append((each.guest, times[0], times[1], times[2], str(each.count), age, _seconds(each.limit_s), words))
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    for row in rows:
        yield "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths)), row[7])).rstrip()


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
