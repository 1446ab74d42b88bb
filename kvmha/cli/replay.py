"""kvmha replay: a decision made again, from the inputs that were written down, by today's code."""

from __future__ import annotations

import json

from kvmha import journal
from kvmha.errors import UserError
from kvmha.policy import decisions
from kvmha.record import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from kvmha.host import Host

DIFFERENT = 1


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "replay",
        help="make a decision again, from its inputs",
        description="Give the inputs of a decision that was written down to the code of today, and compare the "
        "answers. The exit code is 0 where they are the same, else 1. Nothing is done.",
    )
    parser.add_argument("id", metavar="ID", help="the decision, as kvmha decisions lists it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=show)


def show(args: argparse.Namespace, host: Host) -> int:
    """Print whether today's answer is the same, and where it differs."""
    entry = journal.read(host, args.id)
    try:
        found = decisions.again(entry)
    except decisions.Unreadable as error:
        raise UserError(f"{entry.id} of kvmha {entry.version} cannot be made again: {error}") from None
    if args.json:
        values = {"id": entry.id, "version": entry.version, "was": entry.answer, **plain(found)}
        print(json.dumps(values, indent=2))
        return 0 if found.is_same else DIFFERENT
    print(f"{entry.subject}: {entry.said}")
    if found.is_same:
        print("today's code gives the same answer")
        return 0
    print(f"today's code gives another answer than kvmha {entry.version} did:")
    for difference in found.differences:
        print(f"    {difference}")
    return DIFFERENT
