"""kvmha migrate: a guest to another node, through Pacemaker: it arrives, or it stays, for a stated reason."""

from __future__ import annotations

import argparse
import json
import sys

from kvmha import journal
from kvmha.cli.moving import admission, after, cut_short, decided, forecasting, local_disks, through_pacemaker
from kvmha.cli.moving.copying import Carrying, CopyError
from kvmha.cli.moving.sight import Sight
from kvmha.cli.moving.through_pacemaker import MOVED, Move
from kvmha.cli.moving.watching import Watch
from kvmha.cli.preflight import VERDICTS, told
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.policy import copying, migration, movability
from kvmha.record import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kvmha.cli.moving.sight import GuestSight
    from kvmha.host import Host
    from kvmha.policy.copying import Copying
    from kvmha.policy.forecast import Forecast
    from kvmha.policy.migration import Preflight, View
    from kvmha.policy.performance import Sample

PATIENCE_AFTER_ABORT = 60.0
"""Seconds in which a move that is aborted by the operator is over."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "migrate",
        help="move a guest to another node, through the cluster",
        description="Look whether a guest can move, forecast what it takes, and have Pacemaker move it by a constraint "
        "that is removed again. Ctrl-C aborts the move, and the guest stays where it is. Exit code 0: it arrived and "
        "is well; 1: it did not, and why; 2: bad input, or a move that would fail.",
    )
    parser.add_argument("guest", metavar="GUEST", help="a resource of ocf:kvmha:VirtualDomain")
    parser.add_argument("node", metavar="NODE", nargs="?", help="the target; without it the one with most free memory")
    parser.add_argument("--cold", action="store_true", help="shut it down here and start it there")
    parser.add_argument(
        "--copy-disks",
        action="store_true",
        help="--cold, and copy the disks that are files of its node to the target, and compare their checksums",
    )
    parser.add_argument(
        "--override", "--force", action="store_true",
        help="even if a guest loses its place for a host's loss, and log that",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the plan, and move nothing")
    parser.add_argument("--measure-path", action="store_true", help="send 32 MiB to see what the path carries")
    parser.add_argument(
        "--no-probe", action="store_true", help="do not measure how fast the guest writes, nor how it does"
    )
    parser.add_argument("--json", action="store_true", help="print the plan, or the result, as JSON")
    parser.set_defaults(handler=handler)


def handler(args: argparse.Namespace, host: Host) -> int:
    """Plan, refuse, move, prove."""
    sight = Sight(host)
    if cut_short.mend(sight, args.guest, may_change=not args.dry_run, say=_printer(args.json)):
        sight = Sight(host)
    sight.measures_path = args.measure_path
    guest = sight.guest(args.guest)
    if args.node and (sight.node(args.node),) == guest.nodes:
        raise UserError(f"{guest.name} runs on {args.node} already")
    view, preflight = choose(sight, guest, args.node)
    wants_cold = args.cold or args.copy_disks
    is_cold = wants_cold or preflight.verdict == movability.COLD
    refuse(preflight, is_cold=wants_cold or guest.agent.param("migration_mode") == "cold")
    disks = _disks(sight, guest, view.target) if args.copy_disks else None
    goes_on = args.override and not args.dry_run
    against = admission.against_move(sight, guest.name, view.target, is_forced=goes_on)
    if against and not args.override:
        raise UserError(f"{'; '.join(against)}; --override moves {guest.name} all the same")
    for said in against if goes_on else ():
        journal.warn(f"migrate {guest.name} {view.target} --override, against {said}")
    made = None
    if not is_cold and view.guest.memory_mib:
        memory = view.guest.memory_mib
        basis = forecasting.basis(host, guest, view.path, memory_mib=memory, measures=not args.no_probe)
        made = forecasting.make(guest, basis)
        decided.forecast(host, guest.name, view.target, forecasting.inputs(guest, basis), made)
    if args.dry_run or not args.json:
        _plan(preflight, made, disks, is_cold=is_cold, as_json=args.json)
    if args.dry_run:
        return 0
    carrying = Carrying(sight, guest, view.target, disks, say=_printer(args.json)) if disks is not None else None
    if carrying is not None:
        try:
            carrying.run()
        except CopyError as error:
            print(f"kvmha: {guest.name} was not moved: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    # A guest that boots does other things than one that ran for long, and tells nothing about the node.
    before = None if is_cold or args.no_probe else after.sample(sight, guest, guest.source)
    move = Move(sight, guest, view.target, is_cold=is_cold, held_s=carrying.elapsed if carrying is not None else None)
    was_aborted = run(sight, move, made, is_quiet=args.json)
    code = _end(sight, move, made, before, carrying, as_json=args.json)
    return 130 if was_aborted else code


def _end(
    sight: Sight,
    move: Move,
    made: Forecast | None,
    before: Sample | None,
    carrying: Carrying | None,
    *,
    as_json: bool,
) -> int:
    """Look at what became of it, say so, and return the exit code; how it does is told, and no failure."""
    found = after.check(sight, move) if move.state == MOVED else ()
    is_well = move.state == MOVED and all(each.is_well for each in found)
    if carrying is not None and move.state == MOVED:
        carrying.forget()
    found += after.compared(sight, move, before) if is_well else ()
    if as_json:
        result = {**plain(move.result()), "forecast": plain(made), "check": plain(found)}
        if carrying is not None:
            result["copied"] = [{"path": file.path, **plain(each)} for file, each in carrying.pairs()]
            result["set_aside"] = carrying.set_aside
        print(json.dumps(result))
    else:
        print(sentence(move))
        for each in found:
            print(f"    {each.said}")
        for path, new in carrying.set_aside.items() if carrying is not None else ():
            print(f"    the disk of {move.source} is now {new}; only {move.target} can start the guest from {path}")
    return 0 if is_well else 1


def _disks(sight: Sight, guest: GuestSight, target: str) -> Copying:
    """Return what is copied. Raises UserError with all that speaks against it."""
    view = local_disks.look(sight, guest, target)
    found = copying.decide(view)
    decided.disks(sight.host, view, found)
    if found.reasons:
        raise UserError("; ".join(each.said for each in found.reasons))
    return found


def _printer(is_quiet: bool) -> Callable[[str], None]:
    return lambda text: print(text, file=sys.stderr if is_quiet else sys.stdout, flush=True)


def choose(sight: Sight, guest: GuestSight, node: str | None) -> tuple[View, Preflight]:
    """Return what is known of a target, the one that is named or the best, and the verdict on it."""
    guest.source  # noqa: B018 (it raises for a guest that runs nowhere, or twice)
    targets = [node] if node else [name for name in sight.nodes if name != guest.source]
    if not targets:
        raise UserError(f"there is no other node that {guest.name} could move to")
    found = [(view, migration.decide(view)) for view in (sight.view(guest, target) for target in targets)]
    order = movability.VERDICTS.index
    best = min(found, key=lambda each: (order(each[1].verdict), -(each[0].there.free_mib or 0.0), each[0].target))
    decided.target(sight.host, *best, [each[1] for each in found if each is not best])
    return best


def refuse(preflight: Preflight, *, is_cold: bool) -> None:
    """Raise UserError for a move that would fail, and for one with downtime that nobody asked for."""
    if preflight.verdict == movability.REFUSED:
        raise UserError("; ".join(each.said for each in preflight.reasons if each.effect == movability.TIES))
    if preflight.verdict == movability.COLD and not is_cold:
        why = "; ".join(each.said for each in preflight.reasons if each.effect == movability.FORBIDS)
        raise UserError(f"{preflight.guest} cannot move live: {why}; --cold shuts it down and starts it there")


def run(sight: Sight, move: Move, made: Forecast | None, *, is_quiet: bool) -> bool:
    """Do one move to its end; tell whether it was interrupted. Raises CommandError where the cluster does not obey."""
    watch = Watch(sight, {move.guest.name: made}, is_quiet=is_quiet)
    was_aborted = False
    try:
        move.begin()
        try:
            watch.until_over(lambda: () if move.is_over else (move,))
        except KeyboardInterrupt:
            was_aborted = True
            print("aborting the move; the guest stays where it is", file=sys.stderr)
            move.abort()
            _wait(sight, move)
    finally:
        try:
            move.finish()
        except CommandError as error:
            print(
                f"kvmha: what {move.guest.name}'s move left in the configuration was not removed ({error}): the "
                "cluster leaves the guest alone until the command is run again, which ends that first",
                file=sys.stderr,
            )
    return was_aborted


def _wait(sight: Sight, move: Move) -> None:
    until = sight.host.now() + PATIENCE_AFTER_ABORT
    while not move.is_over and sight.host.now() < until:
        sight.host.sleep(1.0)
        sight.refresh()
        move.look()


def sentence(move: Move) -> str:
    """Return what became of a guest."""
    found = move.result()
    name, took = found.guest, f"{found.seconds:.1f} s"
    if found.result == MOVED:
        if found.is_cold:
            return f"{name} was shut down on {found.source} and started on {found.target}, away for {took} at most"
        pause = f", its pause {found.downtime_ms} ms" if found.downtime_ms is not None else ""
        return f"{name} moved from {found.source} to {found.target} in {took}{pause}"
    words = {
        through_pacemaker.STAYED: f"did not move and runs on {found.source} as before",
        through_pacemaker.RESTARTED: f"was restarted on {found.target}: its memory is lost",
        through_pacemaker.NOWHERE: "runs nowhere now, and the cluster decides what to do",
        through_pacemaker.LATE: f"has neither arrived nor stayed after {took}; the cluster goes on by itself",
    }
    return f"{name} {words.get(found.result, found.result)}{f': {found.reason}' if found.reason else ''}"


def _plan(preflight: Preflight, made: Forecast | None, disks: Copying | None, *, is_cold: bool, as_json: bool) -> None:
    files = disks.files if disks is not None else ()
    if as_json:
        print(json.dumps({**plain(preflight), "is_cold": is_cold, "forecast": plain(made), "copies": plain(files)}))
        return
    verdict = VERDICTS[movability.COLD] if is_cold else VERDICTS[preflight.verdict]
    print(f"{preflight.guest} {verdict}, from {preflight.source} to {preflight.target}")
    for reason in preflight.reasons:
        if reason.effect != movability.ALLOWS:
            print(f"    {reason.said}")
    for file in files:
        print(f"    {file.path} is copied, {file.allocated / 1048576:.0f} MiB")
    if made is not None:
        print(f"    forecast: {told(made)}")
        for advice in made.advice:
            print(f"              {advice}")
    sys.stdout.flush()
