"""What the nodes of a lab are started from, written down once by ``up``.

Whoever switches a node on later, the BMC for example, needs to know nothing but the folder of the lab.
"""

from __future__ import annotations

from kvmha.record import Record, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.plan import LabPlan


class Ground(Record):
    """What nodes stand on: the folders below their own, the uppermost first, and whether their guests can use KVM.

    ``kernel`` is the program of a kernel of their own, if they have one.
    """

    layers: tuple[str, ...]
    kvm: bool
    kernel: str = ""


def write_ground(host: Host, plan: LabPlan, ground: Ground) -> None:
    """Write down what the nodes of a lab are started from."""
    import json

    host.write(f"{plan.folder}/ground.json", json.dumps(plain(ground)))


def read_ground(host: Host, plan: LabPlan) -> Ground:
    """Return what the nodes of a lab are started from. Raises OSError."""
    import json

    values = json.loads(host.read(f"{plan.folder}/ground.json"))
    return Ground(layers=tuple(values["layers"]), kvm=values["kvm"], kernel=values.get("kernel", ""))
