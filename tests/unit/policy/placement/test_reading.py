"""From a snapshot to hosts and guests."""

from __future__ import annotations

import pytest

from kvmha.policy import placement
from kvmha.policy.snapshot import GUEST, INFINITY, Node, Pairing, Preference, Replica, Resource, Snapshot


def guest(name: str, node: str = "n1", **more) -> Resource:
    values = {"name": name, "agent": "ocf:kvmha:VirtualDomain", "kind": GUEST, "nodes": (node,) if node else (), **more}
    return Resource(**values)


def snapshot(*guests: Resource, **more) -> Snapshot:
    nodes = (Node(name="n1", memory_mib=8192), Node(name="n2", memory_mib=8192))
    return Snapshot(**{"nodes": nodes, "resources": guests, **more})


def test_a_snapshot_gives_hosts_and_guests():
    there = snapshot(
        guest("web1", memory_mib=1024, cpus=2, disks=("r1",), priority=5, utilization={"hv_memory": 1024}),
        guest("web2", "", memory_mib=512),
        guest("old", "", target_role="Stopped"),
        preferences=(
            Preference(id="a", resource="web1", node="n1", score=100),
            Preference(id="b", resource="web1", node="n2", score=-INFINITY),
        ),
        pairings=(
            Pairing(id="c", resource="web1", with_resource="web2", score=-INFINITY),
            Pairing(id="d", resource="web2", with_resource="web1", score=-100),
        ),
        replicas=(Replica(disk="r1", resource="drbd-r1", node="n1", score=10000),),
        properties={"placement-strategy": "balanced"},
    )
    cluster = placement.of_snapshot(there)
    web1, web2 = cluster.guests
    assert (web1.node, web1.priority, web1.cpus, web1.apart) == ("n1", 5, 2, ("web2",))
    assert web1.scores == {"n1": 100, "n2": -INFINITY}
    assert web1.replicas == {"n1": "UpToDate"}
    assert (web2.node, web2.apart) == ("", ())
    assert cluster.utilization == ("hv_memory",)


def test_what_pacemaker_does_not_count_is_not_counted():
    assert placement.of_snapshot(snapshot(guest("web1", utilization={"cpu": 1}))).utilization == ()


def test_a_node_in_standby_takes_nobody_and_says_why():
    there = snapshot(guest("web1", memory_mib=64), nodes=(Node(name="n1"), Node(name="n2", is_standby=True)))
    reasons = placement.why_not(placement.of_snapshot(there), "web1", "n2")
    assert reasons[0].said == "n2: is in standby"


@pytest.mark.parametrize(("score", "holds"), [(10000, True), (1000, True), (10, False), (None, False)])
def test_a_side_that_lives_on_its_peers_disk_is_no_place_after_the_peers_loss(score, holds):
    """A replica without a disk of its own, or one that is still synchronised, has a small score."""
    there = snapshot(
        guest("web1", memory_mib=1024, disks=("r1",)),
        replicas=(
            Replica(disk="r1", resource="drbd-r1", node="n1", score=10000),
            Replica(disk="r1", resource="drbd-r1", node="n2", score=score),
        ),
    )
    found = placement.n_plus_one(there)
    assert found.holds is holds
    said = [reason.said for stranded in found.plans[0].stranded for reason in stranded.reasons]
    assert holds or "n2: its replica of web1's disk is " in said[0]


def test_more_than_a_node_has_is_a_shortage():
    there = snapshot(guest("web1", memory_mib=4096), guest("web2", memory_mib=4096))
    shortage = placement.shortages(there)[0]
    assert (shortage.node, shortage.have_mib, shortage.guests) == ("n1", 8192, ("web1", "web2"))
    # Each guest's QEMU takes 160 MiB and a part in 128 of the guest's memory beside it.
    assert shortage.need_mib == 2 * (4096 + 160 + 32)
    assert shortage.said == "n1: short of 384 MiB of memory for web1, web2"


def test_nothing_known_of_a_node_is_no_shortage_and_no_protection():
    there = snapshot(guest("web1", memory_mib=4096), nodes=(Node(name="n1"), Node(name="n2")))
    assert placement.shortages(there) == ()
    assert placement.n_plus_one(there).holds is None
