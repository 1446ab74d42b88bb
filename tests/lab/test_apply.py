"""A cluster is set up, changed, interrupted and refused by kvmha cluster apply, on nodes that begin with nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kvmha.cluster import apply_plan, commands, description, difference
from kvmha.tools import cib
from tests.lab.applied import HELD, YAML, assert_never_unfenced, bare_nodes

TRIAL = "-kvmha-trial"


@pytest.fixture(scope="module")
def bare(request):
    """Two nodes that have kvmha and no cluster."""
    with bare_nodes(request, "apply") as nodes:
        yield nodes


@pytest.fixture(scope="module")
def applied(bare):
    """The cluster, set up by runs that were each killed one step after the one before."""
    bare.describe()
    killed = 0
    # Trust is made anew by every run that finds no cluster, and so is the start at boot; then each further step.
    for after, uncounted in ((1, ""), (1, "auth"), (2, ""), *[(1, "auth,enable")] * 10):
        done = bare.kvmha("apply", after=after, uncounted=uncounted, ok=(0, 137))
        if done.rc == 0:
            break
        killed += 1
        assert_never_unfenced(bare)
    # Trust, set-up, at boot, start, fencing, guests: no step was passed over by the kills.
    assert (done.rc, killed >= 6) == (0, True)
    bare.wait("the cluster is well", bare.is_well)
    return bare


@pytest.fixture
def cluster(applied):
    """The cluster as it was first described, every test."""
    yield applied
    applied.text = applied.first
    applied.describe().kvmha("apply", "--overwrite", "all", "--allow-restart")
    applied.wait("the cluster is well", applied.is_well)


def test_it_was_killed_after_every_step_and_is_what_the_description_says(cluster):
    assert (cluster.to_do(), cluster.by_hand()) == ([], [])
    assert set(cluster.places()) == {"fence-n1", "fence-n2", *cluster.guests, "vip"}
    pids = cluster.pids()
    before = cluster.seen().attributes["epoch"]
    assert "the cluster is what the description says" in cluster.kvmha("apply").out
    assert (cluster.seen().attributes["epoch"], cluster.pids()) == (before, pids)


def test_a_change_that_can_be_reloaded_restarts_nothing(cluster):
    pids = cluster.pids()
    cluster.describe("{migration_transport: tcp}", "{migration_transport: tcp, migration_speed: 77}")
    assert cluster.to_do() == ["web1"]
    cluster.kvmha("apply")
    assert cluster.seen().resource("web1").params["migration_speed"] == "77"
    assert (cluster.pids(), cluster.to_do()) == (pids, [])


def test_what_would_restart_is_said_before_and_needs_leave(cluster):
    cluster.run("n1", "cp", "/etc/kvmha/guests/web2.xml", "/etc/kvmha/guests/web2-new.xml")
    cluster.run("n2", "cp", "/etc/kvmha/guests/web2.xml", "/etc/kvmha/guests/web2-new.xml")
    cluster.describe("guests/web2.xml", "guests/web2-new.xml")
    assert "in consequence: restart web2" in cluster.kvmha("diff", ok=(1,)).out
    cluster.refuses(said="it would restart web2 (resource definition change); give --allow-restart")
    pids = cluster.pids()
    cluster.kvmha("apply", "--allow-restart")
    cluster.wait("the cluster is well", cluster.is_well)
    changed = {guest for (guest, node), found in cluster.pids().items() if found != pids[guest, node]}
    assert changed == {"web2"}


def test_changes_by_hand_are_shown_and_kept_until_they_are_asked_for(cluster):
    cluster.run("n1", "crm_resource", "--resource", "web1", "--set-parameter", "migration_speed",
                "--parameter-value", "11")  # fmt: skip
    cluster.run("n1", "crm_attribute", "--type", "crm_config", "--name", "migration-limit", "--update", "7")
    assert set(cluster.by_hand()) == {"web1", "properties"}
    assert "by hand, and kept" in cluster.kvmha("apply").out
    assert cluster.seen().resource("web1").params["migration_speed"] == "11"
    cluster.kvmha("apply", "--overwrite", "web1")
    assert "migration_speed" not in cluster.seen().resource("web1").params
    assert cluster.by_hand() == ["properties"]
    done = cluster.kvmha("apply", "--overwrite", "wbe1", ok=(2,))
    assert "names nothing that was changed by hand; there is: properties" in done.err


def test_a_fence_device_that_would_not_work_never_takes_the_place_of_one_that_does(cluster):
    cluster.describe("password: kvmha", "password: wrong")
    done = cluster.kvmha("apply", ok=(1,))
    assert "fencing does not work" in done.err
    assert "wrong" not in done.err + done.out
    seen = cluster.seen()
    assert {seen.resource(f"fence-{node}").params["password"] for node in cluster.nodes} == {"kvmha"}
    assert not [each.id for each in seen.primitives() if each.id.endswith(TRIAL)]
    assert cluster.is_well()


def test_a_fence_device_is_tried_before_it_takes_over_and_a_kill_in_between_does_no_harm(cluster):
    cluster.describe("power_wait: 0", "power_wait: 1")
    tried = []
    for after in (1, 2, 2, 1, 1, 99):
        done = cluster.kvmha("apply", after=after, ok=(0, 137))
        seen = cluster.seen()
        tried += [each.id for each in seen.primitives() if each.id.endswith(TRIAL)]
        assert all(seen.resource(f"fence-{node}") is not None for node in cluster.nodes)
        assert all(cluster.places()[f"fence-{node}"] for node in cluster.nodes)
        if done.rc == 0:
            break
    assert tried
    assert cluster.seen().resource("fence-n1").params["power_wait"] == "1"
    assert cluster.to_do() == []


def test_what_is_no_longer_described_is_stopped_and_removed(cluster):
    cluster.describe(cluster.text[cluster.text.index("floating_ips:") :], "")
    cluster.refuses(said="it would stop vip")
    cluster.kvmha("apply", "--allow-restart")
    assert "vip" not in cluster.places()
    assert cluster.lab.plan.floating_ip not in cluster.run("n1", "ip", "-o", "addr").out
    assert cluster.is_well()


@pytest.mark.slow
def test_a_node_that_is_down_gets_the_change_when_it_joins(cluster):
    for guest in cluster.guests:
        if cluster.places()[guest] == ("n2",):
            cluster.move(guest, "n1")
    cluster.run("n1", "pcs", "cluster", "stop", "n2", timeout=200)
    try:
        cluster.describe("{migration_transport: tcp}", "{migration_transport: tcp, migration_speed: 66}")
        done = cluster.kvmha("apply")
        assert "n2 is not online" in done.out
    finally:
        cluster.run("n1", "pcs", "cluster", "start", "n2", timeout=200)
    cluster.wait("n2 is back", lambda: cluster.status("n2") and cluster.is_well())
    seen = cib.read(cluster.run("n2", "cibadmin", "--query", "--local").out)
    assert seen.resource("web1").params["migration_speed"] == "66"


def test_a_node_that_dies_in_the_middle_is_fenced_and_the_change_is_finished(cluster):
    home = cluster.places()["web1"][0]
    other = next(node for node in cluster.nodes if node != home)
    if home == "n2":
        cluster.move("web1", "n1")
        home, other = "n1", "n2"
    cluster.run("n1", "rm", "-f", "/run/held", "/run/let-go")
    cluster.describe("{migration_transport: tcp}", "{migration_transport: tcp, migration_speed: 88}")
    try:
        with ThreadPoolExecutor(1) as pool:
            doing = pool.submit(cluster.kvmha, "apply", ok=None, program=("python3", "-c", HELD))
            cluster.wait("it is held", lambda: cluster.run("n1", "test", "-e", "/run/held", ok=(0, 1)).rc == 0)
            cluster.lab.power(other, "off")
            cluster.run("n1", "touch", "/run/let-go")
            done = doing.result()
    finally:
        cluster.run("n1", "touch", "/run/let-go")
        cluster.lab.power(other, "on")
    assert done.rc == 0, done.err
    assert cluster.seen().resource("web1").params["migration_speed"] == "88"
    cluster.wait("the cluster is well", cluster.is_well)
    assert cluster.places()["web1"] == (home,)
    assert cluster.to_do() == []


@pytest.mark.slow
def test_corosync_takes_over_new_times_while_it_runs(cluster):
    pids = cluster.pids()
    cluster.describe("nodes:", "timing: {token: 2500, consensus: 700}\nnodes:")
    cluster.kvmha("apply")
    for node in cluster.nodes:
        assert "= 2500" in cluster.run(node, "corosync-cmapctl", "-g", "runtime.config.totem.token").out
    assert (cluster.pids(), cluster.to_do()) == (pids, [])


def test_what_the_checks_refuse_needs_force_and_force_is_logged(cluster):
    cluster.describe("guests:", "properties: {stonith-enabled: 'false'}\nguests:")
    cluster.refuses(said="give --force to go on all the same")
    cluster.kvmha("apply", "--force")
    log = cluster.run("n1", "journalctl", "--identifier", "kvmha", "--output", "cat").out
    assert "cluster apply --force, against" in log


@pytest.mark.slow
@pytest.mark.parametrize("away", [("pcs",), ("crm",), ("pcs", "crm")])
def test_changes_need_neither_pcs_nor_crmsh(cluster, away):
    for program in away:
        cluster.run("n1", "mv", f"/usr/sbin/{program}", f"/usr/sbin/{program}.away")
    try:
        cluster.describe("{migration_transport: tcp}", "{migration_transport: tcp, migration_speed: 55}")
        shown = cluster.kvmha("diff", ok=(1,)).out
        assert ("crm resource param web1 set" in shown) is (away == ("pcs",))
        assert ("pcs resource update web1" in shown) is (away != ("pcs",))
        cluster.kvmha("apply")
        assert cluster.seen().resource("web1").params["migration_speed"] == "55"
    finally:
        for program in away:
            cluster.run("n1", "mv", f"/usr/sbin/{program}.away", f"/usr/sbin/{program}")


@pytest.mark.slow
def test_the_commands_that_are_shown_make_the_same_configuration(cluster):
    cluster.run("n1", "sh", "-c", "cibadmin --empty > /root/empty.xml")
    wanted = apply_plan.of(description.read(cluster.text, YAML))
    empty = cib.read(cluster.run("n1", "cat", "/root/empty.xml").out)
    made = difference.compare(wanted.cib(), empty)
    for line in commands.lines(made.to_do(), wanted.cib(), empty, "pcs"):
        line = line.replace("...", "kvmha").replace("pcs ", "pcs -f /root/empty.xml ", 1)
        cluster.run("n1", "sh", "-c", line, timeout=60)
    seen = cib.read(cluster.run("n1", "cat", "/root/empty.xml").out)
    left = difference.compare(wanted.cib(), seen)
    assert [(each.act, each.item.id, each.fields, each.kept) for each in left.differences] == []


def test_a_node_of_another_cluster_is_left_alone(cluster):
    cluster.describe(f"cluster: {cluster.plan.name}", "cluster: other")
    cluster.refuses(said='the description is of "other"')
