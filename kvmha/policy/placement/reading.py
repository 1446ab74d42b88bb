"""From the snapshot of a cluster to what placement reckons with."""

from __future__ import annotations

from kvmha.policy.failover import UP_TO_DATE_SCORE
from kvmha.policy.placement import offers
from kvmha.policy.placement.fitting import CPUS, MEMORY, Bins
from kvmha.policy.placement.records import INFINITY, UP_TO_DATE, Cluster, GuestNeed, HostRoom, gib
from kvmha.policy.snapshot import GUEST, Snapshot
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kvmha.policy.snapshot import Node, Resource


class Shortage(Record):
    """A node on which more runs than it has."""

    node: str
    need_mib: int
    have_mib: int
    guests: tuple[str, ...]
    said: str


COUNTING = ("utilization", "minimal", "balanced")
"""The values of placement-strategy with which Pacemaker counts (*Pacemaker Explained*, Utilization)."""


def of_snapshot(snapshot: Snapshot) -> Cluster:
    """Return the hosts and guests of a snapshot. Guests that are not meant to run, and run nowhere, are left out."""
    counts = snapshot.properties.get("placement-strategy", "default") in COUNTING
    guests = [guest for guest in snapshot.guests if guest.nodes or guest.is_wanted]
    scores: dict[str, dict[str, int]] = {}
    for preference in snapshot.preferences:
        if not preference.role or preference.role == "Started":
            own = scores.setdefault(preference.resource, {})
            own[preference.node] = _sum(own.get(preference.node, 0), preference.score)
    paired = _pairings(snapshot)
    disks = _disks(snapshot)
    kinds = offers.known(snapshot)
    return Cluster(
        hosts=tuple(_host(node) for node in snapshot.members),
        guests=tuple(
            _guest(snapshot, guest, scores.get(guest.name, {}), paired.get(guest.name, ((), ())), disks, kinds)
            for guest in guests
        ),
        utilization=_counted(snapshot) if counts else (),
    )


def _sum(one: int, other: int) -> int:
    return -INFINITY if min(one, other) <= -INFINITY else min(one + other, INFINITY)


def _counted(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the utilization attributes that guests name."""
    return tuple(sorted({name for guest in snapshot.guests for name in guest.utilization}))


def _host(node: Node) -> HostRoom:
    return HostRoom(
        name=node.name,
        memory_mib=node.memory_mib,
        cpus=node.cpus,
        huge_pages=offers.pools(node),
        features=offers.listed(node, offers.FEATURE),
        devices=offers.listed(node, offers.DEVICE),
        networks=offers.listed(node, offers.NETWORK),
        storage=offers.listed(node, offers.STORAGE),
        capacity=node.utilization,
        is_available=node.is_usable,
        why_unavailable=_state(node),
    )


def _state(node: Node) -> str:
    words = {
        "unclean": node.is_unclean,
        "offline": not node.is_online,
        "in standby": node.is_standby,
        "in maintenance": node.is_maintenance,
        "still joining": node.is_pending,
    }
    return next((word for word, holds in words.items() if holds), "")


def _needs(guest: Resource, kinds: frozenset[str]) -> dict[str, Any]:
    """Return what a guest needs by name, of the kinds of which a node says what it has."""
    needs = guest.needs
    if needs is None:
        return {}
    fields = {
        "networks": offers.NETWORK, "devices": offers.DEVICE, "storage": offers.STORAGE, "features": offers.FEATURE
    }  # fmt: skip
    found: dict[str, Any] = {name: offers.wanted(needs, kind) if kind in kinds else () for name, kind in fields.items()}
    # Memory that is in pages of several sizes, or in part, counts as ordinary.
    if offers.PAGES in kinds and len(needs.huge_pages) == 1:
        ((size, mib),) = needs.huge_pages.items()
        found["page_kib"] = int(size) if guest.memory_mib is not None and mib >= guest.memory_mib else 0
    return found


def _guest(
    snapshot: Snapshot,
    guest: Resource,
    scores: Mapping[str, int],
    paired: tuple[tuple[str, ...], tuple[str, ...]],
    disks: Mapping[str, Mapping[str, str]],
    kinds: frozenset[str],
) -> GuestNeed:
    opts_in = snapshot.properties.get("symmetric-cluster", "true").strip().lower() in ("false", "off", "no", "n", "0")
    together, apart = paired
    made = GuestNeed(
        name=guest.name,
        memory_mib=guest.memory_mib,
        cpus=guest.cpus or 0,
        replicas=_joined([disks.get(disk, {}) for disk in guest.disks]) if guest.disks else None,
        utilization=guest.utilization,
        scores=scores,
        default_score=-INFINITY if opts_in else 0,
        apart=apart,
        together=together,
        priority=guest.priority,
        node=guest.nodes[0] if guest.nodes else "",
    )
    # Most clusters say nothing of their nodes, and a record that is made anew costs as much as the first one.
    return made.replace(**_needs(guest, kinds)) if kinds and guest.needs is not None else made


def _joined(states: list[Mapping[str, str]]) -> dict[str, str]:
    """Return by node the state of several disks: a node serves if it has all of them up to date."""
    nodes = {node for state in states for node in state}
    return {
        node: next((state.get(node, "") for state in states if state.get(node, "") != UP_TO_DATE), UP_TO_DATE)
        for node in sorted(nodes)
    }


def _disks(snapshot: Snapshot) -> dict[str, dict[str, str]]:
    """Return by DRBD resource and node the state of the disk, as far as promotion scores tell it."""
    found: dict[str, dict[str, str]] = {}
    for replica in snapshot.replicas:
        found.setdefault(replica.disk, {})[replica.node] = _state_of_disk(replica.score)
    return found


def _state_of_disk(score: int | None) -> str:
    """Return the state that a promotion score stands for; a side without a disk of its own needs its peer."""
    if score is None or score <= 0:
        return "without a promotion score"
    return UP_TO_DATE if score >= UP_TO_DATE_SCORE else f"not known to be up to date (score {score})"


def _pairings(snapshot: Snapshot) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return by guest with whom it must run, and from whom it is kept apart; wishes that are no must are no matter."""
    guests = {resource.name for resource in snapshot.resources if resource.kind == GUEST}
    together: dict[str, list[str]] = {}
    apart: dict[str, list[str]] = {}
    for pairing in snapshot.pairings:
        if pairing.resource in guests and pairing.with_resource in guests and abs(pairing.score) >= INFINITY:
            chosen = together if pairing.score > 0 else apart
            chosen.setdefault(pairing.resource, []).append(pairing.with_resource)
    return {name: (tuple(together.get(name, ())), tuple(apart.get(name, ()))) for name in {*together, *apart}}


def shortages(snapshot: Snapshot) -> tuple[Shortage, ...]:
    """Return the nodes that would have more to carry than they have, where both is known."""
    cluster = of_snapshot(snapshot)
    bins = Bins(cluster)
    found = []
    for host in sorted(cluster.hosts, key=lambda host: host.name):
        lacks = [name for name, left in bins.left[host.name].items() if left < 0]
        if not lacks or host.memory_mib is None:
            continue
        have = (host.memory_mib or 0) - host.reserved_mib
        need = have - bins.left[host.name].get(MEMORY, 0)
        guests = tuple(sorted(bins.guests[host.name]))
        parts = [_lack(name, -bins.left[host.name][name]) for name in sorted(lacks)]
        said = f"{host.name}: short of {' and '.join(parts)} for {', '.join(guests)}"
        found.append(Shortage(node=host.name, need_mib=need, have_mib=have, guests=guests, said=said))
    return tuple(found)


def _lack(name: str, amount: int) -> str:
    if name == MEMORY:
        return f"{gib(amount)} of memory"
    return f"{amount} processors" if name == CPUS else f"{amount} of the {name}"
