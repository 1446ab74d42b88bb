"""The steps of an application, on a cluster in memory that takes changes as Pacemaker does, killed at every one."""

from __future__ import annotations

import base64
import json
import os
import syslog

import pytest

from kvmha.cli.main import main
from kvmha.cluster import apply, apply_plan, corosync_items, description, set_up, set_up_by_ssh
from kvmha.host import CommandFailed, Completed
from kvmha.tools import cib, corosync_conf
from kvmha.tools.cib import editing
from tests.fakes import FakeHost
from tests.unit.cluster.test_difference import EXAMPLES, YAML

NOTHING = "<pacemaker-result><actions/><transition/></pacemaker-result>"
RESTART = """<pacemaker-result><actions><rsc_action action="restart" resource="web1" node="n1"
reason="resource definition change"/></actions><transition/></pacemaker-result>"""


FILES = ("conf", "key", "other")

START = RESTART.replace("restart", "start")


def when_new(answer):
    """Return a scheduler that gives this answer to the new configuration only."""
    return lambda given: answer if "/etc/new.xml" in given else NOTHING


class Killed(BaseException):
    """The run was ended from outside."""


class ClusterInMemory(FakeHost):
    """A node of a cluster: pcs makes it, cibadmin changes it, and what is in it runs, but for what is broken."""

    def __init__(self, text=YAML):
        super().__init__()
        self.text = text
        self.files["/root/cluster.yaml"] = text.encode()
        self.root = None
        self.draft = ""
        self.broken = set()
        self.starting = set()
        self.changes = 0
        self.dies_after = 0
        self.simulated = lambda _cib: NOTHING
        self.quorum = "true"
        self.refuses_setup = ""
        self.away = set()
        self.installed = {"pcs", "crm"}
        self.by_name = {}
        self.unreachable = set()
        self.seen = []

    def which(self, program):
        return f"/usr/bin/{program}" if program in self.installed else None

    def describe(self, old, new):
        assert old in self.text
        self.text = self.text.replace(old, new)
        self.files["/root/cluster.yaml"] = self.text.encode()
        return self

    def run(self, *argv, timeout, ok=(0,), given="", env=None):
        self.ran.append(argv)
        refused = self.refuses_setup if argv[:3] == ("pcs", "cluster", "setup") else ""
        if argv[0] == "ssh" and argv[-2].partition("@")[2] in self.unreachable:
            rc, out, refused = 255, "", "Permission denied (publickey)."
        else:
            rc, out = (1, "") if refused else self._answer(argv, given)
        done = Completed(argv=argv, rc=rc, out=out, err=refused)
        if ok is not None and rc not in ok:
            raise CommandFailed(done)
        if "--patch" in argv or argv[0] in ("pcs", "ssh", "sh"):
            self.changes += 1
            self.seen.append(self.standing())
            if self.changes == self.dies_after:
                raise Killed
        return done

    def _answer(self, argv, given):
        if argv == ("cibadmin", "--query"):
            return (102, "") if self.root is None else (0, cib.text_of(self.root))
        if argv[0] == "crm_diff":
            self.draft = self.read(argv[4])
            return 1, "a patch"
        if argv[0] == "cibadmin":
            before = self.running()
            self.root = cib.tree(self.draft)
            self.starting = self.running() - before
        elif argv[:2] == ("crm_resource", "--wait"):
            self.starting = set()
        elif argv[0] == "crm_mon":
            return 0, self._crm_mon()
        elif argv[0] == "crm_simulate":
            return 0, self.simulated(given)
        elif argv[:3] == ("pcs", "cluster", "setup"):
            wanted = apply_plan.of(description.read(self.text, ""))
            self.files[corosync_conf.PATH] = wanted.corosync.encode()
        elif argv[:3] == ("pcs", "cluster", "start"):
            self.root = self.root if self.root is not None else cib.tree(apply_plan.EMPTY)
        elif argv[0] == "crm_verify":
            # What it calls a warning where the state of the nodes is given as well.
            return (78, "warning: Scheduling node n2 for fencing") if "<node_state" in given else (0, "")
        elif argv[0] in ("ssh", "sh"):
            return 0, self._by_ssh(argv, given)
        elif argv[0] not in ("pcs", "crm_resource", "corosync-cfgtool"):
            raise AssertionError(f"nobody scripted {argv}")
        return 0, ""

    def _by_ssh(self, argv, given):
        """Do on a node what a script says, whose files are kept by the node's name."""
        name = "n1" if argv[0] == "sh" else argv[-2].partition("@")[2]
        files = self.by_name.setdefault(name, dict.fromkeys(FILES, b""))
        if argv[-1] == set_up_by_ssh.LOOK:
            return "".join(f"file {base64.b64encode(content).decode()}\n" for content in files.values())
        if argv[-1] == set_up_by_ssh.PUT:
            conf, key, other = map(base64.b64decode, given.splitlines())
            files.update(conf=conf, key=key, other=other)
        elif argv[-1] == set_up_by_ssh.PUT_CONF:
            files["conf"] = given.encode()
        else:
            assert argv[-1].endswith("systemctl start corosync pacemaker")
            assert all(each["key"] == files["key"] != b"" for each in self.by_name.values())
            self.root = self.root if self.root is not None else cib.tree(apply_plan.EMPTY)
        self.files[corosync_conf.PATH] = self.by_name["n1"]["conf"]
        return ""

    def _crm_mon(self):
        nodes = "".join(
            f'<node name="{name}" online="{str(name not in self.away).lower()}" unclean="false" standby="false"/>'
            for name in ("n1", "n2")
        )
        running = "".join(
            f'<resource id="{name}" active="true" failed="false" role="Started"><node name="n1"/></resource>'
            for name in sorted(self.running())
        )
        return (
            f'<pacemaker-result><summary><current_dc with_quorum="{self.quorum}"/></summary><nodes>{nodes}</nodes>'
            f"<resources>{running}</resources></pacemaker-result>"
        )

    def running(self):
        """Return the ids of what runs: all that is not broken, and has had the time to start."""
        found = () if self.root is None else cib.read(cib.text_of(self.root)).primitives()
        return {each.id for each in found} - self.broken - self.starting

    def standing(self):
        """Return the ids of the fence devices and of the guests that are in the configuration."""
        found = () if self.root is None else cib.read(cib.text_of(self.root)).primitives()
        devices = {each.id for each in found if each.is_fence_device}
        return devices, {each.id for each in found} - devices

    def live(self):
        return cib.read(cib.text_of(self.root)).replace(attributes={})

    def kvmha(self, *words):
        return main(["cluster", words[0], "/root/cluster.yaml", *words[1:]], self)

    def change(self, name, tag, key, value):
        editing.set_value(self.root, editing.element(self.root, name), tag, key, value)


@pytest.fixture(autouse=True)
def password(monkeypatch):
    monkeypatch.setenv("HACLUSTER_PASSWORD", "x")


@pytest.fixture(autouse=True)
def no_checks(monkeypatch):
    """Leave the arithmetic to its own tests; this description is not about times."""
    monkeypatch.setattr("kvmha.cli.cluster_apply._wrong", lambda _wanted: ())


@pytest.fixture
def made(capsys):
    host = ClusterInMemory()
    assert host.kvmha("apply") == 0
    capsys.readouterr()
    host.ran.clear()
    host.seen.clear()
    host.changes = 0
    return host


def is_done(host):
    wanted = apply_plan.of(description.read(host.text, ""))
    return not apply_plan.compare(host, wanted, host.live(), ()).to_do()


def test_the_first_set_up_killed_after_every_step_and_run_again_is_the_same_in_the_end():
    quiet = ClusterInMemory()
    assert quiet.kvmha("apply") == 0
    # Trust, set-up, at boot, start, fencing, the rest.
    assert quiet.changes >= 6
    for step in range(1, quiet.changes + 1):
        host = ClusterInMemory()
        host.dies_after = step
        with pytest.raises(Killed):
            host.kvmha("apply")
        assert host.kvmha("apply") == 0
        assert is_done(host)
        assert host.live() == quiet.live()
        assert all({"fence-n1", "fence-n2"} <= devices for devices, guests in host.seen if guests)


@pytest.fixture
def crowded(made, monkeypatch):
    """A cluster, a description with a change, what stands in the log, and what admission was told of each run."""
    logged, told = [], []

    def against(_host, _plan, *, name, is_overridden):
        told.append((name, is_overridden))
        return ("n1: short of 3 GiB for web1",)

    monkeypatch.setattr("kvmha.cli.cluster_admission.against", against)
    monkeypatch.setattr("syslog.syslog", lambda priority, said: logged.append((priority, said)))
    made.describe("prefers: n1", "prefers: n2")
    return made, logged, told


def test_a_change_that_takes_a_guests_place_is_refused_and_changes_nothing(crowded, capsys):
    host, logged, _ = crowded
    assert host.kvmha("apply") == 2
    err = capsys.readouterr().err
    assert "n1: short of 3 GiB for web1; --override applies it all the same; nothing was changed" in err
    assert (host.changes, logged) == (0, [])


def test_what_is_done_against_that_is_in_the_systems_log_and_in_the_journal(crowded):
    host, logged, told = crowded
    assert host.kvmha("apply", "--override") == 0
    assert is_done(host)
    assert logged == [(syslog.LOG_WARNING, "cluster apply --override, against n1: short of 3 GiB for web1")]
    assert [is_overridden for _, is_overridden in told] == [True]


def test_what_is_only_looked_at_or_refused_for_another_reason_overrides_nothing(crowded, monkeypatch):
    host, logged, told = crowded
    assert host.kvmha("apply", "--override", "--dry-run") == 1
    monkeypatch.setattr("kvmha.cluster.apply.why_refused", lambda *_words, **_more: "web1 would restart")
    assert host.kvmha("apply", "--override") == 2
    assert (logged, [is_overridden for _, is_overridden in told], host.changes) == ([], [False, False], 0)


def test_guests_come_after_fence_devices_that_run():
    host = ClusterInMemory()
    host.kvmha("apply")
    assert all({"fence-n1", "fence-n2"} <= devices for devices, guests in host.seen if guests)
    assert any(devices and not guests for devices, guests in host.seen)


def test_a_fence_device_that_does_not_start_keeps_guests_away(capsys):
    host = ClusterInMemory()
    host.broken = {"fence-n2"}
    assert host.kvmha("apply") == 1
    assert host.standing()[1] == set()
    assert "fencing does not work (fence-n2: not started); no guest was touched" in capsys.readouterr().err
    assert host.kvmha("apply", "--force") == 0
    assert "web1" in host.standing()[1]


def test_fence_devices_that_were_made_just_before_a_kill_are_given_the_time_to_start():
    for step in range(1, 100):
        host = ClusterInMemory()
        host.dies_after = step
        with pytest.raises(Killed):
            host.kvmha("apply")
        if host.standing()[0]:
            break
    assert host.starting == {"fence-n1", "fence-n2"}
    host.dies_after = 0
    assert host.kvmha("apply") == 0


def test_a_second_application_changes_nothing(made):
    assert made.kvmha("apply") == 0
    assert made.changes == 0


@pytest.mark.parametrize("steps", range(1, 7))
def test_a_changed_fence_device_is_tried_first_and_never_missing(made, steps):
    made.describe("geheim-1", "neu")
    made.dies_after = steps
    try:
        made.kvmha("apply")
    except Killed:
        made.dies_after = 0
        assert made.kvmha("apply") == 0
    trials = [devices for devices, _guests in made.seen if "fence-n1-kvmha-trial" in devices]
    assert trials
    assert all({"fence-n1", "fence-n2"} <= devices for devices, _guests in made.seen)
    assert made.live().resource("fence-n1").params["password"] == "neu"
    assert made.standing()[0] == {"fence-n1", "fence-n2"}


def test_a_changed_fence_device_that_fails_its_trial_changes_nothing(made, capsys):
    before = made.live()
    made.describe("geheim-1", "neu").describe("migration_speed: 50", "migration_speed: 60")
    made.broken = {"fence-n1-kvmha-trial"}
    for words in ((), ("--force",)):
        assert made.kvmha("apply", *words) == 1
        assert made.live() == before
    said = capsys.readouterr()
    assert "what was there fences on" in said.err
    assert "neu" not in said.out + said.err


def test_a_device_is_tried_again_although_the_cluster_remembers_the_trial_before(made):
    made.describe("geheim-1", "neu")
    made.root.find("status").append(made.root.makeelement("lrm_resource", {"id": "fence-n1-kvmha-trial"}))
    assert made.kvmha("apply") == 0
    assert any("fence-n1-kvmha-trial" in devices for devices, _guests in made.seen)


def test_what_is_no_longer_described_is_stopped_before_it_is_removed_killed_at_every_step(made):
    made.describe("  - {name: web2, config: /etc/web2.xml, prefers: n2, options: {migration_transport: tcp}}\n", "")
    stopped = []
    for step in (1, 2, 3, 99):
        made.changes, made.dies_after = 0, step
        try:
            made.kvmha("apply")
        except Killed:
            there = made.live().resource("web2")
            stopped += [there is None or there.meta.get("target-role") == "Stopped"]
    assert stopped
    assert all(stopped)
    assert made.live().resource("web2") is None
    assert is_done(made)


def test_a_restart_is_refused_unless_it_is_allowed(made, capsys):
    made.describe("config: /etc/web1.xml", "config: /etc/new.xml").simulated = when_new(RESTART)
    assert made.kvmha("apply") == 2
    assert "it would restart web1 (resource definition change); give --allow-restart" in capsys.readouterr().err
    assert made.changes == 0
    assert made.kvmha("apply", "--allow-restart") == 0
    assert made.live().resource("web1").params["config"] == "/etc/new.xml"


@pytest.mark.parametrize("simulated", [lambda _cib: RESTART, when_new(START)])
def test_what_the_cluster_does_anyway_and_what_only_starts_is_no_reason_to_refuse(made, simulated):
    made.describe("config: /etc/web1.xml", "config: /etc/new.xml").simulated = simulated
    assert made.kvmha("apply") == 0


def test_without_quorum_nothing_is_changed(made, capsys):
    made.describe("config: /etc/web1.xml", "config: /etc/new.xml").quorum = "false"
    assert made.kvmha("apply") == 1
    assert "no quorum" in capsys.readouterr().err
    assert made.changes == 0


def test_a_node_that_is_down_is_named_and_does_not_speak_against_its_fence_device(made, capsys):
    made.away = {"n2"}
    # The device of n1 runs on n2 only.
    made.broken = {"fence-n1"}
    made.describe("config: /etc/web1.xml", "config: /etc/new.xml")
    assert made.kvmha("apply") == 0
    assert "n2 is not online, and gets the configuration when it joins" in capsys.readouterr().out
    assert made.live().resource("web1").params["config"] == "/etc/new.xml"
    made.broken = {"fence-n2"}
    made.describe("config: /etc/new.xml", "config: /etc/web1.xml")
    assert made.kvmha("apply") == 1


def test_a_dry_run_changes_nothing_and_says_what_would_be_refused(made, capsys):
    made.describe("config: /etc/web1.xml", "config: /etc/new.xml").simulated = when_new(RESTART)
    assert made.kvmha("apply", "--dry-run") == 1
    out = capsys.readouterr().out
    assert "changed: primitive web1" in out
    assert "would be refused: it would restart web1" in out
    assert made.changes == 0


def test_differences_as_json_without_passwords(made, capsys):
    made.describe("geheim-1", "neu")
    made.change("web1", "instance_attributes", "migration_speed", "7")
    assert made.kvmha("diff", "--json") == 1
    out = capsys.readouterr().out
    found = json.loads(out)
    assert [each["id"] for each in found["to_do"]] == ["fence-n1"]
    assert [(each["id"], each["kept"][0]["live"]) for each in found["by_hand"]] == [("web1", "7")]
    assert "neu" not in out
    assert "geheim" not in out


def test_without_a_cluster_it_says_what_would_make_one(capsys):
    host = ClusterInMemory()
    assert host.kvmha("diff") == 1
    out = capsys.readouterr().out
    assert "no cluster runs on this node: it would be set up" in out
    assert "pcs cluster setup demo n1 addr=10.0.0.1 n2 addr=10.0.0.2 transport knet" in out


@pytest.fixture
def without_pcs(monkeypatch):
    """A node n1 without a cluster, where crmsh is the tool, and nobody has set a password."""
    monkeypatch.delenv("HACLUSTER_PASSWORD")
    monkeypatch.setattr("os.uname", lambda: os.uname_result(("Linux", "n1", "", "", "")))
    host = ClusterInMemory()
    host.installed = {"crm", "ssh"}
    return host


def test_without_pcs_the_nodes_are_reached_by_ssh_killed_after_every_step(made, without_pcs):
    for killed in range(1, 100):
        without_pcs.changes, without_pcs.dies_after = 0, killed
        try:
            assert without_pcs.kvmha("apply") == 0
            break
        except Killed:
            keys = {each["key"] for each in without_pcs.by_name.values()} - {b""}
            assert len(keys) <= 1
    # Two nodes are looked at, configured and started; the other steps are those of every application.
    assert killed >= 6
    assert without_pcs.live() == made.live()
    assert {name: each["conf"] for name, each in without_pcs.by_name.items()} == dict.fromkeys(
        ("n1", "n2"), made.files[corosync_conf.PATH]
    )
    assert all(len(each[name]) >= 128 for each in without_pcs.by_name.values() for name in ("key", "other"))
    assert not [argv for argv in without_pcs.ran if argv[0] == "pcs"]


def test_no_key_shows_among_the_arguments(without_pcs):
    assert without_pcs.kvmha("apply") == 0
    key = without_pcs.by_name["n2"]["key"].decode()
    said = " ".join(word for argv in without_pcs.ran for word in argv)
    assert key not in said
    assert base64.b64encode(key.encode()).decode() not in said


def test_a_key_that_a_node_has_already_becomes_that_of_all(without_pcs):
    without_pcs.by_name["n2"] = {"conf": b"", "key": b"k" * 200, "other": b"o" * 200}
    assert without_pcs.kvmha("apply") == 0
    assert {each["key"] for each in without_pcs.by_name.values()} == {b"k" * 200}
    assert {each["other"] for each in without_pcs.by_name.values()} == {b"o" * 200}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda host: host.unreachable.add("n2"),
            "n2 cannot be reached by ssh as root: Permission denied (publickey).; let root log in there", id="ssh",
        ),
        pytest.param(
            lambda host: host.by_name.update(
                n2={"conf": b"totem {\ncluster_name: far\n}\n", "key": b"", "other": b""}
            ),
            'n2 is in the cluster "far": run it on a node of the cluster that is described', id="foreign",
        ),
        pytest.param(
            lambda host: host.by_name.update(n2={"conf": b"totem {\n", "key": b"", "other": b""}),
            "n2: /etc/corosync/corosync.conf: line 1: the section totem has no end", id="broken",
        ),
        pytest.param(
            lambda host: host.describe("cluster: demo\n", "cluster: demo\nquorum: {device: {host: 10.0.0.9}}\n"),
            "run: corosync-qdevice-net-certutil -Q -n demo 10.0.0.9 n1 n2; then", id="certificates",
        ),
        pytest.param(lambda host: host.installed.clear(), "neither pcs nor ssh is installed", id="neither"),
    ],
)  # fmt: skip
def test_without_pcs_and_without_a_way_nothing_is_written(without_pcs, capsys, change, said):
    change(without_pcs)
    before = dict(without_pcs.by_name)
    assert without_pcs.kvmha("apply") == 2
    assert said in capsys.readouterr().err
    assert {name: each for name, each in without_pcs.by_name.items() if any(each.values())} == before


def test_without_pcs_corosync_takes_over_new_times_on_all_nodes(without_pcs, capsys):
    assert without_pcs.kvmha("apply") == 0
    without_pcs.describe("cluster: demo\n", "cluster: demo\ntiming: {token: 4000, consensus: 4900}\n")
    assert without_pcs.kvmha("apply") == 0
    assert ("corosync-cfgtool", "-R") in without_pcs.ran
    for each in without_pcs.by_name.values():
        totem = corosync_conf.parse(each["conf"].decode()).section("totem")
        assert (totem.value("token"), totem.value("consensus")) == ("4000", "4900")
    assert "token" not in " ".join(each["id"] for each in diff(without_pcs, capsys)["to_do"])


def diff(host, capsys):
    capsys.readouterr()
    host.kvmha("diff", "--json")
    return json.loads(capsys.readouterr().out)


def test_what_debian_leaves_behind_is_known(made, capsys):
    made.files[corosync_conf.PATH] = (
        b"totem {\ncluster_name: debian\n}\nnodelist {\nnode {\nring0_addr: 127.0.0.1\n}\n}\n"
    )
    assert made.kvmha("apply") == 2
    assert "take it away on every node, with pcs cluster destroy" in capsys.readouterr().err


def test_corosync_keeps_its_times_while_a_node_is_away(made, capsys):
    made.describe("cluster: demo\n", "cluster: demo\ntiming: {token: 4000, consensus: 4900}\n")
    made.away = {"n2"}
    assert made.kvmha("apply") == 0
    said = "left to do: corosync.conf: totem.token is to be 4000; all nodes are needed, and n2 is away"
    assert said in capsys.readouterr().out
    assert not [argv for argv in made.ran if argv[:3] == ("pcs", "cluster", "config")]
    made.away = set()
    assert made.kvmha("apply") == 0
    assert [argv for argv in made.ran if argv[:3] == ("pcs", "cluster", "config")]


@pytest.mark.parametrize(
    ("said", "times", "rc"),
    [
        ("n2: Connection timeout, try setting higher timeout with --request-timeout option", 3, 2),
        ("n2: The host seems to be in a cluster already", 1, 2),
    ],
)
def test_pcs_is_asked_again_where_it_gave_a_busy_node_up(said, times, rc, capsys):
    host = ClusterInMemory()
    host.refuses_setup = said
    assert host.kvmha("apply") == rc
    assert len([argv for argv in host.ran if argv[:3] == ("pcs", "cluster", "setup")]) == times
    assert f"pcs cluster setup said: {said}" in capsys.readouterr().err
    host.refuses_setup = ""
    assert host.kvmha("apply") == 0


def test_without_the_password_it_is_asked_for(monkeypatch, capsys):
    monkeypatch.delenv("HACLUSTER_PASSWORD")
    assert ClusterInMemory().kvmha("apply") == 2
    assert "set HACLUSTER_PASSWORD" in capsys.readouterr().err


def test_corosync_takes_over_what_it_can_and_the_rest_is_named(made, capsys):
    made.describe("cluster: demo\n", "cluster: demo\ntiming: {token: 4000, consensus: 4900}\n")
    made.describe("timing:", "network: {crypto_cipher: aes128}\ntiming:")
    assert made.kvmha("apply") == 0
    out = capsys.readouterr().out
    (argv,) = [argv for argv in made.ran if argv[:4] == ("pcs", "cluster", "config", "update")]
    assert "token=4000" in argv
    said = "left to do: corosync.conf: totem.crypto_cipher is to be aes128; corosync has to be started anew"
    assert said in out


def test_a_node_of_another_cluster_is_left_alone(made, capsys):
    made.describe("cluster: demo", "cluster: other")
    assert made.kvmha("apply") == 2
    assert 'this node is in the cluster "demo"' in capsys.readouterr().err


def test_overwrite_has_to_name_something(made, capsys):
    assert made.kvmha("apply", "--overwrite", "web9") == 2
    assert "names nothing that was changed by hand; there is: nothing" in capsys.readouterr().err


@pytest.mark.parametrize("example", EXAMPLES)
def test_pcs_is_told_all_of_a_corosync_conf(example, checkout):
    text = (checkout / "cluster-templates" / example / "cluster.yaml").read_text()
    wanted = apply_plan.of(description.read(text, example))
    argv = set_up.setup_argv(wanted)
    root = corosync_conf.parse(wanted.corosync)
    assert argv[:4] == ("pcs", "cluster", "setup", root.section("totem").value("cluster_name"))
    said = {word.partition("=")[2] for word in argv} | {*argv}
    left = {
        name
        for name, value in corosync_items.fields(root).items()
        if value not in said and not name.startswith("quorum") and not name.endswith(".nodeid")
    }
    assert left == set()
    assert bool(root.section("quorum").all("device")) == bool(set_up.device_argv(wanted)[4:-2])


def test_a_node_that_waits_for_its_fencing_speaks_against_no_configuration(made):
    made.root.find("status").append(made.root.makeelement("node_state", {"id": "2", "uname": "n2"}))
    made.describe("cluster: demo\n", "cluster: demo\nproperties: {cluster-recheck-interval: 7min}\n")
    assert made.kvmha("apply") == 0
    assert made.live().properties["cluster-recheck-interval"] == "7min"


def test_what_pacemaker_would_not_take_is_refused(made):
    plan = apply_plan.make(made, apply_plan.of(description.read(made.text, "")))
    assert apply.why_refused(plan, allows_restart=False) is None
    assert "no such thing" in apply.why_refused(plan.replace(refused=("no such thing",)), allows_restart=True)
