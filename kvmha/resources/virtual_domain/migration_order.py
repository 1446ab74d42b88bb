"""The parameters of a live migration: what is wrong with them, and the order for libvirt that they make."""

from __future__ import annotations

from kvmha.policy import convergence
from kvmha.tools import migration_uri, virsh_options
from kvmha.tools.libvirtd import Migration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.resources.virtual_domain import VirtualDomain

RESERVE_S = 15.0
"""Seconds kept of migrate_to to abort the move and see the guest run here again."""


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
    return [*found, *_of_mode(agent)]


def _of_mode(agent: VirtualDomain) -> list[str]:
    found = []
    mode, schedule = agent.param("migration_mode"), agent.param("migration_schedule")
    if schedule == "postcopy" and mode != "hybrid":
        found.append(f'migration_schedule="postcopy" needs migration_mode=hybrid, and migration_mode="{mode}"')
    if mode == "hybrid" and agent.param("migration_connections") > 1:
        found.append(
            "migration_connections is more than 1, and migration_mode=hybrid allows one: QEMU has no post-copy "
            "over several"
        )
    if mode == "hybrid" and "PEER2PEER" in virsh_options.parse(agent.param("migrate_options"))[0].flags:
        found.append("migrate_options has --p2p, and migration_mode=hybrid needs the agent to lead the move")
    bandwidth, speed = agent.param("migration_bandwidth"), agent.param("migration_speed")
    if bandwidth and speed and bandwidth != speed:
        found.append(f'migration_bandwidth="{bandwidth}" and migration_speed="{speed}" say different things')
    return found


def schedule_of(agent: VirtualDomain) -> convergence.Schedule:
    """Return how hard a move is pushed."""
    return convergence.SCHEDULES[agent.param("migration_schedule")]


def limits(agent: VirtualDomain, deadline_s: float) -> convergence.Limits:
    """Return what a move has to keep to; ``deadline_s`` is counted from its begin."""
    return convergence.Limits(
        downtime_ms=agent.param("migration_downtime") or convergence.DEFAULT_DOWNTIME_MS,
        deadline_s=deadline_s,
        may_post_copy=agent.param("migration_mode") == "hybrid",
    )


def _means(agent: VirtualDomain) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return libvirt's flags and parameters for what has to be said before a move begins."""
    schedule, connections = schedule_of(agent), agent.param("migration_connections")
    flags: list[str] = []
    parameters: dict[str, Any] = {}
    if schedule.throttle_initial:
        flags.append("AUTO_CONVERGE")
        parameters["auto_converge.initial"] = schedule.throttle_initial
        parameters["auto_converge.increment"] = schedule.throttle_increment
    if agent.param("migration_mode") == "hybrid":
        flags.append("POSTCOPY")
    if agent.param("migration_tls"):
        flags.append("TLS")
    if connections > 1:
        flags.append("PARALLEL")
        parameters["parallel.connections"] = connections
    return tuple(flags), parameters


def order(agent: VirtualDomain, target: str, *, downtime_ms: int, is_persistent: bool) -> Migration:
    """Return the order to move a domain to a node of the cluster; ``downtime_ms`` is what it begins with."""
    options, _wrong = virsh_options.parse(agent.param("migrate_options"))
    parameters = {name: _named(value, target) for name, value in options.parameters.items()}
    # Where several say the same, the one that overrides the others in ocf:heartbeat:VirtualDomain does so here.
    own_uri = parameters.pop(virsh_options.MIGRATE_URI, "")
    own_bandwidth = agent.param("migration_bandwidth") or agent.param("migration_speed") or None
    bandwidth = parameters.pop(virsh_options.BANDWIDTH, own_bandwidth)
    flags, means = _means(agent)
    return Migration(
        target_uri=peer_uri(agent, target),
        migrate_uri=_named(agent.param("migrateuri"), target) or own_uri or _own_stream(agent, target),
        bandwidth_mib=bandwidth,
        downtime_ms=downtime_ms,
        is_persistent=is_persistent,
        flags=(*options.flags, *(flag for flag in flags if flag not in options.flags)),
        parameters={**means, **parameters},
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


def stream_host(agent: VirtualDomain, node: str) -> str:
    """Return the name or address to which a guest's memory goes, as far as it is known before libvirt is asked."""
    options, _wrong = virsh_options.parse(agent.param("migrate_options"))
    uri = _named(agent.param("migrateuri") or options.parameters.get(virsh_options.MIGRATE_URI, ""), node)
    found = migration_uri.host_of(uri) if uri else ""
    return found or migration_uri.on_network(node, agent.param("migration_network_suffix"))


def _own_stream(agent: VirtualDomain, target: str) -> str:
    suffix, port = agent.param("migration_network_suffix"), agent.param("migrateport")
    return migration_uri.migrate_uri(migration_uri.on_network(target, suffix) if suffix or port else "", port)


def _named(value: object, target: str) -> Any:
    """Put the target's name where a text has %n."""
    return value.replace("%n", target) if isinstance(value, str) else value
