"""kvmha survivor: which node of a pair is to survive a split, and the delay of a fence device that sees to it."""

from __future__ import annotations

import json
import tempfile

from kvmha import journal
from kvmha.cli import cluster_source
from kvmha.errors import UserError
from kvmha.policy import survivor
from kvmha.policy.survivor import CHANGE, KEEP
from kvmha.record import plain
from kvmha.tools import cib as cib_reader
from kvmha.tools import crm_mon
from kvmha.tools.cib import steering

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any
    from typing import Any as Element

    from kvmha.cli.cluster_source import Source
    from kvmha.host import Host
    from kvmha.policy.snapshot import Snapshot
    from kvmha.policy.survivor import Survival

NOT_SEEN_TO = 1
"""The exit code where the survivor is not the one to keep, and nothing was done about it."""


class Overtaken(Exception):
    """The cluster is another one than that for which was decided."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "survivor",
        help="say which node of a pair is to survive a split, and see to it",
        description="Say which node of a pair is to survive when the two no longer see each other: by the data that "
        "only one has, faults, room for the guests, and their priorities; and whether it would. With --apply the "
        "fencing of that node is given the delay that the other one's needs, over what is configured and only where "
        "that does not do; Pacemaker starts that fence device anew for it, and nothing else. Exit code 0: the right "
        "one survives; 1: it would not; 2: bad input.",
    )
    cluster_source.add_options(parser)
    parser.add_argument("--apply", action="store_true", help="see to it: write the delay where it has to change")
    parser.add_argument(
        "--if-coordinator", action="store_true",
        help="do nothing but on the node that coordinates the cluster (for a timer on both nodes)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace, host: Host) -> int:
    """Decide, show, and write where that is asked for."""
    if args.cib and (args.apply or args.if_coordinator):
        raise UserError("--apply and --if-coordinator are for the running cluster; leave out --cib")
    if args.if_coordinator and not _coordinates(host):
        return 0
    with tempfile.TemporaryDirectory(prefix="kvmha-") as folder:
        source = cluster_source.load(args, host, folder)
        snapshot = cluster_source.as_seen(source.read(source.text, ""), source.status)
    found = survivor.decide(snapshot)
    is_written = False
    problem = ""
    if args.apply and found.act == CHANGE:
        try:
            _write(host, source, snapshot, found)
            is_written = True
        except Overtaken as error:
            problem = str(error)
    if args.json:
        print(json.dumps({**plain(found), "written": is_written, "problem": problem}, indent=2))
    elif not (args.if_coordinator and found.act == KEEP):
        # A timer that finds all well is silent.
        for line in lines(found, is_written=is_written, problem=problem):
            print(line)
    if args.if_coordinator:
        # The next run looks again; a unit that fails each minute of an outage would tell nobody anything.
        return 0
    return 0 if found.act == KEEP or is_written else NOT_SEEN_TO


def _coordinates(host: Host) -> bool:
    """Tell whether this node is the one that coordinates; not where no cluster answers."""
    status = crm_mon.look(host, timeout=cluster_source.LOOK_LIMIT_S)
    if status is None:
        return False
    own = host.name()
    return any(node.is_dc and node.name.partition(".")[0] == own.partition(".")[0] for node in status.nodes)


def _write(host: Host, source: Source, snapshot: Snapshot, found: Survival) -> None:
    """Write the delays, unless the cluster has changed since it was looked at."""
    membership = _membership(cib_reader.tree(source.text))

    def edit(root: Element) -> None:
        if _membership(root) != membership or root.get("epoch") != cib_reader.tree(source.text).get("epoch"):
            raise Overtaken("the cluster has changed meanwhile, and nothing was written; the next run looks again")
        steering.set_delays(root, found.delays)

    cib_reader.change(host, edit)
    journal.record(
        host, "survivor", {"snapshot": snapshot}, found,
        subject=f"survivor {found.choice.node if found.choice is not None else 'none'}", said=found.said,
    )  # fmt: skip


def _membership(root: Element) -> list[dict[str, str]]:
    """Return what the cluster thinks of each node: who is here, and who is expected."""
    names = ("uname", "in_ccm", "crmd", "join", "expected")
    return [{name: state.get(name, "") for name in names} for state in root.iterfind("status/node_state")]


def lines(found: Survival, *, is_written: bool, problem: str) -> Iterator[str]:
    """Yield it for people."""
    yield found.said
    for reason in found.choice.reasons[1:] if found.choice is not None else ():
        yield f"    {reason}"
    for caution in found.cautions:
        if caution.said != found.said:
            yield f"!! {caution.said}"
    for device in sorted({*found.delays, *found.now}):
        was, wanted = found.now.get(device), found.delays.get(device)
        if was != wanted:
            to = f"pcmk_delay_base={wanted} over what is configured" if wanted else "what is configured"
            word = "was given" if is_written else "is to have"
            yield f"{device} {word} {to}{f' (it had {was})' if was else ''}"
    if problem:
        yield f"!! {problem}"
    elif found.act == CHANGE and not is_written:
        yield "nothing was changed; --apply does it"
