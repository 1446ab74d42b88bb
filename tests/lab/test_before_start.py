"""Starts that are refused, or go on, for what other nodes and this one really have."""

from __future__ import annotations

import re

import pytest

from kvmha.lab.census import Census

GUEST, HOME, ELSEWHERE = "web3", "n3", "n1"


def call(cluster, action, node=HOME, *, instance=GUEST, config=f"/etc/kvmha/guests/{GUEST}.xml", **rest):
    meta = (("timeout", 30000), ("on_node", node))
    return cluster.agent(
        node, "VirtualDomain", action, instance=instance, config=config, meta=meta, migration_transport="tcp", **rest
    )


def test_a_guest_that_was_moved_behind_the_clusters_back_is_taken_over_and_never_started_twice(cluster):
    before = cluster.wait("the guest answers", lambda: cluster.boot_id(GUEST))
    with Census(cluster.host, {node.name: f"/run/netns/{node.netns}" for node in cluster.plan.nodes}) as census:
        cluster.run(HOME, "virsh", "migrate", "--live", "--p2p", GUEST, f"qemu+tcp://{ELSEWHERE}/system", timeout=120)
        cluster.wait("the cluster has found it", lambda: cluster.places().get(GUEST) == (ELSEWHERE,))
    try:
        assert census.twice == []
        assert cluster.boot_id(GUEST) == before
        said = cluster.run(HOME, "journalctl", "--boot", "--output=cat", "--identifier=pacemaker-controld").out
        assert f"{GUEST} runs on {ELSEWHERE} already, says its libvirt" in said
    finally:
        cluster.restore()


@pytest.fixture
def unmanaged(cluster):
    cluster.look_away(GUEST, HOME)
    yield cluster
    call(cluster, "start")
    cluster.look_again(GUEST, HOME)


def test_a_peer_whose_libvirt_is_stuck_delays_a_start_and_does_not_prevent_it(unmanaged):
    assert call(unmanaged, "stop").rc == 0
    stuck = unmanaged.run(ELSEWHERE, "pidof", "libvirtd").out.strip()
    unmanaged.run(ELSEWHERE, "kill", "-STOP", stuck)
    try:
        done = call(unmanaged, "start")
    finally:
        unmanaged.run(ELSEWHERE, "kill", "-CONT", stuck)
    assert done.rc == 0, done.err
    said = unmanaged.run(HOME, "journalctl", "--boot", "--output=cat", f"--identifier=VirtualDomain({GUEST})").out
    assert f"because the libvirt of {ELSEWHERE} at qemu+tcp://{ELSEWHERE}/system did not answer" in said


def test_a_start_without_its_disks_and_memory_is_refused_with_all_that_it_lacks(cluster):
    guest = cluster.plan.guest(GUEST)
    disk = "<disk type='{}'><source {}='{}'/><target dev='{}' bus='virtio'/></disk>"
    disks = disk.format("file", "file", "/srv/nowhere/a.img", "vdx") + disk.format("block", "dev", "/etc/passwd", "vdy")
    text = cluster.run(HOME, "cat", f"/etc/kvmha/guests/{GUEST}.xml").out
    text = text.replace(guest.uuid, "00000000-0000-4000-8000-000000000001").replace("</devices>", f"{disks}</devices>")
    text = re.sub(r"<name>.*?</name>", "<name>big</name>", text)
    text = re.sub(r"<memory .*?</memory>", "<memory unit='GiB'>4000</memory>", text)
    cluster.run(HOME, "sh", "-c", "cat > /run/big.xml", given=text)
    done = call(cluster, "start", instance="big", config="/run/big.xml")
    cluster.run(HOME, "rm", "/run/big.xml")
    assert done.rc == 1
    reasons = done.err.strip().partition("ocf-exit-reason:")[2].split("; ")
    assert reasons[:2] == [
        "disk /srv/nowhere/a.img: there is no folder /srv/nowhere",
        "disk /etc/passwd is a file, and the definition says block device",
    ]
    assert reasons[2].startswith("big needs 4104096 MiB and n3 has ")
