"""What no row of the table can refuse alone: forms and relations of parameters."""

from __future__ import annotations

from kvmha.resources.virtual_domain import migration_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.virtual_domain import VirtualDomain


def wrong(agent: VirtualDomain) -> list[str]:
    """Return a sentence for each parameter, or pair of them, that cannot be what was meant."""
    return [*_of_identity(agent), *migration_order.wrong(agent)]


def _of_identity(agent: VirtualDomain) -> list[str]:
    found = []
    config, domain, hypervisor = agent.param("config"), agent.param("domain"), agent.param("hypervisor")
    if not config and not domain:
        found.append("neither config nor domain is set, so nothing names the guest")
    if config and domain:
        found.append(f'config="{config}" and domain="{domain}" are both set, and one of them names the guest')
    if config and not config.startswith("/"):
        found.append(f'config="{config}" is not an absolute path')
    if not hypervisor.startswith("qemu:///"):
        found.append(f'hypervisor="{hypervisor}" is not a local QEMU connection such as qemu:///system')
    return found
