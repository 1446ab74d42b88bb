"""kvmha drill: faults made on purpose, and what came of them.

Whatever verb is called, a drill whose runner has died is undone first.
"""

from __future__ import annotations

import json
import sys
from functools import partial

from kvmha.cli.drill import asking, ordering, running, telling
from kvmha.drill import catalogue, faults, journal, undoing
from kvmha.errors import UserError
from kvmha.host import SIGTERM, CommandError
from kvmha.record import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from kvmha.host import Host

ABORT_LIMIT = 180.0
"""Seconds for a runner to undo what it did."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "drill",
        help="make a fault on purpose, watch, undo it, and measure",
        description="Make a fault on purpose, watch what comes of it, undo it, and compare that with what should have "
        "happened. Nothing is done unless every gate is open, and without --destructive only what harms nobody.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    listed = verbs.add_parser("list", help="say which drills there are, and what each does")
    listed.add_argument("--json", action="store_true", help="as JSON")
    listed.set_defaults(handler=_list)
    running.add(verbs)
    abort = verbs.add_parser(
        "abort",
        help="end the drill that runs here, and undo what it did",
        description="End the drill that is run from this node, and undo what it, or one whose runner has died, or one "
        "that was aimed at this node, has left. Exit code 0: nothing of a drill is left; 2: something could not be "
        "undone.",
    )
    abort.set_defaults(handler=_abort)
    telling.add(verbs)
    _add_at_node(verbs)


def _list(args: argparse.Namespace, host: Host) -> int:
    recover_or_say(host)
    if args.json:
        print(json.dumps(plain(catalogue.DRILLS), indent=2))
        return 0
    for drill in catalogue.DRILLS:
        word = "destructive" if drill.is_destructive else "harmless"
        print(f"{drill.name} {drill.aim}  ({word})")
        print(f"    {drill.said}")
        print(f"    should lead to: {ordering.LEADS_TO[drill.leads_to]}")
        print(f"    undone: {drill.undone}")
    return 0


def _abort(args: argparse.Namespace, host: Host) -> int:
    """End what runs, and undo what is left."""
    for name in faults.undo(host):
        print(f"undone on this node: {name}")
    held = _end_runner(host)
    if held is None:
        raise UserError(f"the runner did not end within {ABORT_LIMIT:g} s; kill it, and call kvmha drill abort again")
    try:
        said = undoing.recover(asking.reach_of(host))
    finally:
        host.unlock(held)
    for line in said:
        print(line)
    print("no drill is under way")
    return 0


def _end_runner(host: Host) -> int | None:
    """End the drill that runs here, whatever it is doing; return the lock of drills, or None where it did not end."""
    until = host.now() + ABORT_LIMIT
    known = 0
    while True:
        held = host.lock(journal.LOCK, timeout=0.2)
        if held is not None or host.now() >= until:
            return held
        pid, name = journal.runner(host)
        # Once is enough: whoever undoes something hears it, and undoes that first.
        if pid != known and _is_runner(host, pid):
            known = pid
            print(f"ending the drill {name or 'that is about to begin'}", flush=True)
            host.kill(pid, SIGTERM, still=partial(_is_runner, host, pid), wait=max(until - host.now(), 0.0))


def _is_runner(host: Host, pid: int) -> bool:
    """Tell whether a process is kvmha drill run, or kvmha fence prove --power-cycle, which runs a drill."""
    return bool({"drill", "fence"} & set(host.cmdline(pid)))


def recover_or_say(host: Host) -> None:
    """Undo what drills have left whose runner has died, and say so; where that fails, say that and go on."""
    held = host.lock(journal.LOCK, timeout=0.0) if journal.unfinished(host) else None
    if held is None:
        return
    try:
        for line in undoing.recover(asking.reach_of(host)):
            print(f"kvmha: {line}", file=sys.stderr)
    except (UserError, CommandError) as error:
        print(f"kvmha: {error}", file=sys.stderr)
    finally:
        host.unlock(held)


# ------------------------------------------------------------- what a node does to itself


def _add_at_node(verbs: Any) -> None:
    parser = verbs.add_parser("at-node", description="What a runner has a node do to itself. Not for people.")
    words = parser.add_subparsers(metavar="WORD", required=True)
    handlers: dict[str, Callable[[argparse.Namespace, Host], int]] = {
        "hello": _hello, "watch": _watch, "undo": _undo, "ready": _ready, "strike": _strike, "hunt": _hunt,
        "hunted": _hunted, "load": _load,
    }  # fmt: skip
    for name, handler in handlers.items():
        word = words.add_parser(name)
        word.set_defaults(handler=handler)
        if name == "watch":
            word.add_argument("--interval", type=float, default=0.25)
        if name in ("ready", "strike"):
            word.add_argument("--node", required=True)
            word.add_argument("fault")
        if name == "hunt":
            word.add_argument("--guest", required=True)
            word.add_argument("--action", required=True)
        if name == "load":
            word.add_argument("--memory", type=int, default=0)
            word.add_argument("--send-to", action="append", default=[])


def _hello(args: argparse.Namespace, host: Host) -> int:
    from kvmha.drill import looking

    print(json.dumps({"operations": looking.operations(host), "drill": _under_way(host)}))
    return 0


def _under_way(host: Host) -> str:
    """Return the drill that is run from this node, or nothing."""
    held = host.lock(journal.LOCK, timeout=0.0)
    host.unlock(held)
    return "" if held is not None else journal.runner(host)[1] or "a drill"


def _watch(args: argparse.Namespace, host: Host) -> int:
    from kvmha.drill import looking

    looking.watch(host, interval=max(float(args.interval), 0.1))
    return 0


def _undo(args: argparse.Namespace, host: Host) -> int:
    print(json.dumps({"undone": list(faults.undo(host))}))
    return 0


def _fault(text: str) -> faults.Fault:
    try:
        told = json.loads(text)
        values = {name: told[name] for name in faults.Fault._fields if name in told}
        return faults.Fault(**{**values, "links": tuple(values.get("links", ()))})
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"the fault is not understood: {error}") from None


def _ready(args: argparse.Namespace, host: Host) -> int:
    print(faults.ready(host, args.node, _fault(args.fault)).said)
    return 0


def _strike(args: argparse.Namespace, host: Host) -> int:
    print(json.dumps(plain(faults.strike(host, args.node, _fault(args.fault)))), flush=True)
    return 0


def _hunt(args: argparse.Namespace, host: Host) -> int:
    from kvmha.drill import hunting

    hunting.hunt(host, args.guest, args.action)
    return 0


def _hunted(args: argparse.Namespace, host: Host) -> int:
    from kvmha.drill import hunting

    print(json.dumps({"at": hunting.found_at(host)}))
    return 0


def _load(args: argparse.Namespace, host: Host) -> int:
    from kvmha.drill import loading

    if args.memory:
        loading.take_memory(host, args.memory)
    loading.send(host, args.send_to)
    return 0
