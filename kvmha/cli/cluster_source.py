"""Where a question about a whole cluster gets it from: the running one, or files."""

from __future__ import annotations

from kvmha.cluster import description
from kvmha.errors import UserError
from kvmha.gather.cluster import Configured, definitions_of, snapshot_of
from kvmha.host import CommandError
from kvmha.record import Record
from kvmha.tools import cib as cib_reader
from kvmha.tools import cluster_report, corosync_conf, crm_mon, quorumtool

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from kvmha.cluster.fields import ClusterDescription
    from kvmha.host import Host
    from kvmha.policy.snapshot import Snapshot

LIVE = "the running cluster"

LOOK_LIMIT_S = 30.0

REMEDY = "run it on a node, or give a saved one with --cib"
"""What to do where no cluster answers."""


class Source(Record):
    """A cluster's CIB, and how one like it is read, with what the scheduler shows of it (empty to ask)."""

    text: str
    read: Callable[[str, str], Snapshot]
    bandwidth: float | None
    status: crm_mon.ClusterStatus | None = None
    """What crm_mon says of the running cluster; None for a file."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which cluster is meant."""
    parser.add_argument(
        "--cib", metavar="FILE",
        help="a saved cluster instead of the running one: what cibadmin --query prints, or a report of pcs cluster "
        "report, packed or not",
    )  # fmt: skip
    parser.add_argument(
        "--corosync-conf", metavar="FILE",
        help="its corosync.conf, for votes and times (default: this node's, or with --cib that of the report)",
    )  # fmt: skip
    parser.add_argument(
        "--description", metavar="cluster.yaml", help="for what only it says: sizes and limits of guests"
    )
    parser.add_argument(
        "--definitions", metavar="FOLDER",
        help="the guests' definitions, by the names of their files, for what they need of a node (default: those that "
        "this node has; none with --cib)",
    )  # fmt: skip


def load(args: argparse.Namespace, host: Host, folder: str, *, remedy: str = REMEDY) -> Source:
    """Return the cluster that was asked for; ``remedy`` says what to do where none answers. Raises UserError,
    CommandError.
    """
    wanted = description.load(host, args.description) if args.description else None
    conf = text_of(host, args.corosync_conf) if args.corosync_conf else None
    status = None
    if args.cib:
        saved, source = cluster_report.read(host, args.cib), args.cib
        text, conf = saved.cib, conf or saved.conf
    else:
        text, source = _live(host, remedy), LIVE
        status = crm_mon.look(host, timeout=LOOK_LIMIT_S)
        if conf is None and host.exists(corosync_conf.PATH):
            conf = host.read(corosync_conf.PATH)
    nodes = definitions_of(host, text, source, _folder(args, host)) if args.definitions or not args.cib else ()
    device: list[bool | None] = [None] if args.cib else []
    configured = Configured()

    def read(cib: str, shown: str = "") -> Snapshot:
        try:
            found = snapshot_of(
                host, cib, conf=conf, wanted=wanted, nodes=nodes, source=source, folder=folder, shown=shown,
                configured=configured,
            )  # fmt: skip
        except corosync_conf.CorosyncConfError as error:
            raise UserError(f"{args.corosync_conf or args.cib or corosync_conf.PATH}: {error}") from None
        _check_voters(found, args.corosync_conf, args.cib)
        _check_description(found, wanted, args.description)
        if found.quorum is not None and found.quorum.device is not None:
            # Asked once, and only where there is one.
            device.extend([] if device else [is_device_alive(host)])
            found = found.replace(is_device_alive=device[0])
        return with_history(found, status)

    # What is no CIB is told before anything is asked of the scheduler.
    root = cib_reader.tree(text, source)
    if root.find("configuration/nodes/node") is None and root.find("status/node_state") is None:
        raise UserError(f"{source} has no nodes; give what cibadmin --query prints on a node of the cluster")
    return Source(text=text, read=read, bandwidth=_bandwidth(wanted), status=status)


def _check_voters(snapshot: Snapshot, conf: str | None, cib: str | None) -> None:
    """Raise UserError for a corosync.conf that has no nodes, where one was named, or those of another cluster."""
    voters = [voter.name for voter in snapshot.quorum.voters] if snapshot.quorum is not None else []
    members = [node.name for node in snapshot.members]
    if conf and not voters:
        raise UserError(f"{conf} has no nodelist, so there is nobody to count; give the corosync.conf of the cluster")
    if voters and members and not set(voters) & set(members):
        raise UserError(
            f"{conf or cib or corosync_conf.PATH}: its corosync.conf is that of {', '.join(voters)}, and the cluster "
            f"has {', '.join(members)}; give its own with --corosync-conf"
        )


def _bandwidth(wanted: ClusterDescription | None) -> float | None:
    return float(wanted.migration.bandwidth) if wanted is not None else None


def _live(host: Host, remedy: str) -> str:
    try:
        return cib_reader.live(host)
    except CommandError as error:
        raise UserError(f"no cluster answers here ({error}); {remedy}") from None


def is_device_alive(host: Host) -> bool | None:
    """Tell whether a quorum device votes for this node's part now; None where corosync does not say."""
    try:
        votes = quorumtool.look(host, timeout=LOOK_LIMIT_S)
    except CommandError:
        return None
    return bool(votes.device) if votes.total is not None else None


def text_of(host: Host, path: str) -> str:
    """Return a file's text. Raises UserError."""
    try:
        return host.read(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _check_description(snapshot: Snapshot, wanted: ClusterDescription | None, path: str | None) -> None:
    """Raise UserError for the description of another cluster."""
    if wanted is not None and snapshot.cluster and wanted.cluster != snapshot.cluster:
        raise UserError(
            f"{path} describes the cluster {wanted.cluster}, and this one is {snapshot.cluster}; give its own, or none"
        )


def _folder(args: argparse.Namespace, host: Host) -> str | None:
    """Return the folder of definitions that was named. Raises UserError for what is none."""
    path: str | None = args.definitions
    try:
        is_folder = not path or host.kind(path) == "folder"
    except OSError:
        is_folder = False
    if not is_folder:
        raise UserError(f"--definitions: {path} is no folder; give that of the guests' definitions")
    return path


def with_history(snapshot: Snapshot, status: crm_mon.ClusterStatus | None) -> Snapshot:
    """Return a snapshot that knows when each node was fenced last."""
    if status is None:
        return snapshot
    last: dict[str, float] = {}
    for event in status.fencings:
        at = crm_mon.when(event.completed)
        if event.status == "success" and at is not None:
            last[event.target] = max(last.get(event.target, 0.0), at)
    return snapshot.replace(nodes=tuple(node.replace(fenced_at=last.get(node.name)) for node in snapshot.nodes))


def as_seen(snapshot: Snapshot, status: crm_mon.ClusterStatus | None) -> Snapshot:
    """Return a snapshot of the running cluster with what only crm_mon knows: what is under way, and quorum."""
    if status is None:
        return snapshot
    pending = {each.name.partition(":")[0]: each.pending for each in status.resources if each.pending}
    return snapshot.replace(
        is_quorate=status.is_quorate,
        resources=tuple(each.replace(pending=pending.get(each.name, "")) for each in snapshot.resources),
    )
