"""The files that a guest is started from, as its node and a target have them."""

from __future__ import annotations

import os

from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.policy import copying
from kvmha.policy.copying import File
from kvmha.tools import domain_xml, qemu_img, stat
from kvmha.tools.libvirtd import LibvirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.cli.moving.sight import GuestSight, Sight
    from kvmha.policy.model import GuestIdentity

INFO_LIMIT = 30.0
"""Seconds for a look at one image."""


def look(sight: Sight, guest: GuestSight, target: str) -> copying.View:
    """Return what copying them is decided from. Raises UserError where one of the nodes cannot be asked."""
    xml, _state = sight.definition(guest, guest.source)
    is_here = sight.here == guest.source
    rooms: dict[str, tuple[str, ...] | None] = {}
    free: dict[str, int | None] = {}
    there = guest.lasting_libvirt(target)
    config = str(guest.agent.param("config"))
    files = tuple(_file(sight, path, is_read_only=read_only) for path, read_only in _paths(xml)) if is_here else ()
    try:
        for folder in sorted({os.path.dirname(path) for path in (config, *(file.path for file in files))}):
            room = there.room(folder)
            rooms[folder] = room.names if room is not None else None
            free[folder] = room.free_bytes if room is not None else None
        has_definition = _has_definition(guest, there.defined, rooms)
    except LibvirtError as error:
        raise UserError(f"the disks of {guest.name} cannot be copied to {target}: {error}") from None
    known = tuple(file.replace(is_there=_is_there(file.path, rooms)) for file in files)
    return copying.View(
        guest=guest.name,
        source=guest.source,
        target=target,
        is_on_source=is_here,
        files=known,
        free_bytes=free,
        has_definition=has_definition,
    )


def _paths(xml: str) -> list[tuple[str, bool]]:
    """Return the paths of a definition's files, each once, and whether the guest only reads them."""
    needs = domain_xml.parse_needs(xml)
    found = {disk.path: disk.is_read_only for disk in needs.disks if disk.path and disk.kind in ("file", "block")}
    nvram = domain_xml.parse_nvram(xml)
    return list({**found, **({nvram: False} if nvram else {})}.items())


def _file(sight: Sight, path: str, *, is_read_only: bool) -> File:
    host = sight.host
    try:
        kind = host.kind(path)
        if kind != "file":
            return File(path=path, kind=kind, is_read_only=is_read_only)
        facts = stat.facts(host, path)
        info = host.run(*qemu_img.info_argv(path), timeout=INFO_LIMIT).out
    except (OSError, CommandError) as error:
        raise UserError(f"{path} cannot be looked at on this node: {error}") from None
    return File(
        path=path,
        size=facts.size,
        allocated=facts.allocated,
        owner=(facts.mode, facts.user, facts.group),
        is_read_only=is_read_only,
        backing=qemu_img.parse_backing(info),
    )


def _is_there(path: str, rooms: dict[str, tuple[str, ...] | None]) -> bool:
    return os.path.basename(path) in (rooms.get(os.path.dirname(path)) or ())


def _has_definition(
    guest: GuestSight, defined: Callable[[GuestIdentity], object], rooms: dict[str, tuple[str, ...] | None]
) -> bool:
    if guest.agent.param("domain"):
        return defined(guest.identity) is not None
    return _is_there(str(guest.agent.param("config")), rooms)


def on_local_file_systems(sight: Sight, xml: str) -> dict[str, str]:
    """Return the disks of a definition that lie on such a file system of this node, and which that is."""
    found = {}
    try:
        disks = domain_xml.parse_needs(xml).disks if xml else ()
    except domain_xml.DomainXmlError:
        return {}
    for disk in disks:
        if disk.kind != "file" or not disk.path or disk.is_read_only:
            continue
        try:
            kind = stat.local_file_system(sight.host, disk.path)
        except CommandError:
            continue
        if kind:
            found[disk.path] = kind
    return found
