"""What the real tools printed, byte by byte, and what we must read in it. The folder's name tells tool and version."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.tools.ip import Address, parse_show
from kvmha.tools.qemu_process import HEAD, parse_cmdline, parse_status

RECORDED = Path(__file__).parent / "recorded"


@pytest.mark.parametrize(
    ("file", "state"),
    [
        ("running.xml", GuestState(state="running", reason="booted", pid=70)),
        ("paused-user.xml", GuestState(state="paused", reason="user", pid=70)),
        ("comma-in-name.xml", GuestState(state="running", reason="booted", pid=91)),
    ],
)
def test_libvirts_status_file_is_read_from_its_head(file, state):
    head = (RECORDED / "libvirt-9.0" / file).read_bytes()[:HEAD]
    assert parse_status(head.decode()) == state


@pytest.mark.parametrize(
    ("file", "identity"),
    [
        ("cmdline", GuestIdentity(name="web1", uuid="3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01")),
        ("cmdline-comma-in-name", GuestIdentity(name="a,b c++", uuid="3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a02")),
    ],
)
def test_the_qemu_that_libvirt_starts_tells_whose_it_is(file, identity):
    arguments = tuple((RECORDED / "libvirt-9.0" / file).read_text().splitlines())
    assert parse_cmdline(arguments) == identity


def test_every_address_that_ip_shows_is_read():
    text = (RECORDED / "iproute2-6.1" / "addr-show").read_text()
    assert parse_show(text) == (
        Address(link="lo", address="127.0.0.1", prefix=8),
        Address(link="lo", address="::1", prefix=128),
        Address(link="veth1", address="2001:db8::101", prefix=64, flags=("deprecated",)),
        Address(link="veth1", address="2001:db8::7", prefix=64, flags=("dadfailed", "tentative")),
        Address(link="veth1", address="2001:db8::102", prefix=64, flags=("noprefixroute",)),
        Address(link="veth1", address="fe80::6442:2cff:fe8f:9aa5", prefix=64),
        Address(link="veth0", address="192.0.2.1", prefix=32, peer="192.0.2.2"),
        Address(link="veth0", address="2001:db8::100", prefix=64, flags=("tentative",)),
        Address(link="veth0", address="2001:db8::7", prefix=64),
        Address(link="veth0", address="fe80::946a:ccff:fea6:d64c", prefix=64),
        Address(link="br0", address="10.77.0.11", prefix=24),
        Address(link="br0", address="10.77.0.100", prefix=24, flags=("secondary",)),
        Address(link="br0", address="10.77.0.101", prefix=24, flags=("secondary",)),
        Address(link="br0", address="fe80::cb0:99ff:fe06:286b", prefix=64),
    )
