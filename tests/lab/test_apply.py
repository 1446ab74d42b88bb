"""A cluster is set up, changed, interrupted and refused by kvmha cluster apply, on nodes that begin with nothing."""

from __future__ import annotations

import json
import os

import pytest

from kvmha.cluster import apply_plan, commands, description, difference
from kvmha.host import Host
from kvmha.lab import formation
from kvmha.lab.lab import Lab
from kvmha.lab.plan import HACLUSTER_PASSWORD, make_plan
from kvmha.tools import cib
from tests.lab.conftest import Cluster

YAML = "/root/cluster.yaml"
TRIAL = "-kvmha-trial"

# Runs a verb, and ends itself after so many commands that change something, as an unlucky SIGKILL would. Words of
# commands that are not counted come second.
MORTAL = """\
import os, sys
from kvmha.cli.main import main
from kvmha.host import Host

class Mortal(Host):
    left = int(sys.argv[1])

    def run(self, *argv, **words):
        done = super().run(*argv, **words)
        if ("--patch" in argv or argv[0] == "pcs") and not {*sys.argv[2].split(",")} & {*argv}:
            self.left -= 1
            if not self.left:
                os._exit(137)
        return done

sys.exit(main(sys.argv[3:], Mortal()))
"""


class Applied(Cluster):
    """Two nodes, and a description that a test may change."""

    def __init__(self, lab, host):
        super().__init__(lab, host)
        self.text = self.first = formation.describe(lab.plan)

    def describe(self, old="", new=""):
        assert old in self.text
        self.text = self.text.replace(old, new, 1)
        self.lab.copy_in("n1", YAML, self.text)
        return self

    def kvmha(self, *words, ok=(0,), after=0, uncounted="", node="n1"):
        argv = ("python3", "-c", MORTAL, str(after), uncounted) if after else ("kvmha",)
        env = ("env", f"HACLUSTER_PASSWORD={HACLUSTER_PASSWORD}")
        return self.run(node, *env, *argv, "cluster", *words[:1], YAML, *words[1:], ok=ok, timeout=500)

    def query(self):
        return self.run("n1", "cibadmin", "--query").out

    def seen(self):
        return cib.read(self.query())

    def to_do(self, *words):
        return [each["id"] for each in json.loads(self.kvmha("diff", "--json", *words, ok=(0, 1)).out)["to_do"]]

    def by_hand(self):
        return [each["id"] for each in json.loads(self.kvmha("diff", "--json", ok=(0, 1)).out)["by_hand"]]

    def pids(self):
        return {(guest, node): self.qemu_pids(node, guest) for guest in self.guests for node in self.nodes}

    def refuses(self, *words, said):
        before = self.written()
        done = self.kvmha("apply", *words, ok=(1, 2))
        assert said in done.err
        assert self.written() == before

    def written(self):
        """Return the configuration without the counters of its versions."""
        return self.query().partition("<configuration>")[2].partition("</configuration>")[0]


@pytest.fixture(scope="module")
def bare(request):
    """Two nodes that have kvmha and no cluster."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root")
    host = Host()
    suite = os.environ.get("KVMHA_TEST_SUITE", "bookworm")
    lab = Lab(host, make_plan(f"apply-{os.getpid()}", nodes=2, suite=suite))
    try:
        lab.up(lambda _phase, _text: None, package=newest(request.config.rootpath), bare=True)
        yield Applied(lab, host)
    finally:
        lab.down()


def newest(root):
    return str(max((root / "dist").glob("*.deb"), key=lambda path: path.stat().st_mtime))


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


def assert_never_unfenced(bare):
    """Assert that guests run only where every fence device does."""
    status = bare.status("n1") if bare.run("n1", "pgrep", "pacemaker", ok=(0, 1)).rc == 0 else None
    if status is not None and any(bare.pids().values()):
        devices = [each for each in status.resources if each.name.startswith("fence-")]
        assert len(devices) == len(bare.nodes)
        assert all(each.nodes for each in devices)


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


def test_what_the_checks_refuse_needs_force_and_force_is_logged(cluster):
    cluster.describe("guests:", "properties: {stonith-enabled: 'false'}\nguests:")
    cluster.refuses(said="give --force to go on all the same")
    cluster.kvmha("apply", "--force")
    log = cluster.run("n1", "journalctl", "--identifier", "kvmha", "--output", "cat").out
    assert "cluster apply --force, against" in log


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


def test_without_a_cluster_and_without_pcs_it_says_what_to_do(bare):
    bare.describe()
    bare.run("n2", "mv", "/usr/sbin/pcs", "/usr/sbin/pcs.away")
    bare.run("n2", "mv", "/etc/corosync/corosync.conf", "/root/corosync.conf", ok=(0, 1))
    bare.lab.copy_in("n2", YAML, bare.text)
    try:
        done = bare.kvmha("apply", ok=(2,), node="n2")
        assert "pcs, which would set it up, is not installed; crmsh is" in done.err
    finally:
        bare.run("n2", "mv", "/usr/sbin/pcs.away", "/usr/sbin/pcs")
        bare.run("n2", "mv", "/root/corosync.conf", "/etc/corosync/corosync.conf", ok=(0, 1))
