"""Where a question about a cluster gets it from, and what is said where there is none."""

from __future__ import annotations

import pytest

from kvmha.cli.cluster_source import with_history
from kvmha.cli.main import main
from kvmha.host import CommandMissing
from kvmha.policy.snapshot import Node, Snapshot
from kvmha.tools.crm_mon import ClusterStatus, FenceEvent, when
from tests.fakes import FakeHost

QUERY = ("cibadmin", "--query")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-23 03:24:44Z", 1795404284.0),
        ("2026-11-23 03:24:44.123456Z", 1795404284.123456),
        ("2026-11-23 04:24:44 +01:00", 1795404284.0),
        ("2026-11-23 03:24:44.5 +00:00", 1795404284.5),
        ("", None),
        ("yesterday", None),
    ],
)
def test_times_of_all_versions_of_crm_mon_are_read(text, at):
    assert when(text) == at


def test_only_a_fencing_that_succeeded_proves_anything_and_the_latest_counts():
    def event(target, status, completed):
        return FenceEvent(target=target, action="reboot", status=status, completed=completed)

    events = (
        event("n1", "success", "2026-11-23 03:24:44Z"), event("n1", "success", "2026-11-22 03:24:44Z"),
        event("n2", "failed", "2026-11-23 03:24:44Z"), event("n2", "pending", ""),
    )  # fmt: skip
    seen = ClusterStatus(is_quorate=True, nodes=(), resources=(), fencings=events)
    found = with_history(Snapshot(nodes=(Node(name="n1"), Node(name="n2"))), seen)
    assert [node.fenced_at for node in found.nodes] == [1795404284.0, None]


@pytest.mark.parametrize("verb", [["status"], ["whatif", "kill", "n1"]])
@pytest.mark.parametrize("answer", [CommandMissing, (102, "", "Could not connect")])
def test_without_a_cluster_one_sentence_says_what_to_do(capsys, verb, answer):
    host = FakeHost()
    host.commands[QUERY] = answer
    assert main(verb, host) == 2
    err = capsys.readouterr().err
    assert "run it on a node, or give a saved one with --cib" in err
    assert err.count("\n") == 1


def test_watch_and_json_exclude_each_other(capsys):
    assert main(["status", "--watch", "--json"], FakeHost()) == 2
    assert "give one of them" in capsys.readouterr().err


def test_a_cib_that_cannot_be_read_is_named(capsys):
    assert main(["status", "--cib", "/gone.xml"], FakeHost()) == 2
    assert "cannot read /gone.xml: No such file or directory" in capsys.readouterr().err
