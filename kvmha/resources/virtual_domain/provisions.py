"""What libvirt has to provide before a guest can start: its storage pools and networks."""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.tools.domain_xml import parse_resources
from kvmha.tools.libvirtd import LibvirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.resources.virtual_domain.definition import Definition
    from kvmha.tools.domain_xml import Resources
    from kvmha.tools.libvirtd import Libvirt


def needed_resources(definition: Definition) -> Resources:
    """Return the names of the storage pools and networks that a definition draws from."""
    return parse_resources(definition.xml)


def start(agent: VirtualDomain, libvirt: Libvirt, needed: Resources) -> None:
    """Start what is not active, on the host of that connection. Raises OcfError, which names what did not start.

    An active pool looks for its volumes anew, since another node may have made one.
    """
    for kind, names, begin in (
        ("storage pool", needed.pools, libvirt.start_pool),
        ("network", needed.networks, libvirt.start_network),
    ):
        for name in names:
            try:
                if begin(name):
                    agent.report.log(f"started the {kind} {name}")
            except LibvirtError as error:
                raise OcfError(codes.ERR_GENERIC, f"the {kind} {name} of the guest did not start: {error}") from None
