"""What the cluster does when a node dies, is cut off, or loses one of its links."""

from __future__ import annotations

import pytest

from kvmha.lab.census import Census
from kvmha.lab.demo import Demo


def test_everything_comes_back_after_a_power_cut_and_no_guest_ever_runs_twice(cluster):
    shown = []
    demo = Demo(cluster.host, cluster.lab, lambda _text: None, lambda moment, _cut: shown.append(moment.phase))
    outcome = demo.run()
    assert outcome.ran_twice == ()
    assert outcome.all_back, outcome
    assert outcome.move.is_same_boot
    assert set(shown) == {
        "power cut", "lost", "fencing asked", "fencing confirmed", "start asked", "QEMU running", "answers"
    }  # fmt: skip
    order = [moment.phase for moment in outcome.moments if moment.subject in (outcome.victim, "web1")]
    assert order == [
        "power cut",
        "lost",
        "fencing asked",
        "fencing confirmed",
        "start asked",
        "QEMU running",
        "answers",
    ]


@pytest.fixture
def unmanaged(cluster):
    """The cluster with web3 in maintenance, so that it does not mend what the test does to it."""
    cluster.look_away("web3", "n3")
    yield cluster
    cluster.run("n1", "virsh", "destroy", "web3", ok=None)
    cluster.look_again("web3", "n3")


def test_the_census_sees_a_guest_that_runs_twice(unmanaged):
    census = Census(unmanaged.host, {node.name: f"/run/netns/{node.netns}" for node in unmanaged.plan.nodes})
    with census:
        unmanaged.run("n1", "virsh", "create", "/etc/kvmha/guests/web3.xml")
        unmanaged.wait("the census has seen it", lambda: census.twice, limit=60)
    assert sorted((copy.name, copy.node) for copy in census.twice[0].copies) == [("web3", "n1"), ("web3", "n3")]


def test_the_fenced_node_comes_back_and_joins(cluster):
    cluster.lab.power("n3", "off")
    cluster.wait("n3 is lost", lambda: not node_is_online(cluster, "n3"))
    cluster.wait("n3 was fenced, has booted and joined", lambda: node_is_online(cluster, "n3"))
    cluster.wait("the cluster is well", cluster.is_well)


def test_one_cut_link_moves_nothing(cluster):
    before = cluster.places()
    cluster.lab.cut("n2", 1)
    try:
        cluster.wait("corosync sees the link down", lambda: link_is_down(cluster, "n1", "n2", 1), limit=60)
        cluster.host.sleep(5)
        assert cluster.places() == before
        assert cluster.is_well()
    finally:
        cluster.lab.heal("n2")


def test_a_node_that_is_cut_off_is_fenced_and_its_guest_runs_elsewhere(cluster):
    leader = cluster.lab.leader("n3")
    cluster.lab.cut("n3")
    cluster.wait("web3 runs elsewhere", lambda: cluster.places("n1").get("web3") not in ((), None, ("n3",)))
    assert cluster.lab.leader("n3") != leader, "web3 was started before n3 was fenced"


def test_every_node_can_ask_every_other_nodes_power(cluster):
    for asker in cluster.nodes:
        for node in cluster.plan.nodes:
            if node.name != asker:
                done = cluster.run(
                    asker, "fence_ipmilan", "--ip", node.bmc, "--username", "kvmha", "--password", "kvmha",
                    "--lanplus", "--cipher=3", "--action=status", ok=None,
                )  # fmt: skip
                assert (done.rc, "ON" in done.out) == (0, True), done.err


def node_is_online(cluster, name):
    status = cluster.status("n1")
    return status is not None and status.node(name).is_online


def link_is_down(cluster, here, there, link):
    text = cluster.run(here, "corosync-cfgtool", "-n", ok=None).out
    section = text.partition(f"nodeid: {there[1:]}")[2].partition("nodeid:")[0]
    return any(
        f"LINK: {link} " in line and "connected" not in line.replace("disconnected", "")
        for line in section.splitlines()
    )
