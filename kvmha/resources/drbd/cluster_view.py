"""What the cluster says of the nodes that have a replica, under DRBD's own names for them."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.policy.peer_data import NodeView
from kvmha.tools import crm_mon
from kvmha.tools.crm_attribute import Attribute, is_clusterless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.ocf.agent import Agent
    from kvmha.tools.crm_mon import ClusterStatus, ResourceStatus

LIMIT = 15.0
"""Seconds for the cluster to say it."""

PROMOTED_ROLES = ("Promoted", "Master")
"""What crm_mon calls a promoted instance; the second before Pacemaker 2.1."""


def nodes(agent: Agent, resource: str) -> tuple[NodeView, ...] | None:
    """Return what the cluster says of each node, or None where no cluster answers."""
    try:
        status = crm_mon.look(agent.host, timeout=min(LIMIT, agent.left() / 2 + 0.1))
    except CommandError as error:
        agent.report.log(f"{resource}: {error}", warning=True)
        return None
    return None if status is None else of(agent, resource, status)


def of(agent: Agent, resource: str, status: ClusterStatus) -> tuple[NodeView, ...]:
    """Return what a status says of each node."""
    names = {cluster: drbd for drbd, cluster in name_pairs(str(agent.values.get("node_map", "")))}
    promoted = _promoted(agent, resource, status)
    return tuple(
        NodeView(
            name=names.get(node.name, node.name),
            is_online=node.is_online,
            is_unclean=node.is_unclean,
            is_promoted=node.name in promoted,
            word=node.attributes.get(word_name(resource), ""),
        )
        for node in status.nodes
    )


def _promoted(agent: Agent, resource: str, status: ClusterStatus) -> set[str]:
    """Return the nodes on which the cluster has the resource promoted, by a promotable clone or by a DRBDPrimary."""
    instance = agent.env.instance.partition(":")[0]

    def is_ours(one: ResourceStatus) -> bool:
        if one.agent.endswith(":DRBDPrimary"):
            return one.name in (instance, f"primary-{resource}")
        return one.name.partition(":")[0] == instance and one.role in PROMOTED_ROLES

    return {node for one in status.resources if is_ours(one) for node in one.nodes}


def name_pairs(text: str) -> list[tuple[str, str]]:
    """Return the pairs of a node_map; what is no pair is left out, and refused elsewhere."""
    pairs = [word.partition(":") for word in text.split()]
    return [(drbd, cluster) for drbd, colon, cluster in pairs if drbd and colon and cluster]


def word_name(resource: str) -> str:
    """Return the name of the attribute in which a node tells the others of its replica."""
    return f"drbd-data-{resource}"


def tell(agent: Agent, resource: str, word: str) -> bool:
    """Tell the other nodes something of this replica, or take back what was told; return whether that worked.

    It is for their doubts only: what is not heard is not believed.
    """
    attribute = Attribute.named(word_name(resource))
    try:
        attribute.write(agent.host, word, timeout=min(LIMIT, agent.left() / 2 + 0.1))
    except CommandError as error:
        if not is_clusterless(error):
            agent.report.log(f"{resource}: {error}", warning=True)
        return is_clusterless(error)
    return True
