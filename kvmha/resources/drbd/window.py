"""The time in which a DRBD resource may be written on two nodes, because a guest moves between them.

Invariant: ``allow-two-primaries`` is never set without a mark on this node that says so and lasts as long as the
setting may. Whoever finds a mark that no move needs any more takes the setting back, then the mark: the agent's stop,
or after its death the next monitor. DRBD takes the setting back only while one side is promoted, and both sides must
agree on it when they connect, so a window that stays open is a resource that may not come back together.
"""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.ocf import codes, state_file
from kvmha.ocf.agent import OcfError
from kvmha.policy import two_primaries
from kvmha.policy.replica import STANDALONE
from kvmha.policy.two_primaries import SOURCE, TARGET
from kvmha.resources.drbd import cluster_view, looking
from kvmha.tools.drbd import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Optional

    from kvmha.host import Host
    from kvmha.ocf.agent import Agent
    from kvmha.policy.peer_data import NodeView
    from kvmha.policy.replica import Peer, Replica

    WhyNot = Callable[[Replica, Optional[Peer], Optional[tuple[NodeView, ...]]], Optional[str]]

FOLDER = "/run/kvmha/drbd-window"
"""It goes with the boot, and so does the setting in the kernel."""

LIMIT = 10.0
"""Seconds for one command of DRBD's administration."""

POLL = 0.5
"""Seconds between two looks at a replica that is to come into step."""


def mark(resource: str) -> str:
    """Return the path of the mark of a resource."""
    return f"{FOLDER}/{resource.replace('/', '_')}"


def is_marked(host: Host, resource: str) -> bool:
    """Tell whether this node has allowed two primaries and not taken that back."""
    return host.exists(mark(resource))


def side(host: Host, resource: str) -> str:
    """Return which side of a move this node is on, SOURCE or TARGET; nothing where it is on none."""
    return _read(host, resource)[0]


def open_to(agent: Agent, node: str) -> None:
    """Allow two primaries on the source of a move to ``node``, once both sides are in step. Raises OcfError."""
    replica, peer = _agreed(agent, node, two_primaries.why_not_open)
    _allow(agent, replica, peer, SOURCE)


def join(agent: Agent, node: str) -> str:
    """Allow two primaries on the target of a move from ``node``, which is promoted next; return DRBD's name of the
    source.

    Raises OcfError.
    """
    replica, peer = _agreed(agent, node, two_primaries.why_not_join)
    _allow(agent, replica, peer, TARGET)
    return peer.name


def close(agent: Agent, *, now: bool = False) -> None:
    """Forbid two primaries again where no move needs them any more; a failure is logged, and the mark stays.

    ``now`` is for a stop and a failed move, when this side's part in the move is over whatever the mark says.
    """
    resource = looking.resource_of(agent)
    before = _text(agent.host, resource)
    side, age = _read(agent.host, resource)
    if not side:
        return
    try:
        replica = looking.replica_of(agent, resource)
        if replica is not None:
            is_over = two_primaries.is_over(replica, side, age=age, now=now)
            # Another mark is that of the next move, which has begun meanwhile and needs the permission.
            if not is_over or _text(agent.host, resource) != before:
                return
            _forbid(agent, replica)
            if not two_primaries.is_rejoined(replica, age=age):
                return
        if _text(agent.host, resource) == before:
            agent.host.remove(mark(resource))
    except (CommandError, OSError) as error:
        agent.report.log(f"{resource} still allows two primaries: {error}", warning=True)


def _forbid(agent: Agent, replica: Replica) -> None:
    """Forbid it for all peers: a mark does not say which one it was, and none may be left allowed.

    Two sides that differ here do not connect, and stand alone from then on (seen with 8.4.11: "incompatible
    allow-two-primaries settings"). So a connection that was given up is tried again.
    """
    conf = agent.param("drbdconf")
    limit = min(LIMIT, max(agent.left(), 1.0))
    alone = [peer.connection == STANDALONE for peer in replica.peers]
    # A connection that was given up has no settings in the kernel; it gets those of the configuration when it is made.
    if not all(alone):
        argv = commands.two_primaries_argv(replica.resource, allowed=False, configuration=conf)
        agent.host.run(*argv, timeout=limit)
        agent.report.log(f"{replica.resource} has one primary again")
    if any(alone):
        agent.host.run(*commands.connect_argv(replica.resource, configuration=conf), timeout=limit, ok=None)


def _allow(agent: Agent, replica: Replica, peer: Peer, side: str) -> None:
    name = peer.name if len(replica.peers) > 1 else ""
    argv = commands.two_primaries_argv(replica.resource, peer=name, allowed=True, configuration=agent.param("drbdconf"))
    agent.host.write(mark(replica.resource), f"{side} {agent.host.now():.1f}\n", mode=0o600)
    try:
        agent.host.run(*argv, timeout=min(LIMIT, max(agent.left(), 1.0)))
    except CommandError as error:
        close(agent, now=True)
        raise OcfError(codes.ERR_GENERIC, f"two primaries cannot be allowed for the move: {error}") from None
    agent.report.log(f"{replica.resource} may have two primaries while its guest moves")


def _agreed(agent: Agent, node: str, why_not: WhyNot) -> tuple[Replica, Peer]:
    """Return the replica and the peer once nothing stands against it; what passes is waited for with half the time."""
    resource = looking.resource_of(agent)
    until = agent.host.now() + agent.left() / 2
    while True:
        seen = looking.replica_of(agent, resource)
        if seen is None:
            raise OcfError(codes.ERR_GENERIC, f"DRBD resource {resource} is not up on this node")
        replica = looking.named(seen, state_file.read(agent.host, looking.NAME, resource))
        peer = two_primaries.peer_of(replica, node, lambda name: _cluster_name(agent, name))
        nodes = cluster_view.nodes(agent, resource) if two_primaries.needs_nodes(replica, peer) else None
        refused = why_not(replica, peer, nodes)
        if refused is None and peer is not None:
            return replica, peer
        if agent.host.now() + POLL > until:
            raise OcfError(codes.ERR_GENERIC, f"{resource} may not have two primaries: {refused}")
        agent.host.sleep(POLL)


def _cluster_name(agent: Agent, name: str) -> str:
    """Return the cluster's name for a node that DRBD calls ``name``."""
    return dict(cluster_view.name_pairs(str(agent.values.get("node_map", "")))).get(name, name)


def _text(host: Host, resource: str) -> str:
    """Return this node's mark as it was written, nothing where it cannot be read."""
    try:
        return host.read(mark(resource))
    except OSError:
        return ""


def _read(host: Host, resource: str) -> tuple[str, float]:
    """Return this node's side of a move and the age of its mark in seconds; an empty side where there is none."""
    try:
        words = host.read(mark(resource)).split()
    except FileNotFoundError:
        return "", 0.0
    except OSError:
        return SOURCE, two_primaries.PATIENCE + 1
    if len(words) != 2 or words[0] not in (SOURCE, TARGET):
        # What cannot be read was written by nobody who still needs it.
        return SOURCE, two_primaries.PATIENCE + 1
    try:
        return words[0], host.now() - float(words[1])
    except ValueError:
        return words[0], two_primaries.PATIENCE + 1
