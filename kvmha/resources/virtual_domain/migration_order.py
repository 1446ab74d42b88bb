"""The parameters of a live migration: what is wrong with them, and the order for libvirt that they make."""

from __future__ import annotations

from kvmha.tools import migration_uri, virsh_options
from kvmha.tools.libvirtd import Migration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.resources.virtual_domain import VirtualDomain


def wrong(agent: VirtualDomain) -> list[str]:
    """Return a sentence for each parameter of a migration, or pair of them, that cannot be what was meant."""
    found = []
    for name in ("migration_user", "migration_network_suffix"):
        reason = migration_uri.why_not_host_part(agent.param(name))
        if reason:
            found.append(f'{name}="{agent.param(name)}" {reason}')
    if agent.param("migration_user") and agent.param("migration_transport") != "ssh" and not agent.param("remoteuri"):
        found.append(f'migration_user="{agent.param("migration_user")}" needs migration_transport=ssh')
    for name, why_not in (("remoteuri", migration_uri.why_not_remote), ("migrateuri", migration_uri.why_not_stream)):
        reason = why_not(agent.param(name)) if agent.param(name) else None
        if reason:
            found.append(f'{name}="{agent.param(name)}" {reason}')
    found += [f"migrate_options: {sentence}" for sentence in virsh_options.parse(agent.param("migrate_options"))[1]]
    return found


def order(agent: VirtualDomain, target: str, *, is_persistent: bool) -> Migration:
    """Return the order to move a domain to a node of the cluster."""
    options, _wrong = virsh_options.parse(agent.param("migrate_options"))
    parameters = {name: _named(value, target) for name, value in options.parameters.items()}
    # Where several say the same, the one that overrides the others in ocf:heartbeat:VirtualDomain does so here.
    own_uri = parameters.pop(virsh_options.MIGRATE_URI, "")
    bandwidth = parameters.pop(virsh_options.BANDWIDTH, agent.param("migration_speed") or None)
    return Migration(
        target_uri=peer_uri(agent, target),
        migrate_uri=_named(agent.param("migrateuri"), target) or own_uri or _own_stream(agent, target),
        bandwidth_mib=bandwidth,
        downtime_ms=agent.param("migration_downtime") or None,
        is_persistent=is_persistent,
        flags=options.flags,
        parameters=parameters,
    )


def peer_uri(agent: VirtualDomain, node: str) -> str:
    """Return the URI under which a move to a node would reach its libvirt, so that it never asks for a password."""
    uri: str = _named(agent.param("remoteuri"), node)
    if not uri:
        address = migration_uri.on_network(node, agent.param("migration_network_suffix"))
        uri = migration_uri.target_uri(
            agent.param("hypervisor"), address, agent.param("migration_transport"), agent.param("migration_user")
        )
    # libvirt then has ssh fail instead (ssh -o BatchMode=yes).
    if "+ssh" in uri.partition("://")[0] and "no_tty" not in uri:
        uri += f"{'&' if '?' in uri else '?'}no_tty=1"
    return uri


def _own_stream(agent: VirtualDomain, target: str) -> str:
    suffix, port = agent.param("migration_network_suffix"), agent.param("migrateport")
    return migration_uri.migrate_uri(migration_uri.on_network(target, suffix) if suffix or port else "", port)


def _named(value: object, target: str) -> Any:
    """Put the target's name where a text has %n."""
    return value.replace("%n", target) if isinstance(value, str) else value
