"""What a guest needs of whatever host it runs on, beside memory: by name, as its definition says."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class GuestNeeds(Record):
    """Empty is "nothing of that sort"."""

    vcpus: int | None = None
    huge_pages: Mapping[str, int] = {}
    """By the size of the pages in KiB: MiB of the guest's memory that are taken from them."""
    features: tuple[str, ...] = ()
    """The model of processor that is named, and features that are required of it, in libvirt's words."""
    devices: tuple[str, ...] = ()
    """Of the host's own: addresses of PCI devices (0000:03:00.0), ids of USB devices (1d6b:0104), UUIDs of mediated
    ones."""
    networks: tuple[str, ...] = ()
    """Bridges, networks of libvirt's, and the cards below a macvtap."""
    storage: tuple[str, ...] = ()
    """Paths of disks that are not on DRBD, and names of storage pools."""
