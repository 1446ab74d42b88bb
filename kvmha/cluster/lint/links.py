"""corosync's links: that a second one is of use, and that packets fit."""

from __future__ import annotations

import ipaddress

from kvmha.cluster.lint.rule import (
    ERROR,
    NODES,
    NOTE,
    RING,
    WARNING,
    Fault,
    Rule,
    Unknown,
    each_node,
    ring_in,
    set_totem,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.lint.rule import Seen

AREA = "membership"

KNET_OVERHEAD = 28
"""IPv4 and UDP; knet's own header and the encryption come on top (knet finds that out by itself with knet_mtu 0)."""


def _link_slow(facts: Facts) -> Iterator[Seen]:
    ring = ring_in(facts)
    if len(ring.links) < 2:
        return
    for link in ring.totem.links:
        if link.down_ms >= ring.totem.token:
            yield Fault(
                subject=f"link {link.number}",
                said="when it fails, the token is lost before knet has gone over to another link",
                chain=f"knet_ping_interval {link.ping_interval} + knet_ping_timeout {link.ping_timeout} = "
                f"{link.down_ms} ms; {ring.totem.token_chain}",
                yaml="timing: leave knet_ping_interval and knet_ping_timeout out, so that they follow the token",
                commands=(
                    f"pcs cluster link update {link.number} knet_ping_interval={ring.totem.token // 4} "
                    f"knet_ping_timeout={ring.totem.token // 2}",
                ),
            )


def _link_order(facts: Facts) -> Iterator[Seen]:
    for link in ring_in(facts).totem.links:
        if link.ping_timeout < link.ping_interval:
            yield Fault(
                subject=f"link {link.number}",
                said="it is called dead before the next ping is sent, and comes and goes",
                chain=f"knet_ping_interval {link.ping_interval} ms; knet_ping_timeout {link.ping_timeout} ms",
                yaml="timing: knet_ping_timeout at least twice knet_ping_interval",
                commands=(f"pcs cluster link update {link.number} knet_ping_timeout={link.ping_interval * 2}",),
            )


def _one_link(facts: Facts) -> Iterator[Seen]:
    ring = ring_in(facts)
    if len(ring.links) == 1 and len(ring.nodes) > 1:
        yield Fault(
            subject=f"link {ring.links[0]}",
            said="it is the only one: a switch or a cable fails, and a node is fenced for it",
            yaml="nodes: a second address for each node, on a network of its own",
            commands=("pcs cluster link add " + " ".join(f"{node.name}=ADDRESS" for node in ring.nodes),),
        )


def _one_network(facts: Facts) -> Iterator[Seen]:
    ring = ring_in(facts)
    networks: dict[str, int] = {}
    for number in ring.links:
        for address in sorted(address for _, address in ring.addresses(number)):
            network = _network(address)
            if network and networks.setdefault(network, number) != number:
                yield Fault(
                    subject=f"link {number}",
                    said=f"it lies in the network of link {networks[network]}, and fails together with it",
                    chain=f"{address} is in {network}",
                    yaml="nodes: addresses of another network for each link",
                )
                break


def _network(address: str) -> str:
    """Return the network that an address most likely belongs to, empty for a name."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return str(ipaddress.ip_network(f"{ip}/{24 if ip.version == 4 else 64}", strict=False))


def _one_interface(facts: Facts) -> Iterator[Seen]:
    ring = ring_in(facts)
    for node, unknown in each_node(facts, "addresses"):
        if node is None or node.addresses is None:
            if unknown:
                yield unknown
            continue
        interfaces: dict[str, int] = {}
        for number in ring.links:
            mine = dict(ring.addresses(number)).get(node.node)
            for found in node.addresses:
                if found.address == mine and interfaces.setdefault(found.interface, number) != number:
                    yield Fault(
                        subject=node.node,
                        said=f"links {interfaces[found.interface]} and {number} share the interface {found.interface}",
                        yaml="nodes: addresses on interfaces of their own for each link",
                    )


def _mtu_differs(facts: Facts) -> Iterator[Seen]:
    ring = ring_in(facts)
    told = []
    for node, unknown in each_node(facts, "addresses"):
        if node is not None:
            told.append(node)
        elif unknown:
            yield unknown
    for number in ring.links:
        sizes = {}
        for node in told:
            mine = dict(ring.addresses(number)).get(node.node)
            found = next((each for each in node.addresses or () if each.address == mine), None)
            if found is None:
                yield Unknown(subject=node.node, said=f"no interface has the address {mine} of link {number}")
            else:
                sizes[node.node] = found
        if len({found.mtu for found in sizes.values()}) > 1:
            least = min(found.mtu for found in sizes.values())
            yield Fault(
                subject=f"link {number}",
                said="large packets of one node are lost on the way to another, and only when there is much to say",
                chain=", ".join(f"{name} {found.interface} {found.mtu}" for name, found in sorted(sizes.items())),
                yaml=f"network: {{mtu: {least}}}, until the interfaces agree",
                commands=tuple(
                    f"ip link set {found.interface} mtu {least}   # on {name}"
                    for name, found in sorted(sizes.items())
                    if found.mtu != least
                ),
            )


def _mtu_large(facts: Facts) -> Iterator[Seen]:
    ring = ring_in(facts)
    if not ring.mtu:
        return
    for node, unknown in each_node(facts, "addresses"):
        if unknown:
            yield unknown
        wanted = {address for number in ring.links for name, address in ring.addresses(number)}
        for found in (node.addresses or ()) if node else ():
            if found.address in wanted and ring.mtu > found.mtu - KNET_OVERHEAD:
                yield Fault(
                    subject=node.node if node else "",
                    said=f"corosync's packets do not fit through {found.interface}",
                    chain=f"knet_mtu {ring.mtu} > mtu {found.mtu} - {KNET_OVERHEAD} = {found.mtu - KNET_OVERHEAD}",
                    yaml="network: leave mtu out, knet finds it out",
                    commands=set_totem(knet_mtu=0),
                )


def _link_mode(facts: Facts) -> Iterator[Seen]:
    ring = ring_in(facts)
    if ring.link_mode == "rr" and len(ring.links) > 1:
        yield Fault(
            subject="corosync",
            said="link_mode rr sends each packet over another link, and the slowest one sets the pace of all",
            yaml="network: {link_mode: passive}",
            commands=("pcs cluster config update transport link_mode=passive   # with the cluster stopped",),
        )


def _no_encryption(facts: Facts) -> Iterator[Seen]:
    ring = ring_in(facts)
    if ring.transport == "knet" and "none" in (ring.cipher, ring.hash):
        yield Fault(
            subject="corosync",
            said="whoever reaches its ports can take part in the cluster, and read and change its configuration",
            chain=f"crypto_cipher {ring.cipher}, crypto_hash {ring.hash}",
            yaml="network: {crypto_cipher: aes256, crypto_hash: sha256}",
            commands=("pcs cluster config update crypto cipher=aes256 hash=sha256",),
        )


def _old_transport(facts: Facts) -> Iterator[Seen]:
    ring = ring_in(facts)
    if ring.transport != "knet":
        yield Fault(
            subject="corosync",
            said=f"the transport {ring.transport} knows one link, no encryption, and no change of the MTU",
            yaml="the templates use knet; render and apply them",
            commands=("set transport: knet in corosync.conf on every node, with the cluster stopped",),
        )


def _address_is_name(facts: Facts) -> Iterator[Seen]:
    ring = ring_in(facts)
    for number in ring.links:
        for name, address in ring.addresses(number):
            try:
                ipaddress.ip_address(address)
            except ValueError:
                yield Fault(
                    subject=name,
                    said=f"link {number} has the name {address}: without the name service corosync does not start",
                    yaml="nodes: addresses instead of names",
                )


RULES = (
    Rule(id="link-failover", severity=ERROR, area=AREA, needs=(RING,), find=_link_slow,
         looks_at="knet's ping interval and timeout against the token, with more than one link.",
         why="A second link is of no use that is taken only when the node is lost already."),
    Rule(id="link-ping", severity=ERROR, area=AREA, needs=(RING,), find=_link_order,
         looks_at="knet's ping timeout against its ping interval.",
         why="A link without a ping in its timeout is dead."),
    Rule(id="one-link", severity=WARNING, area=AREA, needs=(RING,), find=_one_link,
         looks_at="The number of links.",
         why="With one link a cable decides whether a node is alive."),
    Rule(id="links-one-network", severity=WARNING, area=AREA, needs=(RING,), find=_one_network,
         looks_at="The networks of the links (/24 for IPv4, /64 for IPv6).",
         why="Links in one network fail together, and the kernel may send both over one interface."),
    Rule(id="links-one-interface", severity=ERROR, area=AREA, needs=(RING, NODES), find=_one_interface,
         looks_at="The interfaces that carry the links on each node.",
         why="Two links over one interface are one."),
    Rule(id="mtu-differs", severity=ERROR, area=AREA, needs=(RING, NODES), find=_mtu_differs,
         looks_at="The MTU of the interfaces along each link.",
         why="Small packets pass and large ones do not: the cluster falls apart when it has much to say."),
    Rule(id="mtu-large", severity=ERROR, area=AREA, needs=(RING, NODES), find=_mtu_large,
         looks_at="knet_mtu or netmtu against the MTU of the interfaces.",
         why="What does not fit is lost."),
    Rule(id="link-mode", severity=WARNING, area=AREA, needs=(RING,), find=_link_mode,
         looks_at="link_mode.",
         why="Links are for safety; with rr a bad link slows the others down."),
    Rule(id="encryption-off", severity=WARNING, area=AREA, needs=(RING,), find=_no_encryption,
         looks_at="crypto_cipher and crypto_hash.",
         why="Without a key everybody on the network is a node; a CIB holds the fence devices' passwords."),
    Rule(id="transport-old", severity=WARNING, area=AREA, needs=(RING,), find=_old_transport,
         looks_at="corosync's transport.",
         why="udp and udpu have neither several links nor encryption."),
    Rule(id="address-is-name", severity=NOTE, area=AREA, needs=(RING,), find=_address_is_name,
         looks_at="Host names in place of addresses in corosync.conf.",
         why="A cluster should come up without a name service."),
)  # fmt: skip
