"""The disks of a guest as this node has them: there, of the right kind, and to be opened as the guest will."""

from __future__ import annotations

import errno
import os
from functools import partial

from kvmha.host import CommandError, CommandTimeout
from kvmha.policy import start
from kvmha.policy.start import Disk
from kvmha.resources.virtual_domain import overlay
from kvmha.tools import drbd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host
    from kvmha.policy.replica import Replica
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.tools.domain_xml import DiskNeed

LIMIT = 5.0
"""Seconds to find all disks, and once more to open them; a storage whose server is away never answers."""

KINDS = {"file": "file", "block": "block device", "dir": "folder"}
"""What the kinds of disk lead to that are paths of a node; QEMU insists on it. All other kinds are QEMU's business."""


def look(agent: VirtualDomain, needs: tuple[DiskNeed, ...]) -> list[Disk]:
    """Return what was found at each path. A DRBD device is opened only if it is promoted here: opening may do that."""
    host = agent.host
    wanted = [need for need in needs if need.path and need.kind in KINDS and not need.is_optional]
    # The start itself makes this one, after all else was looked at.
    made_at_start = overlay.image_path(agent.param("config")) if agent.param("backingfile") else ""
    wanted = [need for need in wanted if need.path != made_at_start]
    found = _together(agent, wanted, partial(_find, host))
    if any(disk.minor >= 0 and not disk.error for disk in found):
        # The kernel of this node answers at once, unless the node is busy: a start that fails bans the guest from it.
        found = _with_roles(host, found, limit=max(drbd.TIMEOUT, agent.left() / 4))
    ready = [need for need, disk in zip(wanted, found) if start.why_not_from(disk) is None]
    opened = {disk.path: disk.error for disk in _together(agent, ready, partial(_open, host))}
    return [disk.replace(error=opened.get(disk.path, disk.error)) for disk in found]


def _together(agent: VirtualDomain, needs: list[DiskNeed], act: Callable[[DiskNeed], Disk]) -> list[Disk]:
    """Do something with each disk at one time; one that does not answer has that as its error."""
    if not needs:
        return []
    limit = min(LIMIT, agent.left() / 4)
    done = agent.host.together([partial(act, need) for need in needs], what="storage", timeout=limit)
    found = []
    for need, disk in zip(needs, done):
        if isinstance(disk, CommandTimeout):
            found.append(Disk(path=need.path, wanted=KINDS[need.kind], error=f"no answer within {limit:.0f} s"))
        elif isinstance(disk, BaseException):
            raise disk
        else:
            found.append(disk)
    return found


def _find(host: Host, need: DiskNeed) -> Disk:
    disk = Disk(path=need.path, wanted=KINDS[need.kind])
    try:
        kind = host.kind(need.path)
        major, minor = host.device_number(need.path) if kind == "block device" else (0, 0)
    except PermissionError:
        return disk.replace(found=disk.wanted)
    except OSError as error:
        return disk.replace(error=_words(host, need.path, error))
    return disk.replace(found=kind, minor=minor if major == drbd.MAJOR else -1)


def _open(host: Host, need: DiskNeed) -> Disk:
    disk = Disk(path=need.path, wanted=KINDS[need.kind])
    if need.kind == "dir":
        return disk
    try:
        host.try_open(need.path, write=not need.is_read_only)
    except PermissionError:
        # QEMU has a user of its own, and a file server may refuse root what it gives to that one (root_squash).
        return disk
    except OSError as error:
        return disk.replace(error=_words(host, need.path, error))
    return disk


def _words(host: Host, path: str, error: OSError) -> str:
    """Say what is wrong with a path."""
    folder = os.path.dirname(path)
    if error.errno == errno.ENOENT and path.startswith("/dev/drbd"):
        return "is not there: its DRBD resource is down here"
    if error.errno == errno.ENOENT and not host.exists(folder):
        return f"there is no folder {folder}"
    return error.strerror or str(error)


def _with_roles(host: Host, disks: list[Disk], *, limit: float) -> list[Disk]:
    """Add, to each device of DRBD that cannot be written here, the resource and its role."""
    try:
        replicas = drbd.replicas(host, timeout=limit)
    except CommandError as error:
        words = f"cannot tell whether it is promoted here: {error}"
        return [disk if disk.minor < 0 else disk.replace(error=words) for disk in disks]
    found = []
    for disk in disks:
        replica = next((replica for replica in replicas if disk.minor in replica.minors), None)
        if disk.minor < 0 or (replica is not None and _can_be_written(host, replica)):
            found.append(disk)
        elif replica is None:
            found.append(disk.replace(error=f"DRBD has no resource with the minor number {disk.minor} here"))
        else:
            found.append(disk.replace(resource=replica.resource, role=replica.role or "in no known role"))
    return found


def _can_be_written(host: Host, replica: Replica) -> bool:
    if replica.role == drbd.PROMOTED:
        return True
    if not replica.may_promote:
        return False
    try:
        shown = host.run(*drbd.show_argv(replica.resource), timeout=drbd.TIMEOUT).out
    except CommandError:
        return False
    return drbd.promotes_itself(shown)
