"""Both sides of a resource: this node's from its own kernel, the other ones by ssh."""

from __future__ import annotations

import json
import sys

from kvmha.errors import UserError
from kvmha.host import CommandError, CommandFailed
from kvmha.policy.split_brain import Side
from kvmha.record import plain
from kvmha.resources.drbd import knowledge
from kvmha.tools import cibadmin, drbd, ssh
from kvmha.tools.drbd import commands, configuration, generation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.host import Host
    from kvmha.policy.peer_data import Knowledge
    from kvmha.policy.replica import Replica

LIMIT = 20.0
"""Seconds for the other node to answer."""

CLUSTER_LIMIT = 10.0
"""Seconds for the cluster to tell its configuration."""


class Here:
    """This node's side, with what else the verbs have to know of it."""

    def __init__(self, host: Host, resource: str) -> None:
        found = drbd.replica(host, resource, statistics=True)
        if found is None:
            raise UserError(f'DRBD resource "{resource}" is not up on this node; {_known(host)}')
        self.host = host
        self.resource = resource
        self.node = host.name()
        self.peers = _peers(host, resource, self.node) or tuple(peer.name for peer in found.peers)
        self.known = knowledge.read(host, resource)
        self.replica = with_names(found, self.peers)

    @property
    def side(self) -> Side:
        """What the other node is told of this one."""
        replica, known = self.replica, self.known
        changed = [
            volume.out_of_sync_kib
            for peer in replica.peers
            for volume in peer.volumes
            if volume.out_of_sync_kib is not None
        ]
        generations = _generations(self.host, self.resource)
        lost = [peer.lost for peer in known.peers if peer.lost]
        is_known = known.role == replica.role and known.since
        return Side(
            node=self.node,
            resource=self.resource,
            role=replica.role,
            disks=tuple(volume.disk for volume in replica.volumes),
            peers=self.peers,
            connections=tuple(peer.connection for peer in replica.peers),
            current=tuple(each.current for each in generations),
            base=tuple(each.base for each in generations),
            changed_kib=sum(changed) if changed else None,
            promoted_at=known.since if is_known and _was_ever_promoted(replica, known) else None,
            is_promoted_last=any(each.was_promoted for each in generations),
            parted_at=min(lost) if lost else None,
            excluded=_excluded(self.host, self.resource),
        )


def other(host: Host, node: str, resource: str) -> Side | None:
    """Return another node's side, None where it cannot be asked; that is said on standard error."""
    argv = ssh.argv(node, "kvmha", "drbd", "status", resource, "--here", "--json")
    try:
        done = host.run(*argv, timeout=LIMIT, ok=None)
    except CommandError as error:
        print(f"{node} was not asked: {error}", file=sys.stderr)
        return None
    try:
        return side_of(json.loads(done.out)["resources"][0]["side"])
    except (ValueError, KeyError, IndexError, TypeError):
        print(f"{node} does not tell: {CommandFailed(done)}", file=sys.stderr)
        return None


def side_of(told: dict[str, Any]) -> Side:
    """Return the side that JSON tells of; what a later version has beside is left out."""
    values: dict[str, Any] = {}
    for name in Side._fields:
        if name in told:
            values[name] = tuple(told[name]) if isinstance(told[name], list) else told[name]
    return Side(**values)


def with_names(replica: Replica, peers: tuple[str, ...]) -> Replica:
    """Give the peer of 8.4 its name, which only the configuration has."""
    if len(replica.peers) != 1 or len(peers) != 1:
        return replica
    return replica.replace(peers=(replica.peers[0].replace(name=peers[0]),))


def as_json(side: Side) -> dict[str, object]:
    """Return what the JSON of a side holds."""
    told: dict[str, object] = plain(side)
    return told


def confirmed(resource: str, given: str | None, question: str) -> bool:
    """Return whether a person has typed the resource's name; raise UserError where nobody can be asked."""
    if given is None and not sys.stdin.isatty():
        raise UserError(f"nobody is there to be asked: say --confirm {resource} if that is what you want")
    answer = given if given is not None else input(f"{question}\nType the name of the resource to go on: ")
    if answer.strip() != resource:
        raise UserError(f'"{answer.strip()}" is not {resource}: nothing was done')
    return True


def _known(host: Host) -> str:
    try:
        names = [replica.resource for replica in drbd.replicas(host)]
    except CommandError as error:
        return f"DRBD says nothing at all: {error}"
    return f"there are {', '.join(names)}" if names else "there is none; bring it up with drbdadm up, or start it"


def _peers(host: Host, resource: str, own: str) -> tuple[str, ...]:
    try:
        return configuration.read(host, resource, commands.DEFAULT_CONFIGURATION).peers_of(own)
    except CommandError:
        return ()


def _generations(host: Host, resource: str) -> tuple[generation.Generation, ...]:
    try:
        return generation.read(host, resource)
    except CommandError:
        return ()


def _excluded(host: Host, resource: str) -> tuple[str, ...]:
    try:
        return tuple(each.node for each in cibadmin.read(host, resource, timeout=CLUSTER_LIMIT).exclusions)
    except (CommandError, ValueError):
        # A node without a cluster has nobody excluded.
        return ()


def _was_ever_promoted(replica: Replica, known: Knowledge) -> bool:
    return replica.is_promoted or known.role == "Secondary"
