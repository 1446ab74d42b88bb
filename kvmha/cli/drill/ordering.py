"""What exactly is ordered by a command line: target, nodes, numbers; what is foretold of it, and whether it can be."""

from __future__ import annotations

import json

from kvmha.drill import catalogue, faults, striking
from kvmha.drill.records import (
    CLUSTER,
    COMMANDS,
    ELSEWHERE,
    ENDURED,
    EVERY,
    FENCED,
    GUEST,
    KEPT,
    LEFT,
    MOVED,
    OTHERS,
    PARTED,
    RESTARTED,
    UNDISTURBED,
    Drill,
    Expected,
    Fate,
    Order,
)
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.policy import timing
from kvmha.policy.drill_gates import Gate
from kvmha.whatif.asking import Asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from kvmha.cli.cluster_source import Source
    from kvmha.drill.reach import Reach
    from kvmha.drill.stage import Stage
    from kvmha.host import Host
    from kvmha.policy.snapshot import Snapshot

TARGET = "target"
"""The gate that its targets can do it to themselves."""

LONGEST_S = 600.0
"""The longest that a fault may last."""

READY_LIMIT = 30.0

LEADS_TO = {
    FENCED: "the node is fenced, and its guests run elsewhere",
    UNDISTURBED: "no guest moves or starts anew, and nobody is fenced",
    RESTARTED: "the guest starts anew",
    MOVED: "guests move, and go on running",
    LEFT: "guests leave before the node goes, the node comes back, and nobody is fenced",
    PARTED: "nobody has quorum and nothing is started anywhere; afterwards all runs as before, or runs anew",
    KEPT: "the guest runs on where it was, or anew, and in one place only",
    ENDURED: "nobody notices, or the node is fenced and its guests run elsewhere",
}


def order(args: argparse.Namespace, drill: Drill, snapshot: Snapshot, host: Host, here: str) -> Order:
    """Return what is ordered. Raises UserError for what makes no sense here."""
    node, guest = _target(args, drill, snapshot)
    hold = _number("--hold", args.hold, 1, LONGEST_S) if args.hold else drill.hold_s
    for name in ("path", "size"):
        if getattr(args, name) and name not in drill.options:
            raise UserError(f"--{name}: {drill.name} has no use for it")
    if args.path and not args.path.startswith("/"):
        raise UserError(f'--path: "{args.path}" is no path; it begins with a slash')
    guests = tuple(each.name for each in snapshot.guests if len(each.nodes) == 1)
    return Order(
        drill=drill.name, node=node, guest=guest, link=_link(args, drill, host), hold_s=hold,
        limit_s=_number("--limit", args.limit, 10, 3600), percent=int(_number("--percent", args.percent, 1, 99)),
        delay_ms=int(_number("--delay", args.delay, 1, 10_000)), nodes=_nodes(drill, node, snapshot, here),
        guests=guests if drill.name == catalogue.MIGRATE_ALL else (), path=args.path or "",
        size_mib=int(_number("--size", args.size, 1, 1024 * 1024)) if args.size else 0,
    )  # fmt: skip


def _target(args: argparse.Namespace, drill: Drill, snapshot: Snapshot) -> tuple[str, str]:
    if drill.aim == CLUSTER:
        if args.node or args.guest:
            raise UserError(f"{drill.name} is about the whole cluster, and takes no --node or --guest")
        if drill.leads_to == PARTED and len(snapshot.members) < 3:
            raise UserError(
                f"{drill.name} is for three nodes and more; {catalogue.LINKS_CUT} parts two from each other"
            )
        if len(snapshot.members) < 2:
            raise UserError("there is only one node; a drill needs somebody to go on")
        return snapshot.cluster or "cluster", ""
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


def _nodes(drill: Drill, node: str, snapshot: Snapshot, here: str) -> tuple[str, ...]:
    """Return who does it to itself, where that is not the target; this node last, since it tells the others."""
    names = [each.name for each in snapshot.members]
    others = [name for name in names if name != here]
    if drill.made_on == EVERY:
        return (*others, here)
    if drill.made_on == OTHERS:
        return tuple(others)
    if drill.made_on == ELSEWHERE:
        return (elsewhere(node, snapshot),)
    return ()


def elsewhere(node: str, snapshot: Snapshot) -> str:
    """Return where a guest of a node is moved to; nothing where that can be nowhere."""
    return next((each.name for each in snapshot.members if each.is_usable and each.name != node), "")


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


# ------------------------------------------------------------------ what is foretold


def words_of(drill: Drill, order: Order) -> list[str]:
    """Return the drill as words of kvmha whatif; for each node, where it is about the whole cluster."""
    # Of all that are cut off from each other one is left over, which stands for those that go on.
    nodes = order.targets if drill.aim == CLUSTER and "{node}" in drill.event else (order.node,)
    nodes = nodes[:-1] if drill.leads_to == PARTED else nodes[:1]
    return [
        word.format(node=node, guest=order.guest, link=order.link) for node in nodes for word in drill.event
    ]  # fmt: skip


def expected(host: Host, source: Source, drill: Drill, order: Order, folder: str) -> Expected:
    """Return what should happen, as kvmha whatif foretells it, or why it cannot. Raises CommandError."""
    words = words_of(drill, order)
    if not words:
        return Expected(said=(LEADS_TO[drill.leads_to],))
    asking = Asking(
        host, source.text, read=source.read, folder=folder,
        bandwidth=source.bandwidth or timing.DEFAULT_BANDWIDTH_MIB_S,
    )  # fmt: skip
    try:
        phase = asking.ask(words).phases[0]
    except UserError as error:
        # Its targets and the gates tell whether it can be done; without a quorum device there is none to lose.
        return Expected(said=(LEADS_TO[drill.leads_to], f"kvmha whatif foretells nothing: {error}"))
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


# ----------------------------------------------------------------- whether it can be


def joined(judged: Iterable[tuple[Gate, ...]]) -> tuple[Gate, ...]:
    """Return the gates of several targets as those of one: a gate is closed that is for one of them."""
    found: dict[str, Gate] = {}
    for gate in (gate for gates in judged for gate in gates):
        if gate.name not in found or (found[gate.name].is_open and not gate.is_open):
            found[gate.name] = gate
    return tuple(found.values())


def target_gate(reach: Reach, drill: Drill, order: Order, stage: Stage) -> Gate:
    """Ask each target how it would do it to itself; nothing is done."""
    if drill.made_by == COMMANDS or drill.power:
        return Gate(name=TARGET, is_open=True, said=f"{order.guest or order.node} need not do anything to itself")
    said = []
    fault = json.dumps(striking.fault(order, stage, "plan"))
    for node in order.targets:
        words = ("kvmha", "drill", "at-node", "ready", "--node", node, fault)
        try:
            done = reach.run(node, *words, timeout=READY_LIMIT, ok=None)
        except CommandError as error:
            return Gate(name=TARGET, is_open=False, said=f"{node}: {error}", remedy="bring it into reach")
        lines = [line.strip() for line in (done.out if done.rc == 0 else done.err).splitlines() if line.strip()]
        if done.rc != 0:
            why = lines[-1].removeprefix("kvmha: ") if lines else f"it left with {done.rc}"
            return Gate(name=TARGET, is_open=False, said=why[:300], remedy=f"choose another drill than {drill.name}")
        said.append(f"{node}: {lines[-1]}" if lines else node)
    return Gate(name=TARGET, is_open=True, said="; ".join(said))
