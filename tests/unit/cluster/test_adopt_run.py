"""The steps of an adoption, on a cluster in memory: killed at every one, and with agents that find something else."""

from __future__ import annotations

import json

import pytest

from kvmha.cli.main import main
from kvmha.cluster import adopt
from kvmha.host import CommandFailed, Completed
from kvmha.tools import cib, crm_simulate
from kvmha.tools.cib import editing
from tests.fakes import FakeHost
from tests.unit.cluster.test_adopt import KNOWN

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
QUIET = "<pacemaker-result><actions/><transition/></pacemaker-result>"
RESTART = """<pacemaker-result><actions><rsc_action action="restart" resource="web1" node="n1" reason="why"/></actions>
<transition/></pacemaker-result>"""

CLUSTER = """\
<cib epoch="1"><configuration><crm_config/><nodes/><resources>
  <primitive id="web1" class="ocf" provider="heartbeat" type="VirtualDomain">
    <instance_attributes id="web1-ia"><nvpair id="web1-config" name="config" value="/etc/web1.xml"/>
    </instance_attributes></primitive>
  <primitive id="vip" class="ocf" provider="heartbeat" type="IPaddr2">
    <instance_attributes id="vip-ia"><nvpair id="vip-ip" name="ip" value="192.0.2.9"/></instance_attributes></primitive>
</resources><constraints/></configuration><status/></cib>"""


class Killed(BaseException):
    """The run was ended from outside."""


class RunningCluster(FakeHost):
    """One node, on which a guest and an address run."""

    text = CLUSTER
    nodes: tuple[str, ...] = ("n1",)

    def __init__(self):
        super().__init__()
        self.root = cib.tree(self.text)
        self.draft = ""
        self.files["/proc/sys/kernel/hostname"] = b"n1\n"
        self.files["/etc/web1.xml"] = f"<domain><name>web1</name><uuid>{UUID}</uuid></domain>".encode()
        self.start_guest(700)
        self.changes = 0
        self.dies_after = 0
        self.blind = set()
        """Agents that do not find what they are asked for."""
        self.on_change = {}
        """What happens when a change of this number has been made."""
        self.simulated = QUIET
        self.held = []

    def start_guest(self, pid):
        self.processes = {pid: ("/usr/bin/qemu-system-x86_64", "-name", "guest=web1", "-uuid", UUID)}
        self.files[f"/proc/{pid}/stat"] = f"{pid} (qemu) S {' '.join(['0'] * 18)} {pid}00 0".encode()

    def run(self, *argv, timeout, ok=(0,), given="", env=None):
        self.ran.append(argv)
        rc, out = self._answer(argv)
        done = Completed(argv=argv, rc=rc, out=out, err="")
        if ok is not None and rc not in ok:
            raise CommandFailed(done)
        if "--patch" in argv or "--refresh" in argv:
            self.changes += 1
            self.on_change.get(self.changes, lambda: None)()
            if self.changes == self.dies_after:
                raise Killed
        return done

    def _answer(self, argv):
        if argv == ("cibadmin", "--query"):
            return 0, cib.text_of(self.root)
        if argv[0] == "crm_diff":
            self.draft = self.read(argv[4])
            return 1, "a patch"
        if argv[0] == "cibadmin":
            self._take(cib.tree(self.draft))
        elif argv[:2] == ("crm_resource", "--refresh"):
            self._probe(argv[3])
        elif argv[:2] == ("crm_resource", "--show-metadata"):
            names = "".join(f'<parameter name="{name}"/>' for name in KNOWN[argv[2]])
            return 0, f"<resource-agent><parameters>{names}</parameters></resource-agent>"
        elif argv[0] == "crm_mon":
            return 0, self._crm_mon()
        elif argv == crm_simulate.ARGV:
            return 0, self.simulated
        elif argv[0] != "crm_resource":
            raise AssertionError(f"nobody scripted {argv}")
        return 0, ""

    def _take(self, new):
        """Take a new configuration; whoever changes the agent of something that is not in maintenance restarts it."""
        old = {each.id: each for each in cib.read(cib.text_of(self.root)).primitives()}
        for each in cib.read(cib.text_of(new)).primitives():
            before = old[each.id]
            if (each.agent, each.params) != (before.agent, before.params):
                assert before.meta.get("maintenance") == "true", f"{each.id} would have been restarted"
        self.root = new

    def _probe(self, name):
        for old in self.root.find("status").xpath(f'//lrm_resource[@id="{name}"]'):
            old.getparent().remove(old)
        for node in self.nodes:
            self._answered(name, node)

    def _answered(self, name, node):
        agent = self.agents()[name].split(":")
        status = self.root.find("status")
        state = self.root.makeelement("node_state", {"uname": node})
        inner = state
        for tag, words in (
            ("lrm", {}), ("lrm_resources", {}),
            ("lrm_resource", {"id": name, "class": agent[0], "provider": agent[1], "type": agent[2]}),
            ("lrm_rsc_op", {"id": f"{name}_last_0", "operation": "monitor", "rc-code": "0", "op-force-restart": "x"}),
        ):  # fmt: skip
            new = self.root.makeelement(tag, words)
            inner.append(new)
            inner = new
        status.append(state)

    def _crm_mon(self):
        running = "".join(
            f'<resource id="{name}" active="{str(agent not in self.blind).lower()}" failed="false" role="{role}">'
            f'<node name="{node}"/></resource>'
            for name, agent in self.agents().items()
            for node, role in self.standing(name)
        )
        nodes = "".join(f'<node name="{name}" online="true" unclean="false" standby="false"/>' for name in self.nodes)
        return (
            f'<pacemaker-result><summary><current_dc with_quorum="true"/></summary><nodes>{nodes}</nodes>'
            f"<resources>{running}</resources></pacemaker-result>"
        )

    def standing(self, _name):
        return (("n1", "Started"),)

    def agents(self):
        return {each.id: each.agent for each in cib.read(cib.text_of(self.root)).primitives()}

    def in_maintenance(self):
        return [each.id for each in cib.read(cib.text_of(self.root)).primitives() if "maintenance" in each.meta]

    def adopt(self, *words):
        return main(["adopt", *words], self)


SHELL = {"web1": "ocf:heartbeat:VirtualDomain", "vip": "ocf:heartbeat:IPaddr2"}
OURS = {"web1": "ocf:kvmha:VirtualDomain", "vip": "ocf:kvmha:FloatingIP"}


@pytest.fixture
def host():
    return RunningCluster()


def test_forth_and_back_with_the_proof(host, capsys):
    assert host.adopt("--all", "--json") == 0
    found = json.loads(capsys.readouterr().out)["resources"]
    assert [(each["resource"], each["is_proven"]) for each in found] == [("web1", True), ("vip", True)]
    assert found[0]["runs"][0][1]["process"] == 700
    assert (host.agents(), host.in_maintenance()) == (OURS, [])
    assert host.adopt("--all", "--back") == 0
    assert (host.agents(), host.in_maintenance()) == (SHELL, [])
    assert cib.text_of(host.root.find("configuration")) == cib.text_of(cib.tree(CLUSTER).find("configuration"))


@pytest.mark.parametrize("way", [(), ("--back",)])
def test_killed_at_every_step_and_run_again_in_either_direction(way):
    steps = RunningCluster()
    steps.adopt("--all")
    for step in range(1, steps.changes + 1):
        host = RunningCluster()
        host.dies_after = step
        with pytest.raises(Killed):
            host.adopt("--all")
        assert host.adopt("--all", *way) == 0
        assert (host.agents(), host.in_maintenance()) == (SHELL if way else OURS, [])


@pytest.mark.parametrize("way", [(), ("--back",)])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-node", "another-node"])
def test_the_way_back_killed_at_every_step_and_run_again_in_either_direction(way, elsewhere):
    steps = RunningCluster()
    steps.adopt("--all")
    forth = steps.changes
    steps.adopt("--all", "--back")
    assert steps.changes > forth + 2
    for step in range(forth + 1, steps.changes + 1):
        host = RunningCluster()
        host.dies_after = step
        assert host.adopt("--all") == 0
        with pytest.raises(Killed):
            host.adopt("--all", "--back")
        if elsewhere:
            # What the resources were is written down on the node where they were adopted.
            host.files = {path: text for path, text in host.files.items() if not path.startswith(adopt.FOLDER)}
        assert host.adopt("--all", *way) == 0
        assert (host.agents(), host.in_maintenance()) == (SHELL if way else OURS, [])
        if way:
            assert cib.text_of(host.root.find("configuration")) == cib.text_of(cib.tree(CLUSTER).find("configuration"))


CLONE = """<clone id="r0-clone">
    <meta_attributes id="r0-m"><nvpair id="r0-p" name="promotable" value="true"/>
      <nvpair id="r0-n" name="notify" value="true"/></meta_attributes>
    <primitive id="r0" class="ocf" provider="linbit" type="drbd"><instance_attributes id="r0-ia">
      <nvpair id="r0-r" name="drbd_resource" value="r0"/><nvpair id="r0-u" name="unfence_if_all_uptodate" value="true"/>
    </instance_attributes></primitive></clone>"""

SCORED = """<node_state id="{0}" uname="n{0}"><transient_attributes id="{0}"><instance_attributes id="s{0}">
    <nvpair id="s{0}-r0" name="master-r0" value="10000"/></instance_attributes></transient_attributes></node_state>"""

REPLICATED = (
    CLUSTER.replace("<nodes/>", '<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>')
    .replace("<resources>", f"<resources>{CLONE}")
    .replace("<status/>", f"<status>{SCORED.format(1)}{SCORED.format(2)}</status>")
)


class Replicated(RunningCluster):
    """The guest's disk is a DRBD resource of the shell agent, promoted on n1; n2 has the other side."""

    text = REPLICATED
    nodes = ("n1", "n2")
    promoted = "n1"

    def standing(self, name):
        if name != "r0":
            return super().standing(name)
        return tuple((node, "Promoted" if node == self.promoted else "Unpromoted") for node in self.nodes)


REPLICA = {"r0": "ocf:linbit:drbd"}


def test_a_replicated_disk_goes_with_its_guest_forth_and_back(capsys):
    host = Replicated()
    assert host.adopt("--all", "--json") == 0
    found = {each["resource"]: each for each in json.loads(capsys.readouterr().out)["resources"]}
    assert found["r0"]["after"] == [["n1", "Promoted"], ["n2", "Unpromoted"]]
    assert host.agents() == {**OURS, "r0": "ocf:kvmha:DRBD"}
    assert cib.read(cib.text_of(host.root)).resource("r0").params == {"drbd_resource": "r0"}
    assert host.adopt("--all", "--back") == 0
    assert (host.agents(), host.in_maintenance()) == ({**SHELL, **REPLICA}, [])
    assert cib.read(cib.text_of(host.root)).resources == cib.read(REPLICATED).resources


@pytest.mark.parametrize("way", [(), ("--back",)])
def test_a_replicated_disk_killed_at_every_step_and_run_again_in_either_direction(way):
    steps = Replicated()
    steps.adopt("--all")
    for step in range(1, steps.changes + 1):
        host = Replicated()
        host.dies_after = step
        with pytest.raises(Killed):
            host.adopt("--all")
        assert host.adopt("--all", *way) == 0
        wanted = {**SHELL, **REPLICA} if way else {**OURS, "r0": "ocf:kvmha:DRBD"}
        assert (host.agents(), host.in_maintenance()) == (wanted, [])


def test_an_agent_is_told_of_the_clone_before_it_judges_parameters():
    """Without that DRBD's shell agent refuses every set of them: expected clone-max -le 2, but found unset."""
    host = Replicated()
    host.adopt("--all")
    host.ran.clear()
    host.adopt("--all", "--back")
    (asked,) = (argv for argv in host.ran if "--validate" in argv and "linbit" in argv)
    told = {argv for argv in asked if "CRM_meta" in argv}
    assert {"CRM_meta_clone_max=2", "CRM_meta_clone_node_max=1", "CRM_meta_master_max=1"} <= told
    assert {"CRM_meta_master_node_max=1", "CRM_meta_notify=true"} <= told


def test_a_replica_that_is_not_in_step_is_refused_before_anything_is_changed(capsys):
    host = Replicated()
    host.root.xpath('//nvpair[@id="s2-r0"]')[0].set("value", "10")
    assert host.adopt("--all") == 1
    assert "r0: on n2 its promotion score is 10 and not 10000" in capsys.readouterr().err
    assert host.changes == 0


def test_a_replica_that_changes_its_side_meanwhile_is_noticed(capsys):
    host = Replicated()
    host.on_change = {2: lambda: setattr(host, "promoted", "n2")}
    assert host.adopt("r0") == 1
    assert "r0 was promoted on n1, unpromoted on n2 and is unpromoted on n1, promoted on n2" in capsys.readouterr().err
    assert (host.agents()["r0"], host.in_maintenance()) == ("ocf:linbit:drbd", ["r0"])


def test_an_agent_that_does_not_find_it_gives_it_back(host, capsys):
    host.blind = {"ocf:kvmha:VirtualDomain"}
    assert host.adopt("--all") == 1
    said = capsys.readouterr().err
    assert "web1 was started on n1 and is nowhere" in said
    assert "everything has the agent that it had, and runs on" in said
    assert (host.agents(), host.in_maintenance()) == (SHELL, [])


def test_a_guest_with_another_process_is_noticed(host, capsys):
    host.on_change = {2: lambda: host.start_guest(701)}
    assert host.adopt("web1") == 1
    assert "process 700 on n1" in capsys.readouterr().err
    # The old agent cannot bring the old process back, and a cluster that wonders is kept from acting.
    assert host.in_maintenance() == ["web1"]
    assert host.agents()["web1"] == SHELL["web1"]


def test_it_stays_in_maintenance_if_the_scheduler_would_restart_it_either_way(host, capsys):
    host.simulated = RESTART
    assert host.adopt("web1") == 1
    assert "after maintenance the cluster would restart web1 (why)" in capsys.readouterr().err
    assert (host.agents()["web1"], host.in_maintenance()) == (SHELL["web1"], ["web1"])


def test_a_dry_run_shows_and_changes_nothing(host, capsys):
    assert host.adopt("--all", "--dry-run") == 0
    assert "web1: ocf:heartbeat:VirtualDomain -> ocf:kvmha:VirtualDomain" in capsys.readouterr().out
    assert host.changes == 0


def test_what_cannot_be_adopted_is_refused_before_anything_is_changed(host, capsys):
    editing.set_value(host.root, editing.element(host.root, "vip"), "instance_attributes", "mac", "01:00:5e:00:00:01")
    assert host.adopt("--all") == 2
    assert "vip: mac=01:00:5e:00:00:01" in capsys.readouterr().err
    assert host.changes == 0


@pytest.mark.parametrize("words", [(), ("web1", "--all")])
def test_names_or_all(host, words, capsys):
    assert host.adopt(*words) == 2
    assert "name the resources to adopt, or give --all" in capsys.readouterr().err


def test_nothing_is_left(host, capsys):
    host.adopt("--all")
    capsys.readouterr()
    assert host.adopt("--all") == 0
    assert capsys.readouterr().out == "nothing is left to adopt\n"


def test_without_a_cluster_there_is_a_sentence(host, capsys, monkeypatch):
    monkeypatch.setattr(host, "_answer", lambda _argv: (102, ""))
    assert host.adopt("--all") == 2
    assert "no cluster answers on this node" in capsys.readouterr().err
