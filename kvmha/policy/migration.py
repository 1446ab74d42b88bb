"""Whether a guest may move to a node now, and how: live, only with downtime, or not at all.

Invariant: what is known to fail is never tried. What is not known of the cluster or of a copy of the guest counts
against the move; what is not known of a disk or a device on the target is told and does not, because QEMU opens it
there before any memory flows, and a move that fails then leaves the guest running where it is.
"""

from __future__ import annotations

from kvmha.policy import migration_path
from kvmha.policy.migration_path import Path
from kvmha.policy.movability import ALLOWS, COLD, DEPENDS, FORBIDS, LIVE, REFUSED, TIES, Device, Reason, judge
from kvmha.record import Record

STEAL_LIMIT = 10.0
"""Percent of its processors' time that a host, which is a guest itself, may lose to others before that is told."""

SAME, MORE, LESS = "identical", "superset", "incompatible"
"""libvirt's answers to whether a host has a processor's features (virCPUCompareResult)."""

REFUSED_LOGIN = ("authentication", "Permission denied", "Host key verification", "certificate", "TLS")
"""Words of libvirt's by which a node that refuses is told from one that is not there (libvirt 9.0, OpenSSH 9.2)."""

TOLD = (ALLOWS, DEPENDS)


class Place(Record):
    """What the cluster says of a node."""

    name: str
    is_online: bool
    is_standby: bool = False
    is_unclean: bool = False
    is_maintenance: bool = False
    is_banned: bool = False
    """A constraint of the configuration keeps the guest from it."""


class Guest(Record):
    """What is known of the guest."""

    name: str
    nodes: tuple[str, ...]
    """Where the cluster has it."""
    mode: str = "live"
    is_movable: bool = True
    """allow-migrate is on."""
    is_managed: bool = True
    """The cluster acts on it: neither it, nor its node, nor the whole cluster is in maintenance."""
    state: str = "running"
    memory_mib: float | None = None
    huge_pages_mib: dict[int, float] = {}  # noqa: RUF012 (a default that nobody changes: records are frozen)
    devices: tuple[Device, ...] = ()
    bridges: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    keeps_running: bool = False
    """The cluster leaves the guest alone where its move is given up (on-fail=block of migrate_to)."""
    transport: str = ""
    limit_s: float | None = None
    """The time that a move of it has."""


class Libvirt(Record):
    """What libvirt says on one node; None for what could not be asked."""

    silence: str = ""
    """Why it does not answer; empty if it does."""
    version: int | None = None
    qemu_version: int | None = None
    free_mib: float | None = None
    free_pages_mib: dict[int, float] = {}  # noqa: RUF012 (as above)
    cpu: str | None = None
    """How its processor compares to what the guest has: SAME, MORE or LESS."""
    machine_missing: str = ""
    """The guest's machine type, where its QEMU does not have it."""
    has_copy: bool | None = None
    bridges: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    moves: int | None = None
    """Migrations that are under way there."""
    steal_percent: float | None = None


class Disk(Record):
    """A disk on DRBD."""

    name: str
    is_connected: bool
    disk_there: str
    """DRBD's word for the copy on the target."""


class View(Record):
    """All that the decision is made from."""

    guest: Guest
    target: str
    places: tuple[Place, ...]
    is_quorate: bool
    here: Libvirt
    """The source's."""
    there: Libvirt
    drbd: tuple[Disk, ...] = ()
    local_files: dict[str, str] = {}  # noqa: RUF012 (as above)
    """The guest's disks that lie on a file system which one node at a time can have, and which that is."""
    path: Path = Path()


class Preflight(Record):
    """The verdict on one target, and why."""

    guest: str
    source: str
    target: str
    verdict: str
    reasons: tuple[Reason, ...]


def decide(view: View) -> Preflight:
    """Return the verdict; the gravest reasons come first."""
    found = [*_cluster(view), *_target(view), *_capacity(view), *_devices(view), *_disks(view), *_path(view)]
    order = {TIES: 0, FORBIDS: 1, DEPENDS: 2, ALLOWS: 3}
    found.sort(key=lambda reason: (order[reason.effect], reason.code, reason.said))
    effects = {reason.effect for reason in found}
    verdict = REFUSED if TIES in effects else COLD if FORBIDS in effects else LIVE
    source = view.guest.nodes[0] if len(view.guest.nodes) == 1 else ""
    return Preflight(guest=view.guest.name, source=source, target=view.target, verdict=verdict, reasons=tuple(found))


def _cluster(view: View) -> list[Reason]:
    guest, target = view.guest, view.target
    found = []
    place = next((each for each in view.places if each.name == target), None)
    if not view.is_quorate:
        found.append(_no("no-quorum", "the cluster has no quorum, so nothing moves"))
    if len(guest.nodes) != 1:
        where = "nowhere" if not guest.nodes else f"on {', '.join(guest.nodes)}"
        found.append(_no("not-running", f"the cluster has {guest.name} {where}, and one node would be right"))
    elif guest.nodes == (target,):
        found.append(_no("already-there", f"{guest.name} runs on {target} already"))
    if place is None or not place.is_online:
        found.append(_no("target-offline", f"{target} is not online in the cluster"))
    elif place.is_standby:
        found.append(_no("target-standby", f"{target} is in standby"))
    elif place.is_maintenance:
        found.append(_no("target-maintenance", f"{target} is in maintenance, and the cluster starts nothing there"))
    elif place.is_banned:
        found.append(_no("target-banned", f"a constraint keeps {guest.name} from {target}"))
    found += [
        _no("fencing-pending", f"{each.name} is to be fenced, and until then nobody knows what runs there")
        for each in view.places
        if each.is_unclean
    ]
    if not guest.is_managed:
        said = f"the cluster does not manage {guest.name} (maintenance, or is-managed=false), and so does not move it"
        found.append(_no("not-managed", said))
    if guest.state not in ("running", "blocked"):
        found.append(_reason("not-well", FORBIDS, f"{guest.name} is {guest.state}, and only one that runs moves live"))
    if not guest.is_movable:
        found.append(_reason("not-allowed", FORBIDS, "allow-migrate is not on, so the cluster stops and starts it"))
    if guest.mode == "cold":
        found.append(_reason("mode-cold", FORBIDS, "migration_mode=cold: it does not move live"))
    if guest.is_movable and guest.mode != "cold" and not guest.keeps_running:
        said = (
            "a move that is given up ends in a restart, because the Primary role of its disk moves with the guest: the "
            "cluster stops both on both sides"
        )
        found.append(_reason("abort-restarts", DEPENDS, said))
    return found


def _target(view: View) -> list[Reason]:
    there, here, target = view.there, view.here, view.target
    found = []
    if there.silence:
        if any(word in there.silence for word in REFUSED_LOGIN):
            return [_no("login-refused", f"{target}'s libvirt does not let this node in: {there.silence}")]
        return [_no("libvirt-silent", f"{target}'s libvirt does not answer: {there.silence}")]
    if there.has_copy:
        found.append(_no("copy-there", f"{target} has a copy of {view.guest.name} already"))
    elif there.has_copy is None:
        found.append(
            _no("copy-unknown", f"whether {target} has a copy of {view.guest.name} already could not be asked")
        )
    if there.cpu == LESS:
        found.append(
            _reason("cpu-incompatible", FORBIDS, f"the processor of {target} lacks what the guest has, says libvirt")
        )
    elif there.cpu is None:
        found.append(_reason("cpu-unknown", DEPENDS, f"the processor of {target} could not be compared"))
    if there.machine_missing:
        said = f"QEMU on {target} does not have the machine type {there.machine_missing}"
        found.append(_no("machine-missing", said))
    for code, name, ours, theirs in (
        ("qemu-older", "QEMU", here.qemu_version, there.qemu_version),
        ("libvirt-older", "libvirt", here.version, there.version),
    ):
        if ours and theirs and theirs < ours:
            said = f"{name} is older on {target}: {_version(theirs)}, and here {_version(ours)}"
            found.append(_reason(code, DEPENDS, said, ours=ours, theirs=theirs))
    return found


def _capacity(view: View) -> list[Reason]:
    guest, there, target = view.guest, view.there, view.target
    found: list[Reason] = []
    if there.silence:
        return found
    huge = sum(guest.huge_pages_mib.values())
    if guest.memory_mib and there.free_mib is not None:
        short = guest.memory_mib - huge - there.free_mib
        if short > 0:
            said = f"{target}: short of {_size(short)} for {guest.name} ({_size(there.free_mib)} free)"
            found.append(_no("memory-short", said, need=guest.memory_mib - huge, free=there.free_mib))
    elif guest.memory_mib:
        found.append(_reason("memory-unknown", DEPENDS, f"the free memory of {target} is not known"))
    for size, need in sorted(guest.huge_pages_mib.items()):
        free = there.free_pages_mib.get(size)
        if free is not None and free < need:
            said = f"{target}: short of {_size(need - free)} in huge pages of {size} KiB for {guest.name}"
            found.append(_no("huge-pages-short", said, need=need, free=free))
    if there.moves:
        said = f"{there.moves} other moves are under way on {target}, and share the path"
        found.append(_reason("moves-under-way", DEPENDS, said, moves=there.moves))
    for name, libvirt in (("the source", view.here), (target, there)):
        if libvirt.steal_percent is not None and libvirt.steal_percent > STEAL_LIMIT:
            said = f"{name} loses {libvirt.steal_percent:.0f} % of its processors' time to its own host"
            found.append(_reason("steal", DEPENDS, said, percent=libvirt.steal_percent))
    return found


def _devices(view: View) -> list[Reason]:
    there, target = view.there, view.target
    known_bridges, known_networks = there.bridges, there.networks
    found = []
    for reason, device in ((judge((device,))[0], device) for device in view.guest.devices):
        if device.kind == "interface-bridge" and known_bridges is not None:
            if device.name not in known_bridges:
                found.append(_no("bridge-missing", f"{target} has no bridge {device.name}"))
            continue
        if device.kind == "interface-network" and known_networks is not None:
            if device.name not in known_networks:
                found.append(_no("network-missing", f"{target} has no active network {device.name}"))
            continue
        if device.kind.startswith("cpu-") and reason.effect == DEPENDS and there.cpu in (SAME, MORE):
            continue
        if device.kind == "huge-pages" and there.free_pages_mib:
            continue
        if device.kind == "disk-block" and any(disk.name in device.name for disk in view.drbd):
            continue
        found.append(reason)
    return found


def _disks(view: View) -> list[Reason]:
    found = [
        _reason(
            "disk-local",
            FORBIDS,
            f"{path} lies on {kind}, which no two nodes have at a time: {view.target} has another file there, or none; "
            "with downtime it moves if that file system moves along, or by --copy-disks",
        )
        for path, kind in sorted(view.local_files.items())
    ]
    for disk in view.drbd:
        if not disk.is_connected:
            said = f"{disk.name} is not connected to {view.target}, so both would write apart"
            found.append(_no("drbd-disconnected", said))
        elif disk.disk_there != "UpToDate":
            said = f"{disk.name} is {disk.disk_there} on {view.target}, and UpToDate would be right"
            found.append(_no("drbd-not-current", said))
        else:
            found.append(_reason("drbd-ready", ALLOWS, f"{disk.name} is connected, and UpToDate on {view.target}"))
    return found


def _path(view: View) -> list[Reason]:
    guest = view.guest
    found = list(
        migration_path.judge(
            view.path,
            guest=guest.name,
            source=guest.nodes[0] if len(guest.nodes) == 1 else "",
            target=view.target,
            memory_mib=guest.memory_mib,
            limit_s=guest.limit_s,
        )
    )
    if view.guest.transport == "tcp":
        said = "migration_transport=tcp is neither encrypted nor authenticated: tls, or ssh as a user of its own, is"
        found.append(_reason("path-clear", DEPENDS, said))
    return found


def _no(code: str, said: str, **numbers: float) -> Reason:
    return _reason(code, TIES, said, **numbers)


def _reason(code: str, effect: str, said: str, **numbers: float) -> Reason:
    return Reason(code=code, effect=effect, said=said, numbers=numbers)


def _size(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"


def _version(number: int) -> str:
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"


def check_invariants(view: View, found: Preflight) -> None:
    """Raise AssertionError for a verdict that lets a guest move which must not."""
    if found.verdict != REFUSED:
        assert view.is_quorate
        assert not view.there.silence
        assert view.there.has_copy is False
        assert len(view.guest.nodes) == 1
        assert view.guest.nodes != (view.target,)
        assert not any(place.is_unclean for place in view.places)
        place = next(each for each in view.places if each.name == view.target)
        assert place.is_online
        assert not place.is_standby
        assert not place.is_maintenance
        assert view.guest.is_managed
        assert all(disk.is_connected and disk.disk_there == "UpToDate" for disk in view.drbd)
    if found.verdict == LIVE:
        assert view.guest.is_movable
        assert view.guest.mode != "cold"
