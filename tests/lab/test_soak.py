"""Half an hour of stress on all nodes at a time: the templates' times take nobody for dead who is only busy."""

from __future__ import annotations

import os
import re

import pytest

from kvmha.lab.lab import Lab

MINUTES = float(os.environ.get("KVMHA_SOAK_MINUTES", "30"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(MINUTES * 60 + 900)]

# Processors, memory, disk and system calls, each more than a node has; the nodes share the machine's processors, so
# that every node is stressed by the others as well.
STRESS = (
    "stress-ng", "--cpu", "4", "--vm", "2", "--vm-bytes", "128m", "--hdd", "2", "--hdd-bytes", "64m", "--fork", "2",
    "--temp-path", "/var/tmp", "--timeout",
)  # fmt: skip

# As many datagrams as it can send to the address of another node on the link that carries corosync.
FLOOD = """
import socket, sys, time
mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    try:
        mouth.sendto(bytes(1400), (sys.argv[1], 9))
    except OSError:
        time.sleep(0.01)
"""


def fencings(cluster):
    """Return how often each node was fenced, as the cluster remembers."""
    done = cluster.run(cluster.nodes[0], "stonith_admin", "--history", "*", "--output-as=xml", ok=None)
    return re.findall(r'<fence_event [^>]*target="([^"]*)"', done.out)


def boots(cluster):
    """Return the boot of every guest, as soon as all of them answer."""
    return cluster.wait(
        "every guest answers",
        lambda: all(found := [cluster.boot_id(guest) for guest in cluster.guests]) and found,
    )


def lost_tokens(cluster, since):
    """Return what corosync said of tokens that did not come, by node."""
    found = {}
    for node in cluster.nodes:
        said = cluster.run(
            node, "journalctl", "--since", f"@{since:.0f}", "--identifier=corosync", "--no-pager", "--output=cat"
        ).out
        found[node] = [line for line in said.splitlines() if "processor failed" in line or "membership" in line]
    return found


def test_stress_on_all_nodes_fences_nobody_and_loses_no_token(cluster):
    seconds = MINUTES * 60
    lab: Lab = cluster.lab
    before = {
        "fencings": fencings(cluster),
        "boots": boots(cluster),
        "places": cluster.places(),
    }
    since = cluster.host.wall_clock()
    try:
        for node, other in zip(lab.plan.nodes, (*lab.plan.nodes[1:], lab.plan.nodes[0])):
            flood = ("/usr/bin/python3", "-c", FLOOD, other.addresses[0], str(seconds))
            for unit, argv in (("soak-stress", (*STRESS, f"{seconds:.0f}s")), ("soak-flood", flood)):
                cluster.run(node.name, "systemd-run", "--collect", f"--unit={unit}", *argv)
        until = cluster.host.now() + seconds
        while cluster.host.now() < until:
            cluster.host.sleep(min(10.0, max(until - cluster.host.now(), 0.0)))
            assert fencings(cluster) == before["fencings"], "somebody was fenced"
    finally:
        for node in cluster.nodes:
            cluster.run(node, "systemctl", "stop", "soak-stress", "soak-flood", ok=None)
    assert lost_tokens(cluster, since) == {node: [] for node in cluster.nodes}
    cluster.wait("the cluster is well", cluster.is_well)
    assert cluster.places() == before["places"]
    assert boots(cluster) == before["boots"]
