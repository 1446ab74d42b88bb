"""Fence devices as resources, and the levels in which they are tried."""

from __future__ import annotations

from kvmha.cluster.configuration.parts import INFINITY, Level, Location, Operation, Part, Primitive
from kvmha.cluster.configuration.settings import sbd_fencing_time
from kvmha.cluster.description import fence_devices, is_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cluster.description import PlacedDevice
    from kvmha.cluster.fields import ClusterDescription, Sbd

SBD_DEVICE = "fence-sbd"
WATCHDOG = "watchdog"
"""What Pacemaker calls the fencing by a node's own watchdog in a level (pacemaker-fenced)."""

OPERATIONS = (
    Operation(name="start", interval="0s", timeout="60s"),
    Operation(name="stop", interval="0s", timeout="20s"),
    Operation(name="monitor", interval="60s", timeout="60s"),
)


def parts(description: ClusterDescription) -> tuple[Part, ...]:
    """Return the fence devices: those of each node, then that of sbd."""
    found = [_device(device, description) for device in fence_devices(description)]
    if description.sbd and description.sbd.devices:
        found.append(_poison_pill(description.sbd, description))
    return tuple(found)


def levels(description: ClusterDescription) -> tuple[Level, ...]:
    """Return the levels; none where each node has one device, for Pacemaker finds that by itself."""
    by_node: dict[str, dict[int, list[str]]] = {node.name: {} for node in description.nodes}
    for device in fence_devices(description):
        by_node[device.node].setdefault(device.level, []).append(device.id)
    sbd = description.sbd
    if sbd:
        for found in by_node.values():
            last = max(found, default=0) + 1
            found.setdefault(sbd.level or last, []).append(SBD_DEVICE if sbd.devices else WATCHDOG)
    if all(sum(map(len, found.values())) == 1 for found in by_node.values()):
        return ()
    return tuple(
        Level(id=f"fl-{node}-{index}", node=node, index=index, devices=tuple(found[index]))
        for node, found in by_node.items() for index in sorted(found)
    )  # fmt: skip


def _device(device: PlacedDevice, description: ClusterDescription) -> Part:
    params = [("pcmk_host_list", device.node), *device.options.items()]
    delay = description.timing.fencing_delay
    # Of two nodes with equally many guests the first one wins.
    first = device.node == description.nodes[0].name
    if is_pair(description) and first and delay and "pcmk_delay_base" not in device.options:
        params.append(_delays({device.node: delay}))
    # A node could not report its own death.
    avoid = Location(id=f"{device.id}-not-on-{device.node}", resource=device.id, node=device.node, score=f"-{INFINITY}")
    made = Primitive(id=device.id, agent=f"stonith:{device.agent}", params=tuple(params), operations=OPERATIONS)
    return Part(title=f"fence device {device.id}", primitive=made, constraints=(avoid,))


def _poison_pill(sbd: Sbd, description: ClusterDescription) -> Part:
    wait = f"{sbd_fencing_time(sbd)}s"
    nodes = [node.name for node in description.nodes]
    params = [("pcmk_host_list", " ".join(nodes)), ("devices", ",".join(sbd.devices)),
              ("pcmk_reboot_timeout", wait), ("pcmk_off_timeout", wait)]  # fmt: skip
    delay = description.timing.fencing_delay
    if is_pair(description) and delay:
        params.append(_delays({nodes[0]: delay, nodes[1]: 0}))
    made = Primitive(id=SBD_DEVICE, agent="stonith:fence_sbd", params=tuple(params), operations=OPERATIONS)
    return Part(title=f"fence device {SBD_DEVICE}", primitive=made)


def _delays(by_node: dict[str, int]) -> tuple[str, str]:
    """Return the parameter that delays the fencing of each of these nodes by so many seconds.

    Pacemaker 2.1.2 to 3.0.1 log an error for each word without a node's name, and take the first mapping whose name is
    how the node's own begins (fenced_commands.c): so each has its name, and the longer ones come first.
    """
    words = [f"{node}:{by_node[node]}s" for node in sorted(by_node, key=len, reverse=True)]
    return "pcmk_delay_base", ";".join(words)
