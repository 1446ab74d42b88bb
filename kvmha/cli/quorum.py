"""kvmha quorum: which part of a split cluster goes on, and what the next failure does."""

from __future__ import annotations

import json

from kvmha import journal
from kvmha.cli.cluster_source import LOOK_LIMIT_S, is_device_alive, text_of
from kvmha.cluster.facts.reading import ring_of
from kvmha.errors import UserError
from kvmha.gather.cluster import settings_of
from kvmha.host import CommandError
from kvmha.policy import quorum
from kvmha.record import plain
from kvmha.tools import corosync_conf, crm_mon, quorumtool

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from kvmha.host import Host
    from kvmha.policy.quorum import Judgement, Settings, Verdict
    from kvmha.tools.quorumtool import Votes

NO_QUORUM = 1
"""The exit code where no part has quorum, or corosync does not start with such a file."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "quorum",
        help="say which part of a split cluster goes on",
        description="Say which part of a cluster has quorum, which may fence, and what the loss of one node more would "
        "do: for the cluster that runs here as it is, or for parts that are named. Exit code 0: a part has quorum; 1: "
        "none has, or corosync would not start with this file; 2: bad input.",
    )
    parser.add_argument("--corosync-conf", metavar="FILE", help=f"the configuration (default: {corosync_conf.PATH})")
    parser.add_argument(
        "--partition", metavar="NODE,NODE", action="append", default=[],
        help="nodes that see each other, once for each part; nodes that are in none are down (default: those that are "
        "online now, or with --corosync-conf all)",
    )  # fmt: skip
    parser.add_argument(
        "--qdevice-alive", choices=("yes", "no"),
        help="whether the quorum device votes (default: as it does now, yes with --corosync-conf)",
    )  # fmt: skip
    parser.add_argument("--cold", action="store_true", help="the nodes have just booted into these parts")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace, host: Host) -> int:
    """Judge, and print it."""
    settings = _settings(args, host)
    if args.qdevice_alive and settings.device is None:
        raise UserError("--qdevice-alive: this cluster has no quorum device (quorum.device in corosync.conf)")
    parts = [_members(text, settings) for text in args.partition] or [_now(args, host, settings)]
    _check(parts)
    device_alive = args.qdevice_alive != "no"
    if settings.device is not None and not (args.qdevice_alive or args.corosync_conf):
        device_alive = is_device_alive(host) is not False
    asked = {"settings": settings, "parts": parts, "device_alive": device_alive, "is_cold": args.cold}
    found = quorum.judge(**asked)
    running = None if args.corosync_conf or args.partition or args.cold else _running(host)
    if args.json:
        print(json.dumps({**plain(found), **({"running": plain(running)} if running is not None else {})}, indent=2))
    else:
        for line in lines(found, running):
            print(line)
    journal.record(
        host, "quorum", asked, found,
        subject=f"quorum of {' | '.join(','.join(part) for part in parts)}",
        said=found.rules.refusal or "; ".join(_headline(verdict) for verdict in found.parts),
    )  # fmt: skip
    goes_on = any(verdict.part.is_quorate for verdict in found.parts) and not found.rules.refusal
    return 0 if (goes_on if running is None else running.is_quorate) else NO_QUORUM


def _running(host: Host) -> Votes | None:
    """Return what votequorum counts on this node now; None where it does not say."""
    try:
        votes = quorumtool.look(host, timeout=LOOK_LIMIT_S)
    except CommandError:
        return None
    return None if None in (votes.expected, votes.total, votes.quorum) else votes


def _settings(args: argparse.Namespace, host: Host) -> Settings:
    path = args.corosync_conf or corosync_conf.PATH
    try:
        root = corosync_conf.parse(text_of(host, path))
    except corosync_conf.CorosyncConfError as error:
        raise UserError(f"{path}: {error}; corosync -t -c {path} says more") from None
    if why := corosync_conf.why_not_counted(root):
        raise UserError(f"{path}: {why}")
    ring = ring_of(root)
    if not ring.nodes:
        raise UserError(f"{path} has no nodelist, so there is nobody to count")
    if ring.quorum.provider != "corosync_votequorum":
        raise UserError(f"{path}: quorum.provider is {ring.quorum.provider or 'not set'}; expected corosync_votequorum")
    return settings_of(ring)


def _members(text: str, settings: Settings) -> list[str]:
    names = [word.strip() for word in text.split(",") if word.strip()]
    known = [voter.name for voter in settings.voters]
    for name in names:
        if name not in known:
            raise UserError(f"--partition: there is no node {name}; the nodes are {', '.join(known)}")
    if not names:
        raise UserError("--partition names no node; give them as n1,n2")
    return names


def _check(parts: list[list[str]]) -> None:
    names = [name for part in parts for name in part]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--partition: {name} is named twice; a node sees one part only")


def _now(args: argparse.Namespace, host: Host, settings: Settings) -> list[str]:
    """Return the nodes that are online now; all of them where only a file is asked about."""
    known = [voter.name for voter in settings.voters]
    if args.corosync_conf:
        return known
    status = crm_mon.look(host, timeout=30.0)
    if status is None:
        raise UserError("no cluster answers here; say who sees whom with --partition, or name a --corosync-conf")
    return [node.name for node in status.nodes if node.is_online and node.name in known]


def _headline(verdict: Verdict) -> str:
    state = "quorate, may fence" if verdict.may_fence else "no quorum"
    return f"{' '.join(verdict.part.members) or 'nobody'}: {state}"


def lines(found: Judgement, running: Votes | None = None) -> Iterator[str]:
    """Yield it for people; where votequorum counts in another way than the file lets expect, that comes first."""
    parts = [verdict.part for verdict in found.parts]
    if running is not None and [(part.is_quorate, part.quorum) for part in parts] != [
        (running.is_quorate, running.quorum)
    ]:
        yield (
            f"!! corosync itself has {'' if running.is_quorate else 'no '}quorum, by {running.total} of "
            f"{running.expected} votes where it needs {running.quorum}: what it came to while it ran, by wait_for_all, "
            "last_man_standing or votes that were set, is not in its file, by which the rest is said"
        )
    for said in found.warnings:
        yield f"!! {said}"
    for verdict in found.parts:
        yield _headline(verdict)
        for said in verdict.said:
            yield f"    {said}"
        if verdict.may_fence and len(verdict.part.members) > 1:
            word = "any node" if verdict.spare == 1 else f"any {verdict.spare} nodes, one after the other,"
            yield f"    {word} may be lost" if verdict.spare else "    not every node may be lost"
    if found.down:
        yield f"down: {' '.join(found.down)}"
