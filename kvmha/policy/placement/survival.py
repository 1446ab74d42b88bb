"""N+1: for every host that may be lost, a place for each of its guests on those that are left.

Invariant: a plan moves nobody who runs on a survivor, and puts nobody where he may not run or does not fit; where it
says "holds", such places exist for all at once. Whether Pacemaker finds them is another question, which kvmha whatif
asks Pacemaker.
"""

from __future__ import annotations

from itertools import combinations

from kvmha.policy.placement.fitting import MEMORY, Bins, apart, blocks, room, why_never
from kvmha.policy.placement.packing import STEPS, Item, Packer
from kvmha.policy.placement.records import Cluster, GuestNeed, HostRoom, NPlusOne, Plan, Reason, Stranded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ALL_STEPS = 4_000
"""How many placements the search may try for all plans together where the straight way does not place all."""

LEAST_STEPS = 60

EXPLAINED = 10
"""For how many guests of one plan the reasons are given for every host; more than that say no more."""


class Survey:
    """What holds for all plans of a cluster: who may run where at all, who goes with whom, who is kept apart."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.apart = apart(cluster)
        self.blocks = blocks(cluster)
        self.guests = {guest.name: guest for guest in cluster.guests}
        self.bins = Bins(cluster)
        self._average = _average(cluster)
        self._allowed: dict[object, tuple[str, ...]] = {}

    def allowed(self, guest: GuestNeed) -> tuple[str, ...]:
        """Return the hosts on which a guest may run if nothing else runs there; guests alike share one look."""
        key = (
            guest.memory_mib is None, guest.cpus, guest.features, guest.devices, guest.networks, guest.storage,
            None if guest.replicas is None else tuple(sorted(guest.replicas.items())),
            tuple(sorted(guest.scores.items())), guest.default_score,
        )  # fmt: skip
        if key not in self._allowed:
            hosts = sorted(self.cluster.hosts, key=lambda host: host.name)
            self._allowed[key] = tuple(host.name for host in hosts if not any(why_never(guest, host)))
        return self._allowed[key]

    def items(self, homeless: list[str], lost: tuple[str, ...]) -> list[Item]:
        """Return the guests of lost hosts as items; one that must run with a survivor's guest goes to that host."""
        found = {}
        for name in homeless:
            block = self.blocks[name]
            members = tuple(member for member in block if member in homeless)
            if members[0] in found:
                continue
            anchors = {self.guests[member].node for member in block if member not in homeless} - {"", *lost}
            hosts = set(self.allowed(self.guests[name])) - set(lost)
            for member in members:
                hosts &= set(self.allowed(self.guests[member]))
            if anchors:
                hosts &= anchors if len(anchors) == 1 else set()
            found[members[0]] = self._item(members, tuple(sorted(hosts)))
        return list(found.values())

    def _item(self, members: tuple[str, ...], hosts: tuple[str, ...]) -> Item:
        claim: dict[str, int] = {}
        for member in members:
            for what, amount in (self.bins.claims[member] or {}).items():
                claim[what] = claim.get(what, 0) + amount
        is_at_odds = any(self.apart[member] & set(members) for member in members)
        return Item(
            name=members[0],
            guests=members,
            claim=claim,
            hosts=() if is_at_odds else hosts,
            apart=frozenset().union(*(self.apart[member] for member in members)),
            priority=max(self.guests[member].priority for member in members),
            size=max((amount / max(self._average.get(what, 0), 1) for what, amount in claim.items()), default=0.0),
        )


def _average(cluster: Cluster) -> Mapping[str, float]:
    total: dict[str, int] = {}
    for host in cluster.hosts:
        for what, amount in (room(host, cluster) or {}).items():
            total[what] = total.get(what, 0) + amount
    return {what: amount / len(cluster.hosts) for what, amount in total.items()}


def plan_of(survey: Survey, lost: tuple[str, ...], *, steps: int = STEPS) -> Plan:
    """Return what becomes of the guests of these hosts."""
    bins = survey.bins
    away = [(guest, host) for host in lost for guest in sorted(bins.guests[host])]
    for guest, host in away:
        bins.take(guest, host)
    items = survey.items([guest for guest, _ in away], lost)
    packer = Packer(bins, items, steps=steps)
    packing = packer.pack()
    by_name = {item.name: item for item in items}
    left = [(by_name[name], member) for name in packing.left_out for member in by_name[name].guests]
    stranded = tuple(
        stranded_of(survey, item, member, lost, is_full=number < EXPLAINED)
        for number, (item, member) in enumerate(left)
    )
    placed = {member: host for name, host in packing.placed.items() for member in by_name[name].guests}
    # The bins are shared by all plans, and are left as they were found.
    for name in packing.placed:
        packer.take(name)
    for guest, host in away:
        bins.put(guest, host)
    return Plan(lost=lost, placed=dict(sorted(placed.items())), stranded=stranded, is_proven=packing.is_proven)


def holds(survey: Survey, lost: tuple[str, ...], *, steps: int) -> bool:
    """Tell whether the plan for a loss holds, without saying which it is."""
    bins = survey.bins
    away = [(guest, host) for host in lost for guest in sorted(bins.guests[host])]
    for guest, host in away:
        bins.take(guest, host)
    packer = Packer(bins, survey.items([guest for guest, _ in away], lost), steps=steps)
    found = packer.whole()
    for name in list(packer.placed):
        packer.take(name)
    for guest, host in away:
        bins.put(guest, host)
    return found


def stranded_of(survey: Survey, item: Item, guest: str, lost: tuple[str, ...], *, is_full: bool = True) -> Stranded:
    """Say why a guest finds no host among those that are left, with all others where the plan puts them.

    Where not for every host, then for the first by name.
    """
    need = survey.guests[guest]
    known = need.replace(apart=tuple(sorted(survey.apart[guest])))
    reasons: list[Reason] = []
    nearest: tuple[int, str] | None = None
    survivors = sorted(_survivors(survey, lost), key=lambda host: host.name)
    for host in survivors if is_full else survivors[:1]:
        static = list(why_never(need, host))
        full = list(survey.bins.why_full(known, host.name, item.claim))
        reasons += [*static, *full]
        lack = survey.bins.short(item.claim, host.name)
        others = {reason.code for reason in full} - {MEMORY}
        if host.name in item.hosts and set(lack) == {MEMORY} and not others:
            nearest = min(filter(None, (nearest, (lack[MEMORY], host.name))))
    if not reasons:
        said = (
            f"no host is left for {guest}"
            if not _survivors(survey, lost)
            else f"what {guest} must run with is elsewhere"
        )
        reasons = [Reason(code="no-host", subject=guest, said=said)]
    return Stranded(
        guest=guest,
        short_mib=None if nearest is None else nearest[0],
        nearest="" if nearest is None else nearest[1],
        reasons=tuple(reasons),
    )


def _survivors(survey: Survey, lost: tuple[str, ...]) -> list[HostRoom]:
    return [host for host in survey.cluster.hosts if host.name not in lost]


def losses(cluster: Cluster, depth: int) -> list[tuple[str, ...]]:
    """Return every loss of so many hosts, of those that are there to be lost."""
    there = sorted(host.name for host in cluster.hosts if host.is_available)
    return list(combinations(there, depth))


def plans(cluster: Cluster, depth: int = 1) -> NPlusOne:
    """Return a plan for the loss of every host (depth 1), or of every pair (depth 2)."""
    survey = Survey(cluster)
    all_losses = losses(cluster, depth)
    steps = max(LEAST_STEPS, min(STEPS, ALL_STEPS // max(len(all_losses), 1)))
    return NPlusOne(depth=depth, plans=tuple(plan_of(survey, lost, steps=steps) for lost in all_losses))


def check_invariants(cluster: Cluster, plan: Plan) -> None:
    """Raise AssertionError where a plan breaks what is promised at the top."""
    homeless = {guest.name for guest in cluster.guests if guest.node in plan.lost}
    if homeless != set(plan.placed) | {each.guest for each in plan.stranded}:
        raise AssertionError("a guest of a lost host is neither placed nor stranded, or one of a survivor is moved")
    after = cluster.replace(
        hosts=tuple(host for host in cluster.hosts if host.name not in plan.lost),
        guests=tuple(
            guest.replace(node=plan.placed.get(guest.name, "")) if guest.name in homeless else guest
            for guest in cluster.guests
        ),
    )
    bins, kept_apart = Bins(after), apart(after)
    for guest, host in plan.placed.items():
        need, place = after.guest(guest), after.host(host)
        if need is None or place is None or any(why_never(need, place)):
            raise AssertionError(f"{guest} may not run on {host}")
        if kept_apart[guest] & bins.guests[host]:
            raise AssertionError(f"{guest} is not kept apart on {host}")
        if any(bins.left[host].get(what, 0) < 0 for what in bins.claims[guest] or {}) or bins.unknown[host]:
            raise AssertionError(f"{host} got more than it has")
