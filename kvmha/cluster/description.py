"""cluster.yaml: read, checked field by field and field against field, every mistake reported at once.

Invariant: a ClusterDescription that was returned can be rendered, and what is rendered names each node,
guest, address and fence device without ambiguity.
"""

from __future__ import annotations

import yaml

from kvmha.cluster import contradictions
from kvmha.cluster.contradictions.identity import fence_device
from kvmha.cluster.contradictions.membership import SIZES
from kvmha.cluster.document import Mistake, Reader, build
from kvmha.cluster.fields import CLUSTER, ClusterDescription
from kvmha.errors import UserError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kvmha.host import Host

TEMPLATES = (*SIZES.values(), "two-node-qdevice", "stretched-pair")
"""The folders of templates."""


TOKENS_MS = {2: 2000, 3: 1300}
"""Tokens by the number of nodes: with their consensus either form knows of a lost node in less than three seconds."""


class DescriptionError(UserError):
    """A cluster.yaml that cannot be used: one line per mistake, ordered by line."""

    def __init__(self, source: str, mistakes: list[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.line))
        super().__init__("\n".join(f"{source}:{mistake}" for mistake in self.mistakes))


class PlacedDevice(Record):
    """A fence device as a resource: its id, the node that it powers off, and when it is tried."""

    id: str
    node: str
    level: int
    agent: str
    options: Mapping[str, str]


def template(description: ClusterDescription) -> str:
    """Return the folder of templates that suits a cluster."""
    if description.booth:
        return "stretched-pair"
    if len(description.nodes) == 2 and description.quorum.device:
        return "two-node-qdevice"
    return SIZES[len(description.nodes)]


def is_pair(description: ClusterDescription) -> bool:
    """Tell whether both halves of a split stay quorate, so that fencing alone decides who goes on."""
    return len(description.nodes) == 2 and description.quorum.device is None


def fence_devices(description: ClusterDescription) -> tuple[PlacedDevice, ...]:
    """Return the nodes' own fence devices with their ids; that of sbd is not among them."""
    return tuple(
        PlacedDevice(id=fence_device(node.name, number, device.name), node=node.name, level=device.level,
                     agent=device.agent, options=device.options)
        for node in description.nodes for number, device in enumerate(node.fencing)
    )  # fmt: skip


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
    for place, said in contradictions.find(values):
        reader.report(place, said)
    if reader.mistakes:
        raise DescriptionError(source, reader.mistakes)
    _settle_timing(values)
    description: ClusterDescription = build(values, CLUSTER, ClusterDescription)
    return description


def _settle_timing(values: dict[str, Any]) -> None:
    """Fill in the times that are left out; they hang on the form of the cluster and on the token.

    knet's own do not follow a token that is changed while corosync runs, so that they are always said.
    """
    times, pair = values["timing"], len(values["nodes"]) == 2
    if times["token"] is None:
        times["token"] = TOKENS_MS[len(values["nodes"])]
    token = times["token"]
    followers = {
        "consensus": token * 3 // 10 if pair else token * 6 // 5,
        "knet_ping_interval": token // 5,
        "knet_ping_timeout": token * 2 // 5,
    }
    for name, value in followers.items():
        if times[name] is None:
            times[name] = value


def _not_yaml(error: yaml.YAMLError) -> Mistake:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return Mistake(line=mark.line + 1 if mark else 1, place="", said=f"no YAML: {problem}")
