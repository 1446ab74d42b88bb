"""kvmha cluster diff and kvmha cluster apply: a cluster.yaml beside the cluster that is there."""

from __future__ import annotations

import functools
import json
import shlex
import sys

from kvmha import journal
from kvmha.cli import cluster_admission
from kvmha.cluster import apply, apply_plan, commands, description, facts, lint, set_up
from kvmha.cluster import difference as differences
from kvmha.errors import UserError
from kvmha.record import plain
from kvmha.tools import cib, crmsh, pcs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from typing import Any

    from kvmha.cluster.apply_plan import Plan, Wanted
    from kvmha.cluster.difference import Difference, FieldChange
    from kvmha.host import Host

DIFFERENT, FAILED = 1, 1


def add(verbs: Any) -> None:
    """Add the two verbs to those of kvmha cluster."""
    diff = verbs.add_parser(
        "diff",
        help="show what is different on the cluster of this node",
        description="Show what kvmha cluster apply would change on the cluster of this node, in words and as commands, "
        "and what was changed there by hand and would be kept. The exit code is 0 where nothing would change, else 1.",
    )
    _arguments(diff)
    diff.add_argument(
        "--flavour", choices=tuple(commands.FLAVOURS), help="whose commands to show (default: pcs, if it is here)"
    )
    diff.set_defaults(handler=show)
    verb = verbs.add_parser(
        "apply",
        help="make the cluster what the description says",
        description="Set the cluster up, or change the one that is there, until it is what cluster.yaml says. Fencing "
        "comes before guests; what was changed by hand is kept; nothing restarts unless that is allowed. A run that "
        "was interrupted is started again. Run it as root on a node; the first time HACLUSTER_PASSWORD has to be set.",
    )
    _arguments(verb)
    verb.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    verb.add_argument(
        "--allow-restart", action="store_true", help="go on although services would restart, move or stop"
    )
    verb.add_argument(
        "--override", action="store_true",
        help="go on although a guest would have no place if a host were lost, and log that",
    )  # fmt: skip
    verb.add_argument("--force", action="store_true", help="go on against kvmha cluster check, and log that")
    verb.set_defaults(handler=make, flavour=None)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("description", metavar="cluster.yaml", help="the description of the cluster")
    parser.add_argument(
        "--overwrite", action="append", default=[], metavar="ID",
        help="what was changed by hand on this thing, or on all, gives way to the description",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the differences as JSON")


def show(args: argparse.Namespace, host: Host) -> int:
    """Print the differences."""
    wanted, plan = _plan(args, host)
    _print(args, host, wanted, plan)
    return DIFFERENT if plan.comparison.to_do() else 0


def make(args: argparse.Namespace, host: Host) -> int:
    """Refuse, or do it."""
    wanted, plan = _plan(args, host)
    if args.dry_run or not args.json:
        _print(args, host, wanted, plan)
    wrong = _wrong(wanted)
    if wrong and not args.force:
        said = "\n".join(f"{finding.rule}: {finding.said}" for finding in wrong)
        raise UserError(f"{said}\nnothing was changed; mend it, or give --force to go on all the same")
    reason = apply.why_refused(plan, allows_restart=args.allow_restart)
    # Only what is done in the end counts as done against what was said.
    goes_on = args.override and not args.dry_run and not reason
    against = cluster_admission.against(host, plan, name=wanted.description.cluster, is_overridden=goes_on)
    if against and goes_on:
        _log("cluster apply --override", against)
    elif against and not args.override:
        reason = "; ".join((*([reason] if reason else []), *against, "--override applies it all the same"))
    if args.dry_run:
        _remark(args, f"would be refused: {reason}" if reason else "nothing was changed")
        return DIFFERENT if plan.comparison.to_do() else 0
    if reason:
        raise UserError(f"{reason}; nothing was changed")
    if wrong:
        _log("cluster apply --force", [f"{finding.rule}: {finding.said}" for finding in wrong])
    say = functools.partial(print, file=sys.stderr if args.json else sys.stdout, flush=True)
    try:
        run = apply.Application(host, wanted, say, overwrite=args.overwrite, is_forced=args.force)
        left = run.run(plan)
    except apply.ApplyError as error:
        print(f"kvmha: {error}", file=sys.stderr)
        return FAILED
    return _report(args, plan, left)


def _plan(args: argparse.Namespace, host: Host) -> tuple[Wanted, Plan]:
    wanted = apply_plan.of(description.load(host, args.description))
    return wanted, apply_plan.make(host, wanted, args.overwrite)


def _wrong(wanted: Wanted) -> tuple[Any, ...]:
    return tuple(lint.check(facts.of_description(wanted.description)).errors)


def _log(option: str, against: Iterable[str]) -> None:
    """Leave in the system's log that somebody went on against what was said, and against what."""
    for said in against:
        journal.warn(f"{option}, against {said}")


def _remark(args: argparse.Namespace, said: str) -> None:
    if not args.json:
        print(said)


def _report(args: argparse.Namespace, plan: Plan, left: tuple[str, ...]) -> int:
    done = [each.item.id for each in plan.comparison.to_do()]
    if args.json:
        kept = [each.item.id for each in plan.comparison.by_hand()]
        print(json.dumps({"applied": done, "kept": kept, "left": list(left)}))
    for line in () if args.json else left:
        print(f"left to do: {line}")
    _remark(args, "the cluster is what the description says" if not left else "all else is what the description says")
    return 0


# ------------------------------------------------------------------- in words


def _print(args: argparse.Namespace, host: Host, wanted: Wanted, plan: Plan) -> None:
    flavour = args.flavour or ("crmsh" if crmsh.is_there(host) and not pcs.is_there(host) else "pcs")
    live = cib.read(apply_plan.live_cib(host) or apply_plan.EMPTY)
    lines = commands.lines(plan.comparison.to_do(), wanted.cib(), live, flavour)
    if not plan.is_there:
        lines = _first_lines(wanted, flavour) + lines
    if args.json:
        print(json.dumps(_as_json(plan, lines)))
        return
    if not plan.is_there:
        print("no cluster runs on this node: it would be set up")
    for each in plan.comparison.to_do():
        print(_headline(each))
        for change in each.fields if each.act == differences.CHANGE else ():
            print(f"    {_words(change)}")
    for each in plan.comparison.by_hand():
        print(f"by hand, and kept: {_by_hand(each)}")
        for change in each.kept:
            print(f"    {change.field} is {_value(change, change.live)}, described is {_value(change, change.wanted)}")
    for place in plan.comparison.unread:
        print(f"not compared: {place}")
    for found in plan.disturbed:
        print(f"in consequence: {found.action} {found.subject} ({found.reason})")
    # Who applies has no use for them; what is run are not these.
    is_asked = args.handler is show or args.dry_run
    if lines and is_asked:
        print("as commands:")
    for line in lines if is_asked else ():
        print(f"    {line}")
    if not plan.comparison.to_do() and not plan.comparison.by_hand():
        print("nothing is different")


def _first_lines(wanted: Wanted, flavour: str) -> list[str]:
    """Return the commands that make a cluster of the nodes."""
    if flavour == "pcs":
        return [shlex.join(argv) for argv in set_up.argvs(wanted)]
    return [f"# kvmha cluster render --flavour {flavour} writes the script that makes a cluster of the nodes by ssh"]


def _headline(each: Difference) -> str:
    words = {differences.MAKE: "new", differences.CHANGE: "changed", differences.REMOVE: "no longer described"}
    return f"{words[each.act]}: {each.item.title}"


def _by_hand(each: Difference) -> str:
    words = {differences.MAKE: "removed", differences.REMOVE: "made", differences.CHANGE: "changed"}
    return f"{each.item.title} was {words[each.act]}"


def _words(change: FieldChange) -> str:
    if change.live is None:
        return f"{change.field}: {_value(change, change.wanted)}"
    if change.wanted is None:
        return f"{change.field}: {_value(change, change.live)} goes"
    return f"{change.field}: {_value(change, change.live)} -> {_value(change, change.wanted)}"


def _value(change: FieldChange, value: str | None) -> str:
    if value is None:
        return "absent"
    return commands.HIDDEN if change.is_secret else value


def _as_json(plan: Plan, lines: list[str]) -> dict[str, object]:
    return {
        "is_there": plan.is_there,
        "to_do": [_plain(each) for each in plan.comparison.to_do()],
        "by_hand": [_plain(each) for each in plan.comparison.by_hand()],
        "not_compared": list(plan.comparison.unread),
        "disturbed": plain(plan.disturbed),
        "refused": list(plan.refused),
        "commands": lines,
    }


def _plain(each: Difference) -> dict[str, object]:
    return {
        "act": each.act,
        "id": each.item.id,
        "kind": each.item.kind,
        "title": each.item.title,
        "fields": [_field(change) for change in each.fields],
        "kept": [_field(change) for change in each.kept],
        "by_hand": each.by_hand,
    }


def _field(change: FieldChange) -> dict[str, str | None]:
    live, wanted = (None if value is None else _value(change, value) for value in (change.live, change.wanted))
    return {"field": change.field, "live": live, "wanted": wanted}
