"""What nodes say that they have, and what guests need of it by name: from a snapshot to a verdict."""

from __future__ import annotations

import pytest

from kvmha.policy import placement, protection
from kvmha.policy.guest_needs import GuestNeeds
from kvmha.policy.placement import offers
from kvmha.policy.snapshot import GUEST, Node, Resource, Snapshot

NEEDS = {
    "networks": ("br1",), "devices": ("0000:03:00.0",), "storage": ("/srv/guests/web1.qcow2",),
    "features": ("Skylake-Server",), "huge_pages": {"2048": 1024},
}  # fmt: skip
HAS = {
    "has-networks": "br0, br1", "has-devices": "0000:03:00.0", "has-storage": "/srv/guests",
    "has-cpu": "Skylake-Server", "huge-pages": "2048:4096",
}  # fmt: skip
CODES = dict(zip(("networks", "devices", "storage", "features", "huge_pages"), offers.ATTRIBUTES))


def cluster(first: dict[str, str], second: dict[str, str], **needs) -> Snapshot:
    """Return two nodes that say so much of themselves, and a guest on the first one that needs something."""
    nodes = (
        Node(name="n1", memory_mib=8192, attributes=first), Node(name="n2", memory_mib=8192, attributes=second)
    )  # fmt: skip
    guest = Resource(
        name="web1", agent="ocf:kvmha:VirtualDomain", kind=GUEST, nodes=("n1",), memory_mib=1024,
        needs=GuestNeeds(**needs),
    )  # fmt: skip
    return Snapshot(nodes=nodes, resources=(guest,))


@pytest.mark.parametrize("need", NEEDS)
def test_a_node_that_says_it_has_it_takes_the_guest(need):
    there = cluster(HAS, HAS, **{need: NEEDS[need]})
    assert placement.why_not(placement.of_snapshot(there), "web1", "n2") == ()
    assert placement.n_plus_one(there).plan("n1").holds
    assert placement.not_looked_at(there) == ""


@pytest.mark.parametrize(
    ("need", "lacking", "said"),
    [
        ("networks", "br0", "n2: it has no network br1"),
        ("devices", "", "n2: it has no device 0000:03:00.0"),
        ("storage", "/srv/guest,/srv/guests2", "n2: it has no storage /srv/guests/web1.qcow2"),
        ("features", "Haswell", "n2: its processors lack Skylake-Server"),
        ("huge_pages", "2048:512,1048576:1024", "n2: short of 512 MiB in huge pages of 2048 KiB for web1"),
    ],
)
def test_a_node_that_says_it_has_none_is_no_place_for_it(need, lacking, said):
    there = cluster(HAS, {**HAS, offers.ATTRIBUTES[CODES[need]]: lacking}, **{need: NEEDS[need]})
    (reason,) = placement.why_not(placement.of_snapshot(there), "web1", "n2")
    assert (reason.code, reason.said) == (CODES[need], said)
    found = placement.n_plus_one(there)
    assert (found.holds, found.plan("n1").stranded[0].guest) == (False, "web1")
    assert "web1" in next(point.said for point in protection.judge(there).points if point.name == "room")


@pytest.mark.parametrize("need", ["networks", "devices", "storage", "features"])
def test_a_node_that_says_nothing_of_what_another_one_says_is_no_place_either(need):
    there = cluster(HAS, {}, **{need: NEEDS[need]})
    (reason,) = placement.why_not(placement.of_snapshot(there), "web1", "n2")
    assert "nobody knows whether it has the" in reason.said


@pytest.mark.parametrize("need", NEEDS)
def test_what_no_node_says_is_told_and_supposed_neither_way(need):
    there = cluster({}, {}, **{need: NEEDS[need]})
    assert placement.why_not(placement.of_snapshot(there), "web1", "n2") == ()
    said = placement.not_looked_at(there)
    assert said.startswith("not looked at, as no node says what it has: ")
    assert f"({offers.ATTRIBUTES[CODES[need]]}; " in said
    assert said.endswith("of web1)")
    assert said in next(point.said for point in protection.judge(there).points if point.name == "room")


def test_a_guest_that_needs_nothing_by_name_leaves_nothing_out():
    assert placement.not_looked_at(cluster({}, {})) == ""


def test_guests_whose_definitions_nobody_read_are_told_where_nodes_say_what_they_have():
    there = cluster(HAS, HAS)
    unread = there.replace(resources=tuple(each.replace(needs=None) for each in there.resources))
    assert placement.not_looked_at(unread) == (
        "no definition was read of web1, and so not what it needs of a node by name"
    )
    assert placement.not_looked_at(unread.replace(nodes=(Node(name="n1"),))) == ""


def test_memory_in_huge_pages_is_no_ordinary_memory():
    """The pool is part of what guests may use; a guest beside it has the rest."""
    pool = {"huge-pages": "2048:6144"}
    there = cluster(pool, pool, huge_pages={"2048": 1024})
    room = placement.of_snapshot(there)
    assert placement.why_not(room, "web1", "n2") == ()
    (web1,) = there.resources
    large = web1.replace(name="web2", memory_mib=3072, needs=GuestNeeds())
    found = placement.why_not(placement.of_snapshot(there.replace(resources=(web1, large))), "web2", "n2")
    assert [reason.said for reason in found] == ["n2: short of 1.2 GiB for web2"]


@pytest.mark.parametrize("text", ["", "many", "2048", "2048:", ":5", "2048:x", "\u00b2:1", f"2048:{'9' * 400}"])
def test_a_pool_that_cannot_be_read_is_none(text):
    assert offers.pools(Node(name="n1", attributes={"huge-pages": text})) == {}
