"""Ethernet neighbours, asked and told over raw sockets: ARP (RFC 826, RFC 5227), neighbour discovery (RFC 4861).

A port is one link and one family. It announces an address, asks whether anybody has it, and hears who says so. Frames
are written whole, so that nothing depends on what the node's own tables hold at that moment.
"""

from __future__ import annotations

import _socket
import struct

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

_ETH_ARP, _ETH_IPV6 = 0x0806, 0x86DD
_BROADCAST = b"\xff" * 6
_NOBODY = b"\0" * 6
_REQUEST, _REPLY = 1, 2
_ICMPV6, _SOLICITATION, _ADVERTISEMENT = 58, 135, 136
_ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
_UNSPECIFIED = bytes(16)
_TARGET_OPTION, _SOURCE_OPTION = 2, 1
_OVERRIDE, _ROUTER = 0x20000000, 0x80000000
_ICMP6_FILTER, _SO_BINDTODEVICE, _IPV6_JOIN_GROUP = 1, 25, 20
"""linux/icmpv6.h, asm-generic/socket.h, linux/in6.h: not in every build of Python's module."""


class Heard(Record):
    """One sign of a machine that has an address, or is about to take it."""

    who: str
    """Its Ethernet address, or where that was not told the IPv6 address that it spoke from."""
    is_probe: bool = False
    """It asks, as we do, whether it may take the address."""


class ArpPort:
    """IPv4 on one link. Raises OSError where the link has gone or is down."""

    def __init__(self, host: Host, name: str, mac: bytes) -> None:
        self._host, self._mac = host, mac
        self._raw = _packet_socket(name, _ETH_ARP)

    def announce(self, address: str) -> None:
        """Tell everybody in both forms of RFC 5227, section 3: neighbours differ in which of them they heed."""
        for operation, target in ((_REQUEST, _NOBODY), (_REPLY, _BROADCAST)):
            self._raw.send(arp_frame(self._mac, operation, _ipv4(address), target, _ipv4(address)))

    def probe(self, address: str) -> None:
        """Ask who has an address without claiming it (RFC 5227, section 2.1.1: the sender's is all zero)."""
        self._raw.send(arp_frame(self._mac, _REQUEST, bytes(4), _NOBODY, _ipv4(address)))

    def ask(self, address: str, source: str) -> None:
        """Ask who has an address, as the one who has ``source``."""
        self._raw.send(arp_frame(self._mac, _REQUEST, _ipv4(source), _NOBODY, _ipv4(address)))

    def hear(self, address: str, seconds: float) -> Heard | None:
        """Return the next sign of another machine with that address, or None when the time is over."""
        until = self._host.now() + seconds
        while _wait(self._host, self._raw, until):
            heard = parse_arp(self._raw.recv(2048), _ipv4(address))
            if heard:
                return heard
        return None

    def close(self) -> None:
        """Let go of the link."""
        self._raw.close()


class NdpPort:
    """IPv6 on one link. Raises OSError where the link has gone or is down."""

    def __init__(self, host: Host, name: str, index: int, mac: bytes, *, is_router: bool = False) -> None:
        self._host, self._mac, self._index = host, mac, index
        self._flags = _OVERRIDE | (_ROUTER if is_router else 0)
        self._raw = _packet_socket(name, 0)
        try:
            self._ears = _icmp_socket(name)
        except OSError:
            self._raw.close()
            raise
        self._joined: set[str] = set()

    def announce(self, address: str) -> None:
        """Tell everybody (RFC 4861, section 7.2.6). A router says that it is one, or hosts would drop it as theirs."""
        said = icmp_message(_ADVERTISEMENT, self._flags, _ipv6(address), _TARGET_OPTION, self._mac)
        self._send(_ALL_NODES, _ipv6(address), said)

    def probe(self, address: str) -> None:
        """Ask who has an address without claiming it (RFC 4862, section 5.4.2: from the unspecified address)."""
        self._join(address)
        self._send(_solicited(address), _UNSPECIFIED, icmp_message(_SOLICITATION, 0, _ipv6(address)))

    def ask(self, address: str, source: str) -> None:
        """Ask who has an address, as the one who has ``source``."""
        question = icmp_message(_SOLICITATION, 0, _ipv6(address), _SOURCE_OPTION, self._mac)
        self._send(_solicited(address), _ipv6(source), question)

    def hear(self, address: str, seconds: float) -> Heard | None:
        """Return the next sign of another machine with that address, or None when the time is over."""
        until = self._host.now() + seconds
        while _wait(self._host, self._ears, until):
            message, sender = self._ears.recvfrom(2048)
            heard = parse_icmp(message, sender[0], _ipv6(address))
            if heard:
                return heard
        return None

    def close(self) -> None:
        """Let go of the link."""
        self._raw.close()
        self._ears.close()

    def _join(self, address: str) -> None:
        """Let the probes of others for an address through, which go to its multicast group."""
        if address not in self._joined:
            self._joined.add(address)
            group = _solicited(address) + struct.pack("=I", self._index)
            self._ears.setsockopt(_socket.IPPROTO_IPV6, _IPV6_JOIN_GROUP, group)

    def _send(self, group: bytes, source: bytes, message: bytes) -> None:
        self._raw.send(ipv6_frame(self._mac, source, group, message))


# ----------------------------------------------------------------------- frames


def arp_frame(mac: bytes, operation: int, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    """Return an ARP packet to everybody: Ethernet and IPv4, the lengths of their addresses, operation, both ends."""
    head = _BROADCAST + mac + struct.pack("!HHHBBH", _ETH_ARP, 1, 0x0800, 6, 4, operation)
    return head + mac + sender + target_mac + target


def icmp_message(kind: int, flags: int, target: bytes, option: int = 0, mac: bytes = b"") -> bytes:
    """Return a neighbour solicitation or advertisement whose checksum is still zero."""
    tail = struct.pack("!BB", option, 1) + mac if option else b""
    return struct.pack("!BBHI", kind, 0, 0, flags) + target + tail


def ipv6_frame(mac: bytes, source: bytes, group: bytes, message: bytes) -> bytes:
    """Return a multicast frame around an ICMPv6 message, with its checksum (RFC 4443, section 2.3).

    The hop limit is 255: receivers drop what could have crossed a router (RFC 4861, section 7.1).
    """
    pseudo = source + group + struct.pack("!II", len(message), _ICMPV6)
    total = sum(struct.unpack(f"!{len(pseudo + message) // 2}H", pseudo + message))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    message = message[:2] + struct.pack("!H", checksum) + message[4:]
    head = struct.pack("!IHBB", 0x60000000, len(message), _ICMPV6, 255) + source + group
    # RFC 2464, section 7: a group's Ethernet address ends in the group's last four bytes.
    return b"\x33\x33" + group[12:] + mac + struct.pack("!H", _ETH_IPV6) + head + message


def parse_arp(frame: bytes, address: bytes) -> Heard | None:
    """Return who claims an address in an ARP packet, or wants it (RFC 5227, section 2.1.1); None for all others."""
    if len(frame) < 42 or frame[12:20] != struct.pack("!HHHBB", _ETH_ARP, 1, 0x0800, 6, 4):
        return None
    mac, sender, target = frame[22:28], frame[28:32], frame[38:42]
    is_probe = sender == bytes(4) and target == address and frame[20:22] == struct.pack("!H", _REQUEST)
    return Heard(who=mac.hex(":"), is_probe=is_probe) if is_probe or sender == address else None


def parse_icmp(message: bytes, sender: str, address: bytes) -> Heard | None:
    """Return who claims an address in an ICMPv6 message, or wants it (RFC 4862, section 5.4.3); None for all others."""
    if len(message) < 24 or message[8:24] != address:
        return None
    if message[0] == _ADVERTISEMENT:
        told = message[24:26] == struct.pack("!BB", _TARGET_OPTION, 1) and len(message) >= 32
        return Heard(who=message[26:32].hex(":") if told else sender.partition("%")[0])
    if message[0] == _SOLICITATION and sender.partition("%")[0] == "::":
        return Heard(who="", is_probe=True)
    return None


# ---------------------------------------------------------------------- sockets


def _packet_socket(name: str, protocol: int) -> _socket.socket:
    raw = _socket.socket(_socket.AF_PACKET, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)
    try:
        raw.bind((name, protocol))
    except OSError:
        raw.close()
        raise
    return raw


def _icmp_socket(name: str) -> _socket.socket:
    """Return a socket that hears neighbour solicitations and advertisements on one link."""
    ears = _socket.socket(_socket.AF_INET6, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _ICMPV6)
    try:
        # RFC 3542, section 3.2: a set bit keeps a type out.
        blocked = bytearray(b"\xff" * 32)
        words = list(struct.unpack("=8I", blocked))
        for kind in (_SOLICITATION, _ADVERTISEMENT):
            words[kind >> 5] &= ~(1 << (kind & 31)) & 0xFFFFFFFF
        ears.setsockopt(_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *words))
        ears.setsockopt(_socket.SOL_SOCKET, _SO_BINDTODEVICE, name.encode() + b"\0")
    except OSError:
        ears.close()
        raise
    return ears


def _wait(host: Host, source: _socket.socket, until: float) -> bool:
    """Tell whether something comes before the time is over; after it nothing counts, however much there is."""
    import select

    left = until - host.now()
    poll = select.poll()
    poll.register(source.fileno(), select.POLLIN)
    return left > 0 and bool(poll.poll(left * 1000))


def _solicited(address: str) -> bytes:
    """Return the multicast group in which the owner of an address listens (RFC 4291, section 2.7.1)."""
    return bytes.fromhex("ff0200000000000000000001ff") + _ipv6(address)[13:]


def _ipv4(address: str) -> bytes:
    return _socket.inet_pton(_socket.AF_INET, address)


def _ipv6(address: str) -> bytes:
    return _socket.inet_pton(_socket.AF_INET6, address)
