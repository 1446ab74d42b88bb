"""What ip(8) prints, and the commands that it is given."""

from __future__ import annotations

import pytest

from kvmha.tools.ip import Address, add_argv, delete_argv, packed, parse_show, places, show_argv
from tests.fakes import FakeHost

TAIL = "\\       valid_lft forever preferred_lft forever\n"


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("4: br0    inet 10.0.0.9/24 brd 10.0.0.255 scope global br0",
         Address(link="br0", address="10.0.0.9", prefix=24)),
        (
            "4: br0    inet 10.0.0.9/24 scope global secondary br0:vip",
            Address(link="br0", address="10.0.0.9", prefix=24, flags=("secondary",)),
        ),
        (
            "3: ppp0    inet 192.0.2.1 peer 192.0.2.2/32 scope global ppp0",
            Address(link="ppp0", address="192.0.2.1", prefix=32, peer="192.0.2.2"),
        ),
        ("3: eth0.5    inet 10.5.0.1/8 metric 100 brd 10.255.255.255 scope global dynamic eth0.5",
         Address(link="eth0.5", address="10.5.0.1", prefix=8)),
        ("2: eth0    inet6 2001:db8::7/64 scope global dadfailed tentative ",
         Address(link="eth0", address="2001:db8::7", prefix=64, flags=("dadfailed", "tentative"))),
        ("2: eth0    inet6 2001:db8::8/128 scope global deprecated dynamic mngtmpaddr noprefixroute proto kernel_ra ",
         Address(link="eth0", address="2001:db8::8", prefix=128, flags=("deprecated", "noprefixroute"))),
    ],
)  # fmt: skip
def test_a_line_is_read(line, address):
    assert parse_show(line + TAIL) == (address,)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "2: eth0    link/ether 02:00:00:00:00:01", "Dump was interrupted and may be inconsistent.\n", "4: br0"],
)
def test_what_is_no_address_is_left_out(text):
    assert parse_show(text) == ()


def test_an_ipv4_address_is_added_with_its_broadcast_address_and_an_ipv6_one_without():
    assert add_argv(Address(link="br0", address="10.0.0.9", prefix=24)) == (
        "ip", "addr", "add", "10.0.0.9/24", "brd", "+", "dev", "br0",
    )  # fmt: skip
    assert add_argv(Address(link="br0", address="2001:db8::9", prefix=64)) == (
        "ip",
        "addr",
        "add",
        "2001:db8::9/64",
        "dev",
        "br0",
    )


def test_an_address_with_a_peer_is_removed_by_both_ends():
    assert delete_argv(Address(link="ppp0", address="192.0.2.1", prefix=32, peer="192.0.2.2")) == (
        "ip", "addr", "del", "192.0.2.1", "peer", "192.0.2.2/32", "dev", "ppp0",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", " ", "any", "default", "10.0.0.1/24", "10.0.0", "256.1.1.1", "::g", "fe80::1%eth0", "a\0b"]
)
def test_what_is_no_address_has_no_bytes(text):
    assert packed(text) is None


def test_spellings_of_one_address_have_the_same_bytes():
    assert packed("2001:DB8:0:0::7") == packed("2001:db8::7") != packed("2001:db8::8")


def test_only_the_very_address_is_a_place():
    host = FakeHost()
    host.commands[show_argv("10.0.0.9")] = (
        f"4: br0    inet 10.0.0.9/24 scope global br0{TAIL}5: br1    inet 10.0.0.90/24 scope global br1{TAIL}"
    )
    assert [place.link for place in places(host, "10.0.0.9")] == ["br0"]
