"""Disks, guests and addresses as resources, with their places and operations."""

from __future__ import annotations

from kvmha.cluster.configuration.parts import (
    INFINITY,
    AttributeRule,
    Clone,
    Colocation,
    Location,
    Operation,
    Order,
    Part,
    Primitive,
    TicketConstraint,
)
from kvmha.cluster.configuration.settings import APART, PREFERENCE, PRIORITY
from kvmha.cluster.contradictions.identity import clone_of, device_of, primary_of
from kvmha.policy import timing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kvmha.cluster.configuration.parts import Constraint, Pairs
    from kvmha.cluster.fields import Booth, ClusterDescription, DrbdResource, FloatingIP, Guest, Node

NOTHING = "none"
"""What the attribute of a node says that has nothing of that sort (policy/placement/offers)."""

MONITOR = "10s"
PROBE_FOLDER = "/etc/kvmha/probes"
"""Where the nodes have the commands that ask a guest's service."""


def operation(name: str, timeout: int, interval: str = "0s", **options: str) -> Operation:
    """Return an operation with a timeout in seconds."""
    return Operation(name=name, interval=interval, timeout=f"{timeout}s", options=tuple(options.items()))


def disks(description: ClusterDescription) -> Iterator[Part]:
    """Yield the device of each DRBD resource, which is up on all its nodes, and then its Primary role.

    The role is a resource of its own that moves like a guest does: two primaries exist only while a guest moves.
    """
    tickets = {disk: guest.ticket for guest in description.guests for disk in guest.disks if guest.ticket}
    for disk in description.drbd:
        yield _device(disk, description)
        yield _primary(disk, tickets.get(disk.name), description)


def _device(disk: DrbdResource, description: ClusterDescription) -> Part:
    device, clone = device_of(disk.name), clone_of(disk.name)
    everywhere = [node.name for node in description.nodes]
    places = [*(disk.nodes or everywhere), *disk.diskless]
    times = _drbd_times(description)
    made = Primitive(
        id=device, agent="ocf:kvmha:DRBD", params=(("drbd_resource", disk.name), *disk.options.items()),
        operations=(operation("start", times.start), operation("stop", times.stop),
                    operation("notify", times.notify), operation("monitor", times.monitor, MONITOR)),
    )  # fmt: skip
    meta = (("interleave", "true"), ("notify", "true"), ("clone-max", str(len(places))))
    elsewhere = _not_on(clone, [node for node in everywhere if node not in places])
    return Part(
        title=f"DRBD resource {disk.name}", primitive=made, clone=Clone(id=clone, meta=meta), constraints=elsewhere
    )


def _primary(disk: DrbdResource, ticket: str | None, description: ClusterDescription) -> Part:
    primary, device, clone = primary_of(disk.name), device_of(disk.name), clone_of(disk.name)
    times = _drbd_times(description)
    made = Primitive(
        id=primary, agent="ocf:kvmha:DRBDPrimary", params=(("drbd_resource", disk.name),),
        operations=(operation("start", times.promote), operation("stop", times.demote),
                    operation("migrate_to", times.promote), operation("migrate_from", times.promote),
                    operation("monitor", times.monitor, MONITOR)),
        meta=(("allow-migrate", "true"),),
    )  # fmt: skip
    attribute = f"drbd-promotion-score-{disk.name}"
    constraints: list[Constraint] = [
        Colocation(id=f"{primary}-with-drbd", resource=primary, with_resource=clone, score=INFINITY),
        Order(id=f"{device}-then-primary", first=clone, then=primary),
        # The agent of the device writes how good its copy is; without a word about it, it is none.
        AttributeRule(id=f"{primary}-score", resource=primary, attribute=attribute, operation="defined"),
        AttributeRule(id=f"{primary}-known", resource=primary, attribute=attribute, operation="not_defined",
                      score=f"-{INFINITY}"),
    ]  # fmt: skip
    constraints += _ticket(primary, ticket, description)
    return Part(title=f"Primary role of {disk.name}", primitive=made, constraints=tuple(constraints))


def _drbd_times(description: ClusterDescription) -> timing.DrbdTimeouts:
    replication = description.replication
    return timing.drbd_timeouts(
        ping_interval_s=replication.ping_interval,
        ping_timeout_ds=replication.ping_timeout,
        timeout_ds=replication.timeout,
    )


def guests(description: ClusterDescription) -> Iterator[Part]:
    """Yield the guests; what keeps two of them apart comes with the later one."""
    declared: set[str] = set()
    waiting: list[Colocation] = []
    for guest in description.guests:
        declared.add(guest.name)
        waiting += _apart(guest)
        ready = [found for found in waiting if {found.resource, found.with_resource} <= declared]
        waiting = [found for found in waiting if found not in ready]
        constraints = (*_places(guest, description), *_disks(guest), *_ticket(guest.name, guest.ticket, description))
        yield Part(
            title=f"guest {guest.name}", primitive=_guest(guest, description), constraints=(*constraints, *ready)
        )


def _guest(guest: Guest, description: ClusterDescription) -> Primitive:
    times = timing.guest_timeouts(
        memory_mib=guest.memory,
        bandwidth_mib_s=description.migration.bandwidth,
        dirty_mib_s=guest.dirty_rate,
        shutdown_s=guest.shutdown_time,
        drbd=bool(guest.disks),
        at_once=description.migration.limit,
    )
    operations = [operation("start", times.start), operation("stop", times.stop),
                  operation("migrate_to", times.migrate_to).replace(on_fail=_given_up(guest, description)),
                  operation("migrate_from", times.migrate_from),
                  operation("monitor", times.monitor, MONITOR)]  # fmt: skip
    if guest.service:
        interval = f"{guest.service.interval}s"
        operations.append(operation("monitor", guest.service.timeout + 10, interval, OCF_CHECK_LEVEL="20"))
    # Fence devices have the priority 0: where things queue up, the guests of a lost node come before them.
    priority = PRIORITY if guest.priority is None else guest.priority
    return Primitive(
        id=guest.name, agent="ocf:kvmha:VirtualDomain", params=_guest_params(guest, description),
        operations=tuple(operations),
        meta=(("allow-migrate", "true" if guest.migrate else "false"), ("priority", str(priority))),
        utilization=utilization(guest.memory, guest.vcpu),
    )  # fmt: skip


def _given_up(guest: Guest, description: ClusterDescription) -> str:
    """Return what the cluster does where migrate_to fails; empty for its own choice, a stop on both sides and a start.

    A guest whose disk's Primary role moves before it would be left half over, so it is always that.
    """
    return "block" if guest.migrate and not guest.disks and description.migration.given_up == "stay" else ""


def _guest_params(guest: Guest, description: ClusterDescription) -> Pairs:
    """Return the agent's parameters: what the fields say, over it what the guest's own options say."""
    params = {"config": guest.config, "migration_transport": description.migration.transport}
    if description.nodes[0].migration_address:
        params["migration_network_suffix"] = description.migration.suffix
    if guest.downtime_limit is not None:
        params["migration_downtime"] = str(guest.downtime_limit)
    if guest.service:
        params["monitor_scripts"] = probe_command(guest)
    return tuple({**params, **guest.options}.items())


def probe_command(guest: Guest) -> str:
    """Return the path of the command that asks a guest's service."""
    if guest.service is None or guest.service.probe.startswith("/"):
        return guest.service.probe if guest.service else ""
    return f"{PROBE_FOLDER}/{guest.name}"


def utilization(memory: int | None, vcpu: int | None) -> Pairs:
    """Return what is used or offered, by the names that VirtualDomain's autoset parameters write as well."""
    known = (("hv_memory", memory), ("cpu", vcpu))
    return tuple((name, str(value)) for name, value in known if value is not None)


def offers(node: Node, huge_pages: int | None) -> Pairs:
    """Return what a node has for guests by name, as attributes that placement reads; ``huge_pages`` are of 2 MiB."""
    said = {
        "has-networks": node.networks,
        "has-devices": node.devices,
        "has-storage": node.storage,
        "has-cpu": node.cpu,
    }
    pages = () if huge_pages is None else (("huge-pages", f"2048:{2 * huge_pages}" if huge_pages else NOTHING),)
    # An attribute without a value is none for pcs.
    return (*((name, ",".join(names) or NOTHING) for name, names in said.items() if names is not None), *pages)


def _disks(guest: Guest) -> Iterator[Constraint]:
    for disk in guest.disks:
        primary = primary_of(disk)
        yield Colocation(id=f"{guest.name}-with-{primary}", resource=guest.name, with_resource=primary, score=INFINITY)
        yield Order(id=f"{primary}-then-{guest.name}", first=primary, then=guest.name)


def _apart(guest: Guest) -> Iterator[Colocation]:
    for others, score in ((guest.apart_from, f"-{APART}"), (guest.never_with, f"-{INFINITY}")):
        for other in others:
            yield Colocation(
                id=f"{guest.name}-apart-from-{other}", resource=guest.name, with_resource=other, score=score
            )


def addresses(description: ClusterDescription) -> Iterator[Part]:
    """Yield the floating addresses."""
    for floating in description.floating_ips:
        params = {
            "ip": floating.ip,
            "cidr_netmask": str(floating.cidr_netmask),
            "nic": floating.nic,
            **floating.options,
        }
        follows: tuple[Constraint, ...] = ()
        if floating.follows is not None:
            name, guest = floating.name, floating.follows
            follows = (Colocation(id=f"{name}-with-{guest}", resource=name, with_resource=guest, score=INFINITY),
                       Order(id=f"{guest}-then-{name}", first=guest, then=name))  # fmt: skip
        constraints = (*_places(floating, description), *follows, *_ticket(floating.name, floating.ticket, description))
        made = _address(floating.name, tuple(params.items()))
        yield Part(title=f"floating IP {floating.name}", primitive=made, constraints=constraints)


def _address(name: str, params: Pairs) -> Primitive:
    operations = (operation("start", 20), operation("stop", 20), operation("monitor", 20, MONITOR))
    return Primitive(id=name, agent="ocf:kvmha:FloatingIP", params=params, operations=operations)


def second_site(booth: Booth) -> tuple[Part, ...]:
    """Return booth and the address that the other sites know it by."""
    here = next(site for site in booth.sites if site.name == booth.here)
    params = (("ip", here.address), ("cidr_netmask", str(booth.cidr_netmask)), ("nic", booth.nic))
    operations = (operation("start", 90), operation("stop", 100), operation("monitor", 20, MONITOR))
    daemon = Primitive(id="booth", agent="ocf:pacemaker:booth-site", params=(("config", "/etc/booth/booth.conf"),),
                       operations=operations)  # fmt: skip
    together = (Colocation(id="booth-with-booth-ip", resource="booth", with_resource="booth-ip", score=INFINITY),
                Order(id="booth-ip-then-booth", first="booth-ip", then="booth"))  # fmt: skip
    return (
        Part(title="address of booth", primitive=_address("booth-ip", params)),
        Part(title="booth", primitive=daemon, constraints=together),
    )


def _places(item: Guest | FloatingIP, description: ClusterDescription) -> Iterator[Constraint]:
    everywhere = [node.name for node in description.nodes]
    if item.prefers is not None:
        score = str(PREFERENCE)
        yield Location(id=f"{item.name}-prefers-{item.prefers}", resource=item.name, node=item.prefers, score=score)
    if item.nodes:
        yield from _not_on(item.name, [node for node in everywhere if node not in item.nodes])


def _not_on(resource: str, nodes: Iterable[str]) -> tuple[Location, ...]:
    return tuple(Location(id=f"{resource}-not-on-{node}", resource=resource, node=node, score=f"-{INFINITY}")
                 for node in nodes)  # fmt: skip


def _ticket(resource: str, ticket: str | None, description: ClusterDescription) -> tuple[TicketConstraint, ...]:
    known = description.booth.tickets if description.booth else ()
    return tuple(
        TicketConstraint(id=f"{resource}-with-{each.name}", resource=resource, ticket=each.name,
                         loss_policy=each.loss_policy)
        for each in known if each.name == ticket
    )  # fmt: skip
