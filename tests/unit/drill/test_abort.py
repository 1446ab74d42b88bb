"""A drill is ended in whatever it is doing, and nobody else is."""

from __future__ import annotations

import os

import pytest

from kvmha.cli.drill import asking
from kvmha.cli.main import main
from kvmha.drill import journal
from kvmha.drill.records import Order
from kvmha.errors import UserError
from kvmha.host import SIGTERM
from kvmha.tools import ssh
from tests.fakes import FakeHost

RUNNER = 4711
CUT = Order(drill="link-cut", node="n2", link="1", hold_s=20.0)
AT_NODE = ssh.argv("n2", "kvmha", "drill", "at-node", "undo")
DRILL = ("/usr/bin/python3", "/usr/bin/kvmha", "drill", "run", "link-cut", "--node", "n2")
PROVE = ("/usr/bin/python3", "/usr/bin/kvmha", "fence", "prove", "--node", "n2", "--power-cycle")


class Node(FakeHost):
    """A node on which a drill is run, until its process ends."""

    def __init__(self, words=DRILL):
        super().__init__()
        self.files["/proc/sys/kernel/hostname"] = b"n1\n"
        self.files[journal.RUNNER] = str(RUNNER).encode()
        self.processes[RUNNER] = words
        self.commands[AT_NODE] = '{"undone": ["link-cut"]}'

    def wall_clock(self):
        return self.clock

    def lock(self, path, *, timeout):
        if RUNNER not in self.processes:
            return 1
        self.sleep(timeout)
        return None


@pytest.mark.parametrize("words", [pytest.param(DRILL, id="drill"), pytest.param(PROVE, id="power-cycle")])
@pytest.mark.parametrize(
    "state",
    [
        pytest.param("", id="before-it-begins"),
        pytest.param(journal.STRIKING, id="striking"),
        pytest.param(journal.STRUCK, id="struck"),
        pytest.param(journal.UNDONE, id="while-the-cluster-recovers"),
    ],
)
def test_a_drill_is_ended_at_once_in_whatever_it_is_doing(capsys, state, words):
    host = Node(words)
    if state:
        journal.step(host, "d1", state, CUT, pid=RUNNER)
    began = host.clock
    assert main(["drill", "abort"], host) == 0
    assert host.killed == [(RUNNER, SIGTERM)]
    assert host.clock - began < 10
    said = capsys.readouterr().out
    assert f"ending the drill {'d1' if state else 'that is about to begin'}" in said
    assert "no drill is under way" in said
    assert not journal.unfinished(host)


def test_a_runner_that_has_only_just_begun_is_found(capsys):
    host = Node()
    del host.files[journal.RUNNER]
    host.after(3.0, lambda: host.files.update({journal.RUNNER: str(RUNNER).encode()}))
    assert main(["drill", "abort"], host) == 0
    assert host.killed == [(RUNNER, SIGTERM)]


@pytest.mark.parametrize(
    ("told", "process"),
    [
        pytest.param(b"4712", DRILL, id="a-process-that-is-gone"),
        pytest.param(b"4711", ("/usr/bin/sleep", "5"), id="another-process-of-that-number"),
        pytest.param(b"x", DRILL, id="no-number"),
    ],
)
def test_nobody_else_is_ended(capsys, told, process):
    host = Node(process)
    host.files[journal.RUNNER] = told
    assert main(["drill", "abort"], host) == 2
    assert host.killed == []
    assert "the runner did not end within 180 s" in capsys.readouterr().err


def test_a_runner_says_who_it_is_for_as_long_as_it_runs(monkeypatch, capsys):
    host = Node()
    host.processes.clear()
    del host.files[journal.RUNNER]
    seen = []

    def asked(_args, host):
        seen.append(host.read(journal.RUNNER))
        raise UserError("the cluster is away")

    monkeypatch.setattr(asking, "ask", asked)
    assert main(["drill", "run", "link-cut", "--node", "n2"], host) == 2
    assert seen == [str(os.getpid())]
    assert journal.RUNNER not in host.files
