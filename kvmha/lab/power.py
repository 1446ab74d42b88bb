"""The power switch of a node, for the person at the command line and for the BMC alike.

What a node is started from (``Ground``) is written down once by ``up``, so that whoever switches a node on later needs
to know nothing but the folder of the lab.
"""

from __future__ import annotations

from kvmha.lab import nodes
from kvmha.lab.lock import Lock
from kvmha.record import Record, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.plan import LabPlan, NodePlan


class Ground(Record):
    """What nodes stand on: the folders below their own, the uppermost first, and whether their guests can use KVM."""

    layers: tuple[str, ...]
    kvm: bool


def write_ground(host: Host, plan: LabPlan, ground: Ground) -> None:
    """Write down what the nodes of a lab are started from."""
    import json

    host.write(f"{plan.folder}/ground.json", json.dumps(plain(ground)))


def read_ground(host: Host, plan: LabPlan) -> Ground:
    """Return what the nodes of a lab are started from. Raises OSError."""
    import json

    values = json.loads(host.read(f"{plan.folder}/ground.json"))
    return Ground(layers=tuple(values["layers"]), kvm=values["kvm"])


def is_on(host: Host, plan: LabPlan, node: NodePlan) -> bool:
    """Tell whether anything of a node runs."""
    return bool(nodes.processes(host, plan, node))


def switch(host: Host, plan: LabPlan, node: NodePlan, state: str) -> None:
    """Bring a node to "off" or "on", or through "cycle"; a node that is there already is left alone."""
    with Lock(host, f"{node.folder}/lock", wait=60.0, busy=f"another run is switching the node {node.name}"):
        if state in ("off", "cycle"):
            nodes.stop(host, plan, node)
        if state in ("on", "cycle") and not is_on(host, plan, node):
            ground = read_ground(host, plan)
            nodes.start(host, plan, node, layers=ground.layers, kvm=ground.kvm)
