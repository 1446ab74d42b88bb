"""What a person decides where data may be lost, and what the cluster does when a node stays away, on real DRBD."""

from __future__ import annotations

import json

import pytest

from tests.lab.drbd.pair import PRIMARY, RESOURCE
from tests.lab.drbd.test_commands import told
from tests.lab.drbd.writer import Writer, checksum

REPLICATION_LINK = 1
COMMON = "/etc/drbd.d/global_common.conf"


@pytest.fixture
def stays_off(pair):
    """The pair in a cluster that leaves a fenced node off, so that it is away for as long as a drill wants."""
    pair.run(pair.nodes[0], "crm_attribute", "--name", "stonith-action", "--update", "off")
    yield pair
    for node in pair.nodes:
        pair.lab.heal(node)
    pair.back(*pair.nodes)
    for node in pair.nodes:
        # As the configuration has it: with DRBD's own fencing.
        pair.ask(node, "drbdadm", "adjust", RESOURCE)
    pair.run(pair.nodes[0], "crm_attribute", "--name", "stonith-action", "--delete")


@pytest.mark.slow
def test_a_loss_that_is_accepted_goes_on_with_the_old_data_and_the_lost_side_is_told_and_healed(stays_off):
    """The newer side is lost. Only a person may go on with the older one, and later the newer one is given up."""
    pair = stays_off
    here, there = pair.sides()
    writer = Writer(pair, here, f"loss{pair.host.now():.0f}")
    writer.write_at_least(50)
    for node in pair.nodes:
        # With DRBD's own fencing nothing would be acknowledged that only one side has.
        pair.run(node, "drbdsetup", "disk-options", "0", "--fencing=dont-care")
    pair.lab.cut(there, REPLICATION_LINK)
    pair.wait("the connection is lost", lambda: pair.replica(here).connection != "Connected")
    common = writer.read(0.0)
    writer.write_at_least(50)
    # Until a monitor of the other side is sure that its peer went on.
    pair.wait("the older side has no score", lambda: not score(pair, there))
    pair.lab.power(here, "off")
    writer.read(1.0)
    pair.wait(f"{here} is fenced", lambda: is_off(pair, there, here))
    done = pair.run(there, "kvmha", "drbd", "promote", RESOURCE, "--json", ok=(1,))
    (loss,) = json.loads(done.out)["may_be_lost"]
    assert (loss["code"], loss["peer"]) == ("newer-data", here)
    assert loss["seconds"] > 0
    refused = pair.run(there, "kvmha", "drbd", "promote", RESOURCE, "--accept-loss", ok=None)
    assert (refused.rc, pair.replica(there).role) == (2, "Secondary"), "nobody has typed the name"
    argv = ("kvmha", "drbd", "promote", RESOURCE, "--accept-loss", "--confirm", RESOURCE, "--wait", "240")
    pair.run(there, *argv, timeout=300)
    assert pair.primaries() == (there,)
    # What both had is there; what came after is what was accepted to be lost.
    begin = Writer(pair, there, writer.word, first=common)
    begin.write_at_least(20)
    begin.stop()
    assert checksum(pair, there, begin.safe) == begin.expected()

    # The lost side comes back with data of its own: a split brain, which nobody but a person ends.
    pair.lab.heal(there)
    pair.back(here)
    for node, peer in ((here, there), (there, here)):
        pair.wait(f"{node} says so", lambda at=node, other=peer: split_brains(pair, at) == [other])
        pair.wait("the connection is given up", lambda at=node: pair.replica(at).connection == "StandAlone")
    done = pair.run(there, "kvmha", "drbd", "heal", RESOURCE, "--discard", here, "--confirm", RESOURCE, ok=(0, 1))
    line = next(line for line in done.out.splitlines() if line.startswith(f"To be run on {here}"))
    pair.run(here, *line.partition(": ")[2].split(), timeout=120)
    pair.wait("both sides are one again", pair.is_in_step)
    assert checksum(pair, there, begin.safe) == begin.expected()


@pytest.mark.slow
def test_io_that_stayed_frozen_goes_on_once_the_peer_was_fenced_at_last(stays_off):
    """The fencing works only after DRBD's handler has given up: a monitor finds that, and lets the I/O go on."""
    pair = stays_off
    here, there = pair.sides()
    writer = Writer(pair, here, f"frozen{pair.host.now():.0f}")
    device = f"fence-{there}"
    role = ("crm_resource", "--resource", device, "--meta")
    try:
        writer.write_at_least(50)
        pair.run(here, "sed", "-i", 's|/drbd-fence-peer"|/drbd-fence-peer 5"|', COMMON)
        pair.run(here, *role, "--set-parameter", "target-role", "--parameter-value", "Stopped")
        pair.wait(f"{device} is out of order", lambda: not pair.places(device))
        pair.lab.power(there, "off")
        pair.wait("the I/O is frozen", lambda: "fencing" in pair.ask(here, "drbdsetup", "events2", "--now", RESOURCE))
        pair.wait("the handler has given up", lambda: "exit code 1 " in kernel_log(pair, here))
        assert writer.stalls(3), "what was acknowledged then is on one side only"
        pair.run(here, *role, "--delete-parameter", "target-role")
        # The peer stays off, so that no connection thaws the I/O either.
        writer.write_at_least(50)
        assert pair.primaries() == (here,)
        assert "its I/O goes on" in pair.run(here, "journalctl", "--no-pager", "--since=-10min").out
    finally:
        writer.stop()
        pair.run(here, "sed", "-i", 's|/drbd-fence-peer 5"|/drbd-fence-peer"|', COMMON)
        pair.run(here, *role, "--delete-parameter", "target-role", ok=None)
    pair.back(there)
    pair.wait("the pair is well again", pair.is_well)
    assert checksum(pair, here, writer.safe) == writer.expected()


def kernel_log(pair, node):
    """Return what the kernel of a node said of DRBD's helpers of late."""
    return pair.ask(node, "sh", "-c", "journalctl -k --no-pager --since=-5min | grep helper")


def score(pair, node):
    """Return the promotion score that a node has told the cluster."""
    argv = ("attrd_updater", "--query", "--name", f"drbd-promotion-score-{RESOURCE}", "--node", node)
    said = pair.ask(node, *argv)
    return said.partition('value="')[2].partition('"')[0]


def is_off(pair, asked, node):
    """Tell whether the cluster knows that a node is off: gone, and not waiting for its fencing."""
    status = pair.status()
    seen = [found for found in status.nodes if found.name == node] if status else []
    return bool(seen) and not seen[0].is_online and not seen[0].is_unclean and not pair.places(PRIMARY)


def split_brains(pair, node):
    """Return the peers with which a node says that it has a split brain; none while its replica is not up."""
    found = told(pair, node, "status", "--here")["resources"]
    return [peer for resource in found for peer in resource["split_brain"]]
