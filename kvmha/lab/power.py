"""The power switch of a node, for the person at the command line and for the BMC alike."""

from __future__ import annotations

from kvmha.lab import nodes
from kvmha.lab.ground import read_ground
from kvmha.lab.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.plan import LabPlan, NodePlan


def is_on(host: Host, plan: LabPlan, node: NodePlan) -> bool:
    """Tell whether anything of a node runs."""
    return bool(nodes.processes(host, plan, node))


def switch(host: Host, plan: LabPlan, node: NodePlan, state: str) -> None:
    """Bring a node to "off" or "on", or through "cycle"; a node that is there already is left alone."""
    with Lock(host, f"{node.folder}/lock", wait=60.0, busy=f"another run is switching the node {node.name}"):
        if state in ("off", "cycle"):
            nodes.stop(host, plan, node)
        if state in ("on", "cycle") and not is_on(host, plan, node):
            nodes.start(host, plan, node, read_ground(host, plan))
