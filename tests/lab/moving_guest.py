"""A guest of the lab on its way from one node to another, by its own agent's calls, with the cluster looking away."""

from __future__ import annotations

import pytest

from kvmha.lab import guest as lab_guest
from kvmha.lab.census import Census

GUEST, NODE, TARGET = "web3", "n3", "n2"
CONFIG = f"/etc/kvmha/guests/{GUEST}.xml"
MOVE = (("migrate_source", NODE), ("migrate_target", TARGET))


@pytest.fixture
def unmanaged(cluster):
    """The guest's own agent calls, with the cluster looking away; a stopped daemon goes on afterwards."""
    cluster.look_away(GUEST, NODE)
    yield cluster
    for node in (NODE, TARGET):
        signal_daemon(cluster, node, "CONT")
    call(cluster, "stop", TARGET, force_stop="true")
    if not status(cluster, NODE).startswith("running"):
        call(cluster, "stop", force_stop="true")
    call(cluster, "start")
    cluster.look_again(GUEST, NODE)


@pytest.fixture
def census(cluster):
    """What is seen of all QEMU processes while the test runs: no guest may ever run twice."""
    with Census(
        cluster.host, {node: f"/run/netns/{cluster.plan.node(node).netns}" for node in cluster.nodes}
    ) as census:
        yield census
    assert census.looks > 20, "nobody looked"
    assert census.twice == []


def call(cluster, action, node=NODE, timeout=30, **params):
    meta = (("timeout", timeout * 1000), *MOVE)
    params = {"config": CONFIG, "migration_transport": "tcp", **params}
    return cluster.agent(node, "VirtualDomain", action, instance=GUEST, meta=meta, timeout=timeout + 20, **params)


def signal_daemon(cluster, node, signal):
    cluster.run(node, "pkill", f"-{signal}", "-x", "libvirtd", ok=None)


def begin_move(cluster, timeout=60, **params):
    """Start migrate_to without waiting for it, and return its process id in the node."""
    words = {"config": CONFIG, "migration_transport": "tcp", **params}
    environment = [f"OCF_RESKEY_{key}={value}" for key, value in words.items()]
    environment += [f"OCF_RESKEY_CRM_meta_{key}={value}" for key, value in (*MOVE, ("timeout", timeout * 1000))]
    script = 'rm -f /run/moved; setsid env "$@" >/run/moved.log 2>&1 </dev/null & echo $!'
    agent = ("/usr/lib/ocf/resource.d/kvmha/VirtualDomain", "migrate_to")
    return cluster.run(
        NODE, "sh", "-c", script, "sh", "OCF_ROOT=/usr/lib/ocf", f"OCF_RESOURCE_INSTANCE={GUEST}", *environment, *agent
    ).out.strip()


def status(cluster, node):
    """Return the state that libvirt wrote down last, such as "paused migration", or nothing."""
    head = cluster.run(node, "head", "-c", "4096", f"/run/libvirt/qemu/{GUEST}.xml", ok=None).out
    words = head.partition("<domstatus ")[2].partition(">")[0].split("'")
    return f"{words[1]} {words[3]}" if len(words) > 3 else ""


def say(cluster, text=""):
    """Say something to the guest's service, and return its answer."""
    code = (
        "import socket, sys; client = socket.create_connection((sys.argv[1], 7000), 2); client.settimeout(5); "
        "line = client.makefile().readline; said = line(); client.sendall(sys.argv[2].encode()); "
        "print(line() if sys.argv[2] else said, end='')"
    )
    network = f"--net=/run/netns/{cluster.plan.netns}"
    argv = ("nsenter", network, "/usr/bin/python3", "-IS", "-c", code, cluster.plan.guest(GUEST).address, text)
    # More than the client itself waits, so that no answer is an answer.
    return lab_guest.parse_answer(cluster.host.run(*argv, timeout=20, ok=None).out)


def hear(cluster, text=""):
    """Say something to the guest's service until it answers: while it writes it is deaf, for long on a busy host."""
    return cluster.wait("the guest answers", lambda: say(cluster, text), limit=60)


def when_it_begins(cluster):
    cluster.wait("the target makes a copy", lambda: cluster.qemu_pids(TARGET, GUEST), limit=30)


def when_memory_flows(cluster):
    cluster.wait("the copy waits for its memory", lambda: status(cluster, TARGET) == "paused migration", limit=30)
    cluster.host.sleep(1.0)


def when_it_is_handed_over(cluster):
    when_memory_flows(cluster)
    signal_daemon(cluster, TARGET, "STOP")
    cluster.wait("the guest stands still here", lambda: status(cluster, NODE) == "paused migration", limit=60)


def log(cluster):
    return cluster.run(NODE, "cat", "/run/moved.log", ok=None).out
