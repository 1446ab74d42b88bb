"""kvmha drill plan and run: what a drill would do, whether it may, and the drill itself."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time

from kvmha import alert, gather
from kvmha.alert import Alert
from kvmha.cli import cluster_source
from kvmha.cli.drill import telling
from kvmha.cluster import description
from kvmha.drill import catalogue, clients, faults, journal, page, undoing
from kvmha.drill.reach import Reach
from kvmha.drill.records import (
    BROKEN,
    FENCED,
    GUEST,
    MOVED,
    PASSED,
    RESTARTED,
    UNDISTURBED,
    Drill,
    Expected,
    Fate,
    Order,
)
from kvmha.drill.runner import Runner, Stage
from kvmha.drill.watch import Known
from kvmha.errors import UserError
from kvmha.policy import drill_gates, timing
from kvmha.policy.drill_gates import Gate
from kvmha.policy.snapshot import ADDRESS
from kvmha.record import Record, plain
from kvmha.tools import cib as cib_reader
from kvmha.tools import service_probe
from kvmha.whatif.asking import Asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kvmha.cli.cluster_source import Source
    from kvmha.drill.records import Outcome
    from kvmha.host import Host
    from kvmha.policy.snapshot import Resource, Snapshot
    from kvmha.tools.cib import Cib

NOT_PASSED = 1
"""The exit code of a drill that did not end as it should; of a plan, that a gate is closed."""

HOSTNAME = "/proc/sys/kernel/hostname"
REACH = "reach"

LEADS_TO = {
    FENCED: "the node is fenced, and its guests run elsewhere",
    UNDISTURBED: "no guest moves or starts anew, and nobody is fenced",
    RESTARTED: "the guest starts anew",
    MOVED: "guests move, and go on running",
}

LONGEST_S = 600.0

ALERT_S = 30.0


class Asked(Record):
    """All that is known before a drill is run."""

    drill: Drill
    order: Order
    snapshot: Snapshot
    stage: Stage
    gates: tuple[Gate, ...]


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
        parser.add_argument(
            "--watch", metavar="GUEST=tcp://HOST:PORT", action="append", default=[],
            help="ask this service all the time, as a client (the description's services and floating IPs are asked "
            "anyway)",
        )  # fmt: skip
        parser.add_argument("--description", metavar="cluster.yaml", help="for limits and services of guests")
        parser.add_argument("--window", metavar="HH:MM-HH:MM", default="", help="only at this time of the local day")
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
    asked = _ask(args, host)
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
        for line in undoing.recover(_reach(host)):
            _say(line)
        asked = _ask(args, host)
        if not args.json:
            for line in lines(asked):
                print(line, flush=True)
        _pass_gates(args, asked)
        _confirm(args, asked)
        signal.signal(signal.SIGTERM, _interrupt)
        stage = asked.stage.replace(gates=tuple((gate.name, gate.is_open, gate.said) for gate in asked.gates))
        runner = Runner(host, _reach(host), asked.order, stage, _say)
        outcome = runner.run()
        before = journal.outcomes(host)
        journal.finish(host, outcome)
        if outcome.result == BROKEN:
            alert.send(host, _alarm(outcome), seconds=ALERT_S)
        for suffix, text in (("html", page.html(outcome, before)), ("xml", page.junit(outcome))):
            host.write(journal.path(outcome.id, suffix), text)
    finally:
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


def _reach(host: Host) -> Reach:
    return Reach(host, host.read(HOSTNAME).strip())


# ------------------------------------------------------------------ before it


def _ask(args: argparse.Namespace, host: Host) -> Asked:
    """Look at the cluster, and find out all that a drill needs. Raises UserError, CommandError."""
    drill = catalogue.find(args.drill)
    if args.window and drill_gates.minutes(args.window) is None:
        raise UserError(f'--window: "{args.window}" is no window; give it as 22:00-04:00')
    reach = _reach(host)
    with tempfile.TemporaryDirectory(prefix="kvmha-") as folder:
        options = argparse.Namespace(cib=None, corosync_conf=None, description=args.description)
        source = cluster_source.load(options, host, folder)
        snapshot = source.read(source.text, "").replace(at=host.wall_clock())
        snapshot = _with_pending(snapshot, source)
        order = _order(args, drill, snapshot, host)
        expected = _expected(host, source, drill, order, folder)
    gates = drill_gates.judge(
        snapshot, target=order.node, here=reach.here, takes_node=drill.takes_node, now=host.wall_clock(),
        minute=_minute(host), window=args.window,
    )  # fmt: skip
    gates = (*gates, _reach_gate(reach, snapshot))
    stage = _stage(args, host, source, snapshot, order, expected)
    return Asked(drill=drill, order=order, snapshot=snapshot, stage=stage, gates=gates)


def _with_pending(snapshot: Snapshot, source: Source) -> Snapshot:
    """Return the snapshot with what is under way just now, which crm_mon alone knows."""
    shown = source.status.resources if source.status is not None else ()
    pending = {each.name.partition(":")[0]: each.pending for each in shown if each.pending}
    return snapshot.replace(
        resources=tuple(each.replace(pending=pending.get(each.name, each.pending)) for each in snapshot.resources)
    )


def _minute(host: Host) -> int:
    now = time.localtime(host.wall_clock())
    return now.tm_hour * 60 + now.tm_min


def _order(args: argparse.Namespace, drill: Drill, snapshot: Snapshot, host: Host) -> Order:
    node, guest = _target(args, drill, snapshot)
    hold = _number("--hold", args.hold, 1, LONGEST_S) if args.hold else drill.hold_s
    return Order(
        drill=drill.name, node=node, guest=guest, link=_link(args, drill, host), hold_s=hold,
        limit_s=_number("--limit", args.limit, 10, 3600), percent=int(_number("--percent", args.percent, 1, 99)),
        delay_ms=int(_number("--delay", args.delay, 1, 10_000)),
    )  # fmt: skip


def _target(args: argparse.Namespace, drill: Drill, snapshot: Snapshot) -> tuple[str, str]:
    if drill.aim == GUEST:
        guests = ", ".join(each.name for each in snapshot.guests) or "none"
        resource = snapshot.resource(args.guest) if args.guest else None
        if resource is None or resource not in snapshot.guests:
            lacks = f"there is no guest {args.guest}" if args.guest else f"{drill.name} wants --guest"
            raise UserError(f"{lacks}; the guests are {guests}")
        if len(resource.nodes) != 1:
            raise UserError(f"{args.guest} runs on {len(resource.nodes)} nodes, and has to run on one")
        return resource.nodes[0], resource.name
    nodes = ", ".join(each.name for each in snapshot.members)
    if not args.node or args.node not in [each.name for each in snapshot.members]:
        lacks = f"there is no node {args.node}" if args.node else f"{drill.name} wants --node"
        raise UserError(f"{lacks}; the nodes are {nodes}")
    if len(snapshot.members) < 2:
        raise UserError(f"{args.node} is the only node; a drill needs somebody to go on")
    return args.node, ""


def _link(args: argparse.Namespace, drill: Drill, host: Host) -> str:
    if not drill.has_link:
        if args.link:
            raise UserError(f"--link: {drill.name} is not about one link")
        return ""
    known = sorted(faults.links(host), key=int)
    if len(known) < 2:
        raise UserError(f"{drill.name}: corosync has one link here, so that the node itself would be lost: links-cut")
    if args.link and args.link not in known:
        raise UserError(f"--link: there is no link {args.link}; the links are {', '.join(known)}")
    return args.link or known[-1]


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise UserError(f'{name}: "{text}" is no number from {least:g} to {most:g}')
    return value


def _expected(host: Host, source: Source, drill: Drill, order: Order, folder: str) -> Expected:
    words = [word.format(node=order.node, guest=order.guest, link=order.link) for word in drill.event]
    if not words:
        return Expected(said=(LEADS_TO[drill.leads_to],))
    asking = Asking(
        host, source.text, read=source.read, folder=folder,
        bandwidth=source.bandwidth or timing.DEFAULT_BANDWIDTH_MIB_S,
    )  # fmt: skip
    phase = asking.ask(words).phases[0]
    fates = []
    for fate in phase.fates:
        back = fate.answers or fate.back
        fates.append(
            Fate(
                name=fate.name, how=fate.how, nodes=fate.after, limit_s=fate.limit_s,
                back_s=round(back.usual_s, 2) if back is not None else None,
                most_s=round(back.most_s, 2) if back is not None else None,
            )
        )  # fmt: skip
    times = {moment.what: round(moment.ends.usual_s, 2) for moment in phase.moments if moment.ends is not None}
    cautions = tuple(f"{each.subject}: {each.said}" for each in phase.cautions)
    return Expected(said=(LEADS_TO[drill.leads_to], *cautions), fates=tuple(fates), times=times)


def _reach_gate(reach: Reach, snapshot: Snapshot) -> Gate:
    silent = []
    for node in (each.name for each in snapshot.members):
        why = reach.why_not(node)
        silent += [f"{node}: {why}"] if why else []
    if silent:
        remedy = "let root log in there by ssh without a password, and install kvmha there"
        return Gate(name=REACH, is_open=False, said="; ".join(silent), remedy=remedy)
    return Gate(name=REACH, is_open=True, said="kvmha answers on every node")


def _stage(
    args: argparse.Namespace, host: Host, source: Source, snapshot: Snapshot, order: Order, expected: Expected
) -> Stage:
    found = cib_reader.read(source.text)
    guests: dict[str, str] = {}
    names: dict[str, str] = {}
    for guest in snapshot.guests:
        uuid, name = _identity(host, found, guest)
        guests[guest.name] = uuid
        names[name or guest.name] = guest.name
    addresses = {
        _params(found, each).get("ip", "").lower(): each.name for each in snapshot.resources if each.kind == ADDRESS
    }
    elsewhere = [node.name for node in snapshot.members if node.is_usable and node.name != order.node]
    return Stage(
        nodes=tuple(node.name for node in snapshot.members),
        cluster=snapshot.cluster,
        known=Known(
            guests={uuid: name for name, uuid in guests.items() if uuid},
            names=names,
            addresses={address: name for address, name in addresses.items() if address},
        ),
        uuids=guests,
        targets=tuple(_targets(args, host, addresses)),
        expected=expected,
        gates=(),
        elsewhere=elsewhere[0] if elsewhere else "",
    )


def _params(found: Cib, resource: Resource) -> dict[str, str]:
    known = found.resource(resource.name)
    return dict(found.effective(known).params) if known is not None else {}


def _identity(host: Host, found: Cib, guest: Resource) -> tuple[str, str]:
    """Return a guest's UUID and name, where this node can read its definition."""
    params = _params(found, guest)
    if not params.get("config"):
        return "", params.get("domain", "")
    told = gather.definition(host, params["config"])
    return (told.uuid or "").lower(), told.name or ""


def _targets(args: argparse.Namespace, host: Host, addresses: dict[str, str]) -> Iterator[clients.Target]:
    given = [clients.parse(text) for text in args.watch]
    yield from given
    known = {target.name for target in given}
    wanted = description.load(host, args.description) if args.description else None
    for guest in wanted.guests if wanted is not None else ():
        probe = guest.service.probe if guest.service is not None else ""
        if guest.name in known or not probe.startswith(("tcp://", "http://")):
            continue
        service = service_probe.parse(probe)
        yield clients.Target(name=guest.name, kind=clients.SERVICE, address=service.host, port=service.port)
    for address, name in addresses.items():
        if address and name not in known:
            yield clients.Target(name=name, kind=clients.ADDRESS, address=address, port=clients.CLOSED_PORT)


def _pass_gates(args: argparse.Namespace, asked: Asked) -> None:
    names = [gate.name for gate in asked.gates]
    unknown = [name for name in args.despite if name not in (*drill_gates.GATES, REACH)]
    if unknown:
        raise UserError(f"--despite: there is no gate {unknown[0]}; there are {', '.join(names)}")
    closed = [gate for gate in asked.gates if not gate.is_open and gate.name not in args.despite]
    if closed:
        said = "\n".join(f"  {gate.name}: {gate.said}; {gate.remedy}" for gate in closed)
        raise UserError(f"{asked.order.drill} is not run, since not every gate is open:\n{said}")


def _confirm(args: argparse.Namespace, asked: Asked) -> None:
    drill, target = asked.drill, asked.order.guest or asked.order.node
    if not drill.is_destructive:
        return
    if not args.destructive:
        raise UserError(f"{drill.name} interrupts guests; say --destructive if that is what you want")
    if args.confirm is None and not sys.stdin.isatty():
        raise UserError(f"nobody is there to be asked: say --confirm {target} if that is what you want")
    question = f"{drill.said}\nType the name of the target to go on: "
    answer = args.confirm if args.confirm is not None else input(question)
    if answer.strip() != target:
        raise UserError(f'"{answer.strip()}" is not {target}: nothing was done')


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
