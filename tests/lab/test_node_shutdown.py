"""A node that is rebooted by its administrator: its guests leave first."""

from __future__ import annotations

GUEST, NODE = "web3", "n3"
IMMOVABLE = "web2"
"""A guest that may not migrate, and so has to be shut down."""

# What libvirt asks of systemd-machined where it may use cgroups, which in the lab's containers it may not: a scope for
# the guest's process, which is started before the target and after the daemons (virSystemdCreateMachine, libvirt 9.0).
GIVE_SCOPE = """\
busctl call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager \
CreateMachine 'sayssusa(sv)' "qemu-1-$1" 0 libvirt-qemu vm "$2" "" 3 Slice s machine.slice \
After as 2 libvirtd.service virtqemud.service Before as 1 virt-guest-shutdown.target
"""


def test_the_guests_of_a_node_that_reboots_leave_before_anything_they_stand_on_goes(cluster):
    check_reboot(cluster, "libvirtd.service")


def check_reboot(cluster, daemon):
    """Reboot a node with one guest that moves and one that does not; ``daemon`` is the unit both stand on."""
    meta = ("crm_resource", "--resource", IMMOVABLE, "--meta")
    try:
        cluster.run("n1", *meta, "--set-parameter", "allow-migrate", "--parameter-value", "false")
        cluster.move(IMMOVABLE, NODE)
        before = cluster.wait("the guest answers", lambda: cluster.boot_id(GUEST))
        cluster.wait("the other guest obeys its power button", lambda: cluster.boot_id(IMMOVABLE))
        for guest in (GUEST, IMMOVABLE):
            give_scope(cluster, guest)
        leader = cluster.lab.leader(NODE)
        cluster.run(NODE, "systemctl", "reboot", "--no-wall")
        cluster.wait("the node has gone down", lambda: cluster.lab.leader(NODE) != leader)
        node = cluster.status("n1").node(NODE)
        assert (node.is_online, node.is_unclean) == (False, False)
        assert cluster.places("n1")[GUEST] not in ((), (NODE,))
        assert cluster.boot_id(GUEST) == before
        cluster.wait("the other guest runs elsewhere", lambda: cluster.places("n1")[IMMOVABLE] not in ((), (NODE,)))
        cluster.wait("the node is back", lambda: cluster.lab.leader(NODE) and cluster.status(NODE))
        said = cluster.run(NODE, "journalctl", "--boot=-1", "--output=cat", "--identifier=systemd").out
        order = ["Stopping pacemaker.service", "Stopped pacemaker.service", f"Stopping {daemon}"]
        found = [said.rfind(words) for words in order]
        assert found == sorted(found), said
        assert -1 not in found, said
        # libvirt's own word for a guest that went by itself; one that was killed is "crashed" or "destroyed".
        log = cluster.run(NODE, "cat", f"/var/log/libvirt/qemu/{IMMOVABLE}.log").out
        assert log.rstrip().rpartition("\n")[2].endswith("shutting down, reason=shutdown"), log[-500:]
    finally:
        cluster.restore()
        cluster.run("n1", *meta, "--delete-parameter", "allow-migrate")


def give_scope(cluster, guest):
    (pid,) = cluster.qemu_pids(NODE, guest)
    cluster.run(NODE, "sh", "-c", GIVE_SCOPE, "give-scope", guest, pid)
    scope = cluster.run(NODE, "cat", f"/proc/{pid}/cgroup").out
    assert f"qemu\\x2d1\\x2d{guest}.scope" in scope
