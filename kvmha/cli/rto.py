"""kvmha rto: how long each guest is away after its node's death, foretold and measured, against what was promised."""

from __future__ import annotations

import json

from kvmha import alert
from kvmha.alert import Alert
from kvmha.cli import cluster_source, status
from kvmha.drill import catalogue, journal
from kvmha.drill.records import FENCED
from kvmha.policy import ledger
from kvmha.policy.fencing_proof import ago
from kvmha.record import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from kvmha.host import Host
    from kvmha.policy.ledger import Entry, Measured

BROKEN = 1
"""The exit code where a promise would not be kept."""

ALERT_S = 30.0


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "rto",
        help="show each guest's recovery time, foretold and measured",
        description="Show how long each guest would be away if its node died now, by the configuration of this moment, "
        "how long it really was in the drills that were run from this node, and what its clients were promised "
        "(recovery_limit of the description). Exit code 0: every promise is kept; 1: one is not, or that is not "
        "known; 2: bad input.",
    )
    cluster_source.add_options(parser)
    parser.add_argument("--alert", action="store_true", help="send an alert for each promise that would not be kept")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace, host: Host) -> int:
    """Print the ledger."""
    _, judged = status.look(args, host)
    entries = ledger.ledger(judged.guests, measured(host), now=host.wall_clock())
    broken = [entry for entry in entries if entry.verdict == ledger.BREAKS]
    for entry in broken if args.alert else ():
        alert.send(host, _alarm(entry), seconds=ALERT_S)
    if args.json:
        print(json.dumps(plain(entries), indent=2))
    else:
        for line in lines(entries):
            print(line)
    return BROKEN if broken or any(entry.verdict == ledger.UNKNOWN for entry in entries) else 0


def measured(host: Host) -> Iterator[Measured]:
    """Yield what the drills of this node have measured of guests whose node was taken away."""
    taking = {drill.name for drill in catalogue.DRILLS if drill.leads_to == FENCED}
    for outcome in journal.outcomes(host):
        if outcome.order.drill not in taking or outcome.struck_at is None:
            continue
        for each in outcome.recoveries:
            # A client that waited for a guest of another node waited for the network, or a busy machine.
            if each.took is not None and each.started is not None:
                yield ledger.Measured(
                    guest=each.name, seconds=round(each.took, 2), at=outcome.struck_at, drill=outcome.order.drill
                )  # fmt: skip


def _alarm(entry: Entry) -> Alert:
    return Alert(
        kind="recovery-limit", subject=entry.guest, facts={"limit_s": f"{entry.limit_s:g}"},
        sentence=f"{entry.guest} would be away longer than the {entry.limit_s:g} s that were promised: {entry.said}",
    )  # fmt: skip


def lines(entries: tuple[Entry, ...]) -> Iterator[str]:
    """Yield the ledger as a table."""
    rows = [("guest", "foretold", "last", "median", "drills", "measured", "promised", "")]
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
