"""kvmha fence: fencing that is tried before it is needed.

Each node tries its own paths, with the options and secrets that it has, and writes what came of it into an attribute
of its own in the cluster, where all the others find it. Other nodes are asked to do so by ssh where keys allow it;
where they do not, their timers have done it, and what they found is shown with its age.
"""

from __future__ import annotations

import json
import sys

from kvmha import alert
from kvmha.alert import Alert
from kvmha.cli import power_cycle
from kvmha.errors import UserError
from kvmha.gather import fencing
from kvmha.host import CommandError
from kvmha.policy import fencing_proof
from kvmha.record import plain
from kvmha.tools import ssh

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from typing import Any

    from kvmha.cluster.facts import Facts
    from kvmha.host import Host
    from kvmha.policy.fencing_proof import Judged, Trial

UNPROVEN = 1
"""The exit code where any path is not proven."""

COUNT = 3
MOST = 9

ALERT_S = 30.0

REMOTE_LIMIT = 300.0
"""Seconds for another node to try all its paths."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "fence",
        help="prove that fencing works, path by path",
        description="Prove that fencing works before it is needed.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    prove = verbs.add_parser(
        "prove",
        help="try every path of every fence device",
        description="Ask every fence device for the power of its target, through the real fence agent with the "
        "device's own options, from every node that may have to use it; nothing is switched, unless --power-cycle "
        "orders that, which is the drill power-cut under all its gates. Results are kept in the "
        f"cluster, and count for {fencing_proof.FRESH_S / fencing_proof.DAY_S:.0f} days (kvmha status). Exit code 0: "
        "every path is proven; 1: one failed, or was not tried lately; 2: bad input.",
    )
    prove.add_argument("--node", metavar="NODE", help="only the ways to fence this node")
    prove.add_argument("--here", action="store_true", help="try what this node would use, and ask no other node")
    prove.add_argument("--show", action="store_true", help="try nothing; show what is known, with its age")
    prove.add_argument(
        "--count", metavar="N", default=str(COUNT), help=f"how often each path is tried, 1 to {MOST} (default: {COUNT})"
    )
    power_cycle.add_options(prove)
    prove.add_argument("--json", action="store_true", help="as JSON")
    prove.set_defaults(handler=handler)


def handler(args: argparse.Namespace, host: Host) -> int:
    """Try, keep, ask the others, and print what is known of every path."""
    count = _count(args.count)
    power_cycle.check(args)
    facts = _facts(host)
    here = host.name()
    known = _paths(facts, args.node)
    if here not in facts.node_names:
        raise UserError(f"this host is called {here}, and the nodes are {', '.join(facts.node_names)}")
    silent: dict[str, str] = {}
    if not args.show:
        _try_here(host, facts, here, [path for path in known if path.node == here], count)
        if not args.here:
            others = [node for node in facts.node_names if node != here]
            silent = {node: why for node in others if (why := _ask(host, node, args, count))}
        facts = _facts(host)
    cycle = power_cycle.run(args, host, facts, here) if args.power_cycle else None
    facts = _facts(host) if cycle is not None else facts
    shown = [path for path in known if path.node == here] if args.here else known
    now = host.wall_clock()
    judged = fencing_proof.judge(shown, fencing.trials(facts), now=now)
    if args.json:
        more = {"power_cycle": cycle.told} if cycle is not None else {}
        print(json.dumps({**_as_json(judged, silent, now=now), **more}, indent=2))
    else:
        for line in lines(judged, silent, now=now):
            print(line)
    has_passed = cycle is None or cycle.has_passed
    return 0 if has_passed and judged and all(each.is_proven for each in judged) else UNPROVEN


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise UserError(f'--count: "{text}" is no number from 1 to {MOST}')
    return int(text)


def _facts(host: Host) -> Facts:
    try:
        return fencing.live(host)
    except CommandError as error:
        raise UserError(f"no cluster answers here ({error}); run it on a node of the cluster") from None


def _paths(facts: Facts, node: str | None) -> tuple[fencing_proof.Path, ...]:
    known = fencing.paths(facts)
    if not known:
        raise UserError("this cluster has no fence device that could be tried; pcs stonith create makes one")
    if node is None:
        return known
    found = tuple(path for path in known if path.target == node)
    if not found:
        targets = ", ".join(dict.fromkeys(path.target for path in known))
        raise UserError(f"--node: no fence device is for {node}; there are devices for {targets}")
    return found


def _try_here(host: Host, facts: Facts, here: str, mine: list[fencing_proof.Path], count: int) -> None:
    for name in sorted({path.device for path in mine}):
        print(f"trying {name} from {here}", file=sys.stderr, flush=True)
    made = fencing.try_here(host, facts, mine, count=count)
    fencing.keep(host, here, facts, made)
    for trial in made:
        if not trial.is_good:
            alert.send(host, _alarm(trial), seconds=ALERT_S)


def _alarm(trial: Trial) -> Alert:
    return Alert(
        kind="fence-path-failed", subject=trial.target, facts={"device": trial.device, "node": trial.node},
        sentence=f"{trial.node} could not fence {trial.target} by {trial.device}: {trial.said}",
    )  # fmt: skip


def _ask(host: Host, node: str, args: argparse.Namespace, count: int) -> str:
    """Have another node try its paths; return why it did not, and nothing where it did."""
    print(f"asking {node} to try its devices", file=sys.stderr, flush=True)
    words = ["kvmha", "fence", "prove", "--here", "--json", "--count", str(count)]
    words += ["--node", args.node] if args.node else []
    try:
        done = host.run(*ssh.argv(node, *words), timeout=REMOTE_LIMIT, ok=None)
    except CommandError as error:
        return str(error)
    if done.rc in (0, UNPROVEN):
        return ""
    said = [line.strip() for line in done.err.splitlines() if line.strip()]
    return said[-1][:160] if said else f"it left with {done.rc}"


def _as_json(judged: Sequence[Judged], silent: dict[str, str], *, now: float) -> dict[str, object]:
    rows = []
    for each in judged:
        trial = each.trial
        rows.append(
            {
                **plain(each.path),
                "is_proven": each.is_proven,
                "state": trial.state if trial is not None else "untried",
                "at": trial.at if trial is not None else None,
                "age_s": round(now - trial.at, 1) if trial is not None else None,
                "median_s": fencing_proof.percentile(trial.seconds, 50) if trial and trial.seconds else None,
                "p90_s": fencing_proof.percentile(trial.seconds, 90) if trial and trial.seconds else None,
                "cycled_at": (trial.cycled_at or None) if trial is not None else None,
                "worst_s": max(trial.seconds) if trial and trial.seconds else None,
                "said": trial.said if trial is not None else "",
            }
        )
    is_proven, said = fencing_proof.sentence(judged, now=now)
    return {"is_proven": is_proven is True, "said": said, "paths": rows, "not_asked": silent}


def lines(judged: Sequence[Judged], silent: dict[str, str], *, now: float) -> Iterator[str]:
    """Yield a table of all paths, and a sentence on them."""
    rows: list[tuple[str, ...]] = [
        ("target", "device", "from", "state", "median", "90 %", "worst", "tried", "switched")
    ]
    for each in judged:
        path, trial = each.path, each.trial
        if trial is None:
            rows.append((path.target, path.device, path.node, "untried", "-", "-", "-", "never", "never"))
            continue
        times = [
            f"{value:.2f} s" if trial.seconds else "-"
            for value in (*(fencing_proof.percentile(trial.seconds, part) for part in (50, 90, 100)),)
        ]
        ages = [fencing_proof.ago(now - at) if at else "never" for at in (trial.at, trial.cycled_at)]
        rows.append((path.target, path.device, path.node, trial.state, *times, *ages))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
    yield ""
    for each in judged:
        if each.trial is not None and not each.trial.is_good:
            yield f"{each.path.device} from {each.path.node}: {each.trial.said}"
    for node, why in silent.items():
        yield f"{node} was not asked to try anew: {why}"
    yield fencing_proof.sentence(judged, now=now)[1]
