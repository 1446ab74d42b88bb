"""Which guest may run where, and why not.

Invariant: a guest gets no host on which anything that it needs lacks or is not known. Reasons of two sorts are told
apart: those that lie in guest and host alone (``why_never``), and those that depend on what else runs there (Bins).
"""

from __future__ import annotations

from kvmha.policy.placement.records import INFINITY, UNKNOWN, UP_TO_DATE, Cluster, GuestNeed, HostRoom, Reason, gib
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MEMORY, CPUS, HUGE, UTILIZATION = "memory", "cpus", "huge-pages", "utilization"
NOTHING: Mapping[str, int] = {}


def claims(guest: GuestNeed, cluster: Cluster) -> dict[str, int] | None:
    """Return what a guest takes of each countable thing; None where its size is not known."""
    taken = guest.taken_mib
    if taken is None or guest.memory_mib is None:
        return None
    found = {MEMORY: taken}
    if guest.page_kib:
        found[f"{HUGE} {guest.page_kib}"] = guest.memory_mib
    if guest.cpus and cluster.processors_shared is not None:
        found[CPUS] = guest.cpus
    for name in cluster.utilization:
        if guest.utilization.get(name, 0) > 0:
            found[f"{UTILIZATION} {name}"] = guest.utilization[name]
    return found


def room(host: HostRoom, cluster: Cluster) -> dict[str, int] | None:
    """Return what a host has of each countable thing while it is empty; None where its memory is not known."""
    if host.memory_mib is None:
        return None
    found = {MEMORY: host.memory_mib - host.reserved_mib - sum(host.huge_pages.values())}
    for size, mib in host.huge_pages.items():
        found[f"{HUGE} {size}"] = mib
    if cluster.processors_shared is not None:
        found[CPUS] = (host.cpus or 0) * cluster.processors_shared
    for name in cluster.utilization:
        found[f"{UTILIZATION} {name}"] = host.capacity.get(name, 0)
    return found


def score(guest: GuestNeed, host: str) -> int:
    """Return the location score of a guest on a host."""
    return guest.scores.get(host, guest.default_score)


def why_never(guest: GuestNeed, host: HostRoom) -> Iterator[Reason]:
    """Yield what keeps a guest from a host even if nothing else runs there."""
    if not host.is_available:
        yield _reason("unavailable", guest, host, f"is {host.why_unavailable or 'not available'}")
    if score(guest, host.name) <= -INFINITY:
        yield _reason("banned", guest, host, f"a location rule bans {guest.name}")
    elif score(guest, host.name) < 0:
        # The scheduler starts nothing where all scores add up to less than 0 (pcmk_sched_primitive.c).
        said = f"the location score of {guest.name} is {score(guest, host.name)}, and nothing starts below 0"
        yield _reason("banned", guest, host, said, score=score(guest, host.name))
    if guest.memory_mib is None:
        yield _reason(UNKNOWN, guest, host, f"nobody knows how much memory {guest.name} needs")
    if host.memory_mib is None:
        yield _reason(UNKNOWN, guest, host, "nobody knows how much memory it has")
    if guest.cpus and host.cpus is not None and guest.cpus > host.cpus:
        said = f"{guest.name} has {guest.cpus} processors, it has {host.cpus}"
        yield _reason(CPUS, guest, host, said, need=guest.cpus, has=host.cpus)
    yield from _missing("cpu-feature", guest, host, guest.features, host.features, "its processors lack")
    yield from _missing("device", guest, host, guest.devices, host.devices, "it has no device")
    yield from _missing("network", guest, host, guest.networks, host.networks, "it has no network")
    covered = tuple(path for path in guest.storage if any(_covers(each, path) for each in host.storage or ()))
    there = None if host.storage is None else (*host.storage, *covered)
    yield from _missing("storage", guest, host, guest.storage, there, "it has no storage")
    if guest.replicas is not None:
        disk = guest.replicas.get(host.name, "")
        if disk != UP_TO_DATE:
            what = f"replica of {guest.name}'s disk"
            yield _reason("replica", guest, host, f"its {what} is {disk}" if disk else f"it has no {what}")


def _covers(folder: str, path: str) -> bool:
    """Tell whether a path is in a folder, or in a group of volumes such as /dev/vg0."""
    return path.startswith(f"{folder.rstrip('/')}/")


def _missing(
    code: str,
    guest: GuestNeed,
    host: HostRoom,
    wanted: tuple[str, ...],
    there: tuple[str, ...] | None,
    words: str,
) -> Iterator[Reason]:
    if not wanted:
        return
    if there is None:
        yield _reason(code, guest, host, f"nobody knows whether it has the {code} {', '.join(wanted)}")
        return
    lacking = [name for name in wanted if name not in there]
    if lacking:
        yield _reason(code, guest, host, f"{words} {', '.join(lacking)}")


def _reason(code: str, guest: GuestNeed, host: HostRoom, said: str, **numbers: int) -> Reason:
    return Reason(code=code, subject=guest.name, place=host.name, numbers=numbers, said=f"{host.name}: {said}")


class Bins:
    """What is left on each host while guests are put there and taken away.

    A host on which a guest of unknown size runs is full: nobody can say what is left of its memory.
    """

    def __init__(self, cluster: Cluster, *, without: tuple[str, ...] = ()) -> None:
        self.cluster = cluster
        self.hosts = {host.name: host for host in cluster.hosts if host.name not in without}
        self.left = {name: room(host, cluster) or {} for name, host in self.hosts.items()}
        self.guests: dict[str, set[str]] = {name: set() for name in self.hosts}
        self.unknown: dict[str, set[str]] = {name: set() for name in self.hosts}
        self.claims = {guest.name: claims(guest, cluster) for guest in cluster.guests}
        for guest in cluster.guests:
            if guest.node in self.hosts:
                self.put(guest.name, guest.node)

    def put(self, guest: str, host: str) -> None:
        """Put a guest on a host, whether it fits or not."""
        self._change(guest, host, -1)
        self.guests[host].add(guest)

    def take(self, guest: str, host: str) -> None:
        """Take a guest away from a host."""
        self._change(guest, host, 1)
        self.guests[host].discard(guest)

    def _change(self, guest: str, host: str, sign: int) -> None:
        claim = self.claims[guest]
        if claim is None:
            (self.unknown[host].add if sign < 0 else self.unknown[host].discard)(guest)
            return
        left = self.left[host]
        for what, amount in claim.items():
            left[what] = left.get(what, 0) + sign * amount

    def fits(self, claim: Mapping[str, int], host: str) -> bool:
        """Tell whether so much more fits on a host."""
        if self.unknown[host]:
            return False
        left = self.left[host]
        for what, amount in claim.items():  # noqa: SIM110 (all() with a generator takes twice as long)
            if left.get(what, 0) < amount:
                return False
        return True

    def short(self, claim: Mapping[str, int], host: str) -> dict[str, int]:
        """Return by how much a host is short of each thing that lacks."""
        left = self.left[host]
        lacks = {what: amount - left.get(what, 0) for what, amount in claim.items()}
        return {what: amount for what, amount in lacks.items() if amount > 0}

    def why_full(self, guest: GuestNeed, host: str, claim: Mapping[str, int]) -> Iterator[Reason]:
        """Yield what keeps a guest from a host because of what else runs there."""
        room_of = self.hosts[host]
        if self.unknown[host]:
            named = ", ".join(sorted(self.unknown[host]))
            said = f"nobody knows how much memory {named} needs, which runs there"
            yield _reason(UNKNOWN, guest, room_of, said)
        # Of a host whose memory is not known why_never says so, and no number would mean anything.
        lacks = {} if room_of.memory_mib is None else self.short(claim, host)
        for what, lack in lacks.items():
            left = self.left[host].get(what, 0)
            kind, _, detail = what.partition(" ")
            numbers = {"short": lack, "need": claim[what], "free": left}
            yield _reason(kind, guest, room_of, _short_words(kind, detail, lack, guest.name), **numbers)
        for other in guest.apart:
            if other in self.guests[host]:
                yield _reason("apart", guest, room_of, f"{other} runs there, from which {guest.name} is kept apart")


def _short_words(kind: str, detail: str, lack: int, guest: str) -> str:
    if kind == MEMORY:
        return f"short of {gib(lack)} for {guest}"
    if kind == HUGE:
        return f"short of {gib(lack)} in huge pages of {detail} KiB for {guest}"
    if kind == CPUS:
        return f"short of {lack} processors for {guest}"
    return f"short of {lack} of the utilization {detail} for {guest}"


def apart(cluster: Cluster) -> dict[str, set[str]]:
    """Return by guest from whom it is kept apart; what one says holds for both."""
    return _both_ways(cluster, [(guest.name, other) for guest in cluster.guests for other in guest.apart])


def _both_ways(cluster: Cluster, pairs: list[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {guest.name: set() for guest in cluster.guests}
    for one, other in pairs:
        if other in found and other != one:
            found[one].add(other)
            found[other].add(one)
    return found


def blocks(cluster: Cluster) -> dict[str, tuple[str, ...]]:
    """Return by guest all guests, itself included, that must run where it does."""
    joined = _both_ways(cluster, [(guest.name, other) for guest in cluster.guests for other in guest.together])
    found: dict[str, tuple[str, ...]] = {}
    for guest in cluster.guests:
        if guest.name in found:
            continue
        members, waiting = {guest.name}, [guest.name]
        while waiting:
            more = joined[waiting.pop()] - members
            members |= more
            waiting += more
        for member in members:
            found[member] = tuple(sorted(members))
    return found


def why_not(cluster: Cluster, guest: str, host: str) -> tuple[Reason, ...]:
    """Return everything that keeps a guest from a host, with all that runs there; empty if it may run there.

    Guests that must run where it does are counted with it. A guest or host that is not in the cluster has the reason
    ``unknown``.
    """
    need, place = cluster.guest(guest), cluster.host(host)
    if need is None or place is None:
        word = f"there is no guest {guest}" if need is None else f"there is no node {host}"
        return (Reason(code="unknown", subject=guest, place=host, said=word),)
    bins, kept_apart = Bins(cluster), apart(cluster)
    members = [found for found in map(cluster.guest, blocks(cluster)[guest]) if found is not None]
    for member in members:
        if member.node == host:
            bins.take(member.name, host)
    found: list[Reason] = []
    for member in members:
        known = member.replace(apart=tuple(sorted(kept_apart[member.name])))
        found += why_never(known, place)
        found += bins.why_full(known, host, bins.claims[member.name] or {})
        bins.put(member.name, host)
    return tuple(_unique(found))


class Choice(Record):
    """A host for a guest: what would be left of its memory, how it is preferred, and what speaks against it."""

    host: str
    score: int
    left_mib: int | None
    """What would be free beside the guest; negative where it does not fit, None where that is not known."""
    reasons: tuple[Reason, ...]


def choices(cluster: Cluster, guest: str) -> tuple[Choice, ...]:
    """Return every host for a guest, those that may have it first, the preferred and then the emptiest at the top."""
    need = cluster.guest(guest)
    if need is None:
        return ()
    bins = Bins(cluster)
    if need.node in bins.hosts:
        bins.take(guest, need.node)
    found = []
    for host in cluster.hosts:
        claim = bins.claims[guest]
        is_known = claim is not None and host.memory_mib is not None and not bins.unknown[host.name]
        left = bins.left[host.name][MEMORY] - claim[MEMORY] if is_known and claim is not None else None
        reasons = why_not(cluster, guest, host.name)
        found.append(Choice(host=host.name, score=score(need, host.name), left_mib=left, reasons=reasons))
    return tuple(sorted(found, key=lambda each: (bool(each.reasons), -each.score, -(each.left_mib or 0), each.host)))


def _unique(reasons: list[Reason]) -> Iterator[Reason]:
    seen = set()
    for reason in reasons:
        if reason.said not in seen:
            seen.add(reason.said)
            yield reason
