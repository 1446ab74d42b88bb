"""Who was started on this node by which resource, kept in a file while the guest runs.

The files lie below /run: they go with the boot, and so do the guests.
"""

from __future__ import annotations

from kvmha.policy.model import GuestIdentity
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

FOLDER = "/run/kvmha/VirtualDomain"


class Remembered(Record):
    """What is kept of a guest."""

    source: str
    """What the resource named it by: the path of its definition, or a persistent domain's name or UUID."""
    guest: GuestIdentity
    is_starting: bool = False
    """Libvirt was asked to start the guest, and its answer has not been seen."""
    digest: str = ""
    """Of the definition as libvirt had it when the guest was started from its file; empty if nobody will ask."""


def read(host: Host, instance: str) -> Remembered | None:
    """Return what a resource has started here, or None."""
    try:
        text = host.read(f"{FOLDER}/{instance}")
    except OSError:
        return None
    found = {}
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        found[key] = value
    guest = GuestIdentity(name=found.get("name", ""), uuid=found.get("uuid", ""))
    if not guest.label:
        return None
    return Remembered(
        source=found.get("source", ""),
        guest=guest,
        is_starting="starting" in found,
        digest=found.get("digest", ""),
    )


def write(host: Host, instance: str, remembered: Remembered) -> None:
    """Write down what a resource starts, or has started."""
    guest = remembered.guest
    text = f"source={remembered.source}\nname={guest.name}\nuuid={guest.uuid}\n"
    if remembered.digest:
        text += f"digest={remembered.digest}\n"
    host.write(f"{FOLDER}/{instance}", text + ("starting=1\n" if remembered.is_starting else ""), mode=0o600)


def forget(host: Host, instance: str) -> None:
    """Remove what was written down."""
    host.remove(f"{FOLDER}/{instance}")


def others(host: Host, instance: str) -> list[Remembered]:
    """Return what the other resources of this node have started."""
    found = [read(host, name) for name in host.names(FOLDER) if name != instance]
    return [other for other in found if other is not None]
