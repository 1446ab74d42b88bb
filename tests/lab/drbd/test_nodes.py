"""What happens to whole nodes: a kernel that crashes, a split, fencing that is away, and one reboot after another.

All of it needs nodes with kernels of their own; sbd and its watchdog only virtual machines have.
"""

from __future__ import annotations

import pytest

from kvmha.lab import bmc

pytestmark = pytest.mark.slow

CRASH = "(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &"
"""What makes a kernel panic, a second after the command that asked for it has ended."""


@pytest.fixture
def boots(pair):
    """What tells which nodes have booted anew since the test began."""
    return Boots(pair)


class Boots:
    """The boots of all nodes, each with an id that its kernel made up."""

    def __init__(self, pair):
        self.pair = pair
        self.before = {node: self.now(node) for node in pair.nodes}

    def now(self, node):
        """Return the id of a node's boot; nothing while it does not answer."""
        return self.pair.ask(node, "cat", "/proc/sys/kernel/random/boot_id").strip()

    def anew(self):
        """Return the nodes that answer, and have booted since."""
        return {node for node in self.pair.nodes if self.now(node) not in ("", self.before[node])}


def test_a_kernel_that_crashes_is_fenced_and_its_disk_goes_on_elsewhere(pair, boots):
    here, there = pair.sides()
    pair.run(here, "sh", "-c", CRASH)
    pair.wait(f"{there} has taken over", lambda: pair.replica(there).role == "Primary")
    pair.wait(f"{here} boots anew", lambda: boots.anew() == {here})
    pair.back(here)
    pair.wait("the pair is well again", pair.is_well)
    assert pair.primaries() == (there,)
    assert boots.anew() == {here}


def test_of_two_nodes_that_lose_each_other_one_survives(pair, boots):
    _, there = pair.sides()
    pair.lab.cut(there)
    fenced = pair.wait("one of them is fenced", boots.anew)
    pair.lab.heal(there)
    pair.back(*fenced)
    pair.wait("the pair is well again", pair.is_well)
    assert len(boots.anew()) == 1


def test_with_no_way_to_fence_but_the_shared_disk_the_lost_node_resets_itself_first(pair, boots):
    if not pair.plan.sbd:
        pytest.skip("these nodes have neither a watchdog nor a disk for sbd")
    _, there = pair.sides()
    for node in pair.plan.nodes:
        bmc.stop(pair.host, pair.plan, node)
    try:
        pair.lab.cut(there)

        def one_is_reset():
            # Whoever takes over does so after the other has lost its memory, and with it the right to write.
            assert len(pair.primaries()) <= 1
            return boots.anew()

        fenced = pair.wait("one of them has reset itself", one_is_reset)
        (survivor,) = set(pair.nodes) - fenced
        pair.wait(f"{survivor} has the disk", lambda: pair.primaries() == (survivor,))
    finally:
        for node in pair.plan.nodes:
            bmc.start(pair.host, pair.plan, node)
        pair.lab.heal(there)
    pair.back(*fenced)
    pair.wait("the pair is well again", pair.is_well)
    assert boots.anew() == fenced


def test_one_node_after_the_other_is_rebooted_and_none_is_fenced(pair, boots):
    switched = {node.name: len(switchings(pair, node)) for node in pair.plan.nodes}
    for node in pair.nodes:
        other = next(name for name in pair.nodes if name != node)
        pair.run(node, "systemctl", "--no-block", "reboot")
        pair.wait(f"{other} has the disk", lambda here=other: pair.replica(here).role == "Primary")
        pair.wait(f"{node} boots anew", lambda name=node: name in boots.anew())
        pair.back(node)
        pair.wait("the pair is well again", pair.is_well)
    assert boots.anew() == set(pair.nodes)
    assert {node.name: len(switchings(pair, node)) for node in pair.plan.nodes} == switched


def switchings(pair, node):
    """Return what the management controller of a node has switched."""
    path = f"{node.folder}/bmc/chassis.log"
    return pair.host.read(path).splitlines() if pair.host.exists(path) else []
