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
    kind: str = ""
    """member or remote, in crm_mon's words."""
    is_maintenance: bool = False
    is_pending: bool = False
    """It has come up and not joined yet."""
    is_dc: bool = False


class ResourceStatus(Record):
    """A primitive resource, and the nodes on which it is active."""

    name: str
    agent: str
    nodes: tuple[str, ...]
    role: str
    is_failed: bool
    pending: str = ""
    """What is under way: ``Starting``, ``Migrating`` and the like, empty for nothing."""
    is_managed: bool = True
    is_blocked: bool = False
    is_orphaned: bool = False


class FenceEvent(Record):
    """A fencing that is over or under way, as the cluster remembers it."""

    target: str
    action: str
    status: str
    """success, failed or pending."""
    completed: str
    """When it ended, as crm_mon writes it; empty while it is under way."""


class ClusterStatus(Record):
    """One look at the cluster."""

    is_quorate: bool
    nodes: tuple[NodeStatus, ...]
    resources: tuple[ResourceStatus, ...]
    fencings: tuple[FenceEvent, ...] = ()

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
    current = root.find("summary/current_dc")
    # Without a coordinator nobody decides anything, which for whoever asks is the same as no quorum.
    return _status(root, is_quorate=current is not None and _yes(current, "with_quorum"))


def parse_part(xml: str, name: str, *, is_quorate: bool) -> ClusterStatus | None:
    """Read the status that another of Pacemaker's tools prints in crm_mon's form, inside the element of that name.

    Quorum stands nowhere in it. None for a text that has no such part.
    """
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    part = root.find(name)
    return None if part is None else _status(part, is_quorate=is_quorate)


def _status(root: Element, *, is_quorate: bool) -> ClusterStatus | None:
    nodes = root.find("nodes")
    if nodes is None:
        return None
    return ClusterStatus(
        is_quorate=is_quorate,
        nodes=tuple(
            NodeStatus(
                name=node.get("name", ""),
                is_online=_yes(node, "online"),
                is_unclean=_yes(node, "unclean"),
                is_standby=_yes(node, "standby"),
                is_guest=bool(node.get("id_as_resource")),
                kind=node.get("type", ""),
                is_maintenance=_yes(node, "maintenance"),
                is_pending=_yes(node, "pending"),
                is_dc=_yes(node, "is_dc"),
                attributes={
                    attribute.get("name", ""): attribute.get("value", "")
                    for told in root.iterfind("node_attributes/node")
                    if told.get("name") == node.get("name")
                    for attribute in told.findall("attribute")
                },
            )
            for node in nodes.findall("node")
        ),
        # A node may have elements of that name too (what runs on it); the section is where they all are once.
        resources=tuple(_resource(each) for part in root.findall("resources") for each in part.iter("resource")),
        fencings=tuple(
            FenceEvent(
                target=event.get("target", ""),
                action=event.get("action", ""),
                status=event.get("status", ""),
                completed=event.get("completed", ""),
            )
            for event in root.iterfind("fence_history/fence_event")
        ),
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
        is_managed=resource.get("managed") != "false",
        is_blocked=_yes(resource, "blocked"),
        # Pacemaker 3.0.2 calls removed what was called orphaned before.
        is_orphaned=_yes(resource, "orphaned") or _yes(resource, "removed"),
    )


def _yes(element: Element, attribute: str) -> bool:
    return element.get(attribute) == "true"


def when(text: str) -> float | None:
    """Read a time as crm_mon prints it in XML (2026-11-23 03:24:44Z, with fractions and zones of later versions)."""
    import datetime

    word = text.strip().replace(" ", "T", 1).replace(" ", "")
    word = f"{word[:-1]}+00:00" if word.endswith("Z") else word
    head, dot, tail = word.partition(".")
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        word = f"{head}.{digits[:6].ljust(6, '0')}{tail[len(digits) :]}"
    try:
        return datetime.datetime.fromisoformat(word).timestamp()
    except ValueError:
        return None
