"""Which links lead out of a node."""

from __future__ import annotations

import pytest

from kvmha.policy.network import Link, dead_members, why_cut


def links(*rows):
    """Make links of (index, name, kind, carrier) with what they belong to or lie on."""
    return tuple(
        Link(index=index, name=name, kind=kind, has_carrier=carrier, **more)
        for index, name, kind, carrier, more in rows
    )


def test_a_card_leads_out_by_its_own_carrier():
    assert why_cut(Link(index=1, name="eth0"), ()) is None
    assert why_cut(Link(index=1, name="eth0", has_carrier=False), ()) == "eth0 has no carrier"
    assert why_cut(Link(index=1, name="eth0", is_up=False), ()) == "eth0 is set down"


BOND = links(
    (1, "eth0", "", True, {"master": 3}),
    (2, "eth1", "", True, {"master": 3}),
    (3, "bond0", "bond", True, {}),
    (4, "bond0.5", "vlan", True, {"below": 3}),
    (5, "br0", "bridge", True, {}),
)


def cut(rows, *names):
    return tuple(row.replace(has_carrier=False) if row.name in names else row for row in rows)


@pytest.mark.parametrize("top", [2, 3], ids=["bond", "vlan-on-bond"])
def test_a_bond_lives_by_one_of_its_members(top):
    assert why_cut(BOND[top], BOND) is None
    assert dead_members(BOND[top], BOND) == ()
    one = cut(BOND, "eth1")
    assert why_cut(one[top], one) is None
    assert dead_members(one[top], one) == ("eth1 has no carrier in bond0",)
    # Without miimon or arp_interval a bond shows a carrier whatever its members have.
    none = cut(BOND, "eth0", "eth1")
    assert "nothing leads out of bond0: eth0 has no carrier and 1 more" in why_cut(none[top], none)


def test_what_lies_on_a_cut_link_is_cut_whatever_it_says_itself():
    rows = cut(BOND, "bond0")
    assert why_cut(rows[3], rows) == "bond0.5 lies on bond0, and bond0 has no carrier"


@pytest.mark.parametrize(
    ("uplink", "guests", "said"),
    [
        (True, True, None),
        (True, False, None),
        (False, True, "nothing leads out of br0: eth0 has no carrier"),
    ],
)
@pytest.mark.parametrize("kind", ["", "bond", "vlan", "veth"])
def test_a_bridge_leads_out_by_its_uplink_and_not_by_its_guests(kind, uplink, guests, said):
    rows = links(
        (1, "eth0", kind, uplink, {"master": 9}),
        (2, "vnet0", "tun", guests, {"master": 9}),
        (3, "dummy0", "dummy", True, {"master": 9}),
        (9, "br0", "bridge", True, {}),
    )
    assert why_cut(rows[-1], rows) == said
    assert dead_members(rows[-1], rows) == ()


def test_a_bridge_of_guests_only_leads_to_them():
    rows = links((2, "vnet0", "tun", True, {"master": 9}), (9, "br0", "bridge", True, {}))
    assert why_cut(rows[-1], rows) is None
    assert why_cut(rows[-1], ()) is None


def test_the_bond_below_a_bridge_is_looked_into():
    rows = tuple(row.replace(master=5) if row.name == "bond0" else row for row in cut(BOND, "eth0"))
    assert why_cut(rows[4], rows) is None
    assert dead_members(rows[4], rows) == ("eth0 has no carrier in bond0",)
    rows = cut(rows, "eth1")
    assert why_cut(rows[4], rows).startswith(
        "nothing leads out of br0: nothing leads out of bond0: eth0 has no carrier"
    )


def test_links_that_lie_on_each_other_end_the_search():
    rows = links((1, "a", "vlan", True, {"below": 2}), (2, "b", "vlan", True, {"below": 1}))
    assert why_cut(rows[0], rows) is None
    assert dead_members(rows[0], rows) == ()
