"""What guests, disks and addresses must be to the nodes, and to one another."""

from __future__ import annotations

from kvmha.cluster.contradictions.reading import group, listed, names, numbered, one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Faults = Iterator[tuple[str, str]]

RUNNING = ("guests", "floating_ips")


def unknown_names(values: dict[str, Any]) -> Faults:
    """Whatever is referred to exists."""
    nodes, guests, disks = (names(values, kind) for kind in ("nodes", "guests", "drbd"))
    tickets = names(group(values, "booth"), "tickets")
    for kind in RUNNING:
        for place, item in numbered(values, kind):
            for field, known, what in (("prefers", nodes, "node"), ("follows", guests, "guest"),
                                       ("ticket", tickets, "ticket")):  # fmt: skip
                value = item.get(field)
                if value is not None and value not in known:
                    yield f"{place}.{field}", f'"{value}" is no {what}; expected {one_of(known, f"a {what}")}'
    lists = [("guests", "nodes", nodes, "node"), ("guests", "apart_from", guests, "guest"),
             ("guests", "never_with", guests, "guest"), ("guests", "disks", disks, "DRBD resource"),
             ("floating_ips", "nodes", nodes, "node"), ("drbd", "nodes", nodes, "node"),
             ("drbd", "diskless", nodes, "node")]  # fmt: skip
    for kind, field, known, what in lists:
        for place, item in numbered(values, kind):
            for number, value in listed(item, field):
                if value not in known:
                    said = f'"{value}" is no {what}; expected {one_of(known, f"a {what}")}'
                    yield f"{place}.{field}[{number}]", said


def wrong_places(values: dict[str, Any]) -> Faults:
    """A resource prefers a node that it may run on, or follows a guest, and not both."""
    for kind in RUNNING:
        for place, item in numbered(values, kind):
            prefers, allowed = item.get("prefers"), item.get("nodes") or ()
            if prefers is not None and item.get("follows") is not None:
                yield f"{place}.follows", "given together with prefers; expected only one of the two"
            if prefers is not None and allowed and prefers not in allowed:
                said = f'"{prefers}" is not among its nodes; expected one of {", ".join(filter(None, allowed))}'
                yield f"{place}.prefers", said


def wrong_company(values: dict[str, Any]) -> Faults:
    """A guest keeps apart from others, and says once how far."""
    for place, guest in numbered(values, "guests"):
        for field in ("apart_from", "never_with"):
            for number, other in listed(guest, field):
                if other == guest.get("name"):
                    yield f"{place}.{field}[{number}]", f'"{other}" is the guest itself; expected another guest'
                elif field == "never_with" and other in (guest.get("apart_from") or ()):
                    said = f'"{other}" is also in apart_from; expected it in one of the two'
                    yield f"{place}.never_with[{number}]", said


def wrong_disks(values: dict[str, Any]) -> Faults:
    """A DRBD resource has copies as its version can connect them."""
    replication = group(values, "replication")
    links = [len(node["addresses"]) for node in values.get("nodes") or () if node.get("addresses")]
    version, link = replication.get("version"), replication.get("link")
    if values.get("drbd") and links and link is not None and link >= min(links):
        said = f'"{link}" is no link of the nodes; expected a number from 0 to {min(links) - 1}'
        yield "replication.link", said
    everywhere = values.get("nodes") or ()
    for place, item in numbered(values, "drbd"):
        copies = item.get("nodes") or everywhere
        for number, node in listed(item, "diskless"):
            if node in (item.get("nodes") or ()):
                yield f"{place}.diskless[{number}]", f'"{node}" is also in nodes; expected it in one of the two'
        if version == "8.4" and item.get("diskless"):
            yield f"{place}.diskless", "given with replication.version 8.4; expected none, for only DRBD 9 has them"
        if "nodes" in item and len(copies) < 2:
            yield f"{place}.nodes", f"{len(copies)} nodes; expected at least 2"
        elif version == "8.4" and "nodes" in item and len(copies) > 2:
            yield (
                f"{place}.nodes" if item["nodes"] else place,
                f"copies on {len(copies)} nodes; expected 2 in nodes, for DRBD 8.4 connects no more",
            )


def wrong_use_of_disks(values: dict[str, Any]) -> Faults:
    """A disk belongs to one guest, which runs only where a copy is."""
    disks = {item["name"]: item for _, item in numbered(values, "drbd") if item.get("name")}
    used: dict[str, str] = {}
    for place, guest in numbered(values, "guests"):
        for number, disk in listed(guest, "disks"):
            inside = f"{place}.disks[{number}]"
            if used.setdefault(disk, inside) != inside:
                yield inside, f'"{disk}" is also {used[disk]}; expected a disk of its own'
            copies = disks.get(disk, {}).get("nodes") or ()
            for nth, node in listed(guest, "nodes"):
                if copies and node not in copies:
                    said = f'"{node}" has no copy of {disk}; expected nodes among {", ".join(filter(None, copies))}'
                    yield f"{place}.nodes[{nth}]", said
            prefers = guest.get("prefers")
            if prefers is not None and copies and prefers not in copies:
                said = f'"{prefers}" has no copy of {disk}; expected one of {", ".join(filter(None, copies))}'
                yield f"{place}.prefers", said


def wrong_sizes(values: dict[str, Any]) -> Faults:
    """A guest fits on a node that it may run on."""
    for field, unit in (("memory", " MiB"), ("vcpu", " virtual CPUs")):
        sizes = {node.get("name"): node.get(field) for _, node in numbered(values, "nodes")}
        for place, guest in numbered(values, "guests"):
            allowed = [node for node in guest.get("nodes") or sizes if node is not None]
            room = [sizes.get(node) for node in allowed]
            wanted = guest.get(field)
            known = [size for size in room if size is not None]
            if wanted is not None and known and len(known) == len(room) and wanted > max(known):
                yield f"{place}.{field}", f'"{wanted}" fits on no node; expected at most {max(known)}{unit}'


def said_twice(values: dict[str, Any]) -> Faults:
    """What a field says is not said by an option as well; what must be longer is longer."""
    pairs = (("downtime_limit", "migration_downtime"), ("service", "monitor_scripts"))
    for place, guest in numbered(values, "guests"):
        for field, option in pairs:
            if guest.get(field) is not None and option in (guest.get("options") or {}):
                yield f"{place}.options.{option}", f"is given by the guest's own field {field}; leave it out"
        limit, boot = guest.get("recovery_limit"), guest.get("boot_time")
        if limit is not None and boot is not None and limit <= boot:
            said = f'"{limit}" is over before the guest has booted ({boot}); expected more than {boot}'
            yield f"{place}.recovery_limit", said
        service = group(guest, "service")
        interval, timeout = service.get("interval"), service.get("timeout")
        if interval is not None and timeout is not None and timeout > interval:
            said = f'"{timeout}" is longer than interval {interval}; expected at most {interval}'
            yield f"{place}.service.timeout", said


RULES = (unknown_names, wrong_places, wrong_company, wrong_disks, wrong_use_of_disks, wrong_sizes, said_twice)
