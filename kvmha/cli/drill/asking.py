"""All that is found out before a drill is run: its target, what is foretold, which gates are open, whom to watch."""

from __future__ import annotations

import argparse
import tempfile
import time

from kvmha import gather
from kvmha.cli import cluster_source
from kvmha.cli.drill import ordering
from kvmha.cluster import description
from kvmha.drill import catalogue, clients, demands, writes
from kvmha.drill.reach import Reach
from kvmha.drill.records import Drill, Expected, Order
from kvmha.drill.stage import Stage
from kvmha.drill.watch import Known
from kvmha.errors import UserError
from kvmha.policy import drill_gates
from kvmha.policy.drill_gates import Around, Gate
from kvmha.policy.snapshot import ADDRESS
from kvmha.record import Record
from kvmha.tools import cib as cib_reader
from kvmha.tools import service_probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kvmha.cli.cluster_source import Source
    from kvmha.host import Host
    from kvmha.policy.snapshot import Resource, Snapshot
    from kvmha.tools.cib import Cib

REACH = "reach"
"""The gate that every node can be reached."""


class Asked(Record):
    """All that is known before a drill is run."""

    drill: Drill
    order: Order
    snapshot: Snapshot
    stage: Stage
    gates: tuple[Gate, ...]


def ask(args: argparse.Namespace, host: Host) -> Asked:
    """Look at the cluster, and find out all that a drill needs. Raises UserError, CommandError."""
    drill = catalogue.find(args.drill)
    wanted = demands.over(
        demands.read(host), where="--", window=args.window, backup_command=args.backup_command,
        backup_file=args.backup_file, backup_age=args.backup_age,
    )  # fmt: skip
    reach = reach_of(host)
    with tempfile.TemporaryDirectory(prefix="kvmha-") as folder:
        options = argparse.Namespace(cib=None, corosync_conf=None, description=args.description, definitions=None)
        source = cluster_source.load(options, host, folder, remedy="run it on a node of the cluster")
        snapshot = source.read(source.text, "").replace(at=host.wall_clock())
        snapshot = _with_pending(snapshot, source)
        order = ordering.order(args, drill, snapshot, host, reach.here)
        expected = ordering.expected(host, source, drill, order, folder)
    heard = {node.name: reach.hello(node.name) for node in snapshot.members}
    around = Around(
        here=reach.here, now=host.wall_clock(), minute=_minute(host), window=wanted.window,
        operations={node: told.operations for node, told in heard.items()},
        drills={node: told.drill for node, told in heard.items() if told.drill and node != reach.here},
        backup=demands.backup(host, wanted),
    )  # fmt: skip
    gates = ordering.joined(
        drill_gates.judge(snapshot, around, target=target, takes_node=drill.takes_node, may_harm=drill.is_destructive)
        for target in order.targets
    )
    stage = _stage(args, host, source, snapshot, order, expected)
    unreached = {node: told.why for node, told in heard.items() if told.why}
    gates = (*gates, _reach_gate(unreached), ordering.target_gate(reach, drill, order, stage))
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


def _reach_gate(unreached: dict[str, str]) -> Gate:
    silent = [f"{node}: {why}" for node, why in unreached.items()]
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
    watched, written = [clients.parse(text) for text in args.watch], tuple(writes.parse(text) for text in args.writes)
    for option, given in (("--watch", watched), ("--writes", written)):
        _require_names(option, (each.name for each in given), (*guests, *addresses.values()))
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
        targets=tuple(_targets(args, host, addresses, watched)),
        expected=expected,
        gates=(),
        elsewhere=elsewhere[0] if elsewhere else "",
        disks={disk: guest.name for guest in snapshot.guests for disk in guest.disks},
        writes=written,
    )


def _require_names(option: str, names: Iterable[str], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise UserError(f"{option}: there is no guest or address {name}; there are {', '.join(known) or 'none'}")


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


def _targets(
    args: argparse.Namespace, host: Host, addresses: dict[str, str], watched: Iterable[clients.Target]
) -> Iterator[clients.Target]:
    given = tuple(watched)
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


def reach_of(host: Host) -> Reach:
    """Return how this node reaches the others."""
    return Reach(host, host.name())
