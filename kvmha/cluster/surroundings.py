"""What follows from a description for the hosts' network: names, certificates, and the ports that the nodes share."""

from __future__ import annotations

import ipaddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cluster.fields import ClusterDescription, Node

    Ports = list[tuple[str, str]]

COROSYNC_PORT = 5405
"""knet's link 0; every further link has the next one (corosync.conf(5), mcastport)."""

PCSD_PORT = 2224
LIBVIRT_PORTS = {"tls": 16514, "tcp": 16509}
MIGRATION_PORTS = "49152-49215"
"""Where QEMU takes a guest's memory (qemu.conf, migration_port_min and migration_port_max)."""


def migration_name(node: Node, suffix: str) -> str:
    """Return a node's name on the migration network: its first label with the suffix, and its domain."""
    label, dot, domain = node.name.partition(".")
    return f"{label}{suffix}{dot}{domain}"


def migration_names(description: ClusterDescription) -> dict[str, str]:
    """Return each node's name on the migration network; empty where there is none."""
    suffix = description.migration.suffix
    return {node.name: migration_name(node, suffix) for node in description.nodes if node.migration_address}


def certificate_names(description: ClusterDescription) -> dict[str, str]:
    """Return what each node's certificate has to vouch for, as openssl writes a subjectAltName."""
    names = migration_names(description)
    found = {}
    for node in description.nodes:
        hosts = dict.fromkeys((node.name, names.get(node.name, node.name)))
        addresses = dict.fromkeys((*node.addresses, *filter(None, (node.migration_address,))))
        found[node.name] = ",".join([f"DNS:{name}" for name in hosts] + [f"IP:{address}" for address in addresses])
    return found


def firewall(description: ClusterDescription) -> tuple[dict[int, list[str]], Ports, Ports]:
    """Return the members' addresses by their version, and the TCP and UDP ports that are theirs alone."""
    addresses = [
        address for node in description.nodes for address in (*node.addresses, node.migration_address) if address
    ]
    links = len(description.nodes[0].addresses)
    last = COROSYNC_PORT + links - 1
    udp: Ports = [(f"{COROSYNC_PORT}-{last}" if links > 1 else str(COROSYNC_PORT), "corosync, a port for each link")]
    tcp: Ports = [(str(PCSD_PORT), "pcsd"), (MIGRATION_PORTS, "guests that move")]
    if description.migration.transport in LIBVIRT_PORTS:
        tcp.append((str(LIBVIRT_PORTS[description.migration.transport]), "libvirt"))
    tcp += [(str(disk.port), f"DRBD {disk.name}") for disk in description.drbd]
    if description.booth:
        booth = description.booth
        addresses += [*(site.address for site in booth.sites), *booth.arbitrators]
        for ports in (tcp, udp):
            ports.append((str(booth.port), "booth"))
    members: dict[int, list[str]] = {4: [], 6: []}
    for address in dict.fromkeys(addresses):
        members[ipaddress.ip_address(address).version].append(address)
    return members, tcp, udp
