"""kvmha drbd status: each side of a resource, and what is wrong."""

from __future__ import annotations

import json

from kvmha.cli.drbd import sides
from kvmha.cli.drbd.sides import Here
from kvmha.policy import replica as replicas
from kvmha.policy import split_brain
from kvmha.policy.redundancy import Redundancy, redundancy
from kvmha.resources.drbd import parting, unfence, window
from kvmha.tools import drbd

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from kvmha.host import Host
    from kvmha.policy.split_brain import Side


def run(args: argparse.Namespace, host: Host) -> int:
    """Print it; 0 where all is well."""
    names = [args.resource] if args.resource else [replica.resource for replica in drbd.replicas(host)]
    told = [look(host, name, asks=not args.here) for name in names]
    if args.json:
        print(json.dumps({"resources": told}))
    else:
        for one in told:
            print("\n".join(lines(one)))
        if not told:
            print("no DRBD resource is up on this node")
    return 0 if all(one["level"] == replicas.WELL for one in told) else 1


def redundancies(host: Host) -> tuple[Redundancy, ...]:
    """Return, for each resource of this node, what is left of its redundancy. Raises CommandError."""
    if not host.exists(drbd.LOADED):
        return ()
    seen = [Here(host, replica.resource).replica for replica in drbd.replicas(host)]
    return tuple(redundancy(each, split=parting.peers(host, each.resource)) for each in seen)


def look(host: Host, resource: str, *, asks: bool) -> dict[str, object]:
    """Return what is known of a resource; another node is asked only where DRBD does not tell of it."""
    here = Here(host, resource)
    side = here.side
    split = parting.peers(host, resource)
    health = replicas.health(here.replica, suspended_for=0.0, patience=1.0, split=split)
    others: list[Side] = []
    if asks and side.stands_alone:
        others = [each for each in (sides.other(host, name, resource) for name in here.peers) if each is not None]
    relations = {each.node: split_brain.relation(side, each) for each in others}
    reasons = [*health.reasons, *_warnings(host, here, relations)]
    return {
        "resource": resource,
        "node": here.node,
        "level": replicas.REDUCED if reasons and health.level == replicas.WELL else health.level,
        "reasons": reasons,
        "side": sides.as_json(side),
        "peers": [_peer(peer) for peer in here.replica.peers],
        "others": [sides.as_json(each) for each in others],
        "split_brain": sorted({*split, *(name for name, word in relations.items() if word == split_brain.PARTED)}),
    }


def _warnings(host: Host, here: Here, relations: dict[str, str]) -> list[str]:
    found = []
    for name, word in sorted(relations.items()):
        if word == split_brain.PARTED:
            found.append(
                f"split brain: {here.node} and {name} were both written since they parted; "
                f"see kvmha drbd heal {here.resource}"
            )
        elif word == split_brain.UNRELATED:
            found.append(f"{name} has other data, with no generation in common")
    if window.is_marked(host, here.resource):
        found.append("two primaries are allowed here, for a move")
    if unfence.is_marked(host, here.resource):
        found.append("this node keeps a peer from promotion until it has the data again")
    return found


def _peer(peer: replicas.Peer) -> dict[str, object]:
    return {
        "name": peer.name,
        "connection": peer.connection,
        "role": peer.role,
        "disks": [volume.disk for volume in peer.volumes],
        "replication": [volume.replication for volume in peer.volumes],
        "out_of_sync_kib": [volume.out_of_sync_kib for volume in peer.volumes],
        "percent_done": [volume.percent_done for volume in peer.volumes],
    }


def lines(told: dict[str, object]) -> list[str]:
    """Return it for a person."""
    side, peers, reasons = told["side"], told["peers"], told["reasons"]
    assert isinstance(side, dict)
    assert isinstance(peers, list)
    assert isinstance(reasons, list)
    said = [f"{told['resource']}: {told['level']}"]
    said.append(f"  {told['node']:<12} {side['role']:<10} {'/'.join(side['disks'])}")
    for peer in peers:
        words = [peer["connection"]]
        words += sorted({word for word in peer["replication"] if word not in ("Established", "Off")})
        said.append(f"  {peer['name']:<12} {peer['role']:<10} {'/'.join(peer['disks'])}  {', '.join(words)}")
    said += [f"  - {reason}" for reason in reasons]
    if side["excluded"]:
        said.append(f"  - the cluster may not promote it on {', '.join(side['excluded'])}")
    return said
