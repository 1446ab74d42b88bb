"""What a drill has done is written down before, and undone by whoever finds it without a runner."""

from __future__ import annotations

import pytest

from kvmha.cli.main import main
from kvmha.drill import journal, measuring, undoing
from kvmha.drill.reach import Reach
from kvmha.drill.records import PASSED, Breach, Expected, Fate, Moment, Order, Outcome, Recovery
from kvmha.errors import UserError
from kvmha.host import SIGTERM
from kvmha.tools import crm_attribute, crm_mon, ssh
from tests.fakes import FakeHost

CUT = Order(drill="link-cut", node="n2", link="1", hold_s=20.0)
DRAIN = Order(drill="drain", node="n2")
AT_NODE = ssh.argv("n2", "kvmha", "drill", "at-node", "undo")
STANDBY = """<crm_mon><summary><current_dc present="true" with_quorum="true"/></summary><nodes>
<node name="n2" online="true" unclean="false" standby="%s"/></nodes><resources/></crm_mon>"""


def outcome(name="20261123T100000-power-cut", **changes):
    values = {
        "id": name, "order": Order(drill="power-cut", node="n2"), "cluster": "demo", "version": "0", "begun_at": 1e9,
        "struck_at": 1e9 + 3, "result": PASSED, "said": "",
        "expected": Expected(
            said=("so",), fates=(Fate(name="web1", how="starts", nodes=("n1",), back_s=7.0),), times={"lost": 2.9}
        ),
        "gates": (("quorum", True, "n1 keeps it"),),
        "moments": (Moment(at=0.0, phase="fault", subject="n2"), Moment(at=2.9, phase="lost", subject="n2")),
        "recoveries": (Recovery(name="web1", node="n1", started=8.0, answers=14.0, gap_s=14.1, limit_s=30.0),),
        "breaches": (Breach(rule="failed", subject="vip", said="a <b> & c", at=5.0),),
        "offsets": {"n2": 0.01}, "looks": 100, "longest_pause_s": 0.4, "took_s": 60.0, "log": ("one",),
    }  # fmt: skip
    return Outcome(**{**values, **changes})


class Node(FakeHost):
    def wall_clock(self):
        return self.clock


@pytest.fixture
def host():
    host = Node()
    host.files["/proc/sys/kernel/hostname"] = b"n1\n"
    host.commands[AT_NODE] = '{"undone": ["link-cut"]}'
    return host


def test_an_outcome_is_read_back_as_it_was(host):
    made = outcome()
    journal.finish(host, made)
    assert journal.outcome(host, made.id) == made
    assert journal.outcomes(host) == [made]


@pytest.mark.parametrize("state", [journal.STRIKING, journal.STRUCK])
def test_a_drill_without_a_runner_is_undone_by_the_next_one_who_comes(host, state):
    journal.step(host, "d1", state, CUT)
    (said,) = undoing.recover(Reach(host, "n1"))
    assert "link-cut" in said
    assert host.ran == [AT_NODE]
    assert undoing.recover(Reach(host, "n1")) == ()


@pytest.mark.parametrize("state", [journal.PLANNED, journal.UNDONE])
def test_one_that_has_done_nothing_or_undone_it_is_left_alone(host, state):
    journal.step(host, "d1", state, CUT)
    assert undoing.recover(Reach(host, "n1")) == ()
    assert host.ran == []


def test_a_node_that_cannot_be_asked_is_tried_until_its_own_timer_has_long_done_it(host):
    journal.step(host, "d1", journal.STRUCK, CUT)
    host.commands[AT_NODE] = (255, "", "ssh: connect to host n2 port 22: No route to host")
    began = host.clock
    with pytest.raises(UserError, match="n2 could not be asked to undo link-cut"):
        undoing.recover(Reach(host, "n1"))
    assert host.clock - began > CUT.hold_s + 5
    assert journal.unfinished(host), "the next command tries again"
    host.after(30.0, lambda: host.commands.update({AT_NODE: '{"undone": []}'}))
    assert len(undoing.recover(Reach(host, "n1"))) == 1


def test_a_node_left_in_standby_leaves_it_and_one_that_is_not_is_left_alone(host):
    argv = crm_attribute.standby_argv("n2", is_on=False)
    host.commands[argv] = ""
    host.commands[crm_mon.ARGV] = STANDBY % "true"
    assert undoing.undo(Reach(host, "n1"), DRAIN) == ("n2 has left standby",)
    host.ran.clear()
    host.commands[crm_mon.ARGV] = STANDBY % "false"
    assert undoing.undo(Reach(host, "n1"), DRAIN) == ()
    assert argv not in host.ran


@pytest.fixture
def with_commands(host):
    """The command of a drill whose runner has died, which goes on; that of another one; and somebody else's."""
    journal.step(host, "d1", journal.STRUCK, DRAIN)
    host.commands[crm_mon.ARGV] = STANDBY % "false"
    for pid, environ in ((55, b"LC_ALL=C\0KVMHA_DRILL=d1\0"), (56, b"KVMHA_DRILL=d11\0"), (57, b"LC_ALL=C\0")):
        host.processes[pid] = ("/usr/bin/python3", "/usr/bin/kvmha", "drain", "n2")
        host.files[f"/proc/{pid}/environ"] = environ
    host.processes[58] = ("/usr/sbin/sshd",)
    return host


def test_a_command_that_has_lost_its_runner_is_ended_before_its_work_is_undone(with_commands):
    """It would put the node into standby a moment after nobody had found it there."""
    host = with_commands
    host.on_end = lambda pid: host.ran.append(("ended", str(pid)))
    assert len(undoing.recover(Reach(host, "n1"))) == 1
    assert host.killed == [(55, SIGTERM)]
    assert host.ran == [("ended", "55"), crm_mon.ARGV]


def test_a_command_that_does_not_end_is_named_and_the_next_one_tries_again(with_commands):
    host = with_commands
    host.deaf[55] = (SIGTERM,)
    with pytest.raises(UserError, match="kvmha drain n2 of the drill d1 does not end: kill the process 55"):
        undoing.recover(Reach(host, "n1"))
    assert journal.unfinished(host)
    host.deaf.clear()
    assert len(undoing.recover(Reach(host, "n1"))) == 1


@pytest.mark.parametrize("words", [["list"], ["history"], ["abort"], ["list", "--json"]])
def test_every_verb_undoes_what_it_finds(host, words, capsys):
    journal.step(host, "d1", journal.STRUCK, CUT)
    assert main(["drill", *words], host) == 0
    told = capsys.readouterr()
    assert "the drill d1 had lost its runner: link-cut" in told.err + told.out
    assert not journal.unfinished(host)


def test_a_broken_file_hides_no_other_one(host, capsys):
    host.files[journal.path("20250101T000000-x")] = b"{"
    host.files[journal.path("20250101T000001-x")] = b'{"order": {}, "outcome": {"id": 1}}'
    journal.finish(host, outcome())
    assert main(["drill", "history"], host) == 0
    assert "20261123T100000-power-cut  n2  passed  14.1 s" in capsys.readouterr().out


def test_the_oldest_ones_go_with_all_their_files(host, monkeypatch):
    monkeypatch.setattr(journal, "KEPT", 1)
    for name in ("1-old", "2-new"):
        for suffix in ("html", "xml", "log", "journals"):
            host.files[journal.path(name, suffix)] = b"x"
        journal.finish(host, outcome(name))
    assert journal.names(host) == ["2-new"]
    assert not any("1-old" in path for path in host.files)


def test_a_page_that_is_made_anew_has_the_journals_that_were_kept(host, capsys):
    journal.finish(host, outcome())
    host.files[journal.path(outcome().id, "journals")] = b"    2.90 s  n1 corosync: token timed out\n"
    assert main(["drill", "report", "--html", "/tmp/x.html"], host) == 0
    assert "n1 corosync: token timed out" in host.read("/tmp/x.html")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["report"], "no drill was run from this node yet", id="none-yet"),
        pytest.param(["report", "x"], 'there is no drill "x" on this node', id="unknown-report"),
        pytest.param(["run", "flood", "--node", "n2"], 'there is no drill "flood"; there are power-cut', id="unknown"),
        pytest.param(["plan", "power-cut", "--node", "n2", "--window", "x"], '--window: "x" is no window', id="window"),
        pytest.param(["plan", "power-cut", "--node", "n2"], "no cluster answers here", id="no-cluster"),
    ],
)
def test_bad_input_is_named_and_nothing_is_done(host, capsys, words, said):
    host.commands["cibadmin", "--query"] = (102, "", "Could not connect")
    assert main(["drill", *words], host) == 2
    assert said in capsys.readouterr().err
    assert not journal.names(host)


def test_a_history_of_a_drill_that_does_not_exist_is_refused_but_for_one_that_did(host, capsys):
    assert main(["drill", "history", "--drill", "flood"], host) == 2
    assert 'there is no drill "flood"; there are power-cut' in capsys.readouterr().err
    assert main(["drill", "history", "--drill", "reset"], host) == 0
    assert "0 drills" in capsys.readouterr().out
    journal.finish(host, outcome("1", order=Order(drill="of-an-earlier-version", node="n2")))
    assert main(["drill", "history", "--drill", "of-an-earlier-version"], host) == 0
    assert "1 drills, 1 passed" in capsys.readouterr().out


def test_a_recovery_is_measured_of_what_was_started_anew_and_of_nobody_else(host):
    away = Recovery(name="web1", node="n1", started=8.0, answers=14.0, gap_s=14.1)
    stayed = Recovery(name="web2", node="n3", answers=19.0, gap_s=3.4)
    journal.finish(host, outcome("1", recoveries=(away, stayed)))
    journal.finish(host, outcome("2", order=Order(drill="migrate", node="n2", guest="web1"), recoveries=(away,)))
    assert [(each.guest, each.seconds) for each in measuring.of_drills(host).measured] == [("web1", 14.1)]
