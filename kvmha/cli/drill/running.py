"""kvmha drill plan and run: what a drill would do, whether it may, and the drill itself."""

from __future__ import annotations

import json
import os
import signal
import sys

from kvmha import alert
from kvmha.alert import Alert
from kvmha.cli.drill import asking, telling
from kvmha.drill import catalogue, journal, page, undoing
from kvmha.drill.records import BROKEN, GUEST, NODE, PASSED
from kvmha.drill.runner import Runner
from kvmha.errors import UserError
from kvmha.policy import drill_gates
from kvmha.record import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from kvmha.cli.drill.asking import Asked
    from kvmha.drill.records import Outcome
    from kvmha.host import Host

NOT_PASSED = 1
"""The exit code of a drill that did not end as it should; of a plan, that a gate is closed."""

ALERT_S = 30.0


def add(verbs: Any) -> None:
    """Add both verbs."""
    plan = verbs.add_parser(
        "plan",
        help="say what a drill would do, what should happen, and whether it may be run",
        description="Say what a drill would do, what should happen by kvmha whatif, how it is undone, and which gates "
        "are open. Nothing is done. Exit code 0: it may be run; 1: a gate is closed; 2: bad input.",
    )
    run = verbs.add_parser(
        "run",
        help="run a drill",
        description="Run a drill. Exit code 0: it ended as it should; 1: it did not, which the report explains; 2: bad "
        "input, or a gate is closed, and nothing was done.",
    )
    for parser in (plan, run):
        parser.add_argument("drill", metavar="DRILL", help="its name, as kvmha drill list has it")
        parser.add_argument("--node", metavar="NODE", help="its target")
        parser.add_argument("--guest", metavar="GUEST", help="its target, where that is a guest")
        parser.add_argument("--link", metavar="N", help="the number of corosync's link (default: the last one)")
        parser.add_argument("--hold", metavar="S", help="how long the fault lasts, in seconds")
        parser.add_argument(
            "--limit", metavar="S", default="300", help="until the cluster has to be well again (default: 300)"
        )
        parser.add_argument("--percent", metavar="P", default="20", help="of packets that are lost (default: 20)")
        parser.add_argument("--delay", metavar="MS", default="100", help="by which packets are late (default: 100)")
        parser.add_argument("--path", metavar="PATH", default="", help="the folder or device that it is about")
        parser.add_argument("--size", metavar="MIB", default="", help="of what is taken or written, in MiB")
        parser.add_argument(
            "--watch", metavar="GUEST=tcp://HOST:PORT", action="append", default=[],
            help="ask this service all the time, as a client (the description's services and floating IPs are asked "
            "anyway)",
        )  # fmt: skip
        parser.add_argument(
            "--writes", metavar="GUEST=tcp://HOST:PORT", action="append", default=[],
            help="write records to this service all the time, and see afterwards that none of those is lost that it "
            "had acknowledged; also GUEST=http://HOST:PORT/PATH, which is given them by PUT (kvmha(8))",
        )  # fmt: skip
        parser.add_argument("--description", metavar="cluster.yaml", help="for limits and services of guests")
        parser.add_argument("--window", metavar="HH:MM-HH:MM", default="", help="only at this time of the local day")
        parser.add_argument(
            "--backup-command", metavar="COMMAND", default="", help="only if this shell command says so by exit code 0"
        )
        parser.add_argument("--backup-file", metavar="FILE", default="", help="only if this file was written lately")
        parser.add_argument("--backup-age", metavar="HOURS", default="", help="how old it may be (default: 24)")
        parser.add_argument("--json", action="store_true", help="as JSON")
    run.add_argument("--destructive", action="store_true", help="allow what interrupts a guest, or takes a node away")
    run.add_argument("--confirm", metavar="TARGET", help="the target's name, instead of typing it")
    run.add_argument(
        "--despite", metavar="GATE", action="append", default=[],
        help="run it although this gate is closed; it stands in the report",
    )  # fmt: skip
    plan.set_defaults(handler=plan_handler)
    run.set_defaults(handler=run_handler)


def plan_handler(args: argparse.Namespace, host: Host) -> int:
    """Print the plan."""
    asked = asking.ask(args, host)
    if args.json:
        told = {"drill": plain(asked.drill), "order": plain(asked.order), "expected": plain(asked.stage.expected)}
        print(json.dumps({**told, "gates": plain(asked.gates)}, indent=2))
    else:
        for line in lines(asked):
            print(line)
    return 0 if all(gate.is_open for gate in asked.gates) else NOT_PASSED


def run_handler(args: argparse.Namespace, host: Host) -> int:
    """Run it, under the lock of drills."""
    held = host.lock(journal.LOCK, timeout=0.2)
    if held is None:
        raise UserError("another drill is under way here; kvmha drill abort ends it")
    try:
        host.write(journal.RUNNER, str(os.getpid()))
        for line in undoing.recover(asking.reach_of(host)):
            _say(line)
        _refuse(args)
        asked = asking.ask(args, host)
        if not args.json:
            for line in lines(asked):
                print(line, flush=True)
        _pass_gates(args, asked)
        _ask_for_name(args, asked)
        signal.signal(signal.SIGTERM, _interrupt)
        stage = asked.stage.replace(gates=tuple((gate.name, gate.is_open, gate.said) for gate in asked.gates))
        runner = Runner(host, asking.reach_of(host), asked.order, stage, _say)
        outcome = runner.run()
        before = journal.outcomes(host)
        journal.finish(host, outcome)
        if outcome.result == BROKEN:
            alert.send(host, _alarm(outcome), seconds=ALERT_S)
        pages = {"html": page.html(outcome, before, runner.journals), "xml": page.junit(outcome)}
        for suffix, text in {**pages, journal.JOURNALS: runner.journals}.items():
            host.write(journal.path(outcome.id, suffix), text)
    finally:
        host.remove(journal.RUNNER)
        host.unlock(held)
    telling.show(outcome, before, as_json=args.json)
    return 0 if outcome.result == PASSED else NOT_PASSED


def _alarm(outcome: Outcome) -> Alert:
    order = outcome.order
    return Alert(
        kind="drill-broken", subject=order.guest or order.node, facts={"drill": order.drill, "id": outcome.id},
        sentence=f"in the drill {order.drill} an invariant did not hold: {outcome.said}",
    )  # fmt: skip


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _refuse(args: argparse.Namespace) -> None:
    """Raise UserError for what needs no look at the cluster to be refused."""
    drill = catalogue.find(args.drill)
    known = (*drill_gates.GATES, asking.REACH)
    for name in args.despite:
        if name not in known:
            raise UserError(f"--despite: there is no gate {name} that could be passed; there are {', '.join(known)}")
    if not drill.is_destructive:
        return
    target = {GUEST: args.guest, NODE: args.node}.get(drill.aim)
    if not args.destructive:
        raise UserError(f"{drill.name} interrupts guests; say --destructive if that is what you want")
    if args.confirm is None and not sys.stdin.isatty():
        which = target or "with the name of the target"
        raise UserError(f"nobody is there to be asked: say --confirm {which} if that is what you want")
    if args.confirm is not None and target:
        _confirm(args.confirm, target)


def _confirm(answer: str, target: str) -> None:
    if answer.strip() != target:
        raise UserError(f'"{answer.strip()}" is not {target}: nothing was done')


def _pass_gates(args: argparse.Namespace, asked: Asked) -> None:
    closed = [gate for gate in asked.gates if not gate.is_open and gate.name not in args.despite]
    if closed:
        said = "\n".join(f"  {gate.name}: {gate.said}; {gate.remedy}" for gate in closed)
        raise UserError(f"{asked.order.drill} is not run, since not every gate is open:\n{said}")


def _ask_for_name(args: argparse.Namespace, asked: Asked) -> None:
    """Have the name of the target typed, where a drill interrupts guests."""
    if asked.drill.is_destructive:
        question = f"{asked.drill.said}\nType the name of the target to go on: "
        try:
            answer = args.confirm if args.confirm is not None else input(question)
        except EOFError:
            raise UserError("nobody answered: nothing was done") from None
        _confirm(answer, asked.order.guest or asked.order.node)


def lines(asked: Asked) -> Iterator[str]:
    """Yield the plan, for people."""
    drill, order = asked.drill, asked.order
    yield f"drill {drill.name} of {order.guest or order.node}"
    yield f"  does: {drill.said}{f' (link {order.link})' if order.link else ''}"
    yield f"  undone: {drill.undone}"
    if order.hold_s:
        yield f"  lasts: {order.hold_s:g} s at most"
    yield f"  ends: when the cluster is well again, or after {order.limit_s:g} s"
    for said in asked.stage.expected.said:
        yield f"  foretold: {said}"
    for fate in asked.stage.expected.fates:
        back = f", back after {fate.back_s:.1f} s" if fate.back_s is not None else ""
        yield f"  foretold: {fate.name} {fate.how}{' on ' + ' '.join(fate.nodes) if fate.nodes else ''}{back}"
    watched = ", ".join(target.name for target in asked.stage.targets)
    yield f"  clients ask: {watched or 'nobody; --watch GUEST=tcp://HOST:PORT has one asked'}"
    for gate in asked.gates:
        word = "open  " if gate.is_open else "CLOSED"
        yield f"  gate {gate.name}: {word} {gate.said}{f'; {gate.remedy}' if gate.remedy and not gate.is_open else ''}"
