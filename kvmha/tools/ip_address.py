"""`ip -json address`: the addresses of this machine, with their interfaces and the size of packets these take."""

from __future__ import annotations

from kvmha.policy.node import LinkAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

ARGV = ("ip", "-json", "address", "show")


def parse(text: str) -> tuple[LinkAddress, ...]:
    """Return all addresses but those of the loopback interface. Raises ValueError for what is no JSON."""
    import json

    return tuple(
        LinkAddress(
            address=found["local"], interface=link["ifname"], mtu=int(link["mtu"]), prefix=int(found["prefixlen"])
        )
        for link in json.loads(text)
        if "LOOPBACK" not in link.get("flags", ())
        for found in link.get("addr_info", ())
        if found.get("local")
    )


def look(host: Host, *, timeout: float) -> tuple[LinkAddress, ...]:
    """Return this machine's addresses. Raises CommandError, ValueError."""
    return parse(host.run(*ARGV, timeout=timeout).out)
