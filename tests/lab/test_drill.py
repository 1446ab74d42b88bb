"""Drills on a real cluster, run from one of its nodes as an administrator does."""

from __future__ import annotations

import json
import os
import random
from xml.etree import ElementTree

import pytest

from kvmha.drill import catalogue, comparing, demands, faults, journal
from kvmha.drill.records import GUEST, NODE
from kvmha.lab.guest import domain_xml
from kvmha.record import plain
from tests import browser
from tests.lab.root_logins import root_logins

RUNNER, TARGET = "n1", "n2"
LIMIT = 400


@pytest.fixture(scope="module")
def logged_in(lab):
    """Root of the runner may log in on all others, also after they have booted anew; all fencing was tried."""
    with root_logins(lab, [RUNNER]):
        # What was proven is good for two days, and outlives its node: once is enough for all drills.
        for node in lab.plan.nodes:
            lab.run(node.name, "kvmha", "fence", "prove", "--here", "--count", "1", timeout=120)
        yield


class Drills:
    """The command, as it is typed on the runner."""

    def __init__(self, cluster):
        self.cluster = cluster

    def __call__(self, *words, ok=(0,), timeout=LIMIT):
        return self.cluster.run(RUNNER, "kvmha", "drill", *words, ok=ok, timeout=timeout)

    def target_words(self, name):
        """Return the options by which a drill is aimed."""
        drill = catalogue.find(name)
        words, whom = {
            NODE: (["--node", TARGET], TARGET), GUEST: (["--guest", self.guest], self.guest),
        }.get(drill.aim, ([], self.cluster.plan.name))  # fmt: skip
        return words + (["--destructive", "--confirm", whom] if drill.is_destructive else [])

    def run(self, name, *more):
        """Run a drill and return its outcome, whatever it is."""
        done = self("run", name, *self.target_words(name), *self.watched, *GATES, "--json", *more, ok=(0, 1))
        return json.loads(done.out)

    @property
    def guest(self):
        return next(guest.name for guest in self.cluster.plan.guests if guest.prefers == TARGET)

    @property
    def watched(self):
        return [f"--watch={guest.name}=tcp://{guest.address}:7000" for guest in self.cluster.plan.guests]


KILLED = """kvmha drill run link-cut --node n2 --hold 10 {gates} >/tmp/drill.log 2>&1 &
for _ in $(seq 100); do
    grep -q '"state": "struck"' {folder}/*-link-cut.json 2>/dev/null && break
    sleep 0.3
done
kill -KILL $!
wait
cat /tmp/drill.log
"""

GATES = ("--description", "/root/kvmha-cluster/cluster.yaml", "--despite", "room")
"""Nobody knows how much memory a container has."""


@pytest.fixture
def drill(cluster, logged_in):
    """The command, on a cluster that is well and whose fencing was tried."""
    return Drills(cluster)


def phases(outcome, subject):
    return [moment["phase"] for moment in outcome["moments"] if moment["subject"] == subject]


@pytest.mark.timeout(600)
def test_a_power_cut_is_fenced_measured_and_reported(drill, build):
    outcome = drill.run("power-cut")
    (build / "drill.json").write_text(json.dumps(outcome, indent=2))
    for suffix in ("html", "xml"):
        path = journal.path(outcome["id"], suffix)
        (build / f"drill.{suffix}").write_text(drill.cluster.run(RUNNER, "cat", path).out)
    assert (outcome["result"], outcome["breaches"]) == ("passed", []), outcome["said"]
    assert phases(outcome, TARGET) == ["fault", "lost", "decided", "fencing asked", "fenced", "node back"]
    assert set(phases(outcome, drill.guest)) == {
        "start asked", "process up", "domain runs", "agent done", "started", "answers",
    }  # fmt: skip
    (guest,) = [each for each in outcome["recoveries"] if each["name"] == drill.guest]
    fate = next(each for each in outcome["expected"]["fates"] if each["name"] == drill.guest)
    # What was not heard while this machine stood still is nobody's absence.
    assert guest["gap_s"] + outcome["stalled_s"] >= guest["answers"] - 1.0 > 0
    assert fate["how"] == "starts"
    ElementTree.fromstring((build / "drill.xml").read_text())
    assert drill.guest in drill("report").out
    assert outcome["id"] in drill("history").out
    told = {moment["phase"] for moment in outcome["moments"]}
    assert {"decided", "domain runs", "agent done"} <= told, "the scheduler, libvirt and our agent tell theirs"


@pytest.mark.slow
@pytest.mark.skipif(browser.why_not() is not None, reason=str(browser.why_not()))
def test_the_report_of_a_real_drill_is_read_in_a_browser(drill, build, tmp_path):
    """The pictures lie with the test's artefacts."""
    drill.run("power-cut")
    path = journal.path(json.loads(drill("report", "--json").out)["id"], "html")
    browser.look(tmp_path, drill.cluster.run(RUNNER, "cat", path).out, build, "drill")


@pytest.mark.timeout(600)
def test_a_cut_link_heals_although_the_runner_was_killed(drill):
    gates = " ".join(GATES)
    said = drill.cluster.run(
        RUNNER, "bash", "-c", KILLED.format(gates=gates, folder=journal.FOLDER), timeout=120, ok=None
    ).out
    rules = ("nft", "list", "table", "inet", faults.TABLE)
    assert drill.cluster.run(TARGET, *rules, ok=None).rc == 0, f"it was killed before it had done anything: {said}"
    gone = lambda: drill.cluster.run(TARGET, *rules, ok=None).rc != 0  # noqa: E731
    drill.cluster.wait("the target takes the rule away by itself", gone, limit=60)
    assert "had lost its runner" in drill("abort").out
    assert "no drill is under way" in drill("abort").out
    drill.cluster.wait("the cluster is well", drill.cluster.is_well)


def test_what_may_not_be_is_refused_with_the_reason_and_nothing_is_done(drill):
    before = drill.cluster.run(RUNNER, "ls", journal.FOLDER, ok=None).out
    cases = [
        (("run", "power-cut", "--node", RUNNER, "--destructive", "--confirm", RUNNER), "place: n1 is this very node"),
        (("run", "power-cut", "--node", TARGET), "say --destructive"),
        (("run", "power-cut", "--node", TARGET, "--destructive"), "nobody is there to be asked"),
        (("run", "power-cut", "--node", TARGET, "--destructive", "--confirm", "n3"), '"n3" is not n2'),
        (
            ("run", "power-cut", "--node", "n9", "--destructive", "--confirm", "n9"),
            "there is no node n9; the nodes are n1, n2, n3",
        ),
        (
            ("run", "qemu-killed", "--guest", "x", "--destructive", "--confirm", "x"),
            "there is no guest x; the guests are",
        ),
        (("run", "link-cut", "--node", TARGET, "--link", "5"), "there is no link 5; the links are 0, 1"),
    ]
    for words, said in cases:
        done = drill(*words, *GATES, ok=(2,))
        assert said in done.err, words
    assert drill.cluster.run(RUNNER, "ls", journal.FOLDER, ok=None).out == before
    assert drill.cluster.is_well()


def gates(drill, *words):
    """Return what keeps each gate closed, by its name, as the plan of a harmless drill has it."""
    told = json.loads(drill("plan", "link-cut", "--node", TARGET, "--json", *words, ok=(0, 1)).out)
    return {gate["name"]: f"{gate['said']}; {gate['remedy']}" for gate in told["gates"] if not gate["is_open"]}


@pytest.mark.slow
def test_a_move_past_the_cluster_closes_a_gate(drill):
    cluster, guest = drill.cluster, drill.guest
    order = f"virsh -q migrate --live --bandwidth 1 {guest} qemu+tcp://n3/system >/tmp/move.log 2>&1 &"
    busy = lambda: cluster.run(TARGET, "kvmha", "drill", "at-node", "hello").out  # noqa: E731
    assert "migration" not in gates(drill)
    cluster.run(TARGET, "sh", "-c", order)
    try:
        cluster.wait("libvirt moves it", lambda: "migration out" in busy(), limit=60)
        assert gates(drill)["migration"].startswith(f"migration out of {guest} is under way on {TARGET}")
        refused = drill("run", "link-cut", "--node", TARGET, *GATES, ok=(2,)).err
        assert "migration: migration out" in refused
        assert "let it end" in refused
    finally:
        cluster.run(TARGET, "virsh", "domjobabort", guest, ok=None)
        cluster.wait("it is over", lambda: "migration" not in busy(), limit=60)
    assert "migration" not in gates(drill)


@pytest.mark.slow
def test_a_backup_that_is_demanded_and_old_closes_a_gate(drill):
    run = drill.cluster.run
    assert "backup" not in gates(drill)
    said = gates(drill, "--backup-command", "echo the last one is of Friday; exit 1")["backup"]
    assert "left with 1: the last one is of Friday; make a backup first" in said
    assert "backup" not in gates(drill, "--backup-command", "true")
    try:
        run(RUNNER, "sh", "-c", f"mkdir -p /etc/kvmha; echo backup-file /tmp/backup.stamp >{demands.CONF}")
        assert "No such file" in gates(drill)["backup"]
        run(RUNNER, "touch", "--date=2 days ago", "/tmp/backup.stamp")
        assert "was written 2 days ago" in gates(drill)["backup"]
        run(RUNNER, "touch", "/tmp/backup.stamp")
        assert "backup" not in gates(drill)
        run(RUNNER, "sh", "-c", f"echo windows 1 >{demands.CONF}")
        assert "is not understood" in drill("plan", "link-cut", "--node", TARGET, ok=(2,)).err
    finally:
        run(RUNNER, "rm", "-f", demands.CONF, "/tmp/backup.stamp")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_power_cycle_proves_the_path_that_it_took(drill):
    words = ("kvmha", "fence", "prove", "--node", TARGET, "--power-cycle", *GATES, "--json")
    refused = drill.cluster.run(RUNNER, *words, "--confirm", "n3", ok=(2,), timeout=LIMIT)
    assert '"n3" is not n2: nothing was done' in refused.err
    told = json.loads(drill.cluster.run(RUNNER, *words, "--confirm", TARGET, timeout=LIMIT).out)
    assert told["power_cycle"]["result"] == "passed"
    assert {path["node"]: path["cycled_at"] is not None for path in told["paths"]} == {"n1": True, "n3": False}


LIMITS = """\
import sys, yaml
told = yaml.safe_load(open("/root/kvmha-cluster/cluster.yaml"))
for guest in told["guests"]:
    guest["recovery_limit"] = 100
yaml.safe_dump(told, open("/etc/kvmha/cluster.yaml", "w"))
"""


@pytest.mark.slow
def test_a_change_that_pushes_a_recovery_beyond_its_limit_is_told(drill):
    """A delay of fencing, as somebody may add it to a device, makes the guests of its node wait for longer."""
    cluster = drill.cluster
    run = cluster.run

    def alerts(kind="recovery-limit"):
        told = run(RUNNER, "journalctl", "--identifier=kvmha", "--output=json", "--no-pager", f"--since=@{begun}").out
        found = [json.loads(line) for line in told.splitlines()]
        return [each["MESSAGE"] for each in found if each.get("KVMHA_ALERT_KIND") == kind]

    begun = int(float(run(RUNNER, "date", "+%s").out))
    run(RUNNER, "python3", "-c", LIMITS)
    try:
        run(RUNNER, "kvmha", "rto", "--alert", "--description", "/etc/kvmha/cluster.yaml", ok=(0, 1), timeout=120)
        assert alerts() == []
        run(RUNNER, "systemctl", "start", "kvmha-rto.path")
        run(RUNNER, "pcs", "stonith", "update", f"fence-{TARGET}", "pcmk_delay_base=120s", timeout=120)
        (said,) = cluster.wait("people are told", alerts, limit=120)
        assert said.startswith(f"{drill.guest} would be away longer than the 100 s that were promised")
        assert "it was " in said
        assert "last written by " in said
    finally:
        run(RUNNER, "systemctl", "stop", "kvmha-rto.path", ok=None)
        run(RUNNER, "pcs", "stonith", "update", f"fence-{TARGET}", "pcmk_delay_base=", timeout=120)
        run(RUNNER, "rm", "-f", "/etc/kvmha/cluster.yaml", "/var/lib/kvmha/rto.json")


def ledger(cluster, guest):
    """Return how often a guest's absence was measured, and the last of them."""
    told = json.loads(cluster.run(RUNNER, "kvmha", "rto", "--json", timeout=120).out)
    (entry,) = [each for each in told if each["guest"] == guest]
    return entry["count"], entry["last_s"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_failure_is_measured_by_the_node_that_took_over(drill):
    """A node loses its power outside of any drill; nobody but the journals of the others tells of it."""
    cluster, guest = drill.cluster, drill.guest
    before, _ = ledger(cluster, guest)
    cut = cluster.host.now()
    cluster.lab.power(TARGET, "off")
    others = {RUNNER, "n3"}
    runs_there = lambda: set(cluster.places(RUNNER).get(guest) or {TARGET}) <= others  # noqa: E731
    cluster.wait("its guest runs elsewhere", lambda: runs_there() and cluster.boot_id(guest))
    answered = cluster.host.now() - cut
    cluster.restore()
    count, seconds = ledger(cluster, guest)
    assert count == before + 1, "it was not seen, or twice"
    assert 0 < seconds < answered + 3.0
    assert ledger(cluster, guest) == (count, seconds), "what was read once is not counted again"


DISK = "/var/lib/kvmha-test.disk"


@pytest.fixture
def with_disk(drill):
    """Return a function that gives the target's guest a disk of its node and a guest agent, and starts it anew."""
    cluster, guest = drill.cluster, drill.guest
    config = f"/etc/kvmha/guests/{guest}.xml"
    before = cluster.run(TARGET, "cat", config).out

    def start_anew(xml):
        cluster.run(TARGET, "sh", "-c", f"cat >{config}", given=xml)
        cluster.run(RUNNER, "crm_resource", "--restart", "--resource", guest, timeout=200)
        cluster.wait("the cluster is well", cluster.is_well)

    def given(mark=""):
        kvm = "<domain type='kvm'" in before
        xml = domain_xml(cluster.plan.guest(guest), suite=cluster.plan.suite, kvm=kvm, has_agent=True, disk=DISK)
        cluster.run(TARGET, "sh", "-c", f"rm -f {DISK}*; truncate -s 32M {DISK}")
        start_anew(xml.replace("<target dev='vda'", f"{mark}<target dev='vda'"))
        address = cluster.plan.guest(guest).address
        cluster.wait("the guest answers", lambda: cluster.boot_id(guest))
        return f"--writes={guest}=tcp://{address}:7000"

    yield given
    start_anew(before)
    cluster.run(TARGET, "sh", "-c", f"rm -f {DISK}*")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_that_a_guest_has_acknowledged_is_lost_with_its_qemu(drill, with_disk):
    outcome = drill.run("qemu-killed", with_disk())
    assert (outcome["result"], outcome["breaches"]) == ("passed", []), outcome["said"]
    (written,) = outcome["written"]
    assert (written["name"], written["lost"], written["said"]) == (drill.guest, [], "")
    assert written["acknowledged"] > 10
    assert "guest agent" in phases(outcome, drill.guest)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_guest_whose_disk_forgets_breaks_an_invariant(drill, with_disk):
    """libvirt throws away what was written to a transient disk when its guest ends, however it does."""
    outcome = drill.run("qemu-killed", with_disk("<transient/>"))
    assert outcome["result"] == "broken", outcome["said"]
    assert [each["rule"] for each in outcome["breaches"]] == ["acknowledged"]
    assert f"records that {drill.guest} had acknowledged are lost" in outcome["said"]


ABORTED = """\
kvmha drill run link-cut --node n2 --hold {hold} {gates} --json >/tmp/drill.json 2>/tmp/drill.log &
for _ in $(seq 200); do
    grep -q '"state": "{state}"' {folder}/*-link-cut.json 2>/dev/null && break
    sleep 0.1
done
kvmha drill at-node hello
kvmha drill list >/dev/null
kvmha drill abort
wait
"""


@pytest.mark.slow
@pytest.mark.parametrize(("state", "hold"), [(journal.STRUCK, 200), (journal.UNDONE, 2)])
def test_a_drill_that_is_aborted_is_undone_and_says_so(drill, state, hold):
    drill.cluster.run(RUNNER, "sh", "-c", f"rm -f {journal.FOLDER}/*-link-cut.*")
    script = ABORTED.format(gates=" ".join(GATES), folder=journal.FOLDER, state=state, hold=hold)
    said = drill.cluster.run(RUNNER, "bash", "-c", script, timeout=200, ok=None).out
    assert json.loads(said.splitlines()[0])["drill"].endswith("-link-cut"), "the other nodes hear of it"
    assert "ending the drill" in said
    assert "no drill is under way" in said
    rules = ("nft", "list", "table", "inet", faults.TABLE)
    assert drill.cluster.run(TARGET, *rules, ok=None).rc != 0
    outcome = json.loads(drill.cluster.run(RUNNER, "cat", "/tmp/drill.json").out)
    assert (outcome["result"], outcome["breaches"]) == ("aborted", [])
    assert outcome["took_s"] < 150


@pytest.mark.slow
def test_a_guest_that_runs_twice_is_told_within_ten_seconds(drill):
    """A second copy of a guest is started past the cluster, on another node."""
    cluster = drill.cluster
    guest = next(guest for guest in cluster.plan.guests if guest.prefers == RUNNER)
    observe = "kvmha double-run --seconds 30 --json >/tmp/twice.json 2>&1 & sleep 6; echo; wait $!; cat /tmp/twice.json"
    copy = f"virsh -q create /etc/kvmha/guests/{guest.name}.xml"
    start = f"sleep 12; {copy}; date +%s.%N; sleep 14; virsh -q destroy {guest.name}"
    cluster.run(TARGET, "sh", "-c", f"({start}) >/tmp/copy.log 2>&1 &")
    said = cluster.run(RUNNER, "sh", "-c", observe, timeout=120, ok=None).out
    found = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    begun = float(cluster.run(TARGET, "cat", "/tmp/copy.log").out.split()[0])
    assert {each["subject"].split()[0] for each in found} == {"guest", "MAC"}
    assert guest.uuid in found[0]["subject"]
    assert found[0]["at"] - begun < 10
    journal_of = ("journalctl", "--identifier=kvmha", "--output=json", "--no-pager", f"--since=@{begun:.0f}")
    told = [json.loads(line) for line in cluster.run(RUNNER, *journal_of).out.splitlines()]
    alerts = [each for each in told if each.get("KVMHA_ALERT_KIND") == "double-run"]
    assert int(alerts[0]["__REALTIME_TIMESTAMP"]) / 1e6 - begun < 10
    cluster.wait("the cluster is well", cluster.is_well)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_that_never_comes_back_is_told_and_the_drill_ends_by_its_limit(drill):
    """It boots after it was fenced, but nobody starts the cluster there."""
    cluster = drill.cluster
    cluster.run(TARGET, "systemctl", "--quiet", "disable", "corosync", "pacemaker")
    start = ("systemctl", "--quiet", "enable", "--now", "corosync", "pacemaker")
    try:
        outcome = drill.run("power-cut", "--limit", "60")
    finally:
        cluster.lab.power(TARGET, "on")
        cluster.wait("it has booted", lambda: cluster.run(TARGET, *start, ok=None).rc == 0, limit=90)
    cluster.restore()
    assert (outcome["result"], outcome["breaches"]) == ("late", []), outcome["said"]
    assert f"{TARGET} is not back" in outcome["said"]
    assert {each["name"] for each in outcome["recoveries"]} >= {drill.guest}, "what it ran came back all the same"
    assert outcome["took_s"] < 200


SECOND_COPY = """\
for _ in $(seq 300); do [ -e {state} ] && break; sleep 0.2; done
sleep 2
virsh -q create /etc/kvmha/guests/{guest}.xml
sleep 15
virsh -q destroy {guest}
"""


@pytest.mark.slow
def test_a_second_copy_of_a_guest_ends_a_drill_at_once(drill):
    """It is started past the cluster while a link is cut, which is whole again long before its time."""
    cluster = drill.cluster
    guest = next(guest.name for guest in cluster.plan.guests if guest.prefers == RUNNER)
    script = SECOND_COPY.format(state=faults.STATE, guest=guest)
    begun = int(float(cluster.run(RUNNER, "date", "+%s").out))
    cluster.run(TARGET, "sh", "-c", f"({script}) >/tmp/copy.log 2>&1 &")
    outcome = drill.run("link-cut", "--hold", "200")
    assert outcome["result"] == "broken", outcome["said"]
    assert any(f"guest {guest} " in each["subject"] for each in outcome["breaches"]), outcome["breaches"]
    assert outcome["took_s"] < 150, "it was held to its end"
    assert cluster.run(TARGET, "nft", "list", "table", "inet", faults.TABLE, ok=None).rc != 0
    journal_of = ("journalctl", "--identifier=kvmha", "--output=json", "--no-pager", f"--since=@{begun}")
    told = [json.loads(line) for line in cluster.run(RUNNER, *journal_of).out.splitlines()]
    assert "drill-broken" in {each.get("KVMHA_ALERT_KIND") for each in told}
    cluster.wait("the cluster is well", cluster.is_well)


SEED = int(os.environ.get("KVMHA_DRILL_SEED", str(random.SystemRandom().randrange(10**6))))
RUNS = int(os.environ.get("KVMHA_DRILLS", "20"))


def chosen(drill, chance):
    """Return a drill at random that these nodes can do: what needs their own kernel, or DRBD, says so beforehand."""
    names = [each.name for each in catalogue.DRILLS]
    while True:
        name = chance.choice(names)
        words = [word for word in drill.target_words(name) if word != "--destructive"]
        aim = words[: words.index("--confirm")] if "--confirm" in words else words
        told = json.loads(drill("plan", name, *aim, *GATES[:2], "--json", ok=(0, 1)).out)
        closed = {gate["name"]: gate["said"] for gate in told["gates"] if not gate["is_open"]}
        closed.pop("room", None)
        if not closed:
            return name
        assert set(closed) == {"target"}, f"before {name}: {closed}"
        print(f"{name} is passed over: {closed['target']}")
        names.remove(name)


@pytest.mark.slow
@pytest.mark.timeout(RUNS * 300)
def test_many_drills_in_a_row_break_no_invariant(drill, build):
    """At random from a seed that is printed; KVMHA_DRILL_SEED runs the same again, KVMHA_DRILLS fewer or more."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    outcomes = []
    for _ in range(RUNS):
        name = chosen(drill, chance)
        made = drill.run(name)
        outcomes.append(made)
        print(f"{made['id']}: {made['result']} {made['said']} ({made['took_s']:.0f} s)")
        assert not made["breaches"], (SEED, name, made["breaches"])
        drill.cluster.restore()
    figures = comparing.figures([journal.outcome_of(each) for each in outcomes])
    (build / "drills.json").write_text(json.dumps({"seed": SEED, "figures": plain(figures), "outcomes": outcomes}))
    print(
        f"{figures.runs} drills, {figures.passed} passed; mean time to recovery {figures.mean_recovery_s} s, "
        f"{figures.failures_per_minute} failures per minute"
    )
    assert [each["result"] for each in outcomes] == ["passed"] * RUNS, (SEED, [each["said"] for each in outcomes])
