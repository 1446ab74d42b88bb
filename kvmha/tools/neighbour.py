"""Telling the neighbours where an address is now, over raw sockets and without a foreign sender."""

from __future__ import annotations

import ipaddress
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

_ETHERNET = 1
"""ARPHRD_ETHER in linux/if_arp.h."""

_ETH_ARP = 0x0806
_BROADCAST = b"\xff" * 6
_REQUEST, _REPLY = 1, 2


def arp_frames(mac: bytes, address: str) -> tuple[bytes, ...]:
    """Return an announcement in both forms of RFC 5227, section 3: neighbours differ in which of them they heed."""
    ip = ipaddress.IPv4Address(address).packed
    frames = []
    for operation, target in ((_REQUEST, b"\0" * 6), (_REPLY, _BROADCAST)):
        # RFC 826: hardware type Ethernet, protocol IPv4, their address lengths, operation, sender, target.
        arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + ip + target + ip
        frames.append(_BROADCAST + mac + struct.pack("!H", _ETH_ARP) + arp)
    return tuple(frames)


def advertisement(mac: bytes, address: str) -> bytes:
    """Return an unsolicited neighbour advertisement with the override flag (RFC 4861, sections 4.4 and 7.2.6).

    The checksum is left to the kernel, which fills it in for ICMPv6 raw sockets (RFC 3542, section 3.1).
    """
    override = 0x20000000
    target_option = struct.pack("!BB", 2, 1) + mac
    return struct.pack("!BBHI", 136, 0, 0, override) + ipaddress.IPv6Address(address).packed + target_option


def link_address(link: str) -> bytes | None:
    """Return a link's Ethernet address, or None for a link without one (a tunnel, an InfiniBand port).

    The kernel is asked and not /sys, which in a container may be that of another network namespace.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((link, 0))
        # packet(7): the hardware type and address of the link that the socket is bound to.
        _, _, _, hardware, address = raw.getsockname()
    return bytes(address) if hardware == _ETHERNET and any(address) else None


def announce(host: Host, link: str, address: str, *, count: int, interval: float) -> None:
    """Announce an address ``count`` times, ``interval`` seconds apart; a link without neighbours is left alone."""
    mac = link_address(link)
    if mac is None:
        return
    for turn in range(count):
        if turn:
            host.sleep(interval)
        if ipaddress.ip_address(address).version == 4:
            _send_frames(link, arp_frames(mac, address))
        else:
            _send_advertisement(link, address, advertisement(mac, address))


def _send_frames(link: str, frames: tuple[bytes, ...]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((link, _ETH_ARP))
        for frame in frames:
            raw.send(frame)


def _send_advertisement(link: str, address: str, message: bytes) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode() + b"\0")
        # RFC 4861, section 4.4: receivers drop an advertisement whose hop limit shows that it crossed a router.
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.bind((address, 0, 0, socket.if_nametoindex(link)))
        raw.sendto(message, ("ff02::1", 0, 0, socket.if_nametoindex(link)))
