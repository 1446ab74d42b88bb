"""The stop, and what is left of an agent that was killed, on real libvirt and QEMU guests."""

from __future__ import annotations

import os
import random

import pytest

GUEST, NODE, OTHER = "web3", "n3", "n2"
PATH = f"/etc/kvmha/guests/{GUEST}.xml"

# Run in a node: the agent in a process group of its own, killed as a whole after so many seconds, as Pacemaker does.
KILL = """\
import os, subprocess, sys, time
agent = subprocess.Popen(sys.argv[2:], start_new_session=True, stderr=subprocess.DEVNULL)
try:
    print("ended with", agent.wait(float(sys.argv[1])))
except subprocess.TimeoutExpired:
    os.killpg(agent.pid, 9)
    agent.wait()
    print("killed")
"""


@pytest.fixture
def unmanaged(cluster):
    """The guest's own agent calls, with the cluster looking away."""
    cluster.look_away(GUEST, NODE)
    yield cluster
    for node in (OTHER, NODE):
        cluster.run(node, "systemctl", "start", "libvirtd.socket", "libvirtd.service", ok=None)
        cluster.run(node, "rm", "--force", "/root/test.xml")
    call(cluster, "stop", OTHER, force_stop="true")
    call(cluster, "start")
    cluster.look_again(GUEST, NODE)


def call(cluster, action, node=NODE, *, config=PATH, timeout_ms=60000, meta=(), **params):
    meta = (("timeout", timeout_ms), ("on_node", node), *meta)
    return cluster.agent(
        node, "VirtualDomain", action, instance=GUEST, config=config, meta=meta, migration_transport="tcp", **params
    )


def started_from(cluster, **words):
    """Start the guest anew from a definition in which some words are replaced."""
    text = cluster.run(NODE, "cat", PATH).out
    for old, new in words.values():
        assert old in text
        text = text.replace(old, new)
    assert call(cluster, "stop", force_stop="true").rc == 0
    cluster.run(NODE, "sh", "-c", "cat > /root/test.xml", given=text)
    assert call(cluster, "start", config="/root/test.xml").rc == 0


def timed_stop(cluster, **how):
    """Stop the guest and return what its agent said and how many seconds it took; the guest has to be gone."""
    begun = cluster.host.now()
    done = call(cluster, "stop", **how)
    took = cluster.host.now() - begun
    assert done.rc == 0, done.err
    assert cluster.qemu_pids(NODE, GUEST) == []
    return done, took


def test_a_stuck_libvirt_costs_a_stop_less_than_half_of_its_time(unmanaged):
    pid = unmanaged.run(NODE, "pidof", "libvirtd").out.strip()
    unmanaged.run(NODE, "kill", "-STOP", pid)
    try:
        _, took = timed_stop(unmanaged, timeout_ms=60000)
    finally:
        unmanaged.run(NODE, "kill", "-CONT", pid)
    assert took < 30.0
    assert [call(unmanaged, "stop").rc, call(unmanaged, "monitor").rc] == [0, 7]


def test_a_guest_that_ignores_its_power_button_is_down_before_the_deadline(unmanaged):
    started_from(unmanaged, button=("kvmha.name=", "kvmha.ignore_acpi kvmha.name="))
    _, took = timed_stop(unmanaged, config="/root/test.xml", timeout_ms=10000)
    assert took < 10.0


@pytest.mark.slow
def test_a_guest_whose_definition_starts_it_again_stays_down_all_the_same(unmanaged):
    started_from(unmanaged, end=("<on_poweroff>destroy", "<on_poweroff>restart"))
    timed_stop(unmanaged, config="/root/test.xml")
    said = unmanaged.run(NODE, "journalctl", "--no-pager", "--lines=3", f"--identifier=VirtualDomain({GUEST})").out
    assert "could not" not in said, said
    assert call(unmanaged, "monitor").rc == 7


def test_a_stopped_qemu_is_ended_in_order_and_at_once(unmanaged):
    unmanaged.run(NODE, "kill", "-STOP", *unmanaged.qemu_pids(NODE, GUEST))
    _, took = timed_stop(unmanaged)
    # Libvirt alone waits ten seconds for a QEMU that hears nothing.
    assert took < 10.0


def test_a_copy_that_waits_for_its_memory_is_stopped_and_the_guest_runs_on(unmanaged):
    begin_move(unmanaged)
    assert call(unmanaged, "stop", OTHER).rc == 0
    assert unmanaged.qemu_pids(OTHER, GUEST) == []
    unmanaged.wait("it runs on", lambda: places(unmanaged)[NODE] == "running", limit=30)


def begin_move(cluster):
    """Have libvirt move the guest so slowly that it is under way, and return when its copy is there."""
    order = f"virsh migrate --live --p2p --bandwidth 1 {GUEST} qemu+tcp://{OTHER}/system"
    cluster.run(NODE, "sh", "-c", f"{order} > /dev/null 2>&1 &")
    cluster.wait("the copy is there", lambda: places(cluster)[OTHER] == "paused", limit=30)


def places(cluster):
    """Return what state libvirt's own files have of the guest where it has a process, by node."""
    found = {}
    for node in (NODE, OTHER):
        text = cluster.run(node, "head", "--bytes=600", f"/run/libvirt/qemu/{GUEST}.xml", ok=None).out
        if cluster.qemu_pids(node, GUEST):
            found[node] = text.partition("state='")[2].partition("'")[0] or "starting"
        else:
            found[node] = ""
    return found


def check(cluster, story):
    """Assert that the guest's processors run on one node at most."""
    seen = places(cluster)
    assert list(seen.values()).count("running") <= 1, (story, seen)
    return seen


SCENES = (
    # the action that dies, on which node, where the guest is before, and in which order Pacemaker stops it afterwards
    ("stop", NODE, NODE, (NODE,)),
    ("migrate_to", NODE, NODE, (OTHER, NODE)),
    ("migrate_from", OTHER, OTHER, (NODE, OTHER)),
    ("start", NODE, "", (NODE,)),
)
LONGEST = {"start": 1.5, "stop": 1.2, "migrate_to": 2.5, "migrate_from": 0.4}
"""Seconds in which most of an action happens."""

ROUNDS = int(os.environ.get("KVMHA_TEST_ROUNDS", "1"))
"""How often each action is killed."""


def test_an_agent_that_is_killed_at_any_moment_leaves_at_most_one_running_guest(unmanaged):
    chance = random.Random()
    for action, node, place, order in SCENES * ROUNDS:
        bring_to(unmanaged, place)
        moment = chance.uniform(0.02, LONGEST[action])
        story = [f"killed after {moment:.2f} s"]
        try:
            die(unmanaged, action, node, moment, story)
            recover(unmanaged, order, story)
        finally:
            print("; ".join(story))


def bring_to(cluster, place):
    """Have the guest run on one node, or on none, by stops and a start that work."""
    seen = check(cluster, ["before"])
    for node in seen:
        if seen[node] and node != place:
            assert call(cluster, "stop", node, force_stop="true").rc == 0
    if place and not seen[place]:
        done = call(cluster, "start", place)
        assert done.rc == 0, done.err


def die(cluster, action, node, moment, story):
    """Kill an action at a moment."""
    env = [
        f"OCF_RESKEY_config={PATH}", "OCF_RESKEY_migration_transport=tcp", "OCF_RESKEY_CRM_meta_timeout=60000",
        f"OCF_RESKEY_CRM_meta_on_node={node}", f"OCF_RESKEY_CRM_meta_migrate_source={NODE}",
        f"OCF_RESKEY_CRM_meta_migrate_target={OTHER}", f"OCF_RESOURCE_INSTANCE={GUEST}", "OCF_ROOT=/usr/lib/ocf",
    ]  # fmt: skip
    done = cluster.run(
        node, "python3", "-c", KILL, f"{moment}", "env", "-i", "PATH=/usr/bin:/usr/sbin:/bin:/sbin", *env,
        "/usr/lib/ocf/resource.d/kvmha/VirtualDomain", action,
    )  # fmt: skip
    story.append(f"{action} on {node} {done.out.strip()}")
    check(cluster, story)


def recover(cluster, order, story):
    """Do what Pacemaker does after a failure, and check after every step."""
    for node in (NODE, OTHER):
        done = call(cluster, "monitor", node)
        story.append(f"probe on {node} {done.rc}")
        assert done.rc != 7 or check(cluster, story)[node] != "running", story
    for node in order:
        done = call(cluster, "stop", node, force_stop="true")
        story.append(f"stop on {node} {done.rc}")
        assert done.rc == 0, (story, done.err)
        assert check(cluster, story)[node] == "", story
    assert list(check(cluster, story).values()) == ["", ""], story
