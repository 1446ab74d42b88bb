"""cibadmin: the constraints that keep a DRBD peer from promotion, read and written as XML."""

from __future__ import annotations

import re

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from kvmha.host import Host

EXISTS = (17, 76, 108)
"""Exit codes of cibadmin for a constraint that is there already: CRM_EX_EXISTS of Pacemaker 2 and 3
(crm/common/results.h), and EEXIST as Pacemaker 1.1 has it.
"""

TRUE = ("true", "on", "yes", "y", "1")
"""What Pacemaker takes for true, in any case (Pacemaker Explained, "Boolean")."""


class Holder(Record):
    """The resource by which the cluster promotes a DRBD resource."""

    name: str
    """The id that a constraint names: a DRBDPrimary, or the promotable clone."""
    primitive: str
    """The id of the primitive, which is what the cluster reports on."""
    role: str = ""
    """``Promoted`` for a clone: it may go on running there, unpromoted."""
    params: dict[str, str] = {}  # noqa: RUF012 (a default that nobody changes: records are frozen)


class Exclusion(Record):
    """A constraint by which one node keeps another from promotion."""

    identity: str
    resource: str
    node: str
    """The node that may not be promoted, by the cluster's name."""


class Constraints(Record):
    """What the configuration has on one DRBD resource."""

    holder: Holder | None
    exclusions: tuple[Exclusion, ...]

    def between(self, one: str, other: str) -> Exclusion | None:
        """Return the exclusion that stands between two nodes, whichever is excluded."""
        return next((each for each in self.exclusions if each.node in (one, other)), None)


def query_argv() -> tuple[str, ...]:
    """Return the whole configuration."""
    return ("cibadmin", "--query")


def create_argv(xml: str) -> tuple[str, ...]:
    """Add a constraint; one of the same id makes it fail, so that of two nodes only the first excludes the other."""
    return ("cibadmin", "--create", "--sync-call", "--scope", "constraints", "--xml-text", xml)


def delete_argv(identity: str) -> tuple[str, ...]:
    """Remove a constraint, whatever is inside."""
    return ("cibadmin", "--delete", "--sync-call", "--xml-text", f'<rsc_location id="{identity}"/>')


def read(host: Host, resource: str, *, timeout: float) -> Constraints:
    """Return what the configuration has on a DRBD resource. Raises CommandError."""
    return parse(host.run(*query_argv(), timeout=timeout).out, resource)


def identity(resource: str, one: str, other: str) -> str:
    """Return the id of the constraint between two nodes: the same for both, so that only one can be there."""
    names = "-".join(sorted((one, other)))
    # Ids are XML names, which have letters, digits and these three marks.
    return re.sub(r"[^A-Za-z0-9._-]", ".", f"drbd-fence-{resource}-{names}")


def exclusion_xml(resource: str, holder: Holder, *, own: str, peer: str) -> str:
    """Return the constraint by which ``own`` keeps ``peer`` from promotion."""
    from xml.etree.ElementTree import Element, SubElement, tostring

    name = identity(resource, own, peer)
    location = Element("rsc_location", id=name, rsc=holder.name)
    rule = SubElement(location, "rule", id=f"{name}-rule", score="-INFINITY")
    if holder.role:
        rule.set("role", holder.role)
    SubElement(rule, "expression", id=f"{name}-expr", attribute="#uname", operation="eq", value=peer, type="string")
    return tostring(location, encoding="unicode")


def parse(xml: str, resource: str) -> Constraints:
    """Read cibadmin's answer. Raises ValueError for a text that is none."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"cibadmin printed no XML: {error}") from None
    prefix = identity(resource, "", "").rstrip("-") + "-"
    found = []
    for location in root.iter("rsc_location"):
        name = location.get("id", "")
        if name.startswith(prefix):
            nodes = [each.get("value", "") for each in location.iter("expression") if each.get("operation") == "eq"]
            found += [Exclusion(identity=name, resource=location.get("rsc", ""), node=node) for node in nodes[:1]]
    holders = sorted(_holders(root, resource), key=lambda holder: holder.role)
    names = {holder.name for holder in holders}
    # Another resource's name may begin with this one's.
    return Constraints(
        holder=holders[0] if holders else None,
        exclusions=tuple(each for each in found if not names or each.resource in names),
    )


def _holders(root: Element, resource: str) -> Iterator[Holder]:
    """Yield what promotes a DRBD resource: a DRBDPrimary, and each promotable clone of an agent that names it."""
    for primitive in root.iter("primitive"):
        params = _pairs(primitive, "instance_attributes")
        if primitive.get("type") == "DRBDPrimary" and params.get("drbd_resource") == resource:
            name = primitive.get("id", "")
            yield Holder(name=name, primitive=name, params=params)
    for clone in [*root.iter("clone"), *root.iter("master")]:
        is_promotable = clone.tag == "master" or _pairs(clone, "meta_attributes").get("promotable", "").lower() in TRUE
        for primitive in clone.iter("primitive") if is_promotable else ():
            params = _pairs(primitive, "instance_attributes")
            if params.get("drbd_resource") == resource:
                yield Holder(
                    name=clone.get("id", ""), primitive=primitive.get("id", ""), role="Promoted", params=params
                )


def _pairs(element: Element, kind: str) -> dict[str, str]:
    pairs = (pair for block in element.findall(kind) for pair in block.iter("nvpair"))
    return {pair.get("name", ""): pair.get("value", "") for pair in pairs}
