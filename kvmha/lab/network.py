"""The network of a lab: namespaces, three bridges, and a cable from every node to each of them.

Nothing of it touches the machine's own namespace. The bridges live in the namespace of the lab; each node has a
namespace and in it eth0 (a port of the node's own bridge br0, on which its address and its guests are), eth1 and eth2.
A cable is a veth pair; it is cut by setting the bridge's end down, as a switch would lose its port. A node with a
kernel of its own has no namespace: its cables are taps, and cut by taking the tap out of the bridge.
"""

from __future__ import annotations

import os

from kvmha.host import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from kvmha.host import Host
    from kvmha.lab.plan import LabPlan, NodePlan

NETNS_FOLDER = "/run/netns"
LINK_BRIDGES = ("link0", "link1")
MANAGEMENT_BRIDGE = "mgmt"
BRIDGES = (*LINK_BRIDGES, MANAGEMENT_BRIDGE)
IP_TIMEOUT = 20.0


def make_lab_network(host: Host, plan: LabPlan) -> None:
    """Make the namespace of the lab with its bridges and addresses; what exists already is left as it is."""
    if not _add_namespace(host, plan.netns):
        return
    addresses = {"link0": [plan.watch_address], MANAGEMENT_BRIDGE: [node.bmc for node in plan.nodes]}
    lines = ["link set lo up"]
    for index, bridge in enumerate(BRIDGES):
        # A bridge takes the lowest address of its ports unless it is given one. It would change when a node loses its
        # power, and the nodes that shall fence it would look for its BMC in vain until they ask for the address anew.
        # Snooping would hold back multicast until a querier shows up, and there is none.
        lines.append(
            f"link add {bridge} address {_mac(index, 0, 2)} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        )
        lines.append(f"link set {bridge} up")
        lines += [f"address add {address}/24 dev {bridge}" for address in addresses.get(bridge, [])]
    _batch(host, plan.netns, lines)


def plug_in(host: Host, plan: LabPlan, node: NodePlan) -> None:
    """Make a node's namespace and cables; links that were cut before stay cut."""
    unplug(host, plan, node)
    if plan.has_kernels:
        _plug_in_taps(host, plan, node)
    else:
        _plug_in_veths(host, plan, node)


def _plug_in_taps(host: Host, plan: LabPlan, node: NodePlan) -> None:
    """Make the cables of a node with a kernel of its own: it holds their other ends itself, and has no namespace."""
    cut, lines = cut_links(host, node), []
    for index, port in enumerate(ports(node)):
        # A port that is cut is of no bridge, and must not be answered by the lab itself.
        lines += [
            f"tuntap add dev {port} mode tap",
            f"link set {port} addrgenmode none",
            f"link set {port} arp off {'nomaster' if index in cut else f'master {BRIDGES[index]}'} up",
        ]
    _batch(host, plan.netns, lines)


def _plug_in_veths(host: Host, plan: LabPlan, node: NodePlan) -> None:
    """Make the namespace and the cables of a container, and give it its addresses."""
    _add_namespace(host, node.netns)
    cut = cut_links(host, node)
    outside, inside = [], ["link set lo up"]
    for index, bridge in enumerate(BRIDGES):
        port = ports(node)[index]
        outside += [
            f"link add {port} type veth peer name eth{index} address {mac_of_cable(index, node)} netns {node.netns}",
            f"link set {port} master {bridge} {'down' if index in cut else 'up'}",
        ]
    inside += [
        # A bridge takes the lowest address of its ports unless it is given one, and would change it with every guest.
        f"link add br0 address {mac_of_bridge(node)} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        "link set eth0 master br0",
        *(f"link set {name} up" for name in ("br0", "eth0", "eth1", "eth2")),
        f"address add {node.addresses[0]}/24 dev br0",
        f"address add {node.addresses[1]}/24 dev eth1",
        f"address add {node.management}/24 dev eth2",
    ]
    _batch(host, plan.netns, outside)
    _batch(host, node.netns, inside)


def pull_cables(host: Host, plan: LabPlan, node: NodePlan) -> None:
    """Silence a node at once: no frame of it reaches anyone any more."""
    if host.exists(netns_path(plan.netns)):
        # Some may not be there: of a node whose plugging in was interrupted.
        _batch(host, plan.netns, [f"link set {port} down" for port in ports(node)], force=True)


def unplug(host: Host, plan: LabPlan, node: NodePlan) -> None:
    """Remove a node's namespace and cables; it is fine if there are none."""
    if host.exists(netns_path(plan.netns)):
        _batch(host, plan.netns, [f"link delete {port}" for port in ports(node)], force=True)
    delete_namespace(host, node.netns)


def cut(host: Host, plan: LabPlan, node: NodePlan, links: Iterable[int]) -> None:
    """Cut links of a node; they stay cut over its next boot."""
    links = sorted({*cut_links(host, node), *links})
    host.write(_cut_file(node), " ".join(map(str, links)) + "\n")
    join(host, plan, node, links, joined=False)


def heal(host: Host, plan: LabPlan, node: NodePlan) -> None:
    """Join all links of a node again."""
    links = cut_links(host, node)
    host.remove(_cut_file(node))
    join(host, plan, node, links, joined=True)


def cut_links(host: Host, node: NodePlan) -> tuple[int, ...]:
    """Return the links of a node that are cut."""
    try:
        return tuple(int(word) for word in host.read(_cut_file(node)).split())
    except FileNotFoundError:
        return ()


def netns_path(name: str) -> str:
    """Return where ip-netns(8) keeps a namespace of that name."""
    return f"{NETNS_FOLDER}/{name}"


def netns_id(name: str) -> tuple[int, int] | None:
    """Return device and inode of a namespace, by which /proc/PID/ns/net tells who is in it; None if it is gone."""
    try:
        found = os.stat(netns_path(name))
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def delete_namespace(host: Host, name: str) -> None:
    """Remove the name of a namespace; the namespace itself goes with its last process."""
    if not host.exists(netns_path(name)):
        return
    host.run("ip", "netns", "delete", name, timeout=IP_TIMEOUT)


def forget_folder(host: Host) -> None:
    """Undo what ip-netns(8) did for the first namespace: it makes its folder a mount, which stays when it is empty."""
    # proc(5): the fifth word is where something is mounted. A mount of a folder on itself has no other sign.
    mounts = [line.split()[4] for line in host.read("/proc/self/mountinfo").splitlines()]
    if NETNS_FOLDER not in mounts or host.names(NETNS_FOLDER):
        return
    if host.run("umount", NETNS_FOLDER, timeout=IP_TIMEOUT, ok=None).rc == 0:
        os.rmdir(NETNS_FOLDER)


def join(host: Host, plan: LabPlan, node: NodePlan, links: Iterable[int], *, joined: bool) -> None:
    """Cut or join links of a node, as far as it has power and so cables."""
    if not _has_cables(host, plan, node):
        return
    lines = []
    for link in links:
        port = ports(node)[link]
        if plan.has_kernels:
            # A tap that is down refuses what the node sends, and User Mode Linux then gives its interface up for good.
            lines.append(f"link set {port} {f'master {BRIDGES[link]}' if joined else 'nomaster'}")
        else:
            lines.append(f"link set {port} {'up' if joined else 'down'}")
    _batch(host, plan.netns, lines)


def _has_cables(host: Host, plan: LabPlan, node: NodePlan) -> bool:
    if not host.exists(netns_path(plan.netns)):
        return False
    argv = ("ip", "-netns", plan.netns, "link", "show", "dev", ports(node)[0])
    return host.run(*argv, timeout=IP_TIMEOUT, ok=None).rc == 0


def _add_namespace(host: Host, name: str) -> bool:
    """Make a namespace and tell whether it was not there before."""
    if host.exists(netns_path(name)):
        return False
    host.run("ip", "netns", "add", name, timeout=IP_TIMEOUT)
    return True


def _batch(host: Host, netns: str, lines: list[str], *, force: bool = False) -> None:
    """Run ip commands in a namespace by one process; with ``force`` go on after one that fails."""
    if not lines:
        return
    options = ("-force",) if force else ()
    argv = ("ip", "-netns", netns, *options, "-batch", "-")
    done = host.run(*argv, timeout=IP_TIMEOUT, given="\n".join(lines) + "\n", ok=None)
    if done.rc != 0 and not force:
        raise CommandFailed(done)


def ports(node: NodePlan) -> tuple[str, ...]:
    """Return the names of the bridges' ends of a node's cables, by link, that of the management network last."""
    return tuple(f"{node.name}-{bridge}" for bridge in BRIDGES)


def mac_of_cable(link: int, node: NodePlan) -> str:
    """Return the address of a node's end of a cable."""
    return _mac(link, node.number, 1)


def mac_of_bridge(node: NodePlan) -> str:
    """Return the address of a node's own bridge."""
    return _mac(0, node.number, 0)


def _cut_file(node: NodePlan) -> str:
    return f"{node.folder}/cut"


def _mac(link: int, node: int, kind: int) -> str:
    """Return a locally administered address: the link, what it is for (0 node's bridge, 1 cable, 2 lab's), the node."""
    return f"02:6b:76:{link:02x}:{kind:02x}:{node:02x}"
