"""kvmha drbd promote: what stands against promoting this node's data, and that it is to be done all the same."""

from __future__ import annotations

import json

from kvmha.cli.drbd import sides
from kvmha.cli.drbd.sides import Here
from kvmha.host import CommandError
from kvmha.policy import data_loss, promotion
from kvmha.policy.peer_data import NodeView
from kvmha.policy.split_brain import amount, span
from kvmha.record import plain
from kvmha.resources.drbd import knowledge
from kvmha.tools import cibadmin, crm_mon, drbd
from kvmha.tools.drbd import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from kvmha.host import Host
    from kvmha.policy.data_loss import Loss

LIMIT = 20.0
"""Seconds for one command."""

POLL = 1.0


def run(args: argparse.Namespace, host: Host) -> int:
    """Explain; with --accept-loss also do it. 1: something stands against it, and was not overruled."""
    here = Here(host, args.resource)
    status = _status(host)
    nodes = None if status is None else _views(status)
    losses = data_loss.what_may_be_lost(here.replica, here.known, nodes, now=host.wall_clock())
    excluded = here.node in here.side.excluded
    refused = promotion.why_not_promote(here.replica, here.known, nodes)
    is_free = not losses and not excluded and refused is None
    if args.json:
        told = {"resource": args.resource, "node": here.node, "promoted": here.replica.is_promoted}
        print(json.dumps({**told, "may_be_lost": [plain(loss) for loss in losses], "excluded": excluded}))
    elif here.replica.is_promoted:
        print(f"{args.resource} is promoted on {here.node} already")
    else:
        print("\n".join(explanation(here, losses, excluded=excluded, refused=refused)))
    if here.replica.is_promoted:
        return 0
    if not args.accept_loss:
        return 0 if is_free else 1
    sides.confirmed(args.resource, args.confirm, f"\n{args.resource} is to be promoted with the data of {here.node}.")
    accept(host, here)
    return wait(host, args.resource, args.wait) if status is not None else force(host, here)


def explanation(here: Here, losses: tuple[Loss, ...], *, excluded: bool, refused: str | None) -> list[str]:
    """Return what stands against it, and what may be lost."""
    said = [f"{here.resource} on {here.node}:"]
    for loss in losses:
        said.append(f"  - {loss.sentence}")
        if loss.out_of_sync_kib is not None:
            said.append(f"    {amount(loss.out_of_sync_kib)} are known to differ")
    if refused is not None and not any(refused in line for line in said):
        said.append(f"  - {refused}")
    if excluded:
        said.append("  - another node has kept this one from promotion, because it went on without it")
    if len(said) == 1:
        return [f"{here.resource} on {here.node}: nothing stands against it; the cluster promotes it when it needs to"]
    said.append("Bring the other node back if that is possible: then nothing is lost.")
    return said


def accept(host: Host, here: Here) -> None:
    """Keep that this node's data count from now on, and take away what keeps it from promotion."""
    knowledge.accept_loss(host, here.resource, here.peers, host.wall_clock())
    try:
        found = cibadmin.read(host, here.resource, timeout=LIMIT).exclusions
        for exclusion in found:
            if exclusion.node == here.node:
                host.run(*cibadmin.delete_argv(exclusion.identity), timeout=LIMIT)
                print(f"the constraint {exclusion.identity} is gone")
    except (CommandError, ValueError) as error:
        print(f"the cluster's constraints were not looked at: {error}")


def wait(host: Host, resource: str, seconds: float) -> int:
    """Wait until the cluster has promoted it, which it does when the agent's next monitor has told its score."""
    print(f"the cluster promotes {resource} when its agent has seen it, within its monitor's interval")
    begin = host.now()
    while host.now() - begin < seconds:
        replica = drbd.replica(host, resource)
        if replica is not None and replica.is_promoted:
            print(f"{resource} is promoted, {span(host.now() - begin)} later")
            return 0
        host.sleep(POLL)
    print(f"{resource} is not promoted after {seconds:.0f} s: see crm_mon, and crm_resource --why")
    return 1


def force(host: Host, here: Here) -> int:
    """Promote where there is no cluster. Raises CommandError."""
    for argv in commands.primary_argvs(here.replica, force=True):
        host.run(*argv, timeout=LIMIT)
    print(f"{here.resource} is promoted by force; no cluster runs on this node")
    return 0


def _status(host: Host) -> crm_mon.ClusterStatus | None:
    try:
        return crm_mon.look(host, timeout=LIMIT)
    except CommandError:
        return None


def _views(status: crm_mon.ClusterStatus) -> tuple[NodeView, ...]:
    return tuple(
        NodeView(name=node.name, is_online=node.is_online, is_unclean=node.is_unclean) for node in status.nodes
    )
