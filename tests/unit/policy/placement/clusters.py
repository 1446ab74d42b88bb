"""Clusters for tests: by hand in one line, and any that hypothesis may think of."""

from __future__ import annotations

import random
from itertools import product

from hypothesis import strategies as st

from kvmha.policy.placement import Cluster, GuestNeed, HostRoom
from kvmha.policy.placement.fitting import Bins, apart, blocks, why_never


def cluster(rooms: dict[str, int], guests: dict[str, tuple[str, int]], **more: dict) -> Cluster:
    """Return a cluster of hosts with their memory, and guests with host and memory; ``more`` are fields by guest."""
    return Cluster(
        hosts=tuple(HostRoom(name=name, memory_mib=mib) for name, mib in rooms.items()),
        guests=tuple(
            GuestNeed(name=name, memory_mib=mib, overhead_mib=0, node=node, **more.get(name, {}))
            for name, (node, mib) in guests.items()
        ),
    )


def drawn(seed: int, *, most_hosts: int = 4, most_guests: int = 6) -> Cluster:
    """Make a cluster of a number, so that every sort of need and of lack occurs."""
    chance = random.Random(seed)
    names = [f"n{number}" for number in range(1, chance.randint(2, most_hosts) + 1)]
    guests = [f"web{number}" for number in range(1, chance.randint(1, most_guests) + 1)]
    hosts = tuple(
        HostRoom(
            name=name,
            memory_mib=None if chance.random() < 0.05 else chance.choice((12, chance.randint(0, 20))),
            is_available=chance.random() < 0.9,
            networks=("br0", "br1") if chance.random() < 0.8 else ("br0",),
            capacity={"cpu": chance.randint(0, 8)},
        )
        for name in names
    )
    return Cluster(
        hosts=hosts,
        guests=tuple(
            GuestNeed(
                name=name,
                memory_mib=None if chance.random() < 0.03 else chance.randint(1, 9),
                overhead_mib=0,
                node=chance.choice(["", *names, *names]),
                networks=("br1",) if chance.random() < 0.15 else (),
                utilization={"cpu": chance.randint(0, 3)},
                scores={chance.choice(names): -1_000_000} if chance.random() < 0.15 else {},
                apart=(chance.choice(guests),) if chance.random() < 0.15 else (),
                together=(chance.choice(guests),) if chance.random() < 0.12 else (),
                priority=chance.randint(0, 2),
            )
            for name in guests
        ),
        utilization=("cpu",) if chance.random() < 0.5 else (),
    )


SEEDS = st.integers(0, 2**32)


def exists(there: Cluster, lost: tuple[str, ...]) -> bool:
    """Try everything: tell whether the guests of lost hosts can all be placed while the others stay."""
    homeless = [guest for guest in there.guests if guest.node in lost]
    hosts = [host for host in there.hosts if host.name not in lost]
    kept_apart, together = apart(there), blocks(there)
    for choice in product(hosts, repeat=len(homeless)):
        if any(any(why_never(guest, host)) for guest, host in zip(homeless, choice)):
            continue
        bins = Bins(there, without=lost)
        where = {guest.name: guest.node for guest in there.guests if guest.node and guest.node not in lost}
        for guest, host in zip(homeless, choice):
            bins.put(guest.name, host.name)
            where[guest.name] = host.name
        touched = {(host.name, what) for guest, host in zip(homeless, choice) for what in bins.claims[guest.name] or {}}
        if any(bins.left[host].get(what, 0) < 0 for host, what in touched):
            continue
        if any(bins.unknown[host.name] for host in choice):
            continue
        if any(kept_apart[guest.name] & bins.guests[where[guest.name]] for guest in homeless):
            continue
        if all(
            where.get(other, where[guest.name]) == where[guest.name]
            for guest in homeless
            for other in together[guest.name]
        ):
            return True
    return False
