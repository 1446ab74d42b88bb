"""kvmha drill plan and run on a recorded cluster: what is refused, why, and what to do about it."""

from __future__ import annotations

import json
import re

import pytest

from kvmha.cli.main import main
from kvmha.drill import demands, journal
from kvmha.drill.records import Order
from kvmha.tools import cib, corosync_conf, crm_mon, crm_simulate, ssh
from tests.contract.test_recorded_status import RECORDED
from tests.fakes import FakeHost

QUIET = '<crm_mon><summary><current_dc present="true" with_quorum="true"/></summary><nodes/><resources/></crm_mon>'
HELLO = ("kvmha", "drill", "at-node", "hello")
IDLE = json.dumps({"operations": {}})


class Node(FakeHost):
    """n1 of the recorded cluster."""

    def __init__(self, name="well"):
        super().__init__()
        self.files["/proc/sys/kernel/hostname"] = b"n1\n"
        self.files[corosync_conf.PATH] = (RECORDED / "corosync.conf").read_bytes()
        self.cib = (RECORDED / f"{name}.cib.xml").read_text()
        self.state = (RECORDED / f"{name}.state.xml").read_text()
        self.commands[cib.query_argv()] = lambda: self.cib
        self.commands[crm_simulate.STATE_ARGV] = lambda: self.state
        self.commands[crm_mon.ARGV] = QUIET
        self.hello(*("n1", "n2", "n3"), answer=IDLE)

    def hello(self, *nodes, answer):
        for node in nodes:
            self.commands[HELLO if node == "n1" else ssh.argv(node, *HELLO)] = answer

    def run(self, *argv, **options):
        # Whatever else a drill asks a node beforehand, it can do.
        if argv not in self.commands and any("at-node" in word for word in argv):
            self.commands[argv] = IDLE
        return super().run(*argv, **options)


def gates(host, capsys, *words):
    main(["drill", "plan", "libvirt-killed", "--node", "n2", "--json", *words], host)
    return {gate["name"]: gate for gate in json.loads(capsys.readouterr().out)["gates"]}


def test_on_a_cluster_that_is_well_everything_is_open(capsys):
    assert [name for name, gate in gates(Node(), capsys).items() if not gate["is_open"]] == []


@pytest.mark.parametrize(
    ("change", "words", "gate", "why", "remedy"),
    [
        pytest.param(
            lambda host: host.hello("n3", answer=(255, "", "root@n3: Permission denied (publickey).\n")), (),
            "reach", "n3: root@n3: Permission denied (publickey).", "let root log in there by ssh", id="reach",
        ),
        pytest.param(
            lambda host: host.hello("n2", answer='{"operations": {"web2": "migration out"}}'), (),
            "migration", "migration out of web2 is under way on n2", "let it end", id="migration",
        ),
        pytest.param(
            lambda host: host.hello("n3", answer='{"operations": {}, "drill": "20261124T030000-hang"}'), (),
            "drills", "20261124T030000-hang is run from n3", "let it end, or end it there", id="drills",
        ),
        pytest.param(
            lambda host: host.hello("n2", answer=""), (),
            "migration", "it is not known whether a guest moves on n2", "install this version of kvmha", id="older",
        ),
        pytest.param(
            lambda host: host.commands.update({("/bin/sh", "-c", "fresh"): (1, "of Friday\n", "")}),
            ("--backup-command", "fresh"), "backup", "fresh left with 1: of Friday", "make a backup first", id="backup",
        ),
        pytest.param(
            lambda host: host.files.update({demands.CONF: b"window 00:00-00:01\nbackup-age 5\n"}),
            ("--window", "00:00-00:01"), "window", "the window is 00:00-00:01", "wait for it", id="window",
        ),
        pytest.param(
            lambda host: vars(host).update(vars(Node("start-failed"))), (),
            "rest", "failed on", "crm_resource --cleanup", id="rest",
        ),
        pytest.param(
            lambda host: vars(host).update(vars(Node("node-lost"))), (),
            "nodes", "cannot run anything now", "bring all nodes back first", id="nodes",
        ),
        pytest.param(
            lambda host: vars(host).update(vars(Node("quorum-lost"))), (),
            "quorum", "the cluster has no quorum", "kvmha quorum says why", id="quorum",
        ),
    ],
)  # fmt: skip
def test_a_gate_that_is_closed_says_which_why_and_what_to_do_and_nothing_is_run(
    capsys, monkeypatch, change, words, gate, why, remedy
):
    monkeypatch.setattr("kvmha.cli.drill.asking._minute", lambda _host: 720)
    host = Node()
    change(host)
    closed = gates(host, capsys, *words)[gate]
    assert closed["is_open"] is False
    assert why in closed["said"]
    assert remedy in closed["remedy"]
    assert main(["drill", "run", "libvirt-killed", "--node", "n2", *words], host) == 2
    said = capsys.readouterr().err
    assert "libvirt-killed is not run, since not every gate is open" in said
    assert re.search(rf"^  {gate}: .*{re.escape(why)}.*; .*{re.escape(remedy)}", said, re.MULTILINE)
    assert journal.names(host) == []
    assert not any("strike" in argv[-1] for argv in host.ran)


def test_its_own_drill_keeps_nobody_away(capsys):
    """Whoever runs one holds the lock of its node, and asks that node as all others."""
    host = Node()
    host.hello("n1", answer='{"operations": {}, "drill": "a drill"}')
    assert gates(host, capsys)["drills"]["is_open"]


@pytest.mark.parametrize(("state", "said"), [("", "a drill"), (journal.STRUCK, "20261124T030000-hang"), (None, "")])
def test_a_node_tells_whether_a_drill_is_run_from_it(capsys, state, said):
    host = Node()
    if state is not None:
        host.lock = lambda path, timeout: None
        host.files[journal.RUNNER] = b"4711"
    if state:
        journal.step(host, "20261124T030000-hang", state, Order(drill="hang", node="n2"), pid=4711)
    del host.commands[HELLO]
    assert main(list(HELLO[1:]), host) == 0
    assert json.loads(capsys.readouterr().out)["drill"] == said


def test_a_gate_that_nobody_knows_cannot_be_passed(capsys):
    assert main(["drill", "run", "libvirt-killed", "--node", "n2", "--despite", "luck"], Node()) == 2
    assert "--despite: there is no gate luck that could be passed; there are nodes, quorum, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["libvirt-killed", "--node", "n9"], "there is no node n9; the nodes are n1, n2, n3"),
        (["libvirt-killed"], "libvirt-killed wants --node; the nodes are n1, n2, n3"),
        (["flood", "--node", "n2"], 'there is no drill "flood"; there are '),
        (["qemu-killed", "--guest", "x"], "there is no guest x; the guests are web1, web2, web3"),
        (["libvirt-killed", "--node", "n2", "--writes", "web1=h"], '--writes: "web1=h" is not understood'),
        (["libvirt-killed", "--node", "n2", "--backup-age", "x"], '--backup-age: "x" is no number of hours'),
    ],
)
def test_what_is_not_there_is_named(capsys, words, said):
    assert main(["drill", "plan", *words], Node()) == 2
    assert said in capsys.readouterr().err


def test_the_only_node_is_no_target(capsys):
    host = Node()
    for name in ("n2", "n3"):
        host.cib = re.sub(rf'<node [^>]*uname="{name}".*?</node>|<node [^>]*uname="{name}"[^>]*/>', "", host.cib,
                          flags=re.DOTALL)  # fmt: skip
        host.cib = re.sub(rf'<node_state [^>]*uname="{name}".*?</node_state>', "", host.cib, flags=re.DOTALL)
        host.state = re.sub(rf'<node name="{name}" [^>]*/>', "", host.state)
    assert main(["drill", "plan", "libvirt-killed", "--node", "n1"], host) == 2
    assert "n1 is the only node; a drill needs somebody to go on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param("n3", '"n3" is not n2: nothing was done', id="another-name"),
        pytest.param("", '"" is not n2: nothing was done', id="enter"),
        pytest.param(EOFError, "nobody answered: nothing was done", id="end-of-input"),
    ],
)
def test_whoever_does_not_type_the_name_has_nothing_done(capsys, monkeypatch, answer, said):
    def asked(_question):
        if answer is EOFError:
            raise EOFError
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", asked)
    host = Node()
    words = ["--node", "n2", "--destructive", "--despite", "fencing", "--despite", "room"]
    assert main(["drill", "run", "memory-load", *words], host) == 2
    assert said in capsys.readouterr().err
    assert not any("strike" in argv[-1] for argv in host.ran)


def test_where_no_cluster_answers_nobody_is_sent_to_an_option_that_a_drill_lacks(capsys):
    host = Node()
    host.commands[cib.query_argv()] = (102, "", "Could not connect to the CIB")
    assert main(["drill", "plan", "libvirt-killed", "--node", "n2"], host) == 2
    said = capsys.readouterr().err
    assert "no cluster answers here" in said
    assert "--cib" not in said


@pytest.mark.parametrize("option", ["--watch", "--writes"])
def test_a_service_of_a_guest_that_is_not_there_is_refused(capsys, option):
    words = ["drill", "plan", "libvirt-killed", "--node", "n2", f"{option}=wbe1=tcp://192.0.2.7:80"]
    assert main(words, Node()) == 2
    assert f"{option}: there is no guest or address wbe1; there are web1, web2, web3" in capsys.readouterr().err


def test_what_may_harm_wants_proven_fencing_and_room_although_it_takes_no_node(capsys):
    """A stop that fails after it is answered by fencing, and the guests of the node need a place then."""
    asked = {}
    for name in ("memory-load", "libvirt-killed"):
        main(["drill", "plan", name, "--node", "n1", "--json"], Node())
        asked[name] = {gate["name"]: gate["said"] for gate in json.loads(capsys.readouterr().out)["gates"]}
    assert "were not tried" in asked["memory-load"]["fencing"]
    assert "room" in asked["memory-load"]
    assert "place" not in asked["memory-load"], "the node, which runs it, is not taken away"
    assert {"fencing", "room"}.isdisjoint(asked["libvirt-killed"])
