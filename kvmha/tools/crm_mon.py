"""crm_mon: what the cluster says of its nodes and resources."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from kvmha.host import Host

ARGV = ("crm_mon", "--one-shot", "--inactive", "--output-as=xml")
"""All nodes and all resources, also those that do not run (crm_mon(8))."""

DISCONNECTED = 102
"""crm_mon's exit code where no cluster answers (CRM_EX_DISCONNECT in Pacemaker's crm/common/results.h)."""


class NodeStatus(Record):
    """A node as the cluster sees it."""

    name: str
    is_online: bool
    is_unclean: bool
    is_standby: bool
    is_guest: bool = False
    """A guest of the cluster that is a node itself (a Pacemaker Remote guest node)."""
    attributes: dict[str, str] = {}  # noqa: RUF012 (a default that nobody changes: records are frozen)
    """Its transient attributes, promotion scores among them."""


class ResourceStatus(Record):
    """A primitive resource, and the nodes on which it is active."""

    name: str
    agent: str
    nodes: tuple[str, ...]
    role: str
    is_failed: bool
    pending: str = ""
    """What is under way: ``Starting``, ``Migrating`` and the like, empty for nothing."""


class ClusterStatus(Record):
    """One look at the cluster."""

    is_quorate: bool
    nodes: tuple[NodeStatus, ...]
    resources: tuple[ResourceStatus, ...]

    def resource(self, name: str) -> ResourceStatus | None:
        """Return the resource of that name, or None."""
        return next((resource for resource in self.resources if resource.name == name), None)

    def node(self, name: str) -> NodeStatus | None:
        """Return the node of that name, or None."""
        return next((node for node in self.nodes if node.name == name), None)


def look(host: Host, *, timeout: float) -> ClusterStatus | None:
    """Ask the cluster; None where no cluster answers. Raises CommandError where that cannot be told."""
    done = host.run(*ARGV, timeout=timeout, ok=(0, DISCONNECTED))
    return parse(done.out) if done.rc == 0 else None


def parse(xml: str) -> ClusterStatus | None:
    """Read crm_mon's XML; None for a text that is none, such as what it prints while the cluster starts."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    nodes, current = root.find("nodes"), root.find("summary/current_dc")
    if nodes is None:
        return None
    return ClusterStatus(
        # Without a coordinator nobody decides anything, which for whoever asks is the same as no quorum.
        is_quorate=current is not None and _yes(current, "with_quorum"),
        nodes=tuple(
            NodeStatus(
                name=node.get("name", ""),
                is_online=_yes(node, "online"),
                is_unclean=_yes(node, "unclean"),
                is_standby=_yes(node, "standby"),
                is_guest=bool(node.get("id_as_resource")),
                attributes={
                    attribute.get("name", ""): attribute.get("value", "")
                    for told in root.iterfind("node_attributes/node")
                    if told.get("name") == node.get("name")
                    for attribute in told.findall("attribute")
                },
            )
            for node in nodes.findall("node")
        ),
        resources=tuple(_resource(resource) for resource in root.iter("resource")),
    )


def _resource(resource: Element) -> ResourceStatus:
    nodes = [node.get("name", "") for node in resource.findall("node")]
    return ResourceStatus(
        name=resource.get("id", ""),
        agent=resource.get("resource_agent", ""),
        nodes=tuple(sorted(nodes)) if _yes(resource, "active") else (),
        role=resource.get("role", ""),
        is_failed=_yes(resource, "failed"),
        pending=resource.get("pending", ""),
    )


def _yes(element: Element, attribute: str) -> bool:
    return element.get(attribute) == "true"
