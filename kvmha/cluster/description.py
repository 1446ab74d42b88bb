"""cluster.yaml: read, checked field by field and field against field, every mistake reported at once.

Invariant: a ClusterDescription that was returned can be rendered, and what is rendered names each node,
guest, address and fence device without ambiguity.
"""

from __future__ import annotations

import ipaddress

import yaml

from kvmha.cluster.document import Mistake, Reader, build
from kvmha.cluster.fields import CLUSTER, LINKS, ClusterDescription
from kvmha.errors import UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kvmha.host import Host

TEMPLATES = {2: "two-node", 3: "three-node"}
"""The folder of templates for each number of nodes."""


class DescriptionError(UserError):
    """A cluster.yaml that cannot be used: one line per mistake, ordered by line."""

    def __init__(self, source: str, mistakes: list[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.line))
        super().__init__("\n".join(f"{source}:{mistake}" for mistake in self.mistakes))


def fence_device(node: str) -> str:
    """Return the id of the stonith device that powers off this node."""
    return f"fence-{node}"


def load(host: Host, path: str) -> ClusterDescription:
    """Read a file. Raises DescriptionError, and UserError if there is no such file."""
    try:
        text = host.read(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give the path of a cluster.yaml") from error
    return read(text, path)


def read(text: str, source: str) -> ClusterDescription:
    """Read a text that errors call ``source``. Raises DescriptionError."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise DescriptionError(source, [_not_yaml(error)]) from error
    if root is None:
        names = ", ".join(field.name for field in CLUSTER if field.required)
        empty = Mistake(line=1, place="", said=f"empty; expected at least the fields {names}")
        raise DescriptionError(source, [empty])
    reader = Reader()
    values = reader.group(root, CLUSTER, "")
    for place, said in _contradictions(values):
        reader.report(place, said)
    if reader.mistakes:
        raise DescriptionError(source, reader.mistakes)
    description: ClusterDescription = build(values, CLUSTER, ClusterDescription)
    return description


def _not_yaml(error: yaml.YAMLError) -> Mistake:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return Mistake(line=mark.line + 1 if mark else 1, place="", said=f"no YAML: {problem}")


def _contradictions(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield place and fault wherever fields that are right in themselves do not go together."""
    if not values:
        return
    yield from _wrong_nodes(values.get("nodes"))
    yield from _wrong_addresses(values)
    yield from _wrong_names(values)
    yield from _wrong_places(values)


def _wrong_nodes(nodes: tuple[dict[str, Any], ...] | None) -> Iterator[tuple[str, str]]:
    if nodes is None:
        return
    if len(nodes) not in TEMPLATES:
        templates = " or ".join(f"{count} (template {name})" for count, name in TEMPLATES.items())
        yield "nodes", f"{len(nodes)} nodes; expected {templates}"
    given = {n: node["addresses"] for n, node in enumerate(nodes) if "addresses" in node}
    model, links = next(((n, addresses) for n, addresses in given.items() if addresses), (0, ()))
    for number, addresses in given.items():
        place = f"nodes[{number}].addresses"
        if not 1 <= len(addresses) <= LINKS:
            yield place, f"{len(addresses)} addresses; expected 1 to {LINKS}, one for each corosync link"
        elif len(addresses) != len(links):
            yield place, f"{len(addresses)} addresses; expected {len(links)} as on nodes[{model}]"
        for link, (mine, other) in enumerate(zip(addresses, links)):
            # The two ends of a knet link speak the same protocol.
            if mine and other and _version(mine) != _version(other):
                said = f'"{mine}" is IPv{_version(mine)}; expected IPv{_version(other)} as on nodes[{model}]'
                yield f"{place}[{link}]", said


def _wrong_addresses(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """An address belongs to one node or to one floating IP; a prefix is no longer than its address."""
    seen: dict[str, str] = {}
    for n, node in enumerate(values.get("nodes", ())):
        for link, address in enumerate(node.get("addresses", ())):
            place = f"nodes[{n}].addresses[{link}]"
            if address and seen.setdefault(address, place) != place:
                yield place, f'"{address}" is also {seen[address]}; expected an address of its own'
    for n, floating in enumerate(values.get("floating_ips", ())):
        place, ip, length = f"floating_ips[{n}]", floating.get("ip"), floating.get("cidr_netmask")
        if ip and seen.setdefault(ip, f"{place}.ip") != f"{place}.ip":
            yield f"{place}.ip", f'"{ip}" is also {seen[ip]}; expected an address of its own'
        most = ipaddress.ip_address(ip).max_prefixlen if ip else 0
        if ip and length is not None and length > most:
            said = f'"{length}" is longer than an IPv{_version(ip)} address; expected at most {most}'
            yield f"{place}.cidr_netmask", said


def _wrong_names(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """No two nodes, and no two resources, have one name; the fence devices are resources as well."""
    nodes: dict[str, str] = {}
    ids: dict[str, str] = {}
    for number, node in enumerate(values.get("nodes", ())):
        place, name = f"nodes[{number}].name", node.get("name")
        if name and nodes.setdefault(name.lower(), place) != place:
            yield place, f'"{name}" is also {nodes[name.lower()]}; expected a name of its own'
        elif name:
            ids[fence_device(name)] = f"the fence device of {name}"
    for kind in ("guests", "floating_ips"):
        for number, resource in enumerate(values.get(kind, ())):
            place, name = f"{kind}[{number}].name", resource.get("name")
            if name and ids.setdefault(name, place) != place:
                yield place, f'"{name}" is also {ids[name]}; expected a name of its own'


def _wrong_places(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    nodes = [node["name"] for node in values.get("nodes", ()) if "name" in node]
    guests = [guest["name"] for guest in values.get("guests", ()) if "name" in guest]
    for kind in ("guests", "floating_ips"):
        for number, resource in enumerate(values.get(kind, ())):
            place, prefers, follows = f"{kind}[{number}]", resource.get("prefers"), resource.get("follows")
            if prefers is not None and prefers not in nodes:
                yield f"{place}.prefers", f'"{prefers}" is no node; expected {_one_of(nodes, "a node")}'
            if follows is not None and follows not in guests:
                yield f"{place}.follows", f'"{follows}" is no guest; expected {_one_of(guests, "a guest")}'
            if prefers is not None and follows is not None:
                yield f"{place}.follows", "given together with prefers; expected only one of the two"


def _one_of(names: list[str], kind: str) -> str:
    return f"one of {', '.join(names)}" if names else f"the name of {kind}, of which there is none"


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version
