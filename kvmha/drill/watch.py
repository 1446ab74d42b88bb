"""What goes on while a drill runs: the nodes' looks at themselves, the cluster's word, and what must never be.

Invariants that hold at every moment: no guest executes on two nodes, no MAC address and no floating IP is in two
places, and no replicated disk may be written on two nodes but while a guest moves between them. What must hold at the
end is judged by ``after``.
"""

from __future__ import annotations

from kvmha.drill.records import Breach
from kvmha.host import CommandError
from kvmha.policy.overlap import Overlaps, Twice
from kvmha.record import Record
from kvmha.tools import cib, crm_mon
from kvmha.tools.cib import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kvmha.drill.reach import Streams
    from kvmha.host import Host
    from kvmha.tools.crm_mon import ClusterStatus, ResourceStatus

LOOK_EVERY = 1.0
LOOK_LIMIT = 15.0

TWICE, LEFT_FAILED, LEFT_UNMANAGED, AWAY, DISTURBED = "twice", "failed", "unmanaged", "away", "disturbed"
ACKNOWLEDGED = "acknowledged"


class Known(Record):
    """The guests and addresses of the cluster, as they are recognized on a node."""

    guests: Mapping[str, str]
    """By UUID, the cluster's name."""
    names: Mapping[str, str]
    """By libvirt's name, the cluster's: for a guest whose definition could not be read."""
    addresses: Mapping[str, str]
    """By address, the cluster's name."""

    def guest(self, uuid: str, name: str) -> str:
        """Return what the cluster calls a guest; nothing for one that is none of its own."""
        return self.guests.get(uuid) or self.names.get(name, "")


class Places:
    """Takes in what the nodes see of themselves, and finds what is in two places."""

    def __init__(self, streams: Streams, known: Known) -> None:
        self._streams = streams
        self._known = known
        self._overlaps = Overlaps()
        self._asked = Overlaps()
        self._cards = Overlaps()
        self._card_holders: dict[str, set[str]] = {}
        self._last_seen: dict[str, float] = {}
        self._pids: dict[tuple[str, str], int] = {}
        self._primaries: dict[str, frozenset[str]] = {}
        self._behind: dict[str, frozenset[str]] = {}
        self.processes: dict[tuple[str, str], float] = {}
        """When a guest was first seen to execute in a new process on a node, by name and node."""
        self.running: dict[tuple[str, str], float] = {}
        """When libvirt first said of that process that the guest runs."""
        self.agents: dict[tuple[str, str], float] = {}
        """When the guest agent in that process was first there."""
        self.promoted: dict[tuple[str, str], float] = {}
        """When a replicated disk was first seen to be writable on a node, by DRBD's name of it and node."""
        self.looks = 0
        self.longest_pause = 0.0

    def tick(self, seconds: float) -> tuple[Breach, ...]:
        """Watch for so long; return what was found to be in two places."""
        return tuple(breach for node, told in self._streams.read(seconds) for breach in self._take(node, told))

    def forget(self, node: str) -> None:
        """Take note that a node is dead, so that what it had counts no more."""
        self._overlaps.gone(node)
        self._asked.gone(node)
        for holder in self._card_holders.pop(node, ()):
            self._cards.gone(holder)
        self._last_seen.pop(node, None)
        self._primaries.pop(node, None)
        self._behind.pop(node, None)

    def last_seen(self, node: str) -> float:
        """Return when a node looked at itself last, on this node's clock; 0 for one that has not."""
        return self._last_seen.get(node, 0.0)

    def pid(self, guest: str, node: str) -> int | None:
        """Return the process of a guest on a node, as last seen."""
        return self._pids.get((guest, node))

    def behind(self) -> frozenset[str]:
        """Return the replicated disks of which not all copies are current, as any node saw it last."""
        return frozenset(disk for disks in self._behind.values() for disk in disks)

    def _take(self, node: str, told: Mapping[str, Any]) -> list[Breach]:
        ahead = self._streams.offsets.get(node, 0.0)
        at = float(told["at"]) - ahead
        since = float(told.get("since", told["at"])) - ahead
        if node in self._last_seen:
            self.longest_pause = max(self.longest_pause, at - self._last_seen[node])
        self._last_seen[node] = at
        self.looks += 1
        held = set()
        cards: dict[str, frozenset[str]] = {}
        for uuid, guest in told.get("guests", {}).items():
            name = self._known.guest(uuid, str(guest.get("name", "")))
            if not guest.get("executes"):
                continue
            shown = name or guest.get("name", "")
            held.add(f"guest {shown} ({uuid})")
            cards[f"{shown} on {node}"] = frozenset(f"MAC address {mac}" for mac in guest.get("macs", ()))
            if name:
                self._follow(name, node, guest, at)
        found = list(self._overlaps.take(node, frozenset(held), at, since))
        found += self._take_cards(node, cards, at, since)
        if "asked" in told:
            found += self._take_asked(node, told["asked"], ahead)
        return [
            Breach(
                rule=TWICE, subject=twice.thing, at=twice.at,
                said=f"{twice.thing} was on {' and '.join(twice.holders)} at the same time",
            )
            for twice in found
        ]  # fmt: skip

    def _take_cards(self, node: str, cards: Mapping[str, frozenset[str]], at: float, since: float) -> list[Twice]:
        """Take the network cards of the guests that execute on a node."""
        for holder in self._card_holders.get(node, set()) - set(cards):
            self._cards.gone(holder)
        self._card_holders[node] = set(cards)
        return [twice for holder, macs in cards.items() for twice in self._cards.take(holder, macs, at, since)]

    def _take_asked(self, node: str, asked: Mapping[str, Any], ahead: float) -> tuple[Twice, ...]:
        """Take what a node found by asking its kernel, which it does less often: its addresses, and DRBD."""
        at, since = float(asked["at"]) - ahead, float(asked["since"]) - ahead
        held = {f"address {each}" for each in asked.get("addresses", ()) if each in self._known.addresses}
        self._behind[node] = frozenset(asked.get("behind", ()))
        held |= self._writable(node, asked.get("primaries", {}), at)
        return self._asked.take(node, frozenset(held), at, since)

    def _follow(self, name: str, node: str, guest: Mapping[str, Any], at: float) -> None:
        """Note when a guest came up in a new process, and how far it has come there."""
        place, pid = (name, node), int(guest.get("pid", 0))
        if self._pids.get(place) != pid:
            self._pids[place] = pid
            self.processes[place] = at
            self.running.pop(place, None)
            self.agents.pop(place, None)
        for word, found in (("runs", self.running), ("agent", self.agents)):
            if guest.get(word):
                found.setdefault(place, at)

    def _writable(self, node: str, primaries: Mapping[str, Any], at: float) -> set[str]:
        """Return the disks that a node may write, those left out of which it allows two primaries just now."""
        for disk in set(primaries) - self._primaries.get(node, frozenset()):
            self.promoted[disk, node] = at
        self._primaries[node] = frozenset(primaries)
        return {f"the primary role of {disk} (DRBD)" for disk, is_window in primaries.items() if not is_window}


class Watch(Places):
    """The same, and the cluster's own word beside it."""

    def __init__(self, host: Host, streams: Streams, known: Known) -> None:
        super().__init__(streams, known)
        self._host = host
        self._last_look = float("-inf")
        self.status: ClusterStatus | None = None

    def tick(self, seconds: float) -> tuple[Breach, ...]:
        """Watch for so long; return what was broken meanwhile."""
        found = super().tick(seconds)
        if self._host.now() - self._last_look >= LOOK_EVERY:
            try:
                self.status = crm_mon.look(self._host, timeout=LOOK_LIMIT) or self.status
            except CommandError:
                # While the cluster forms anew nobody may answer.
                pass
            self._last_look = self._host.now()
        return found


def why_not_well(before: ClusterStatus, now: ClusterStatus | None) -> str:
    """Return what keeps a cluster from being as well as it was, and nothing where it is."""
    if now is None:
        return "no cluster answers"
    for node in before.nodes:
        found = now.node(node.name)
        if found is None or not found.is_online or found.is_unclean or found.is_pending:
            return f"{node.name} is not back"
        if found.is_standby and not node.is_standby:
            return f"{node.name} is in standby"
    for resource in (each for each in before.resources if each.nodes):
        found_resource = _instances(now, resource)
        if len(found_resource) < len(_instances(before, resource)):
            return f"{resource.name} does not run as it did"
    for resource in now.resources:
        word = "failed" if resource.is_failed else resource.pending.lower() if resource.pending else ""
        if word:
            return f"{resource.name} is {word}"
    return "" if now.is_quorate else "there is no quorum"


def _instances(status: ClusterStatus, wanted: ResourceStatus) -> list[str]:
    return [node for each in status.resources if each.name == wanted.name for node in each.nodes]


def failures(host: Host) -> set[tuple[str, str, str, int]]:
    """Return what has failed and was not cleaned up: resource, node, operation, when. Raises CommandError."""
    return {
        (each.resource, each.node, each.operation, each.at) for each in state.failed(cib.tree(cib.live(host), "live"))
    }


def after(
    before: ClusterStatus, now: ClusterStatus | None, failed: set[tuple[str, str, str, int]], *, at: float
) -> tuple[Breach, ...]:
    """Return what does not hold at the end; ``failed`` is what has failed since the drill began."""
    found = [
        Breach(rule=LEFT_FAILED, subject=resource, said=f"{operation} of {resource} failed on {node}", at=at)
        for resource, node, operation, _ in sorted(failed)
    ]
    managed = {each.name for each in before.resources if each.is_managed}
    loose = [each.name for each in (now.resources if now is not None else ()) if not each.is_managed]
    found += [
        Breach(rule=LEFT_UNMANAGED, subject=name, said=f"{name} is unmanaged", at=at)
        for name in loose
        if name in managed
    ]
    for resource in (each for each in before.resources if each.nodes):
        if now is None or not _instances(now, resource):
            said = f"{resource.name} ran before, and does not run"
            found.append(Breach(rule=AWAY, subject=resource.name, said=said, at=at))
    return tuple(found)
