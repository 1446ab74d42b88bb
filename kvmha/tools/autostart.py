"""What libvirt starts by itself at boot: links in a folder of its own, which are there with its daemon stopped too."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

FOLDER = "/etc/libvirt/qemu/autostart"


def names(host: Host) -> tuple[str, ...]:
    """Return the names of the guests that libvirt starts by itself."""
    return tuple(name[: -len(".xml")] for name in host.names(FOLDER) if name.endswith(".xml"))
