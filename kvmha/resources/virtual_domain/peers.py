"""The other nodes of the cluster, asked whether a guest runs there."""

from __future__ import annotations

from functools import partial

from kvmha.host import CommandError
from kvmha.policy import start
from kvmha.policy.start import Peer
from kvmha.resources.virtual_domain import migration_order
from kvmha.tools import crm_mon, libvirtd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.model import GuestIdentity
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.tools.crm_mon import ClusterStatus, NodeStatus

ANSWER_LIMIT = 3.0
"""Seconds that a peer's libvirt may take, its connection included."""

CLUSTER_LIMIT = 10.0
"""Seconds that the cluster may take to tell of its nodes."""

POLL = 0.5
"""Seconds between two looks at a cluster that is about to fence a node."""


def look(agent: VirtualDomain, guest: GuestIdentity) -> list[Peer]:
    """Return what is known of each other node; nothing where no cluster answers, as for an agent called by hand.

    A node that is lost and not fenced yet is waited for, with half of the time: the cluster starts guests that it
    knows to be nowhere before it has fenced a node, and this node may hear of a fencing a moment after the cluster's
    coordinator has acted on it.
    """
    until = agent.host.now() + agent.left() / 2
    while True:
        status = _status(agent)
        if status is None:
            return []
        found = _ask(agent, guest, status)
        is_settled = not any(peer.is_unclean and peer.answer == start.UNKNOWN for peer in found)
        if is_settled or agent.host.now() + POLL > until:
            return found
        agent.host.sleep(POLL)


def own_name(agent: VirtualDomain) -> str:
    """Return the cluster's name for this node; called by hand, the agent is told none, and takes the host's."""
    if agent.env.node:
        return agent.env.node
    try:
        return agent.host.name()
    except OSError:
        return "this node"


def _status(agent: VirtualDomain) -> ClusterStatus | None:
    try:
        return crm_mon.look(agent.host, timeout=min(CLUSTER_LIMIT, agent.left() / 3))
    except CommandError as error:
        # Who called us decided on this start by what the cluster knows, so that there is nothing to gain by refusing.
        agent.report.log(f"starts without asking the other nodes: {error}", warning=True)
        return None


def _ask(agent: VirtualDomain, guest: GuestIdentity, status: ClusterStatus) -> list[Peer]:
    """Ask every node that is there, all at one time."""
    own = own_name(agent)
    others = [node for node in status.nodes if node.name != own and not node.is_guest]
    # Guests that are nodes run no guests of the cluster; nodes that are fenced or off run nothing at all.
    online = [node for node in others if node.is_online]
    peers = [_seen(agent, status, node) for node in others]
    try:
        if online:
            libvirtd.load()
    except libvirtd.LibvirtMissing as error:
        return [peer.replace(silence=str(error)) for peer in peers]
    limit = min(ANSWER_LIMIT, agent.left() / 3)
    calls = [partial(_is_active, agent, guest, node.name, limit) for node in online]
    answers = agent.host.together(calls, what="libvirt", timeout=limit + 0.5)
    by_name = {node.name: answer for node, answer in zip(online, answers)}
    found = [_with_answer(peer, by_name[peer.name]) if peer.name in by_name else peer for peer in peers]
    silent = [f"the libvirt of {peer.name} {peer.silence}" for peer in found if peer.silence]
    if silent:
        agent.report.log(f"goes by what the cluster has, because {'; '.join(silent)}", warning=True)
    return found


def _is_active(agent: VirtualDomain, guest: GuestIdentity, node: str, limit: float) -> bool:
    host = agent.host
    until = host.now() + limit
    uri = migration_order.peer_uri(agent, node)
    domain = libvirtd.Libvirt(host, uri, lambda: max(until - host.now(), 0.0)).domain(guest)
    return domain is not None and domain.is_active


def _seen(agent: VirtualDomain, status: ClusterStatus, node: NodeStatus) -> Peer:
    name = agent.env.instance.partition(":")[0]
    copies = [resource for resource in status.resources if resource.name.partition(":")[0] == name]
    return Peer(
        name=node.name,
        is_online=node.is_online,
        is_unclean=node.is_unclean,
        has_guest=any(node.name in resource.nodes for resource in copies),
    )


def _with_answer(peer: Peer, answer: bool | BaseException) -> Peer:
    if isinstance(answer, CommandError):
        return peer.replace(silence=str(answer).partition(" ")[2])
    if isinstance(answer, BaseException):
        raise answer
    return peer.replace(answer=start.ACTIVE if answer else start.ABSENT)
