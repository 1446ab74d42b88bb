"""The link of this node that leads to another one, and what it carries (ip-route(8), ping(8), sysfs)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

LIMIT = 5.0
HEADERS = {4: 28, 6: 48}
"""Bytes of IP and ICMP in a packet, by the version of IP."""

SMALL = 56
"""What ping sends by default."""

TRIES = 2
"""Packets of each size: one may be lost."""


def lookup_argv(name: str) -> tuple[str, ...]:
    """Return the command that finds the addresses of a name, as libvirt and QEMU would."""
    return ("getent", "ahosts", name)


def parse_lookup(out: str) -> str:
    """Return the first address; empty for none."""
    words = out.split()
    return words[0] if words else ""


def route_argv(address: str) -> tuple[str, ...]:
    """Return the command that tells which link leads to an address."""
    return ("ip", "-o", "route", "get", address)


def parse_route(out: str) -> str:
    """Return the link's name; empty where there is none."""
    words = out.split()
    return words[words.index("dev") + 1] if "dev" in words[:-1] else ""


def ping_argv(address: str, size: int) -> tuple[str, ...]:
    """Return the command that sends packets which nobody on the way may cut in pieces."""
    return ("ping", "-n", "-q", "-M", "do", "-c", str(TRIES), "-i", "0.3", "-W", "1", "-s", str(size), address)


def link_mtu(host: Host, link: str) -> int | None:
    """Return a link's MTU; None where the kernel does not tell."""
    return _number(host, f"/sys/class/net/{link}/mtu")


def link_speed_mib_s(host: Host, link: str) -> float | None:
    """Return what a network card could carry at best, in MiB/s; None for what is no card, and says anything."""
    if not host.exists(f"/sys/class/net/{link}/device"):
        return None
    mbit = _number(host, f"/sys/class/net/{link}/speed")
    # Headers of Ethernet, IP and TCP take six percent of a frame of 1500 bytes.
    return mbit * 0.94 * 1e6 / 8 / 1048576 if mbit and mbit > 0 else None


def _number(host: Host, path: str) -> int | None:
    try:
        return int(host.read(path))
    except (OSError, ValueError):
        return None


def carries(host: Host, address: str, mtu: int) -> bool | None:
    """Tell whether packets as large as an MTU come through to an address; None where small ones do not either.

    Raises CommandError.
    """
    size = mtu - HEADERS[6 if ":" in address else 4]
    if host.run(*ping_argv(address, SMALL), timeout=LIMIT, ok=None).rc != 0:
        return None
    return host.run(*ping_argv(address, size), timeout=LIMIT, ok=None).rc == 0
