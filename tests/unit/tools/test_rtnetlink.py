"""What the kernel says of addresses and links, message by message, and how it is asked."""

from __future__ import annotations

import errno
import struct

import pytest

from kvmha.policy.network import Address, Link
from kvmha.tools import rtnetlink


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def address(family, prefix, index, *attributes, flags=0x80):
    return struct.pack("=BBBBI", family, prefix, flags, 0, index) + b"".join(attributes)


def link(index, name, *attributes, flags=0x11043, hardware=1):
    head = struct.pack("=BxHiII", 0, hardware, index, flags, 0)
    return head + attribute(3, name.encode() + b"\0") + b"".join(attributes)


TEN = bytes([10, 0, 0, 9])
MAC = b"\2\0\0\0\0\1"
VETH = attribute(18, attribute(1, b"veth\0"))
ALTNAMES = attribute(53, b"a\0") + attribute(53, b"bb\0")


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        pytest.param(
            address(2, 24, 4, attribute(1, TEN), attribute(2, TEN), attribute(3, b"br0:vip\0"), flags=0x81),
            Address(index=4, address="10.0.0.9", prefix=24, label="br0:vip", flags=0x81),
            id="secondary-with-label",
        ),
        pytest.param(
            address(2, 30, 3, attribute(1, bytes([10, 0, 0, 10])), attribute(2, TEN), attribute(3, b"ppp0\0")),
            Address(index=3, address="10.0.0.9", prefix=30, peer="10.0.0.10", label="ppp0", flags=0x80),
            id="point-to-point",
        ),
        pytest.param(
            address(10, 64, 2, attribute(1, b"\x20\x01\x0d\xb8" + bytes(11) + b"\7"), attribute(8, b"\x48\2\0\0")),
            Address(index=2, address="2001:db8::7", prefix=64, flags=0x248),
            id="ipv6-with-wide-flags",
        ),
    ],
)
def test_an_address_is_read(message, wanted):
    assert rtnetlink.parse_address(message) == wanted


def test_flags_of_an_address_have_their_meaning():
    found = rtnetlink.parse_address(address(10, 64, 2, attribute(1, bytes(15) + b"\1"), flags=0x48))
    assert (found.is_tentative, found.is_duplicate, found.is_secondary) == (True, True, False)


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        pytest.param(link(2, "eth0", attribute(1, MAC)), Link(index=2, name="eth0", mac=MAC), id="card"),
        pytest.param(link(1, "lo", attribute(1, bytes(6)), hardware=772), Link(index=1, name="lo"), id="lo"),
        pytest.param(link(2, "eth0", flags=0x1003), Link(index=2, name="eth0", has_carrier=False), id="no-carrier"),
        pytest.param(
            link(2, "eth0", flags=0x1002), Link(index=2, name="eth0", is_up=False, has_carrier=False), id="down"
        ),
        pytest.param(
            link(7, "br0.5", attribute(5, b"\4\0\0\0"), attribute(18, attribute(1, b"vlan\0"))),
            Link(index=7, name="br0.5", kind="vlan", below=4),
            id="vlan",
        ),
        pytest.param(
            link(8, "eth1", attribute(5, b"\4\0\0\0"), attribute(37, b"\0\0\0\0"), VETH),
            Link(index=8, name="eth1", kind="veth"),
            id="the-other-end-is-in-another-namespace",
        ),
        pytest.param(
            link(9, "eth2", attribute(10, b"\4\0\0\0"), attribute(0x8000 | 52, ALTNAMES)),
            Link(index=9, name="eth2", master=4, altnames=("a", "bb")),
            id="member-with-altnames",
        ),
    ],
)  # fmt: skip
def test_a_link_is_read(message, wanted):
    assert rtnetlink.parse_link(message) == wanted


@pytest.mark.parametrize("data", [b"", b"\1", b"\0\0\0\0", b"\3\0\1\0rest"])
def test_attributes_that_are_none_end_the_search(data):
    assert list(rtnetlink.attributes(data)) == []


@pytest.mark.parametrize(
    "text", ["", " ", "any", "default", "10.0.0.1/24", "10.0.0", "256.1.1.1", "::g", "fe80::1%eth0", "a\0b"]
)
def test_what_is_no_address_has_no_bytes_and_no_place(text):
    assert rtnetlink.packed(text) is None
    assert rtnetlink.places(text) == ()


def test_spellings_of_one_address_have_the_same_bytes():
    assert rtnetlink.packed("2001:DB8:0:0::7") == rtnetlink.packed("2001:db8::7") != rtnetlink.packed("2001:db8::8")


@pytest.fixture
def kernel(monkeypatch):
    """Answer questions with scripted lists of (kind, flags, message)."""
    answers = []
    monkeypatch.setattr(rtnetlink, "_ask", lambda question, flags, body: iter(answers.pop(0)))
    return answers


def test_only_the_very_address_is_a_place(kernel):
    lookalike = address(2, 24, 5, attribute(1, bytes([10, 0, 0, 90])), attribute(2, bytes([10, 0, 0, 90])))
    # Its broadcast address has the bytes that are looked for.
    broadcast = address(2, 24, 6, attribute(1, bytes([10, 0, 0, 1])), attribute(4, TEN))
    kernel.append(
        [(20, 2, m) for m in (lookalike, broadcast, address(2, 24, 4, attribute(1, TEN)))] + [(3, 2, bytes(4))]
    )
    assert [place.index for place in rtnetlink.places("10.0.0.9")] == [4]


def test_a_table_that_changed_under_the_look_is_read_again(kernel):
    message = address(2, 24, 4, attribute(1, TEN))
    kernel += [[(20, 0x12, message), (3, 2, bytes(4))], [(20, 2, message), (20, 2, message), (3, 0x12, bytes(4))]]
    kernel += [[(20, 2, message), (3, 2, bytes(4))]]
    assert len(rtnetlink.places("10.0.0.9")) == 1


def test_a_table_that_never_stands_still_is_an_error(kernel):
    kernel += [[(20, 0x12, address(2, 24, 4, attribute(1, TEN))), (3, 2, bytes(4))]] * rtnetlink.TRIES
    with pytest.raises(OSError, match="changed during each"):
        rtnetlink.places("10.0.0.9")


def test_a_link_that_is_not_there_is_none_and_every_other_refusal_an_error(monkeypatch):
    def refuse(number):
        def asked(question, flags, body):
            raise OSError(number, "x")
            yield

        return asked

    monkeypatch.setattr(rtnetlink, "_ask", refuse(errno.ENODEV))
    assert rtnetlink.link(99) is None
    assert rtnetlink.link_named("no-such-link-with-a-long-name") is None
    monkeypatch.setattr(rtnetlink, "_ask", refuse(errno.ENOBUFS))
    with pytest.raises(OSError, match="x"):
        rtnetlink.link(99)


def test_the_real_kernel_knows_lo():
    lo = rtnetlink.link_named("lo")
    assert lo is not None
    assert rtnetlink.link(lo.index) == lo
    assert lo in rtnetlink.links()
    assert rtnetlink.name_of(lo.index) == "lo"
    assert rtnetlink.link_named("no-such-link") is None
    assert rtnetlink.name_of(999_999) == "link 999999"
