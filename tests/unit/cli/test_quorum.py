"""kvmha quorum, offline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvmha import journal
from kvmha.cli.main import main
from kvmha.host import CommandMissing, Host
from kvmha.tools import corosync_conf, crm_mon, quorumtool
from tests.fakes import FakeHost

CONF = """\
totem {
  version: 2
  cluster_name: demo
}
nodelist {
%s}
quorum {
  provider: corosync_votequorum
%s}
"""
NODE = "  node {\n    name: n%d\n    nodeid: %d\n    ring0_addr: 192.0.2.%d\n  }\n"


@pytest.fixture
def conf(tmp_path):
    """Return a function that writes a corosync.conf of so many nodes."""

    def written(count: int, more: str = "", text: str = "") -> str:
        path = tmp_path / "corosync.conf"
        path.write_text(text or CONF % ("".join(NODE % (n, n, n) for n in range(1, count + 1)), more))
        return str(path)

    return written


def test_the_parts_of_a_split_are_told_as_text_and_as_json(conf, capsys):
    words = ["quorum", "--corosync-conf", conf(3), "--partition", "n1,n2", "--partition", "n3"]
    assert main(words, Host()) == 0
    assert "n1 n2: quorate, may fence" in capsys.readouterr().out
    assert main([*words, "--json"], Host()) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert [(part["part"]["members"], part["may_fence"]) for part in parts] == [(["n1", "n2"], True), (["n3"], False)]


def test_the_answer_is_written_down_and_made_again(conf, capsys):
    device = "  device {\n    model: net\n    votes: 1\n    net {\n      algorithm: ffsplit\n    }\n  }\n"
    main(["quorum", "--corosync-conf", conf(2, device), "--partition", "n1", "--qdevice-alive", "no"], Host())
    (entry,) = journal.entries(Host())
    assert (entry.kind, entry.subject, entry.said) == ("quorum", "quorum of n1", "n1: no quorum")
    capsys.readouterr()
    assert main(["replay", entry.id], Host()) == 0
    assert capsys.readouterr().out.endswith("today's code gives the same answer\n")


def test_no_quorum_anywhere_is_exit_code_1(conf):
    assert main(["quorum", "--corosync-conf", conf(3), "--partition", "n1"], Host()) == 1


def test_a_device_that_is_gone_gives_no_vote(conf):
    device = "  device {\n    model: net\n    votes: 1\n    net {\n      algorithm: ffsplit\n    }\n  }\n"
    words = ["quorum", "--corosync-conf", conf(2, device), "--partition", "n1"]
    assert main(words, Host()) == 0
    assert main([*words, "--qdevice-alive", "no"], Host()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--partition", "n1,n9"], "there is no node n9; the nodes are n1, n2, n3"),
        (["--partition", "n1", "--partition", "n1,n2"], "n1 is named twice"),
        (["--partition", ","], "--partition names no node"),
        (["--qdevice-alive", "yes"], "this cluster has no quorum device"),
    ],
)
def test_parts_that_make_no_sense_end_with_one_sentence(conf, capsys, words, said):
    assert main(["quorum", "--corosync-conf", conf(3), *words], Host()) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("totem {\n", "the section totem has no end"),
        ("totem {\n}\n", "has no nodelist"),
        ("nodelist {\n  node {\n    name: n1\n    nodeid: 1\n  }\n}\n", "expected corosync_votequorum"),
    ],
)
def test_a_file_that_is_none_ends_with_one_sentence(conf, capsys, text, said):
    assert main(["quorum", "--corosync-conf", conf(0, text=text)], Host()) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("nodeid: 2", "nodeid: 1", "two nodes have the nodeid 1; each needs one of its own"),
        ("nodeid: 2", "nodeid: -2", 'node.nodeid is "-2"; corosync takes nothing but a whole number'),
        ("name: n2", "name: n1", "two nodes have the name n1"),
        ("nodeid: 2", "nodeid: 2\n    quorum_votes: many", 'node.quorum_votes is "many"'),
        ("nodeid: 2", f"nodeid: 2\n    quorum_votes: {'9' * 5000}", 'node.quorum_votes is "999'),
        ("  provider", "  expected_votes: two\n  provider", 'quorum.expected_votes is "two"'),
        ("  provider", "  two_node: yes\n  provider", 'quorum.two_node is "yes"'),
        ("  provider", "  device {\n    votes: -1\n  }\n  provider", 'device.votes is "-1"'),
    ],
)
def test_a_file_whose_votes_corosync_would_not_read_is_not_counted_from(conf, capsys, old, new, said):
    """What is no number is an error to corosync -t of 3.1.7, too."""
    text = Path(conf(3)).read_text(encoding="utf-8")
    assert old in text
    assert main(["quorum", "--corosync-conf", conf(3, text=text.replace(old, new, 1))], Host()) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["quorum", "--corosync-conf", str(tmp_path / "gone")], Host()) == 2
    assert "No such file" in capsys.readouterr().err


DEVICE = "  device {\n    model: net\n    votes: 1\n    net {\n      algorithm: ffsplit\n    }\n  }\n"
ONLINE = '<node name="n{0}" online="true" unclean="false" standby="false" type="member"/>'
ROW = "    Nodeid      Votes    Qdevice Name\n         0          {0}            Qdevice\n"


def running(more: str, votes) -> FakeHost:
    """Return a node of a pair that is online, whose corosync counts these votes."""
    host = FakeHost()
    nodes = "".join(NODE % (n, n, n) for n in (1, 2))
    host.files[corosync_conf.PATH] = (CONF % (nodes, more)).encode()
    shown = "".join(ONLINE.format(number) for number in (1, 2))
    host.commands[crm_mon.ARGV] = f"<pacemaker-result><nodes>{shown}</nodes></pacemaker-result>"
    host.commands[quorumtool.ARGV] = votes
    return host


@pytest.mark.parametrize(
    ("answer", "may_be_lost"),
    [
        pytest.param("Total votes:      3\n" + ROW.format(1), True, id="votes"),
        pytest.param("Total votes:      2\n" + ROW.format("0"), False, id="does-not-vote"),
        pytest.param("Total votes:      2\n", False, id="not-registered"),
        pytest.param(CommandMissing, True, id="nobody-says"),
    ],
)
def test_of_the_running_cluster_the_device_votes_as_it_does_now(capsys, answer, may_be_lost):
    host = running(DEVICE, answer)
    assert main(["quorum"], host) == 0
    assert ("any node may be lost" in capsys.readouterr().out) == may_be_lost
    assert main(["quorum", "--qdevice-alive", "yes"], host) == 0
    assert "any node may be lost" in capsys.readouterr().out


COUNTED = "Quorate:          {0}\nExpected votes:   2\nTotal votes:      {1}\nQuorum:           {2} {3}\n"


def test_what_corosync_itself_counts_comes_first_where_the_file_does_not_tell_it(capsys):
    host = running("  two_node: 1\n", (2, COUNTED.format("No", 2, 1, "Activity blocked"), ""))
    assert main(["quorum"], host) == 1
    said = capsys.readouterr().out
    assert said.startswith("!! corosync itself has no quorum, by 2 of 2 votes where it needs 1: what it came to while")
    assert main(["quorum", "--json"], host) == 1
    assert json.loads(capsys.readouterr().out)["running"]["is_quorate"] is False
    # What is asked about parts is no matter of what it counts now.
    assert main(["quorum", "--partition", "n1"], host) == 0
    assert "corosync itself" not in capsys.readouterr().out


def test_where_both_count_alike_only_one_is_told(capsys):
    assert main(["quorum"], running("  two_node: 1\n", COUNTED.format("Yes", 2, 1, ""))) == 0
    assert "corosync itself" not in capsys.readouterr().out
