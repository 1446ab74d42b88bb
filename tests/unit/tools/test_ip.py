"""The commands that ip(8) is given."""

from __future__ import annotations

import pytest

from kvmha.policy.network import Address
from kvmha.tools import conntrack, ip
from kvmha.tools.ip import Wanted


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(link="br0", address="10.0.0.9", prefix=24), "ip addr add 10.0.0.9/24 brd + dev br0"),
        (Wanted(link="br0", address="2001:db8::9", prefix=64), "ip addr add 2001:db8::9/64 dev br0"),
        (
            Wanted(link="br0", address="2001:db8::9", prefix=64, is_unchecked=True, preferred_lft="0"),
            "ip addr add 2001:db8::9/64 nodad preferred_lft 0 dev br0",
        ),
        (
            Wanted(
                link="br0", address="10.0.0.9", prefix=24, broadcast="-", label="br0:v", metric=5,
                has_prefix_route=False, is_unchecked=True,
            ),
            "ip addr add 10.0.0.9/24 label br0:v metric 5 noprefixroute dev br0",
        ),
    ],
)  # fmt: skip
def test_an_address_is_added_in_its_shape(wanted, words):
    assert ip.add_argv(wanted) == tuple(words.split())


def test_an_address_with_a_peer_is_removed_by_both_ends():
    place = Address(index=3, address="192.0.2.1", prefix=32, peer="192.0.2.2")
    words = "ip addr del 192.0.2.1 peer 192.0.2.2/32 dev ppp0"
    assert " ".join(ip.delete_argv(place, "ppp0")) == words


def test_the_family_is_that_of_the_address():
    assert ip.flush_cache_argv("2001:db8::9") == ("ip", "-6", "route", "flush", "cache")
    assert ip.flush_cache_argv("10.0.0.9") == ("ip", "-4", "route", "flush", "cache")
    assert conntrack.delete_argv("2001:db8::9") == ("conntrack", "-D", "-f", "ipv6", "-d", "2001:db8::9")


@pytest.mark.parametrize(
    ("rc", "said", "reason"),
    [
        (0, "conntrack v1.4.7 (conntrack-tools): 3 flow entries have been deleted.\n", None),
        (1, "conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.\n", None),
        (1, "conntrack v1.4.7: Operation failed: sorry\n", "conntrack v1.4.7: Operation failed: sorry"),
        (1, "", "exited with 1"),
    ],
)
def test_no_connection_to_forget_is_no_failure(rc, said, reason):
    assert conntrack.why_failed(rc, said) == reason
