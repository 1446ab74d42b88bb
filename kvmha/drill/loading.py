"""Takes memory, or fills a network, until it is ended by whoever started it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvmha.host import Host

DISCARD_PORT = 9
"""Where nobody listens, and nobody should mind (RFC 863)."""

PACKET = b"\0" * 1400
BURST = 200
FULL_S = 0.001
"""How long to wait where the kernel takes no more packets for a moment."""


def take_memory(host: Host, mebibytes: int) -> None:
    """Take so much memory, every page of it written, and hold it."""
    held = [bytearray(b"\1") * (1024 * 1024) for _ in range(mebibytes)]
    while held:
        host.sleep(1.0)


def send(host: Host, addresses: Sequence[str]) -> None:
    """Send to all of these addresses, as fast as the kernel takes it."""
    import socket

    lines = []
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        lines.append((socket.socket(family, socket.SOCK_DGRAM), (address, DISCARD_PORT)))
    while lines:
        for line, peer in lines:
            try:
                for _ in range(BURST):
                    line.sendto(PACKET, peer)
            except OSError:
                # The queue is full, or nobody answers for the address.
                host.sleep(FULL_S)
