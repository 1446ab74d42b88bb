"""Announcements, byte by byte as the RFCs draw them, and who is told."""

from __future__ import annotations

import pytest

from kvmha.tools import neighbour
from tests.fakes import FakeHost

MAC = bytes.fromhex("0200000000aa")


def test_an_ipv4_address_is_announced_as_a_request_and_as_a_reply():
    request, reply = neighbour.arp_frames(MAC, "10.77.0.100")
    assert request.hex(" ") == (
        "ff ff ff ff ff ff 02 00 00 00 00 aa 08 06 "  # Ethernet: to all, from us, ARP
        "00 01 08 00 06 04 00 01 "  # Ethernet and IPv4, request
        "02 00 00 00 00 aa 0a 4d 00 64 "  # sender
        "00 00 00 00 00 00 0a 4d 00 64"  # target: the same address
    )
    assert reply.hex(" ") == (
        "ff ff ff ff ff ff 02 00 00 00 00 aa 08 06 "
        "00 01 08 00 06 04 00 02 "
        "02 00 00 00 00 aa 0a 4d 00 64 "
        "ff ff ff ff ff ff 0a 4d 00 64"
    )


def test_an_ipv6_address_is_announced_with_the_override_flag_and_our_link_address():
    assert neighbour.advertisement(MAC, "2001:db8::100").hex(" ") == (
        "88 00 00 00 20 00 00 00 "  # neighbour advertisement, checksum left to the kernel, override
        "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 01 00 "  # target
        "02 01 02 00 00 00 00 aa"  # target link-layer address
    )


@pytest.fixture
def sent(monkeypatch):
    found = []
    monkeypatch.setattr(neighbour, "_send_frames", lambda link, frames: found.append((link, frames)))
    monkeypatch.setattr(neighbour, "_send_advertisement", lambda link, address, message: found.append((link, message)))
    return found


def test_an_address_is_announced_as_often_as_wished_with_pauses_between(sent, monkeypatch):
    monkeypatch.setattr(neighbour, "link_address", lambda link: MAC)
    host = FakeHost()
    neighbour.announce(host, "br0", "10.77.0.100", count=3, interval=0.5)
    neighbour.announce(host, "br0", "2001:db8::100", count=1, interval=0.5)
    neighbour.announce(host, "br0", "10.77.0.100", count=0, interval=0.5)
    assert sent == [("br0", neighbour.arp_frames(MAC, "10.77.0.100"))] * 3 + [
        ("br0", neighbour.advertisement(MAC, "2001:db8::100"))
    ]
    assert host.clock == 1001.0


def test_a_link_without_ethernet_neighbours_is_left_alone(sent, monkeypatch):
    monkeypatch.setattr(neighbour, "link_address", lambda link: None)
    host = FakeHost()
    neighbour.announce(host, "lo", "10.77.0.100", count=3, interval=0.5)
    assert sent == []
    assert host.clock == 1000.0
