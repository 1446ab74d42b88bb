"""What is said to neighbours and understood from them, byte by byte as the RFCs draw it."""

from __future__ import annotations

import pytest

from kvmha.tools import neighbour
from kvmha.tools.neighbour import Heard

MAC, OTHER = bytes.fromhex("0200000000aa"), bytes.fromhex("0200000000bb")
VIP, NOBODY = bytes([10, 77, 0, 100]), bytes(4)
VIP6 = bytes.fromhex("20010db8000000000000000000000100")


def test_an_ipv4_address_is_announced_as_a_request_and_as_a_reply():
    assert neighbour.arp_frame(MAC, 1, VIP, bytes(6), VIP).hex(" ") == (
        "ff ff ff ff ff ff 02 00 00 00 00 aa 08 06 "  # Ethernet: to all, from us, ARP
        "00 01 08 00 06 04 00 01 "  # Ethernet and IPv4, request
        "02 00 00 00 00 aa 0a 4d 00 64 "  # sender
        "00 00 00 00 00 00 0a 4d 00 64"  # target: the same address
    )
    assert neighbour.arp_frame(MAC, 2, VIP, b"\xff" * 6, VIP).hex(" ") == (
        "ff ff ff ff ff ff 02 00 00 00 00 aa 08 06 "
        "00 01 08 00 06 04 00 02 "
        "02 00 00 00 00 aa 0a 4d 00 64 "
        "ff ff ff ff ff ff 0a 4d 00 64"
    )


@pytest.mark.parametrize(
    ("frame", "heard"),
    [
        pytest.param(neighbour.arp_frame(OTHER, 2, VIP, MAC, NOBODY), Heard(who="02:00:00:00:00:bb"), id="reply"),
        pytest.param(neighbour.arp_frame(OTHER, 1, VIP, bytes(6), VIP), Heard(who="02:00:00:00:00:bb"), id="claim"),
        pytest.param(
            neighbour.arp_frame(OTHER, 1, NOBODY, bytes(6), VIP),
            Heard(who="02:00:00:00:00:bb", is_probe=True),
            id="probe",
        ),
        pytest.param(neighbour.arp_frame(OTHER, 1, bytes([10, 77, 0, 5]), bytes(6), VIP), None, id="a-client-asks"),
        pytest.param(neighbour.arp_frame(OTHER, 2, bytes([10, 77, 0, 5]), MAC, VIP), None, id="another-replies"),
        pytest.param(neighbour.arp_frame(OTHER, 2, VIP, MAC, NOBODY)[:41], None, id="cut-off"),
        pytest.param(b"\0" * 60, None, id="nothing"),
    ],
)
def test_arp_is_understood(frame, heard):
    assert neighbour.parse_arp(frame, VIP) == heard


def test_an_ipv6_address_is_announced_with_the_override_flag_and_our_link_address():
    message = neighbour.icmp_message(136, 0x20000000, VIP6, 2, MAC)
    frame = neighbour.ipv6_frame(MAC, VIP6, bytes.fromhex("ff020000000000000000000000000001"), message)
    assert frame.hex(" ") == (
        "33 33 00 00 00 01 02 00 00 00 00 aa 86 dd "  # Ethernet: to all nodes, from us, IPv6
        "60 00 00 00 00 20 3a ff "  # 32 bytes of ICMPv6, hop limit 255
        "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 01 00 "  # from the address
        "ff 02 00 00 00 00 00 00 00 00 00 00 00 00 00 01 "
        "88 00 f6 83 20 00 00 00 "  # neighbour advertisement, checksum, override
        "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 01 00 "  # target
        "02 01 02 00 00 00 00 aa"  # target link-layer address
    )
    pseudo = frame[22:54] + (32).to_bytes(4, "big") + (58).to_bytes(4, "big") + frame[54:]
    assert sum(int.from_bytes(pseudo[i : i + 2], "big") for i in range(0, len(pseudo), 2)) % 0xFFFF == 0


ADVERT = neighbour.icmp_message(136, 0x20000000, VIP6, 2, OTHER)


@pytest.mark.parametrize(
    ("message", "sender", "heard"),
    [
        pytest.param(ADVERT, "2001:db8::100", Heard(who="02:00:00:00:00:bb"), id="advertisement"),
        pytest.param(ADVERT[:24], "fe80::1%eth0", Heard(who="fe80::1"), id="advertisement-without-option"),
        pytest.param(neighbour.icmp_message(135, 0, VIP6), "::", Heard(who="", is_probe=True), id="probe"),
        pytest.param(neighbour.icmp_message(135, 0, VIP6, 1, OTHER), "2001:db8::5", None, id="a-client-asks"),
        pytest.param(neighbour.icmp_message(136, 0, VIP6[:15] + b"\1", 2, OTHER), "fe80::1", None, id="of-another"),
        pytest.param(ADVERT[:20], "::", None, id="cut-off"),
    ],
)
def test_neighbour_discovery_is_understood(message, sender, heard):
    assert neighbour.parse_icmp(message, sender, VIP6) == heard
