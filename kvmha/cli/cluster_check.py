"""kvmha cluster check: the arithmetic of a cluster, of a cluster.yaml, of files, or of the cluster that runs."""

from __future__ import annotations

import argparse
import json
import shlex
import sys

from kvmha import gather
from kvmha.cluster import description, facts, lint
from kvmha.cluster.facts import LIVE, Facts, of_files
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.policy.node import NodeFacts, from_plain
from kvmha.record import plain
from kvmha.tools import cib as cib_reader
from kvmha.tools import corosync_conf, ip_address
from kvmha.tools.drbd_conf import DrbdConfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kvmha.cluster.lint import Finding, Report
    from kvmha.host import Host

FOUND = 1
"""The exit code where there is a finding of the severity error."""

PEER_TIMEOUT = 60.0
"""Seconds for a peer to tell its facts: a dozen commands there, and the way."""

RULES_SHOWN = 6


def add(verbs: Any) -> None:
    """Add the verbs check and facts below the verb cluster."""
    check = verbs.add_parser(
        "check",
        help="check the arithmetic of a cluster",
        description="Check a cluster.yaml, files, or the running cluster against rules about its times, its fencing, "
        "its quorum, its guests and its nodes; say each finding with the numbers behind it and the change that mends "
        "it; and predict how long guests of a lost node are away. Exit code 0: nothing of the severity error; 1: "
        "something; 2: bad input.",
    )
    check.add_argument(
        "description", metavar="cluster.yaml", nargs="?",
        help="the description of the cluster; with --live or --cib, for what only it says: sizes and limits of guests",
    )  # fmt: skip
    check.add_argument("--live", action="store_true", help="check the cluster that this node is in")
    check.add_argument("--corosync-conf", metavar="FILE", help="check this corosync.conf")
    check.add_argument("--cib", metavar="FILE", help="check this CIB, as cibadmin --query prints it")
    check.add_argument(
        "--facts", metavar="FILE", action="append", default=[],
        help="what `kvmha cluster facts` printed on a node; once for each node",
    )  # fmt: skip
    check.add_argument(
        "--via", metavar="COMMAND",
        help="with --live: how the other nodes are asked, such as 'ssh -o BatchMode=yes root@%%n'; %%n is the node",
    )  # fmt: skip
    check.add_argument("--rules", action="store_true", help="list all rules and check nothing")
    check.add_argument("--json", action="store_true", help="as JSON")
    check.set_defaults(handler=check_cluster)
    tell = verbs.add_parser(
        "facts",
        help="print what this node says of itself",
        description="Print, as JSON, what this node says of itself, for `kvmha cluster check --facts` on another one. "
        "It holds no password.",
    )
    tell.add_argument("--node", metavar="NAME", help="the node's name in the cluster (default: found by its address)")
    tell.add_argument("--json", action="store_true", help="accepted for the sake of order: it is JSON always")
    tell.set_defaults(handler=print_facts)


def check_cluster(args: argparse.Namespace, host: Host) -> int:
    """Check what was asked for, and say what was found."""
    if args.rules:
        _print_rules(as_json=args.json)
        return 0
    report = lint.check(_facts(args, host))
    if args.json:
        print(json.dumps(_as_json(report), indent=2))
    else:
        for line in _lines(report):
            print(line)
    return FOUND if report.errors else 0


def print_facts(args: argparse.Namespace, host: Host) -> int:
    """Print what this node says of itself."""
    here = _here(host, None, None)
    print(json.dumps(plain(gather.node_facts(host, args.node or _own_name(host, here), _definitions(here)))))
    return 0


def _facts(args: argparse.Namespace, host: Host) -> Facts:
    is_files = bool(args.corosync_conf or args.cib)
    if args.live and is_files:
        raise UserError("--live and --corosync-conf or --cib were given together; give one of the two ways")
    if args.via and not args.live:
        raise UserError("--via asks the nodes of a running cluster; give --live with it")
    if not (args.live or is_files or args.description):
        raise UserError("nothing to check; give a cluster.yaml, or --live, or --corosync-conf and --cib")
    wanted = description.load(host, args.description) if args.description else None
    given = tuple(_read_facts(host, path) for path in args.facts)
    try:
        if args.live:
            found = _live(args, host, given)
        elif is_files:
            conf = _text(host, args.corosync_conf) if args.corosync_conf else None
            cib = _text(host, args.cib) if args.cib else None
            found = of_files(conf=conf, cib=cib, nodes=given, cib_source=args.cib or "")
        elif wanted is not None:
            found = facts.of_description(wanted)
            return found.replace(nodes=given)
    except corosync_conf.CorosyncConfError as error:
        path = args.corosync_conf or corosync_conf.PATH
        raise UserError(f"{path}: {error}; corosync -t -c {path} says more") from None
    except DrbdConfError as error:
        raise UserError(f"DRBD's configuration: {error}; drbdadm dump says more") from None
    return facts.with_description(found, wanted) if wanted is not None else found


def _live(args: argparse.Namespace, host: Host, given: tuple[NodeFacts, ...]) -> Facts:
    """Return the facts of the running cluster: of this node, of peers that can be asked, and those that were given."""
    try:
        conf = host.read(corosync_conf.PATH)
    except OSError as error:
        raise UserError(
            f"cannot read {corosync_conf.PATH}: {error.strerror}; run it as root on a node of the cluster"
        ) from error
    cib = cib_reader.live(host)
    here = _here(host, conf, cib)
    own = _own_name(host, here)
    told = {node.node: node for node in given}
    told[own] = gather.node_facts(host, own, _definitions(here))
    for name in here.node_names:
        if args.via and name not in told:
            told[name] = _ask(host, args.via, name, quiet=args.json)
    agents = gather.agent_defaults(host, (device.agent for device in here.fence_devices))
    return of_files(conf=conf, cib=cib, nodes=tuple(told.values()), agents=agents, source=LIVE)


def _here(host: Host, conf: str | None, cib: str | None) -> Facts:
    """Return what the files and the cluster on this node tell, without the node itself."""
    if conf is None and host.exists(corosync_conf.PATH):
        conf = host.read(corosync_conf.PATH)
    if cib is None:
        try:
            cib = cib_reader.live(host)
        except CommandError:
            # A node on which Pacemaker does not run still knows the configuration that it had last.
            cib = host.read(gather.CIB_COPY) if host.exists(gather.CIB_COPY) else None
    return of_files(conf=conf, cib=cib)


def _own_name(host: Host, here: Facts) -> str:
    """Return the name under which the cluster knows this node: by its addresses, or else that of the host."""
    try:
        mine = {found.address for found in ip_address.look(host, timeout=gather.TIMEOUT)}
    except (CommandError, ValueError):
        mine = set()
    for node in here.ring.nodes if here.ring is not None else ():
        if mine & {address for _, address in node.addresses}:
            return node.name
    return host.name()


def _definitions(here: Facts) -> tuple[str, ...]:
    paths = (guest.resource.params.get("config", "") for guest in here.guests)
    return tuple(path for path in paths if path)


def _ask(host: Host, via: str, name: str, *, quiet: bool) -> NodeFacts:
    """Return what a peer says of itself; a peer that cannot be asked is known by that."""
    if not quiet:
        print(f"asking {name}", file=sys.stderr)
    argv = (*(word.replace("%n", name) for word in shlex.split(via)), "kvmha", "cluster", "facts", "--node", name)
    try:
        return from_plain(json.loads(host.run(*argv, timeout=PEER_TIMEOUT).out))
    except CommandError as error:
        said = str(error)
    except (KeyError, TypeError, ValueError):
        said = f"{argv[0]} brought something that is not what kvmha cluster facts prints"
    return NodeFacts(node=name, why_unknown={field: f"cannot be asked: {said}" for field in NodeFacts._fields})


def _read_facts(host: Host, path: str) -> NodeFacts:
    try:
        return from_plain(json.loads(_text(host, path)))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{path} is not what kvmha cluster facts prints; run that on the node again") from None


def _text(host: Host, path: str) -> str:
    try:
        return host.read(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _print_rules(*, as_json: bool) -> None:
    if as_json:
        shown = ("id", "severity", "area", "looks_at", "why")
        print(json.dumps([{name: getattr(rule, name) for name in shown} for rule in lint.RULES], indent=2))
        return
    for rule in lint.RULES:
        print(f"{rule.id:<24} {rule.severity:<8} {rule.area:<11} {rule.looks_at} {rule.why}")


def _as_json(report: Report) -> dict[str, Any]:
    said: dict[str, Any] = plain(report)
    said["recovery"] = [{"node": node, **plain(found)} for node, found in report.recovery]
    said["errors"] = len(report.errors)
    return said


def _lines(report: Report) -> Iterator[str]:
    for finding in report.findings:
        yield from _finding_lines(finding)
    if report.unknown:
        yield "not known, and so not checked:"
        for each in report.unknown:
            rules = ", ".join(each.rules[:RULES_SHOWN])
            more = f" and {len(each.rules) - RULES_SHOWN} more" if len(each.rules) > RULES_SHOWN else ""
            yield f"    {each.subject}: {each.said} ({rules}{more})"
        yield ""
    yield from _recovery_lines(report)
    counts = [(len([each for each in report.findings if each.severity == level]), level) for level in lint.SEVERITIES]
    said = ", ".join(f"{count} {level}{'' if count == 1 else 's'}" for count, level in counts)
    yield f"{said}; {report.rules} rules looked at it"
    if report.elsewhere:
        yield f"{len(report.elsewhere)} rules look at the nodes themselves: kvmha cluster check --live"


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.severity}: {', '.join(finding.subjects)}: {finding.said}  [{finding.rule}]"
    if finding.chain:
        yield f"    because      {finding.chain}"
    if finding.yaml:
        yield f"    cluster.yaml {finding.yaml}"
    for number, command in enumerate(finding.commands):
        word = "" if number else "or at once" if finding.yaml else "do"
        yield f"    {word:<12} {command}"
    yield ""


def _recovery_lines(report: Report) -> Iterator[str]:
    if not report.recovery:
        return
    yield "predicted, from the death of a node on (at the best, and at the worst that the timeouts allow):"
    for node, found in report.recovery:
        if found.fenced is None:
            yield f"    {node}: lost after {found.lost}; nothing fences it, and no guest comes back"
            continue
        yield f"    {node}: lost after {found.lost}, fenced after {found.fenced}"
    _, first = report.recovery[0]
    for guest in first.guests:
        both = [g for _, found in report.recovery for g in found.guests if g.guest == guest.guest]
        start = f"{min(g.started.least_s for g in both):.1f} to {max(g.started.most_s for g in both):.1f} s"
        ends = [g.answers for g in both if g.answers is not None]
        answers = f"{min(e.least_s for e in ends):.1f} to {max(e.most_s for e in ends):.1f} s" if ends else "not known"
        limit = f", promised {guest.limit_s:g} s" if guest.limit_s is not None else ""
        yield f"    {guest.guest}: started after {start}, answers after {answers}{limit}"
    yield f"    because {first.chain}"
    yield ""
