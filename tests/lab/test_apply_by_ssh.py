"""Where there is no pcs, kvmha cluster apply makes a cluster of nodes that it reaches by ssh."""

from __future__ import annotations

import pytest

from tests.lab.applied import assert_never_unfenced, bare_nodes

pytestmark = pytest.mark.slow

ADMIT = """\
set -e
mkdir -p -m 700 /root/.ssh /run/sshd
cat >>/root/.ssh/authorized_keys
systemctl --quiet enable --now ssh
"""

LOGIN = """\
set -e
mkdir -p -m 700 /root/.ssh
[ -e /root/.ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
echo 'StrictHostKeyChecking accept-new' >/root/.ssh/config
cat /root/.ssh/id_ed25519.pub
"""

KEYS = ("/etc/corosync/authkey", "/etc/pacemaker/authkey")


@pytest.fixture(scope="module")
def bare(request):
    """Two nodes without pcs, with kvmha and crmsh, and no cluster."""
    with bare_nodes(request, "ssh") as nodes:
        for node in nodes.nodes:
            nodes.run(node, "mv", "/usr/sbin/pcs", "/usr/sbin/pcs.away")
        nodes.describe()
        yield nodes


@pytest.fixture(scope="module")
def applied(bare):
    """The cluster, refused at first, then set up by runs that were each killed a step after the one before."""
    refused = bare.kvmha("apply", ok=(2,))
    assert "n2 cannot be reached by ssh as root" in refused.err
    assert not bare.run("n1", "ls", "/etc/corosync/corosync.conf", ok=None).out
    key = bare.run("n1", "sh", "-c", LOGIN).out
    bare.run("n2", "sh", "-c", ADMIT, given=key)
    killed = 0
    # What is done by ssh is done anew by every run that finds no cluster; then comes one further step each.
    for after in (1, 2, 3, *[1] * 10):
        done = bare.kvmha("apply", after=after, ok=(0, 137))
        if done.rc == 0:
            break
        killed += 1
        assert_never_unfenced(bare)
    # Look, configure, start, fencing, guests: no step was passed over by the kills.
    assert (done.rc, killed >= 5) == (0, True)
    bare.wait("the cluster is well", bare.is_well)
    return bare


def test_the_cluster_is_what_the_description_says(applied):
    assert (applied.to_do(), applied.by_hand()) == ([], [])
    assert set(applied.places()) == {"fence-n1", "fence-n2", *applied.guests, "vip"}
    assert "the cluster is what the description says" in applied.kvmha("apply").out


def test_all_nodes_have_the_same_keys_which_nobody_else_can_read(applied):
    for path in KEYS:
        found = {applied.run(node, "sha256sum", path).out for node in applied.nodes}
        modes = {applied.run(node, "stat", "--format=%a", path).out.strip() for node in applied.nodes}
        assert len(found) == 1
        assert modes <= {"400", "640"}


def test_it_starts_at_boot_and_a_node_that_was_off_comes_back(applied):
    applied.lab.power("n2", "off")
    applied.wait("n2 is missed", lambda: not applied.is_well())
    # Fencing gives it its power back.
    applied.wait("n2 is back", applied.is_well)
    assert applied.to_do() == []


def test_corosync_takes_over_new_times_while_it_runs(applied):
    pids = applied.pids()
    applied.describe("nodes:", "timing: {token: 2500, consensus: 700}\nnodes:")
    applied.kvmha("apply")
    for node in applied.nodes:
        assert "= 2500" in applied.run(node, "corosync-cmapctl", "-g", "runtime.config.totem.token").out
    assert (applied.pids(), applied.to_do()) == (pids, [])


def test_a_node_of_another_cluster_is_left_alone(applied):
    applied.run("n2", "systemctl", "stop", "pacemaker", "corosync", timeout=200)
    applied.run("n1", "systemctl", "stop", "pacemaker", "corosync", timeout=200)
    applied.run("n1", "rm", "/etc/corosync/corosync.conf")
    applied.run("n2", "sed", "-i", "s/cluster_name: .*/cluster_name: far/", "/etc/corosync/corosync.conf")
    done = applied.kvmha("apply", ok=(2,))
    assert 'n2 is in the cluster "far"' in done.err
    assert not applied.run("n1", "ls", "/etc/corosync/corosync.conf", ok=None).out
