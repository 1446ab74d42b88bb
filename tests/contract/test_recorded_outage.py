"""A node's journal of a power cut, as it was recorded on the node that took the guest over, and what is read in it.

Pacemaker 2.1.5 and our agent, Debian 12, with the fields that ``kvmha rto`` asks for.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvmha.drill import ending, measuring, outages
from kvmha.drill.measuring import Told
from kvmha.drill.reach import Reach
from kvmha.policy.ledger import Measured
from kvmha.tools import cluster_log, ssh
from tests.fakes import FakeHost

TEXT = (Path(__file__).parent / "recorded/pacemaker-2.1.5/outage.json").read_text()
ENTRIES = [entry for entry in map(cluster_log.parse_entry, TEXT.splitlines()) if entry is not None]
LOST_AT = 1795466450.888637


def test_every_phase_is_told_once_at_least_and_in_its_order():
    found = [(each.kind, each.subject) for each in ENTRIES if each.subject in ("n2", "web2")]
    wanted = [
        ("lost", "n2"), ("decided", "n2"), ("fencing asked", "n2"), ("fencing confirmed", "n2"),
        ("start asked", "web2"), ("agent done", "web2"), ("started", "web2"),
    ]  # fmt: skip
    assert [each for each in dict.fromkeys(found) if each in wanted] == wanted


def test_what_a_guest_was_away_for_is_from_the_fault_to_the_end_of_its_start():
    (made,) = outages.of_journal(ENTRIES, ["web1", "web2"], detection_s=1.5)
    assert (made.guest, made.drill, round(made.at, 2)) == ("web2", outages.REAL, round(LOST_AT, 2))
    assert made.seconds == pytest.approx(1795466459.217099 - LOST_AT + 1.5, abs=0.01)


def test_the_journals_of_all_nodes_become_one_on_the_clock_of_the_runner():
    host = FakeHost()
    reach = Reach(host, "n1")
    argv = cluster_log.since_argv(LOST_AT, ["web2"])
    late = cluster_log.since_argv(LOST_AT + 5.0, ["web2"])
    host.commands[argv] = TEXT
    host.commands[ssh.argv("n2", *late)] = '{"MESSAGE": "x", "__REALTIME_TIMESTAMP": "1795466456000000"}\nno JSON\n'
    host.commands[ssh.argv("n3", *argv)] = (255, "", "ssh: No route to host")
    found = ending.journals(reach, ("n1", "n2", "n3"), {"n2": 5.0}, LOST_AT, ["web2"])
    assert found.entries == tuple(ENTRIES)
    assert len(found.lines) == TEXT.count("\n") + 1
    assert list(found.lines) == sorted(found.lines, key=lambda line: line.at)
    told = found.text(LOST_AT).splitlines()
    assert "   -2.55 s  n1 corosync: [KNET  ] link: host: 2 link: 0 is down" in told
    assert "    0.11 s  n2: x" in told, "its clock is five seconds ahead"
    assert len(found.silent) == 0, "a command that fails tells nothing, and is no error of ours"


def without(kind):
    return [each for each in ENTRIES if each.kind != kind]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param(without(cluster_log.LOST), id="nobody-was-lost"),
        pytest.param(without(cluster_log.FENCING_CONFIRMED), id="nobody-was-fenced"),
        pytest.param(without(cluster_log.AGENT_STARTED), id="it-was-started-elsewhere"),
        pytest.param(
            [each.replace(at=each.at + 5000) if each.kind == cluster_log.AGENT_STARTED else each for each in ENTRIES],
            id="it-was-started-much-later",
        ),
        pytest.param(
            [each.replace(at=each.at - 60) if each.kind == cluster_log.AGENT_STARTED else each for each in ENTRIES],
            id="it-was-started-before",
        ),
    ],
)
def test_what_is_not_a_failure_is_not_measured(entries):
    assert outages.of_journal(entries, ["web2"], detection_s=1.5) == ()


def test_a_second_loss_is_counted_from_itself():
    later = [each.replace(at=each.at + 7200) for each in ENTRIES]
    stopped = [each.replace(at=each.at - 3600) for each in ENTRIES if each.kind == cluster_log.LOST]
    found = outages.of_journal([*stopped, *ENTRIES, *later], ["web2"], detection_s=1.5)
    assert [round(each.seconds, 1) for each in found] == [9.8, 9.8]


class Node(FakeHost):
    text = TEXT

    def wall_clock(self):
        return LOST_AT + 3600

    def run(self, *argv, **options):
        if argv[0] == "journalctl":
            self.commands[argv] = self.text
        return super().run(*argv, **options)


def test_it_is_kept_when_the_journal_has_forgotten_it_and_told_once():
    host = Node()
    first = measuring.here(host, ["web2"], detection_s=1.5).measured
    assert [each.guest for each in first] == ["web2"]
    assert measuring.here(host, ["web2"], detection_s=1.5).measured == first, "it is read twice and told once"
    host.text = ""
    assert measuring.here(host, ["web2"], detection_s=1.5).measured == first
    (asked,) = {argv for argv in host.ran[-1:]}
    since = float(asked[1].partition("@")[2])
    assert 0 < host.wall_clock() - since < 2 * outages.SPAN_S, "only what is new is read"


@pytest.mark.parametrize("kept", [b"{", b"[]", b'{"outages": [5], "until": 1}'])
def test_what_was_kept_may_be_broken(kept):
    host = Node()
    host.files[measuring.KEPT] = kept
    assert len(measuring.here(host, ["web2"], detection_s=1.5).measured) == 1


def test_a_drill_of_another_node_is_that_drills_and_not_a_real_failure():
    real = Measured(guest="web2", seconds=9.8, at=LOST_AT, drill=outages.REAL)
    drilled = Measured(guest="web2", seconds=9.1, at=LOST_AT - 1, drill="power-cut")
    told = [Told(measured=(real,)), Told(measured=(drilled,), drills=((LOST_AT - 10, LOST_AT + 60),))]
    assert measuring.merged(told) == (drilled,)
    assert measuring.merged(told[:1]) == (real,)


def test_other_nodes_are_asked_and_who_is_silent_is_named():
    host = Node()
    words = ("kvmha", "rto", "--measured")
    told = {"measured": [{"guest": "web2", "seconds": 9.8, "at": 5.0, "drill": "hang"}], "drills": [[1, 2]]}
    host.commands[ssh.argv("n2", *words)] = json.dumps(told)
    host.commands[ssh.argv("n3", *words)] = (255, "", "No route to host")
    found, silent = measuring.elsewhere(Reach(host, "n1"), ["n2", "n3"])
    assert [each.guest for each in found[0].measured] == ["web2"]
    assert found[0].drills == ((1.0, 2.0),)
    assert "No route to host" in silent["n3"]
