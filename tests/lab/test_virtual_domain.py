"""ocf:kvmha:VirtualDomain on real libvirt and QEMU guests under a real cluster."""

from __future__ import annotations

import pytest

GUEST, NODE = "web3", "n3"
DEGRADED = 190


@pytest.fixture
def unmanaged(cluster):
    """The guest's own agent calls, with the cluster looking away."""
    cluster.look_away(GUEST, NODE)
    yield cluster
    cluster.run(NODE, "systemctl", "start", "libvirtd.socket", "libvirtd.service", ok=None)
    call(cluster, "start")
    cluster.look_again(GUEST, NODE)


def call(cluster, action, node=NODE, *, config=f"/etc/kvmha/guests/{GUEST}.xml", instance=GUEST, **rest):
    return cluster.agent(node, "VirtualDomain", action, instance=instance, config=config, **rest)


def stop_daemon(cluster):
    """Freeze libvirtd, and return how to let it go on."""
    pid = cluster.run(NODE, "pidof", "libvirtd").out.strip()
    cluster.run(NODE, "kill", "-STOP", pid)
    return lambda: cluster.run(NODE, "kill", "-CONT", pid)


def test_monitor_needs_no_libvirt(unmanaged):
    unmanaged.run(NODE, "systemctl", "stop", "libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket",
                  "libvirtd-admin.socket", "libvirtd-tcp.socket", ok=None)  # fmt: skip
    assert call(unmanaged, "monitor").rc == 0
    unmanaged.run(NODE, "systemctl", "start", "libvirtd-tcp.socket", "libvirtd.socket", "libvirtd-ro.socket",
                  "libvirtd-admin.socket", ok=None)  # fmt: skip


def test_monitor_and_probe_stay_right_while_libvirt_is_stuck(unmanaged):
    go_on = stop_daemon(unmanaged)
    try:
        assert call(unmanaged, "monitor", meta=(("interval", 10000), ("timeout", 20000))).rc == 0
        assert call(unmanaged, "monitor", meta=(("timeout", 20000),)).rc == 0
    finally:
        go_on()


def test_stop_stops_a_guest_whose_definition_has_gone(unmanaged):
    path = f"/etc/kvmha/guests/{GUEST}.xml"
    unmanaged.run(NODE, "mv", path, f"{path}.away")
    try:
        assert call(unmanaged, "monitor").rc == 0
        assert call(unmanaged, "stop").rc == 0
        assert unmanaged.qemu_pids(NODE, GUEST) == []
    finally:
        unmanaged.run(NODE, "mv", f"{path}.away", path)
    assert call(unmanaged, "start").rc == 0


def test_a_wrong_tuning_parameter_neither_hides_a_guest_nor_keeps_it_from_stopping(unmanaged):
    assert call(unmanaged, "monitor", migration_speed="10M").rc == 0
    refused = call(unmanaged, "validate-all", migration_speed="10M")
    assert refused.rc == 6
    assert 'migration_speed="10M"' in refused.err
    assert call(unmanaged, "stop", migration_speed="10M").rc == 0
    assert unmanaged.qemu_pids(NODE, GUEST) == []
    assert call(unmanaged, "start").rc == 0


def test_start_and_stop_are_idempotent(unmanaged):
    before = unmanaged.qemu_pids(NODE, GUEST)
    assert call(unmanaged, "start").rc == 0
    assert unmanaged.qemu_pids(NODE, GUEST) == before
    assert [call(unmanaged, "stop").rc, call(unmanaged, "stop").rc, call(unmanaged, "monitor").rc] == [0, 0, 7]
    assert call(unmanaged, "start").rc == 0


def test_a_guest_that_an_administrator_paused_is_degraded_and_not_dead(unmanaged):
    unmanaged.run(NODE, "virsh", "suspend", GUEST)
    try:
        done = call(unmanaged, "monitor")
        assert (done.rc, "paused by an administrator" in done.err) == (DEGRADED, True)
    finally:
        unmanaged.run(NODE, "virsh", "resume", GUEST)
    assert call(unmanaged, "monitor").rc == 0


def test_a_killed_qemu_is_not_running(unmanaged):
    unmanaged.run(NODE, "kill", "-KILL", *unmanaged.qemu_pids(NODE, GUEST))
    unmanaged.wait("the guest is gone", lambda: call(unmanaged, "monitor").rc == 7, limit=30)
    assert call(unmanaged, "start").rc == 0


def test_probes_say_not_running_where_the_guest_is_not(cluster):
    assert [call(cluster, "monitor", node).rc for node in ("n1", "n2")] == [7, 7]


def test_the_cluster_moves_a_guest_live_without_a_new_boot(cluster):
    before = boot_id(cluster, "web1")
    cluster.move("web1", "n2")
    assert boot_id(cluster, "web1") == before
    assert cluster.qemu_pids("n1", "web1") == []


def test_a_migration_to_a_host_that_does_not_answer_leaves_the_guest_running(unmanaged):
    done = call(
        unmanaged, "migrate_to", meta=(("timeout", 30000), ("migrate_source", NODE), ("migrate_target", "n1.invalid")),
        migration_transport="tcp",
    )  # fmt: skip
    assert done.rc == 1
    assert "n1.invalid" in done.err
    assert call(unmanaged, "monitor").rc == 0


def test_a_dead_qemu_is_started_again_by_the_cluster(cluster):
    before = boot_id(cluster, "web2")
    cluster.run("n2", "kill", "-KILL", *cluster.qemu_pids("n2", "web2"))
    cluster.wait("web2 is running anew", lambda: boot_id(cluster, "web2") not in ("", before))


def boot_id(cluster, guest):
    return cluster.boot_id(guest)


@pytest.mark.parametrize("agent", ["VirtualDomain", "FloatingIP"])
def test_the_help_of_pcs_crmsh_and_pacemaker_is_complete(cluster, agent):
    name = f"ocf:kvmha:{agent}"
    for argv in (
        ("pcs", "resource", "describe", name),
        ("crm", "ra", "info", name),
        ("crm_resource", "--show-metadata", name),
    ):
        done = cluster.run("n1", *argv)
        parameter = "config" if agent == "VirtualDomain" else "cidr_netmask"
        assert parameter in done.out
        assert "rror" not in done.err, done.err


def test_ocf_tester_is_content_with_virtual_domain(unmanaged):
    assert call(unmanaged, "stop").rc == 0
    done = unmanaged.run(
        NODE, "ocf-tester", "-v", "-n", GUEST, "-o", f"config=/etc/kvmha/guests/{GUEST}.xml", "-o", "force_stop=true",
        "/usr/lib/ocf/resource.d/kvmha/VirtualDomain", timeout=300, ok=None,
    )  # fmt: skip
    assert done.rc == 0, done.out + done.err
    assert call(unmanaged, "start").rc == 0
