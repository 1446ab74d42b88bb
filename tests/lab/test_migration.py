"""Live migrations of a real guest, killed, hung and too slow: it never runs twice, and is where the agent says."""

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
    return lab_guest.parse_answer(cluster.host.run(*argv, timeout=10, ok=None).out)


def when_it_begins(cluster):
    cluster.wait("the target makes a copy", lambda: cluster.qemu_pids(TARGET, GUEST), limit=30)


def when_memory_flows(cluster):
    cluster.wait("the copy waits for its memory", lambda: status(cluster, TARGET) == "paused migration", limit=30)
    cluster.host.sleep(1.0)


def when_it_is_handed_over(cluster):
    when_memory_flows(cluster)
    signal_daemon(cluster, TARGET, "STOP")
    cluster.wait("the guest stands still here", lambda: status(cluster, NODE) == "paused migration", limit=60)


@pytest.mark.parametrize(
    ("moment", "leader"),
    [
        pytest.param(when_it_begins, "", id="as-it-begins"),
        pytest.param(when_memory_flows, "", id="as-memory-flows"),
        pytest.param(when_it_is_handed_over, "", id="in-the-last-step"),
        pytest.param(when_memory_flows, "--p2p", id="as-memory-flows-led-by-libvirt"),
    ],
)
def test_after_a_killed_migrate_to_probes_and_stops_leave_no_guest_and_never_two(unmanaged, census, moment, leader):
    pid = begin_move(unmanaged, migration_speed="20", migrate_options=leader)
    moment(unmanaged)
    unmanaged.run(NODE, "kill", "-KILL", pid)
    signal_daemon(unmanaged, TARGET, "CONT")
    probes = [call(unmanaged, "monitor", node).rc for node in (TARGET, NODE)]
    assert probes != [7, 7], "somewhere it is"
    # Pacemaker stops the target of a failed migrate_to first.
    for node in (TARGET, NODE):
        done = call(unmanaged, "stop", node, force_stop="true")
        assert (done.rc, unmanaged.qemu_pids(node, GUEST)) == (0, []), done.err
    assert [call(unmanaged, "monitor", node).rc for node in (TARGET, NODE)] == [7, 7]


def test_a_guest_that_dirties_memory_faster_than_it_may_move_stays_and_runs(unmanaged, census):
    before = unmanaged.wait("the guest answers", lambda: say(unmanaged, "dirty 20 100\n"))
    done = call(unmanaged, "migrate_to", timeout=20, migration_speed="1", migration_downtime="50")
    assert done.rc == 1
    assert "was aborted, and the guest runs on here" in done.err
    after = say(unmanaged, "dirty 0\n")
    assert (after.boot, after.ticks > before.ticks) == (before.boot, True)
    assert [call(unmanaged, "monitor", node).rc for node in (NODE, TARGET)] == [0, 7]


def test_a_target_that_hangs_in_the_last_step_and_goes_on_later_makes_no_second_guest(unmanaged, census):
    """Half a minute is what libvirt's own keepalive has patience for; left to itself it would resume the guest here."""
    begin_move(unmanaged, timeout=50, migration_speed="50")
    when_it_is_handed_over(unmanaged)
    unmanaged.wait("the agent has given up", lambda: "ocf-exit-reason" in log(unmanaged), limit=60)
    assert f"the guest stands still here, and {TARGET} does not answer" in log(unmanaged)
    signal_daemon(unmanaged, TARGET, "CONT")
    # It carries out what it was asked to, or drops the copy, because who asked has gone.
    unmanaged.wait("the target has decided", lambda: status(unmanaged, TARGET) != "paused migration", limit=30)
    assert status(unmanaged, NODE) == "paused migration"


def log(cluster):
    return cluster.run(NODE, "cat", "/run/moved.log", ok=None).out


@pytest.mark.parametrize(
    ("name", "value"), [("migration_downtime", "500"), ("monitor_scripts", "/usr/bin/true")], ids=lambda text: text
)
def test_a_changed_tuning_parameter_is_reloaded_without_a_restart(cluster, name, value):
    give_history(cluster)
    before, reloads = cluster.wait("the guest answers", lambda: say(cluster)), count_reloads(cluster)
    resource = ("crm_resource", "--resource", GUEST)
    try:
        cluster.run(NODE, *resource, "--set-parameter", name, "--parameter-value", value)
        cluster.run(NODE, "crm_resource", "--wait", "--timeout", "60s", timeout=90)
        assert count_reloads(cluster) == reloads + 1
        assert (cluster.places()[GUEST], say(cluster).boot) == ((NODE,), before.boot)
    finally:
        cluster.run(NODE, *resource, "--delete-parameter", name)
        cluster.run(NODE, "crm_resource", "--wait", "--timeout", "60s", timeout=90)
    assert say(cluster).boot == before.boot


def give_history(cluster):
    """Have Pacemaker know what may be reloaded: a probe of a guest that runs, as after a cleanup, makes it forget."""
    last = f"//node_state[@uname='{NODE}']//lrm_rsc_op[@id='{GUEST}_last_0']"
    if "op-force-restart" not in cluster.run(NODE, "cibadmin", "--query", "--xpath", last, ok=None).out:
        cluster.move(GUEST, "n2")
        cluster.move(GUEST, NODE)


def count_reloads(cluster):
    """Return how often Pacemaker had the guest's agent reload: it records that as a start, so its log tells."""
    log = cluster.run(NODE, "cat", "/var/log/pacemaker/pacemaker.log").out
    return log.count(f"Result of reload-agent operation for {GUEST} on")
