"""kvmha drill report and history: what came of drills."""

from __future__ import annotations

import json

from kvmha.drill import catalogue, comparing, journal, page
from kvmha.drill.timeline import NOISE_S
from kvmha.errors import UserError
from kvmha.record import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from typing import Any

    from kvmha.drill.comparing import Figures
    from kvmha.drill.records import Outcome, Recovery
    from kvmha.host import Host


def add(verbs: Any) -> None:
    """Add both verbs."""
    report = verbs.add_parser(
        "report",
        help="show what came of a drill",
        description="Show what came of a drill, the last one where none is named; or write it as a page of HTML that "
        "needs nothing else, or as JUnit XML.",
    )
    report.add_argument("id", metavar="ID", nargs="?", help="as kvmha drill history has it")
    report.add_argument("--html", metavar="FILE", help="write it as a page")
    report.add_argument("--junit", metavar="FILE", help="write it for a CI system")
    report.add_argument("--json", action="store_true", help="as JSON")
    report.set_defaults(handler=_report)
    history = verbs.add_parser(
        "history",
        help="list all drills, each beside those before it",
        description="List the drills that were run from this node, each compared with the median of the ten before it "
        "that were alike; and the figures of all: mean time to recovery, failures per minute, and their trend.",
    )
    history.add_argument("--drill", metavar="DRILL", help="only drills of this name")
    history.add_argument("--json", action="store_true", help="as JSON")
    history.set_defaults(handler=_history)


def _report(args: argparse.Namespace, host: Host) -> int:
    from kvmha.cli import drill

    drill.recover_or_say(host)
    known = journal.outcomes(host)
    if not args.id and not known:
        raise UserError("no drill was run from this node yet; kvmha drill list has them")
    outcome = journal.outcome(host, args.id) if args.id else known[-1]
    for path, text in (
        (args.html, page.html(outcome, known, journal.journals(host, outcome.id))),
        (args.junit, page.junit(outcome)),
    ):
        if path:
            try:
                host.write(path, text)
            except OSError as error:
                raise UserError(f"cannot write {path}: {error.strerror}") from error
    show(outcome, known, as_json=args.json)
    return 0


def _history(args: argparse.Namespace, host: Host) -> int:
    from kvmha.cli import drill

    drill.recover_or_say(host)
    known = journal.outcomes(host)
    shown = [each for each in known if args.drill in (None, each.order.drill)]
    if args.drill and not shown:
        # One that was never run is fine; one that does not exist is a slip of the pen.
        catalogue.find(args.drill)
    figures = comparing.figures(shown)
    if args.json:
        rows = [{**_row(each), "compared": comparing.compared(each, known)} for each in shown]
        print(json.dumps({"drills": rows, "figures": plain(figures)}, indent=2))
        return 0
    for each in shown:
        took = f"{each.recovery_s:.1f} s" if each.recovery_s is not None else "nobody was away"
        said = comparing.compared(each, known)
        target = each.order.guest or each.order.node
        print(f"{each.id}  {target}  {each.result}  {took}{f'  {said}' if said else ''}")
    print(_sum(figures))
    return 0


def _sum(figures: Figures) -> str:
    said = f"{figures.runs} drills, {figures.passed} passed"
    if figures.mean_recovery_s is None or figures.failures_per_minute is None:
        return said
    return (
        f"{said}; mean time to recovery {figures.mean_recovery_s:.1f} s{_trend(figures.trend)}; "
        f"{figures.failures_per_minute:.2f} failures per minute{_trend(figures.failures_trend)}"
    )


def _trend(ratio: float | None) -> str:
    return f" (the later half {ratio:g} times the earlier one)" if ratio is not None else ""


def _row(outcome: Outcome) -> dict[str, object]:
    return {
        "id": outcome.id, "drill": outcome.order.drill, "target": outcome.order.guest or outcome.order.node,
        "result": outcome.result, "said": outcome.said, "recovery_s": outcome.recovery_s,
        "phases": comparing.phase_times(outcome),
    }  # fmt: skip


def show(outcome: Outcome, before: Sequence[Outcome], *, as_json: bool) -> None:
    """Print a drill's end."""
    if as_json:
        print(json.dumps({**plain(outcome), "phases": comparing.phase_times(outcome)}, indent=2))
        return
    for line in lines(outcome, before):
        print(line)


def _back(recovery: Recovery) -> str:
    if recovery.answers is not None:
        return f"answers after {recovery.answers:.1f} s"
    if recovery.started is not None:
        return f"started after {recovery.started:.1f} s"
    was_there = recovery.gap_s is not None and recovery.gap_s <= NOISE_S
    return "never away" if was_there else "not seen to come back"


def lines(outcome: Outcome, before: Sequence[Outcome]) -> Iterator[str]:
    """Yield a drill's end, for people."""
    yield ""
    yield f"{outcome.id}: {outcome.result}{f': {outcome.said}' if outcome.said else ''}"
    for moment in outcome.moments:
        where = f" on {moment.node}" if moment.node else ""
        yield f"  {moment.at:8.2f} s  {moment.phase} {moment.subject}{where}"
    for each in outcome.recoveries:
        took = _back(each)
        gap = f", a client waited {each.gap_s:.2f} s" if each.gap_s is not None else ""
        foretold = f", foretold {each.expected_s:.1f} s" if each.expected_s is not None else ""
        limit = f", promised {each.limit_s:g} s" if each.limit_s is not None else ""
        yield f"  {each.name} on {each.node or 'nowhere'}: {took}{gap}{foretold}{limit}"
    for breach in outcome.breaches:
        yield f"  !! {breach.rule}: {breach.said}"
    if not outcome.breaches:
        yield f"  every invariant held ({outcome.looks} looks, at most {outcome.longest_pause_s:.2f} s apart)"
    said = comparing.compared(outcome, before)
    if said:
        yield f"  {said}"
    yield f"  report: {journal.path(outcome.id, 'html')}"
