"""The health of real guests: their own states, their agent, their storage, and checks from outside."""

from __future__ import annotations

import json

import pytest

from kvmha.lab.guest import domain_xml

GUEST, NODE = "web3", "n3"
CONFIG, HOME, DISK = "/etc/kvmha/guests/health.xml", "/run/kvmha-test-storage", "/run/kvmha-test-storage/disk"
DEGRADED = 190


def call(cluster, action, depth=0, *, config=CONFIG, **params):
    env = (("OCF_CHECK_LEVEL", depth),)
    meta = (("timeout", 40000), *((("interval", 10000),) if action == "monitor" else ()))
    return cluster.agent(
        NODE, "VirtualDomain", action, instance=GUEST, env=env, meta=meta, config=config, force_stop="true", **params
    )


@pytest.fixture
def guest(cluster):
    """The guest with an agent, a disk on a storage of 2 MiB, and a device that tells of a panic; not managed."""
    kvm = "<domain type='kvm'" in cluster.run(NODE, "cat", f"/etc/kvmha/guests/{GUEST}.xml").out
    xml = domain_xml(cluster.plan.guest(GUEST), suite=cluster.plan.suite, kvm=kvm, has_agent=True, disk=DISK)
    xml = xml.replace("<on_crash>destroy", "<on_crash>preserve").replace("</devices>", "<panic model='isa'/></devices>")
    cluster.look_away(GUEST, NODE)
    try:
        assert call(cluster, "stop", config=f"/etc/kvmha/guests/{GUEST}.xml").rc == 0
        cluster.run(NODE, "sh", "-c", f"cat > {CONFIG}", given=xml)
        cluster.run(NODE, "mkdir", "-p", HOME)
        cluster.run(NODE, "mount", "-t", "tmpfs", "-o", "size=2M", "tmpfs", HOME)
        cluster.run(NODE, "truncate", "-s", "32M", DISK)
        assert call(cluster, "start").rc == 0
        cluster.wait("the guest agent is there", lambda: "guest_agent.0' state='connected'" in status(cluster))
        yield cluster
    finally:
        call(cluster, "stop")
        cluster.run(NODE, "umount", HOME, ok=None)
        cluster.run(NODE, "rm", "-f", CONFIG)
        call(cluster, "start", config=f"/etc/kvmha/guests/{GUEST}.xml")
        cluster.look_again(GUEST, NODE)


def status(cluster):
    return cluster.run(NODE, "cat", f"/run/libvirt/qemu/{GUEST}.xml", ok=None).out


def become(cluster, state):
    cluster.wait(f"the guest is {state}", lambda: f"<domstatus state='{state}'" in status(cluster), limit=60)


def in_guest(cluster, *argv):
    """Have the guest agent start a command of the guest."""
    order = {"execute": "guest-exec", "arguments": {"path": "/bin/busybox", "arg": list(argv)}}
    cluster.run(NODE, "virsh", "qemu-agent-command", GUEST, json.dumps(order))


def test_a_full_storage_is_a_failure_and_a_guest_that_may_goes_on_once(guest):
    in_guest(guest, "dd", "if=/dev/zero", "of=/dev/vda", "bs=1M", "count=16")
    become(guest, "paused")
    failed = call(guest, "monitor")
    assert (failed.rc, "I/O error" in failed.err) == (1, True)
    assert call(guest, "monitor", on_ioerror="resume").rc == DEGRADED
    become(guest, "paused")
    again = call(guest, "monitor", on_ioerror="resume")
    assert (again.rc, "again" in again.err) == (1, True)
    # A new incident, after there is room.
    guest.run(NODE, "mount", "-o", "remount,size=64M", HOME)
    guest.run(NODE, "virsh", "resume", GUEST)
    become(guest, "running")
    assert call(guest, "monitor", on_ioerror="resume").rc == 0
    guest.run(NODE, "mount", "-o", "remount,size=16M", HOME)
    in_guest(guest, "dd", "if=/dev/zero", "of=/dev/vda", "bs=1M", "seek=16", "count=12")
    become(guest, "paused")
    guest.run(NODE, "mount", "-o", "remount,size=64M", HOME)
    assert call(guest, "monitor", on_ioerror="resume").rc == DEGRADED
    become(guest, "running")
    assert call(guest, "monitor", on_ioerror="resume").rc == 0


def test_a_monitor_that_looks_deeper_tells_asleep_stopped_stuck_and_crashed_from_well(guest):
    assert [call(guest, "monitor", depth).rc for depth in (0, 10, 20)] == [0, 0, 0]

    guest.run(NODE, "virsh", "dompmsuspend", GUEST, "mem")
    become(guest, "pmsuspended")
    assert [call(guest, "monitor", depth).rc for depth in (0, 10)] == [DEGRADED, DEGRADED]
    guest.run(NODE, "virsh", "dompmwakeup", GUEST)
    become(guest, "running")

    (qemu,) = guest.qemu_pids(NODE, GUEST)
    guest.run(NODE, "kill", "-STOP", qemu)
    try:
        assert call(guest, "monitor").rc == 0
        silent = call(guest, "monitor", 10)
        assert (silent.rc, "does not answer" in silent.err) == (DEGRADED, True)
    finally:
        guest.run(NODE, "kill", "-CONT", qemu)
    guest.wait("the guest answers", lambda: call(guest, "monitor", 10).rc == 0, limit=60)

    guest.run(NODE, "sh", "-c", "printf '#!/bin/sh\\necho no page; exit 3\\n' > /run/check && chmod +x /run/check")
    refused = call(guest, "monitor", 20, monitor_scripts="/run/check")
    assert (refused.rc, "/run/check exited with 3: no page" in refused.err) == (1, True)

    # The port of the panic device (QEMU's docs/specs/pvpanic), written to by QEMU itself in the guest's place.
    guest.run(NODE, "virsh", "qemu-monitor-command", GUEST, "--hmp", "o /b 0x505 1")
    become(guest, "crashed")
    assert call(guest, "monitor", 10).rc == 1
    assert call(guest, "monitor", on_crashed="degraded").rc == DEGRADED
