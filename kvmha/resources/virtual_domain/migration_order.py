"""The parameters of a live migration: what is wrong with them, and the order for libvirt that they make."""

from __future__ import annotations

from kvmha.tools import migration_uri
from kvmha.tools.libvirtd import Migration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.tools.libvirtd import Domain


def wrong(agent: VirtualDomain) -> list[str]:
    """Return a sentence for each parameter of a migration, or pair of them, that cannot be what was meant."""
    found = []
    for name in ("migration_user", "migration_network_suffix"):
        reason = migration_uri.why_not_host_part(agent.param(name))
        if reason:
            found.append(f'{name}="{agent.param(name)}" {reason}')
    if agent.param("migration_user") and agent.param("migration_transport") != "ssh":
        found.append(f'migration_user="{agent.param("migration_user")}" needs migration_transport=ssh')
    return found


def order(agent: VirtualDomain, domain: Domain, target: str) -> Migration:
    """Return the order to move a domain to a node of the cluster."""
    suffix = agent.param("migration_network_suffix")
    address = migration_uri.on_network(target, suffix)
    return Migration(
        target_uri=migration_uri.target_uri(
            agent.param("hypervisor"), address, agent.param("migration_transport"), agent.param("migration_user")
        ),
        migrate_uri=migration_uri.migrate_uri(agent.param("migrateuri"), target, address if suffix else ""),
        bandwidth_mib=agent.param("migration_speed"),
        downtime_ms=agent.param("migration_downtime"),
        is_persistent=domain.is_persistent,
    )
