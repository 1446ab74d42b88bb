"""What only a person decides about DRBD, on real DRBD: kvmha drbd in a node."""

from __future__ import annotations

import json

import pytest

from tests.lab.drbd.pair import RESOURCE, allows_two
from tests.lab.drbd.test_power_cuts import move
from tests.lab.drbd.writer import Writer, checksum

REPLICATION_LINK = 1

SPOIL = "dd if=/dev/urandom of=/dev/mapper/data bs=4096 seek=20000 count=2 oflag=direct conv=notrunc"
"""Changes two blocks of a replica below DRBD's back, 80 MiB from its begin."""

MONITOR = (
    "env", "OCF_ROOT=/usr/lib/ocf", "OCF_RESOURCE_INSTANCE=drbd-web1", f"OCF_RESKEY_drbd_resource={RESOURCE}",
    "OCF_RESKEY_CRM_meta_timeout=60000", "OCF_RESKEY_CRM_meta_interval=10000", "OCF_RESKEY_CRM_meta_clone_max=2",
    "/usr/lib/ocf/resource.d/kvmha/DRBD", "monitor",
)  # fmt: skip
"""The monitor as the cluster's executor calls it for the plain clone, which in maintenance nobody hears."""

ALONE = "drbdadm primary --force {0} && dd if=/dev/urandom of=/dev/drbd0 bs=1M seek=100 count=3 oflag=direct"


def told(pair, node, *words, codes=(0, 1)):
    """Return what a verb of kvmha drbd tells as JSON."""
    done = pair.run(node, "kvmha", "drbd", *words, "--json", ok=None, timeout=300)
    assert done.rc in codes, f"{words}: {done.rc}: {done.out}{done.err}"
    return json.loads(done.out)


NOTE = """\
#!/bin/sh
echo "$KVMHA_ALERT_KIND $KVMHA_ALERT_SUBJECT $KVMHA_ALERT_PEER" >> /run/heard
"""
"""What an administrator puts into /etc/kvmha/alert.d to be told in his own way."""


def assert_told(pair, node):
    """See that people and the cluster hear of the split brain on a node, each in its way."""
    (peer,) = (name for name in pair.nodes if name != node)
    pair.wait("a program of the administrator's hears of it", lambda: pair.ask(node, "cat", "/run/heard"))
    assert pair.run(node, "cat", "/run/heard").out.splitlines()[-1] == f"drbd-split-brain {RESOURCE} {peer}"
    journal = ("journalctl", "--priority=alert", "--output=cat", "--no-pager", f"KVMHA_ALERT_SUBJECT={RESOURCE}")
    assert f"split brain: {node} and {peer} were both written since they parted" in pair.run(node, *journal).out
    (resource,) = told(pair, node, "status", RESOURCE, "--here", codes=(1,))["resources"]
    assert resource["split_brain"] == [peer]
    done = pair.run(node, *MONITOR, ok=(190,))
    assert f"split brain with {peer} (StandAlone)" in done.err


def assert_in_status(pair, node, peer):
    """See that whoever looks at the whole cluster finds it too."""
    status = json.loads(pair.run(node, "kvmha", "status", "--json", ok=(1,), timeout=300).out)
    said = [point["said"] for point in status["points"] if point["name"] == "drbd here"]
    assert said == [f"{RESOURCE}: one current copy; split brain with {peer}, see kvmha drbd heal"], status


@pytest.fixture
def quiet(pair):
    """The pair while the cluster looks away, so that DRBD can be led where a cluster does not let it go."""
    pair.run(pair.nodes[0], "crm_attribute", "--name", "maintenance-mode", "--update", "true")
    yield pair
    for node in pair.nodes:
        pair.lab.heal(node)
        pair.ask(node, "drbdadm", "adjust", RESOURCE)
    pair.run(pair.nodes[0], "crm_attribute", "--name", "maintenance-mode", "--delete")
    pair.wait("the pair is well again", pair.is_well)


def test_status_tells_the_same_on_both_sides(pair):
    here, there = pair.sides()
    for node, role in ((here, "Primary"), (there, "Secondary")):
        (resource,) = told(pair, node, "status", codes=(0,))["resources"]
        assert (resource["level"], resource["side"]["role"], resource["node"]) == ("well", role, node)
        assert resource["peers"][0]["name"] in pair.nodes


@pytest.mark.slow
def test_verify_finds_what_differs_and_the_next_connection_mends_it(quiet):
    pair = quiet
    here, there = pair.sides()
    pair.run(there, "sh", "-c", SPOIL)
    (found,) = told(pair, here, "verify", "--all", codes=(1,))["verified"]
    assert (found["differs_kib"], found["trouble"]) == (8, "")
    pair.run(there, "drbdadm", "disconnect", RESOURCE)
    pair.run(there, "drbdadm", "connect", RESOURCE)
    pair.wait("the two blocks are copied", pair.is_in_step)
    (found,) = told(pair, here, "verify", RESOURCE, codes=(0,))["verified"]
    assert found["differs_kib"] == 0


def test_a_split_brain_is_told_explained_and_healed_for_the_side_that_is_kept(quiet):
    pair = quiet
    here, there = pair.sides()
    for node in pair.nodes:
        pair.lab.copy_in(node, "/etc/kvmha/alert.d/note", NOTE, mode=0o755)
        # With DRBD's fencing it would not come this far.
        pair.run(node, "drbdsetup", "disk-options", "0", "--fencing=dont-care")
    writer = Writer(pair, here, f"split{pair.host.now():.0f}")
    pair.lab.cut(there, REPLICATION_LINK)
    for node in pair.nodes:
        pair.wait("the connection is lost", lambda at=node: pair.replica(at).connection != "Connected")
    writer.write_at_least(50)
    writer.stop()
    pair.run(there, "sh", "-c", ALONE.format(RESOURCE))
    pair.run(there, "drbdadm", "secondary", RESOURCE)
    pair.lab.heal(there)
    for node in pair.nodes:
        pair.wait("DRBD gives the connection up", lambda at=node: pair.replica(at).connection in ("StandAlone", ""))
        assert_told(pair, node)
    assert_in_status(pair, here, there)

    # Each side tells its own part; no key lets one node into the other here.
    sides = {node: told(pair, node, "heal", RESOURCE, codes=(0,))["sides"][node] for node in pair.nodes}
    assert sides[here]["base"] == sides[there]["base"]
    assert sides[here]["current"] != sides[there]["current"]
    assert sides[there]["changed_kib"] == 3 * 1024
    refused = pair.run(here, "kvmha", "drbd", "heal", RESOURCE, "--discard", here, "--confirm", RESOURCE, ok=None)
    assert (refused.rc, f"{here} is promoted" in refused.err) == (2, True)

    done = pair.run(here, "kvmha", "drbd", "heal", RESOURCE, "--discard", there, "--confirm", RESOURCE, ok=(1,))
    line = next(line for line in done.out.splitlines() if line.startswith(f"To be run on {there}"))
    pair.run(there, *line.partition(": ")[2].split())
    done = pair.run(there, "kvmha", "drbd", "sync", RESOURCE, timeout=300)
    for node in pair.nodes:
        assert pair.run(node, *MONITOR, ok=(0, 190)).err.count("split brain") == 0, "it is over"
        pair.run(node, "rm", "-f", "/etc/kvmha/alert.d/note", "/run/heard")
    assert done.out.splitlines()[-1] == f"{RESOURCE} is up to date on all sides"
    assert checksum(pair, here, writer.safe) == writer.expected()


@pytest.mark.slow
def test_what_was_healed_is_what_the_other_side_has_now(pair):
    here, there = pair.sides()
    writer = Writer(pair, here, f"healed{pair.host.now():.0f}")
    writer.write_at_least(50)
    writer.stop()
    move(pair, here, there)
    assert checksum(pair, there, writer.safe) == writer.expected()


@pytest.mark.slow
def test_a_window_that_an_agent_left_behind_is_closed_by_the_monitor(pair):
    here, there = pair.sides()
    pair.run(here, "drbdadm", "net-options", "--allow-two-primaries=yes", RESOURCE)
    # The mark of an agent that was killed long ago, as the target of a move.
    pair.run(
        here, "sh", "-c", f"mkdir -p /run/kvmha/drbd-window && echo target 1.0 > /run/kvmha/drbd-window/{RESOURCE}"
    )
    for node in (here, there):
        pair.wait("one primary is the rule again", lambda at=node: not allows_two(pair, at))
    pair.wait("the mark is gone", lambda: pair.run(here, "ls", "/run/kvmha/drbd-window").out == "")


@pytest.mark.slow
def test_a_constraint_that_a_handler_left_behind_is_removed_by_the_monitor(pair):
    here, there = pair.sides()
    environ = (f"DRBD_RESOURCE={RESOURCE}", f"DRBD_PEER={there}", "DRBD_CONF=/etc/drbd.conf")
    # Called while nothing is wrong: it excludes the peer, as if it had come too late to hear that all is well.
    pair.run(here, "env", *environ, "/usr/lib/kvmha/drbd-fence-peer", "60", ok=(4,))
    pair.wait("the constraint is gone", lambda: not pair.constraints())
