"""Fence devices that fail together with what they fence, or that fence somebody else."""

from __future__ import annotations

import ipaddress

from kvmha.cluster.lint.rule import CIB, ERROR, NOTE, RING, WARNING, Fault, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.facts.records import FenceDevice
    from kvmha.cluster.lint.rule import Seen

AREA = "fencing"

BMC_AGENTS = (
    "fence_ipmilan",
    "fence_idrac",
    "fence_ilo4",
    "fence_ilo5",
    "fence_imm",
    "fence_redfish",
    "fence_ipmilanplus",
)
"""Agents of controllers that live on the server's own power."""

ADDRESS_OPTIONS = ("ip", "ipaddr")

PLUG_OPTIONS = ("plug", "port")


def _address(device: FenceDevice) -> str:
    return next((device.params[name] for name in ADDRESS_OPTIONS if device.params.get(name)), "")


def _plug(device: FenceDevice, target: str) -> str:
    """Return what the device is told to switch: by its map, by its options, or the node's name where it knows names."""
    pairs = device.params.get("pcmk_host_map", "").replace(";", " ").split()
    mapped = dict(pair.split(":", 1) for pair in pairs if ":" in pair)
    said = next((device.params[name] for name in PLUG_OPTIONS if device.params.get(name)), "")
    return mapped.get(target) or said or ("" if device.agent in BMC_AGENTS else target)


def _same_plug(facts: Facts) -> Iterator[Seen]:
    seen: dict[tuple[str, ...], tuple[str, str]] = {}
    for device in facts.fence_devices:
        if len(device.targets or ()) != 1 or not _address(device):
            continue
        plug = _plug(device, (device.targets or ("",))[0])
        key = (_address(device), device.params.get("ipport", ""), plug, device.params.get("systems_uri", ""))
        target = (device.targets or ("",))[0]
        owner, other = seen.setdefault(key, (target, device.id))
        if owner != target:
            place = f"{_address(device)} {plug}".strip()
            yield Fault(
                subject=device.id,
                said=f"it switches what {other} switches, so the fencing of {target} powers {owner} off",
                chain=f"{place} for {owner} and for {target}",
                yaml=f"nodes: {target}: fencing: options: its own ip, or plug",
                commands=(f"pcs stonith update {device.id} ip=ADDRESS",),
            )


def _device_inside(facts: Facts) -> Iterator[Seen]:
    if facts.ring is None:
        return
    addresses = {address: node.name for node in facts.ring.nodes for _, address in node.addresses}
    for device in facts.fence_devices:
        owner = addresses.get(_address(device))
        if owner:
            yield Fault(
                subject=device.id,
                said=f"its device is the node {owner} itself, and dies with it",
                chain=f"ip {_address(device)} is an address of {owner}",
                yaml="nodes: fencing: options: ip of the management controller",
                commands=(f"pcs stonith update {device.id} ip=ADDRESS",),
            )


def _same_network(facts: Facts) -> Iterator[Seen]:
    ring = facts.ring
    if ring is None:
        return
    networks = set()
    for number in ring.links:
        addresses = (_parsed(address) for _, address in ring.addresses(number))
        networks |= {
            ipaddress.ip_network(f"{ip}/{24 if ip.version == 4 else 64}", strict=False) for ip in addresses if ip
        }
    for device in facts.fence_devices:
        ip = _parsed(_address(device))
        if ip and len(networks) == 1 and ip in next(iter(networks)):
            yield Fault(
                subject=device.id,
                said="it hangs on the network that corosync's only link uses: when that fails, nobody can be fenced",
                chain=f"ip {ip} is in {next(iter(networks))}",
                yaml="nodes: management controllers on a network of their own, or a second link",
            )


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _shared_power(facts: Facts) -> Iterator[Seen]:
    for node in facts.node_names:
        levels = facts.fencing_of(node)
        if levels and all(device.agent in BMC_AGENTS for level in levels for device in level) and not facts.uses_sbd:
            yield Fault(
                subject=node,
                said="its management controller is all that fences it: if the server loses its mains, so does that, "
                "and its guests stay down until somebody confirms that it is off",
                chain=f"nothing but {', '.join(sorted({device.agent for level in levels for device in level}))}",
                yaml="nodes: fencing: a second level, such as a switchable power strip or sbd",
                commands=(f"pcs stonith level add 2 {node} DEVICE", f"pcs stonith confirm {node}   # by hand, then"),
            )


RULES = (
    Rule(id="fencing-same-device", severity=ERROR, area=AREA, needs=(CIB,), find=_same_plug,
         looks_at="The addresses and plugs of the fence devices.",
         why="Fencing that powers off another node reports success and leaves the wrong one running."),
    Rule(id="fencing-on-node", severity=ERROR, area=AREA, needs=(RING, CIB), find=_device_inside,
         looks_at="The addresses of the fence devices against those of the nodes.",
         why="A device must outlive what it fences."),
    Rule(id="fencing-network", severity=WARNING, area=AREA, needs=(RING, CIB), find=_same_network,
         looks_at="The network of the fence devices against that of the only link.",
         why="A split must not take the fencing with it."),
    Rule(id="fencing-power", severity=NOTE, area=AREA, needs=(CIB,), find=_shared_power,
         looks_at="Nodes that only their own management controller can fence.",
         why="Device and node share the mains, and so their fate."),
)  # fmt: skip
