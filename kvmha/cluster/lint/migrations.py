"""Live migrations: their time, their network, and that they come to an end."""

from __future__ import annotations

import ipaddress

from kvmha.cluster.lint.operations import too_short
from kvmha.cluster.lint.rule import (
    CIB,
    ERROR,
    NOTE,
    RING,
    WARNING,
    Fault,
    Rule,
    ring_in,
    set_timeout,
)
from kvmha.policy import timing
from kvmha.policy.convergence import SCHEDULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.lint.rule import Seen
    from kvmha.tools.cib import Resource

AREA = "guests"


def _migrate_short(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        if not guest.is_movable:
            continue
        found = too_short("migrate_to", guest, facts)
        if found and guest.memory_mib is not None:
            bandwidth = facts.bandwidth
            forecast = timing.forecast_migration(
                guest.memory_mib, bandwidth_mib_s=bandwidth, dirty_mib_s=guest.dirty_mib_s, at_once=facts.moves_at_once
            )
            assumed = "" if facts.bandwidth_mib_s else " (bandwidth assumed: 1 Gbit/s)"
            yield Fault(
                subject=guest.id,
                said="its move is broken off before its memory is over there, each time",
                chain=f"{forecast.chain}{assumed}; with reserves {found[1]:g} s > migrate_to {found[0]:g} s",
                yaml="the templates compute it from memory and migration.bandwidth; render and apply them",
                commands=set_timeout(guest.id, "migrate_to", found[2]),
            )
        elif found:
            yield Fault(
                subject=guest.id,
                said="its move may be broken off before its memory is over there",
                chain=f"memory not known; migrate_to {found[0]:g} s, at least {found[1]:g} s",
                yaml="guests: memory",
                commands=set_timeout(guest.id, "migrate_to", found[2]),
            )


def _arrive_short(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        found = too_short("migrate_from", guest, facts) if guest.is_movable else None
        if found:
            yield Fault(
                subject=guest.id,
                said="a guest that has arrived counts as failed, and is stopped on both sides and booted anew",
                chain=f"migrate_from {found[0]:g} s < {found[1]:g} s",
                yaml="the templates compute it; render and apply them",
                commands=set_timeout(guest.id, "migrate_from", found[2]),
            )


def _same_network(facts: Facts) -> Iterator[Seen]:
    ring = ring_in(facts)
    for guest in facts.guests:
        params = guest.resource.params
        if guest.is_movable and not (params.get("migration_network_suffix") or params.get("migrateuri")):
            yield Fault(
                subject=guest.id,
                said="its memory moves over the network of the nodes' names, as a rule that of corosync's link "
                f"{ring.links[0] if ring.links else 0}: a full link delays the token",
                chain=f"no migration_network_suffix or migrateuri; {ring.totem.token_chain}, {facts.bandwidth:g} MiB/s",
                yaml="nodes: migration_address for each",
                commands=(f"pcs resource update {guest.id} migration_network_suffix=-mig",),
            )


def _on_link(facts: Facts) -> Iterator[Seen]:
    """A migration address that lies in the network of link 0 is a name without a difference."""
    ring = ring_in(facts)
    if not ring.links:
        return
    addresses = {address for number in ring.links for _, address in ring.addresses(number)}
    for guest in facts.guests:
        uri = guest.resource.params.get("migrateuri", "")
        place = uri.partition("://")[2].rpartition(":")[0] or uri.partition("://")[2]
        if place in addresses or (place and _is_in(place, ring.addresses(ring.links[0]))):
            yield Fault(
                subject=guest.id,
                said=f"its memory moves over corosync's link {ring.links[0]}: a full link delays the token",
                chain=f"migrateuri {uri}",
                yaml="nodes: migration_address in a network of its own",
                commands=(f"pcs resource update {guest.id} migrateuri=tcp://%n-mig",),
            )


def _is_in(text: str, addresses: tuple[tuple[str, str], ...]) -> bool:
    try:
        ip = ipaddress.ip_address(text)
        return any(ip in ipaddress.ip_network(f"{address}/24", strict=False) for _, address in addresses)
    except ValueError:
        return False


def _in_clear(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        if guest.is_movable and guest.resource.params.get("migration_transport") == "tcp":
            yield Fault(
                subject=guest.id,
                said="whoever is on the migration network reads and changes its memory as it passes, and may order "
                "libvirt about",
                chain="migration_transport=tcp",
                yaml="migration: {transport: tls}",
                commands=(f"pcs resource update {guest.id} migration_transport=tls",),
            )


def _endless(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        if guest.dirty_mib_s is None or guest.memory_mib is None or not guest.is_movable:
            continue
        bandwidth = facts.bandwidth
        forecast = timing.forecast_migration(
            guest.memory_mib, bandwidth_mib_s=bandwidth, dirty_mib_s=guest.dirty_mib_s, at_once=facts.moves_at_once
        )
        if not forecast.is_converging and not _is_pushed(guest.resource):
            is_ours = guest.resource.agent.startswith("ocf:kvmha:")
            remedy = ("migration_schedule", "default") if is_ours else ("migrate_options", "--auto-converge")
            yield Fault(
                subject=guest.id,
                said="it writes to its memory faster than that can be copied: its move does not come to an end",
                chain=f"writes {guest.dirty_mib_s:g} MiB/s; {bandwidth:g} MiB/s / {facts.moves_at_once} moves at once",
                yaml=f"guests: options: {{{remedy[0]}: {remedy[1]}}}",
                commands=(f"pcs resource update {guest.id} {remedy[0]}={remedy[1]}",),
            )


def _is_pushed(resource: Resource) -> bool:
    """Tell whether a guest that writes too fast is slowed down, or goes over before all of its memory has."""
    params = resource.params
    if any(word in params.get("migrate_options", "") for word in ("postcopy", "auto-converge")):
        return True
    if not resource.agent.startswith("ocf:kvmha:"):
        return False
    schedule = SCHEDULES.get(params.get("migration_schedule", "default"))
    return params.get("migration_mode") == "hybrid" or (schedule is not None and schedule.throttle_initial > 0)


RULES = (
    Rule(id="migrate-timeout", severity=ERROR, area=AREA, needs=(CIB,), find=_migrate_short,
         looks_at="The timeout of migrate_to against the forecast from size, bandwidth and migration-limit.",
         why="A move that is late ends in a stop on both sides and a boot, or is broken off each time."),
    Rule(id="arrive-timeout", severity=ERROR, area=AREA, needs=(CIB,), find=_arrive_short,
         looks_at="The timeout of migrate_from.",
         why="The guest runs there already when it is late."),
    Rule(id="migration-network", severity=WARNING, area=AREA, needs=(RING, CIB), find=_same_network,
         looks_at="That migrations have a network of their own.",
         why="They fill a link, and the token must not wait for them."),
    Rule(id="migration-on-link", severity=WARNING, area=AREA, needs=(RING, CIB), find=_on_link,
         looks_at="migrateuri against the network of corosync's first link.",
         why="The same."),
    Rule(id="migration-clear", severity=NOTE, area=AREA, needs=(CIB,), find=_in_clear,
         looks_at="migration_transport=tcp.",
         why="It is neither encrypted nor authenticated."),
    Rule(id="migration-endless", severity=WARNING, area=AREA, needs=(CIB,), find=_endless,
         looks_at="How fast a guest writes to its memory against the bandwidth.",
         why="Copying ahead must be faster than writing."),
)  # fmt: skip
