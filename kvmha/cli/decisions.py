"""kvmha decisions: what was decided on this node, when and why."""

from __future__ import annotations

import json

from kvmha import journal
from kvmha.errors import UserError
from kvmha.record import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from kvmha.host import Host
    from kvmha.policy.decisions import Entry

SHOWN = 50


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "decisions",
        help="what was decided on this node, and why",
        description="List the decisions that the commands and agents of this node have written down, the newest first: "
        "refused starts, admissions, answers of what-if and quorum, the survivor of a pair. kvmha replay ID makes one "
        "of them again.",
    )
    parser.add_argument("id", metavar="ID", nargs="?", help="show this one whole, with its inputs and alternatives")
    parser.add_argument("--guest", metavar="GUEST", help="only those that concern this guest")
    parser.add_argument("--limit", metavar="N", type=int, default=SHOWN, help=f"at most so many (default {SHOWN})")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=show)


def show(args: argparse.Namespace, host: Host) -> int:
    """Print one decision, or the list."""
    if args.id:
        entry = journal.read(host, args.id)
        if args.json:
            print(json.dumps(plain(entry), indent=2))
        else:
            _print_whole(entry)
        return 0
    if args.limit < 1:
        raise UserError(f"--limit is {args.limit}; expected 1 or more")
    chosen: list[Entry] = []
    for entry in journal.entries(host):
        if len(chosen) >= args.limit:
            break
        if not args.guest or args.guest in entry.guests:
            chosen.append(entry)
    if args.json:
        print(json.dumps([_headline(entry) for entry in chosen], indent=2))
        return 0
    for entry in chosen:
        overridden = " (overridden)" if entry.overridden else ""
        print(f"{entry.id}  {entry.subject}{overridden}: {entry.said}")
    if not chosen:
        about = f" about {args.guest}" if args.guest else ""
        print(f"no decision{about} was written down on this node")
    return 0


def _headline(entry: Entry) -> dict[str, Any]:
    return {name: plain(getattr(entry, name)) for name in entry._fields if name not in ("inputs", "answer")}


def _print_whole(entry: Entry) -> None:
    print(f"{entry.subject}: {entry.said}")
    print(f"when        {_moment(entry.at)}, on {entry.node or 'an unknown node'}, by kvmha {entry.version}")
    if entry.overridden:
        print("overridden  somebody went on against it")
    print(f"rules       {', '.join(entry.rules)}")
    for alternative in entry.alternatives:
        print(f"alternative {_words(alternative)}")
    for name, value in entry.inputs.items():
        print(f"input       {name}: {_words(value)}")
    print(f"again       kvmha replay {entry.id}")


def _moment(at: float) -> str:
    from datetime import datetime, timezone

    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _words(value: Any) -> str:
    """Write a value in one line, without the fields that say nothing."""
    if isinstance(value, dict):
        fields = value.get("fields")
        inner = fields if isinstance(fields, dict) else value
        return ", ".join(f"{name} {_words(each)}" for name, each in inner.items() if each not in (None, "", [], {}))
    if isinstance(value, list):
        return f"[{'; '.join(_words(each) for each in value)}]"
    return str(value)
