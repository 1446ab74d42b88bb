"""ocf:kvmha:DRBD by itself on real DRBD: ocf-tester, and what it says and does where something is in the way.

It has a resource of its own, on files, beside the one that the cluster of these nodes manages, and without DRBD's own
fencing: with that a replica that comes up alone calls itself Consistent, and here it is to claim more than it knows.
"""

from __future__ import annotations

import functools
import shlex

import pytest

from kvmha.host import Host

AGENT = "/usr/lib/ocf/resource.d/kvmha/DRBD"
NAME = "tested"
DEVICE = "/dev/drbd19"
MINUTE = 60.0

# Patient with a peer that answers late: by default a ping has half a second, which such a node can let pass when the
# machine has other work. The connection is lost then, and that is not what these tests are about.
CONFIGURATION = f"""\
resource {NAME} {{
    net {{ protocol C; ping-int 6; ping-timeout 50; timeout 50; connect-int 6; }}
    disk {{ fencing dont-care; }}
    device {DEVICE}; disk /dev/loop19; meta-disk internal;
    on n1 {{ address 10.77.1.11:7819; }}
    on n2 {{ address 10.77.1.12:7819; }}
}}
"""
SET_UP = f"""\
set -e
modprobe loop drbd
modprobe drbd
rm -f /var/tmp/{NAME}.img /var/lib/kvmha/drbd/{NAME}
truncate -s 32M /var/tmp/{NAME}.img
[ -b /dev/loop19 ] || mknod /dev/loop19 b 7 19
losetup /dev/loop19 /var/tmp/{NAME}.img
drbdadm create-md --force {NAME}
# drbdadm gives each of its steps five seconds, which on a busy machine can be too few.
for _ in 1 2 3 4 5; do drbdadm adjust {NAME} && break; done
"""
TEAR_DOWN = f"""\
drbdsetup down {NAME}
losetup --detach /dev/loop19
rm -f /etc/drbd.d/{NAME}.res /var/tmp/{NAME}.img /var/lib/kvmha/drbd/{NAME} /run/kvmha/DRBD/{NAME}
"""


class Trial:
    """The resource on both nodes, and the agent on the first."""

    def __init__(self, lab):
        self.lab = lab
        self.here, self.peer = (node.name for node in lab.plan.nodes[:2])

    def sh(self, node, script, timeout=5 * MINUTE, ok=None):
        return self.lab.run(node, "sh", "-c", script, timeout=timeout, ok=ok)

    def on_both(self, script, ok=(0,)):
        """Run a script in both nodes at one time."""
        calls = [functools.partial(self.sh, node, script, ok=ok) for node in (self.here, self.peer)]
        for found in self.lab.host.together(calls, what="the two nodes", timeout=5 * MINUTE):
            if isinstance(found, BaseException):
                raise found

    def agent(self, action, *, timeout=60, instance=f"drbd-{NAME}", **params):
        """Run the agent as Pacemaker does; return its exit code and its exit reason."""
        environ = {
            "OCF_ROOT": "/usr/lib/ocf",
            "OCF_RESOURCE_INSTANCE": instance,
            "OCF_RESKEY_drbd_resource": NAME,
            "OCF_RESKEY_CRM_meta_timeout": str(timeout * 1000),
            "OCF_RESKEY_CRM_meta_interval": "10000" if action == "monitor" else "0",
            "OCF_RESKEY_CRM_meta_on_node": self.here,
            **{f"OCF_RESKEY_{name}": value for name, value in params.items()},
        }
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in environ.items())
        done = self.sh(self.here, f"env {words} {AGENT} {action}")
        return done.rc, done.err.rpartition("ocf-exit-reason:")[2].strip()


@pytest.fixture
def tested(pair):
    """The resource, up and connected on both nodes, which no guest keeps busy."""
    found = Trial(pair.lab)
    for node in (found.here, found.peer):
        pair.lab.copy_in(node, f"/etc/drbd.d/{NAME}.res", CONFIGURATION)
    found.on_both(SET_UP)
    found.sh(found.here, f"until drbdadm cstate {NAME} | grep -q Connected; do sleep 1; done")
    found.sh(found.here, "drbdsetup new-current-uuid --clear-bitmap 19")
    yield found
    found.on_both(TEAR_DOWN, ok=None)


@pytest.mark.slow
def test_ocf_tester_passes_on_a_real_device(tested):
    tested.sh(tested.here, f"drbdsetup down {NAME}")
    # Left alone it gives each action 20 s, of which a node with a slow start of processes and a busy processor can need
    # more; and it wants 0 from the monitor after a start, so that start has to wait until the peer is there.
    options = {"drbd_resource": NAME, "wfc_timeout": "60", "CRM_meta_timeout": "120000"}
    words = " ".join(f"-o {name}={value}" for name, value in options.items())
    done = tested.sh(tested.here, f"ocf-tester -v -n drbd-{NAME} {words} {AGENT} 2>&1", timeout=20 * MINUTE)
    assert done.rc == 0, done.out[-3000:]
    assert f"{AGENT} passed all tests" in done.out


@pytest.mark.slow
def test_a_device_that_is_held_open_is_demoted_once_it_is_let_go(tested):
    assert tested.agent("promote") == (0, "")
    assert tested.agent("monitor") == (8, "")
    tested.sh(tested.here, f"sleep 600 < {DEVICE} > /dev/null 2>&1 & echo $! > /run/holder")
    begun = Host().now()
    code, reason = tested.agent("demote", timeout=30)
    assert code == 1
    assert reason.startswith(f"{NAME} cannot be demoted: held open by sleep (pid ")
    assert Host().now() - begun < 30 + MINUTE, "it ends by itself, before Pacemaker would kill it"
    code, reason = tested.agent("stop", timeout=30)
    assert (code, "held open by sleep" in reason) == (1, True)
    tested.sh(tested.here, "kill $(cat /run/holder)")
    assert tested.agent("demote") == (0, "")
    assert tested.agent("monitor") == (0, "")


@pytest.mark.slow
def test_neither_monitor_nor_stop_needs_the_configuration(tested):
    assert tested.agent("promote") == (0, "")
    tested.sh(tested.here, f"mv /etc/drbd.d/{NAME}.res /etc/drbd.d/{NAME}.away")
    assert tested.agent("monitor", instance="other") == (8, "")
    assert tested.agent("stop") == (0, "")
    assert tested.agent("monitor") == (7, "")
    code, reason = tested.agent("start")
    assert code == 5
    assert f"configuration of {NAME}: drbdadm says: " in reason
    tested.sh(tested.here, f"mv /etc/drbd.d/{NAME}.away /etc/drbd.d/{NAME}.res")


def test_a_replica_that_came_up_alone_is_not_promoted_though_drbd_calls_it_current(tested):
    assert tested.agent("monitor") == (0, "")
    assert tested.agent("stop") == (0, "")
    tested.sh(tested.peer, f"drbdsetup down {NAME}")
    assert tested.agent("start", wfc_timeout="1") == (0, "")
    assert "disk:UpToDate" in tested.sh(tested.here, f"drbdsetup events2 --now {NAME}").out
    code, reason = tested.agent("monitor")
    assert (code, "may hold newer data" in reason) == (190, True)
    code, reason = tested.agent("promote")
    assert (code, "may hold newer data" in reason) == (1, True)
    tested.sh(tested.peer, f"drbdadm up {NAME}")
    tested.sh(tested.here, f"until drbdadm cstate {NAME} | grep -q Connected; do sleep 1; done")
    assert tested.agent("promote") == (0, "")


@pytest.mark.slow
def test_bad_input_has_its_code_and_a_reason_and_probe_and_stop_stay_true(tested):
    code, reason = tested.agent("validate-all", drbd_resource="nobody")
    assert (code, reason.startswith("configuration of nobody: drbdadm says: ")) == (5, True)
    assert tested.agent("monitor", drbd_resource="nobody") == (7, "")
    assert tested.agent("stop", drbd_resource="nobody") == (0, "")

    wrong = {"CRM_meta_promoted_max": "2", "suspended_grace": "soon"}
    for action in ("validate-all", "promote"):
        code, reason = tested.agent(action, **wrong)
        assert code == 6
        assert "promoted-max is 2" in reason
        assert 'suspended_grace="soon"' in reason
    assert tested.agent("promote") == (0, "")
    assert tested.agent("monitor", **wrong) == (8, "")
    assert tested.agent("stop", **wrong) == (0, "")
    assert tested.agent("monitor", **wrong) == (7, "")
    assert f"name:{NAME} " not in tested.sh(tested.here, "drbdsetup events2 --now").out
