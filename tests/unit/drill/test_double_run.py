"""The observer tells what is active twice, once, and asks no cluster."""

from __future__ import annotations

import pytest

from kvmha.cli.main import main
from kvmha.drill import double_run
from kvmha.tools import corosync_conf
from tests.unit.drill.test_faults import CONF
from tests.unit.drill.test_looking import UUID, Node, look


class Nodes:
    """What the nodes say, a second each, from a list of looks: n1 and n2 with a clock that is 100 s ahead."""

    script: tuple[str, ...] = ()

    def __init__(self, reach, names, *words):
        self.host, self.words = reach.host, words
        self.offsets = {"n1": 0.0, "n2": 100.0}
        self.left = list(self.script)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def read(self, seconds):
        self.host.sleep(seconds)
        places = self.left.pop(0) if self.left else "-"
        return [
            (node, look(self.host.clock + self.offsets[node], pid=700 if node in places else 0))
            for node in ("n1", "n2")
        ]


@pytest.fixture
def host(monkeypatch):
    monkeypatch.setattr(double_run, "Streams", Nodes)
    host = Node()
    host.files["/proc/sys/kernel/hostname"] = b"n1\n"
    host.files[corosync_conf.PATH] = CONF
    host.commands["logger", "--journald"] = ""
    return host


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param(["n1"] * 10, 0, id="one-place"),
        pytest.param(["n1", "n1", "-", "n2", "n2", "n1"], 0, id="moves"),
        pytest.param(["n1", "n1", "n1 n2", "n2", "n2"], 0, id="one-look-shows-both"),
        pytest.param(["n1", "n1 n2", "n1 n2", "n1 n2"], 1, id="twice"),
    ],
)
def test_two_nodes_that_both_have_it_for_longer_than_a_look_are_told(host, monkeypatch, capsys, script, code):
    monkeypatch.setattr(Nodes, "script", tuple(script))
    began = host.clock
    assert main(["double-run", "--seconds", "12"], host) == code
    said = capsys.readouterr().out
    assert said.count("\n") == code
    assert (UUID in said) == bool(code)
    assert host.ran == [("logger", "--journald")] * code, "nobody is asked, and the alert is all that is done"
    assert host.clock - began <= 13


@pytest.mark.parametrize(
    ("words", "name", "said"),
    [
        pytest.param(["--seconds", "0"], b"n1\n", '--seconds: "0" is no number', id="seconds"),
        pytest.param([], b"web\n", "this host is called web, and the nodes are n1, n2", id="no-node"),
    ],
)
def test_bad_input_is_named(host, capsys, words, name, said):
    host.files["/proc/sys/kernel/hostname"] = name
    assert main(["double-run", *words], host) == 2
    assert said in capsys.readouterr().err


def test_without_a_cluster_it_says_so(host, capsys):
    del host.files[corosync_conf.PATH]
    assert main(["double-run"], host) == 2
    assert "run it on a node of the cluster" in capsys.readouterr().err
