"""What a command line alone shows to be wrong is refused before the cluster is looked at."""

from __future__ import annotations

import pytest

from kvmha.cli.main import main
from tests.fakes import FakeHost


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["no-such-drill"], 'there is no drill "no-such-drill"; there are power-cut, ', id="drill"),
        pytest.param(["power-cut", "--node", "n2"], "power-cut interrupts guests; say --destructive", id="harm"),
        pytest.param(
            ["power-cut", "--node", "n2", "--destructive"], "nobody is there to be asked: say --confirm n2", id="nobody"
        ),
        pytest.param(
            ["partition", "--destructive"], "say --confirm with the name of the target", id="nobody-for-the-cluster"
        ),
        pytest.param(
            ["power-cut", "--node", "n2", "--destructive", "--confirm", "n3"], '"n3" is not n2', id="another-node"
        ),
        pytest.param(
            ["qemu-killed", "--guest", "web1", "--node", "n2", "--destructive", "--confirm", "n2"],
            '"n2" is not web1', id="node-of-a-guest",
        ),
        pytest.param(["link-cut", "--node", "n2", "--despite", "mood"], "there is no gate mood that could", id="gate"),
        pytest.param(["link-cut", "--node", "n2", "--despite", "target"], "no gate target that could", id="can"),
    ],
)  # fmt: skip
def test_it_is_refused_and_nothing_was_asked(words, said, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    host = FakeHost()
    host.files["/proc/sys/kernel/hostname"] = b"n1\n"
    assert main(["drill", "run", *words], host) == 2
    assert said in capsys.readouterr().err
    assert host.ran == []
