"""Faults below and around a replicated disk, and what was acknowledged afterwards."""

from __future__ import annotations

import pytest

from tests.lab.drbd import test_story as story
from tests.lab.drbd.pair import BROKEN_DISK, GUEST, HOLDER, PRIMARY, RESOURCE, allows_two
from tests.lab.drbd.test_power_cuts import move
from tests.lab.drbd.writer import Customer, Writer, checksum

REPLICATION_LINK = 1


@pytest.fixture
def written(pair):
    """The pair, its two nodes, and a writer on the primary that has written for a while."""
    here, there = pair.sides()
    writer = Writer(pair, here, f"fault{pair.host.now():.0f}")
    writer.write_at_least(50)
    yield pair, here, there, writer
    writer.close()


@pytest.mark.slow
def test_the_replication_link_is_cut_and_the_peer_is_kept_from_being_promoted(written):
    pair, here, there, writer = written
    pair.lab.cut(there, REPLICATION_LINK)
    pair.wait("the connection is lost", lambda: pair.replica(here).connection != "Connected")
    # Writes go on once the handler has forbidden the peer to be promoted.
    writer.write_at_least(50)
    assert pair.constraints() or not pair.ask(there, "true"), "nothing keeps the stale side from being promoted"
    pair.lab.heal(there)
    pair.wait("the pair is well again", pair.is_well)
    writer.stop()
    move(pair, here, there)
    assert checksum(pair, there, writer.safe) == writer.expected()


@pytest.mark.slow
def test_a_stale_side_is_not_promoted_even_without_fencing_of_drbd(written):
    """Without the handler nothing tells the stale side that it is stale but its own memory of the lost peer."""
    pair, here, there, writer = written
    for node in pair.nodes:
        pair.run(node, "drbdsetup", "disk-options", "0", "--fencing=dont-care")
    try:
        pair.lab.cut(there, REPLICATION_LINK)
        pair.wait("the connection is lost", lambda: pair.replica(here).connection != "Connected")
        writer.write_at_least(50)
        # Long enough for a monitor on the other side to have seen it.
        pair.host.sleep(25)
        pair.lab.power(here, "off")
        writer.read(1.0)
        pair.host.sleep(30)
        assert pair.replica(there).role != "Primary", "old data was promoted"
    finally:
        pair.lab.heal(there)
        pair.back(here)
        for node in pair.nodes:
            # As the configuration has it: with DRBD's own fencing.
            pair.ask(node, "drbdadm", "adjust", RESOURCE)
    pair.wait("the pair is well again", pair.is_well)
    (primary,) = pair.primaries()
    assert checksum(pair, primary, writer.safe) == writer.expected()


@pytest.mark.slow
def test_the_disk_below_the_primary_fails(written):
    pair, here, there, writer = written
    pair.run(here, "sh", "-c", BROKEN_DISK)
    # DRBD detaches the disk, and goes on with that of the peer; the cluster may also move the primary side there.
    pair.wait("the disk is detached", lambda: pair.replica(here).disk in ("Diskless", "Failed", ""))
    writer.read(20.0)
    writer.stop()
    primary = pair.wait("a side is primary", pair.primaries)[0]
    assert checksum(pair, primary, writer.safe) == writer.expected()
    pair.restore()
    move(pair, there, here) if pair.primaries() == (there,) else move(pair, here, there)
    assert checksum(pair, pair.primaries()[0], writer.safe) == writer.expected()


@pytest.mark.slow
def test_a_guest_leaves_live_the_node_whose_disk_fails(guests_pair):
    """It goes on with the peer's disk, and the score that falls has the cluster move it there."""
    pair = guests_pair
    (home,) = pair.places(GUEST)
    other = next(node for node in pair.nodes if node != home)
    boot = pair.wait("the guest answers", lambda: story.boot_of(pair))
    customer = Customer(pair, f"disk{pair.host.now():.0f}")
    try:
        customer.write_at_least(20)
        pair.run(home, "sh", "-c", BROKEN_DISK)
        pair.wait(f"the guest is on {other}", lambda: pair.places(GUEST) == (other,))
        customer.write_at_least(20)
        assert story.boot_of(pair) == boot, "the guest was restarted, not moved"
        pair.wait("the other node alone may write", lambda: pair.primaries() == (other,))
        pair.wait("one primary is the rule again", lambda: not any(allows_two(pair, node) for node in pair.nodes))
        assert story.checksum(pair, customer) == customer.expected()
    finally:
        customer.stop()
        pair.restore()


@pytest.mark.slow
def test_the_source_of_a_full_resync_loses_its_power(written):
    pair, here, there, writer = written
    for node in pair.nodes:
        pair.run(node, "drbdsetup", "disk-options", "0", "--c-plan-ahead=0", "--resync-rate=1M")
    pair.run(there, "drbdadm", "invalidate", RESOURCE)
    pair.wait("a resync is under way", lambda: pair.replica(there).connection == "SyncTarget")
    writer.write_at_least(50)
    pair.lab.power(here, "off")
    writer.read(1.0)
    # The other side is inconsistent, and must stay what it is until its source is back.
    pair.wait(f"{here} is fenced and back", lambda: pair.lab.leader(here) is not None)
    assert pair.replica(there).role != "Primary", "half a resync was promoted"
    pair.back(here)
    for node in pair.nodes:
        pair.wait("the replica is up", lambda at=node: pair.replica(at).connection)
        # With the resync rates of the configuration again.
        pair.run(node, "drbdadm", "adjust", RESOURCE)
    pair.wait("the pair is well again", pair.is_well)
    (primary,) = pair.primaries()
    assert checksum(pair, primary, writer.safe) == writer.expected()


@pytest.mark.slow
def test_a_device_that_is_held_open_cannot_be_demoted_and_the_opener_is_named(written):
    pair, here, there, writer = written
    writer.stop()
    hold = f"exec -a {HOLDER} sleep 3000 3<>/dev/drbd0"
    pair.run(here, "setsid", "--fork", "bash", "-c", f"{hold} >/dev/null 2>&1 </dev/null &")
    pair.run(here, "crm_resource", "--move", "--resource", PRIMARY, "--node", there)
    try:
        # The stop fails, and so the node is fenced: that is what a stop without proof is for.
        pair.wait(f"{there} is primary", lambda: pair.primaries() == (there,))
        assert checksum(pair, there, writer.safe) == writer.expected()
    finally:
        pair.run(there, "crm_resource", "--clear", "--resource", PRIMARY)
    # -a: where a node lost its power in the middle of a line, grep takes the log for no text.
    said = pair.run(there, "grep", "-a", "cannot be demoted", "/var/log/pacemaker/pacemaker.log", ok=None).out
    assert f"held open by {HOLDER} (pid " in said, f"nobody says who holds the device: {said[-1000:]}"
    pair.back(here)
    pair.wait("the pair is well again", pair.is_well)


KILL = """\
#!/bin/sh
# Stands for the agent until its first start, which it kills once that has told the kernel to promote.
real=/usr/lib/ocf/resource.d/kvmha/.DRBDPrimary
if [ "$1" = start ] && mkdir /run/kvmha-killed-once 2> /dev/null; then
    "$real" "$@" &
    while kill -0 $! 2> /dev/null; do
        # The kernel asks DRBD's handler about the dead peer before it promotes, which takes seconds.
        if pgrep -P $! -f 'drbdsetup[-84]* primary' > /dev/null; then
            kill -KILL $!
            echo killed > /run/kvmha-killed-once/yes
        fi
    done
    exit 1
fi
exec "$real" "$@"
"""


@pytest.mark.slow
def test_an_agent_that_is_killed_while_it_promotes_leaves_nothing_half_done(written):
    pair, here, there, writer = written
    writer.stop()
    folder = "/usr/lib/ocf/resource.d/kvmha"
    pair.run(there, "mv", f"{folder}/DRBDPrimary", f"{folder}/.DRBDPrimary")
    pair.lab.copy_in(there, f"{folder}/DRBDPrimary", KILL, mode=0o755)
    try:
        pair.lab.power(here, "off")
        pair.wait("the promotion was killed", lambda: "killed" in pair.ask(there, "cat", "/run/kvmha-killed-once/yes"))
        # The order that the killed agent has given may still be carried out; the cluster, which heard of a failed
        # start, takes that back and promotes once more, here or where the power has come back.
        pair.wait("one primary, for all to see", lambda: pair.primaries() == pair.places(PRIMARY) != ())
    finally:
        pair.run(there, "mv", f"{folder}/.DRBDPrimary", f"{folder}/DRBDPrimary")
        pair.run(there, "rm", "-rf", "/run/kvmha-killed-once")
    pair.back(here)
    pair.restore()
    (primary,) = pair.primaries()
    assert checksum(pair, primary, writer.safe) == writer.expected()
