"""kvmha drain against what speaks against it: refused, or done and logged."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvmha.cli import drain
from kvmha.cli.main import main
from kvmha.policy import draining
from tests.fakes import FakeHost

SAID = "web2 has nowhere to go: n2: short of 1.0 GiB for web2"


@pytest.fixture
def asked(mocker):
    """Return a function that asks to drain a node whose guest has nowhere to go, and what was logged and done."""
    logged, decided, done = [], [], []
    status = SimpleNamespace(is_online=True, is_standby=False)
    sight = SimpleNamespace(node=lambda name: name, status=SimpleNamespace(node=lambda _name: status))
    plan = draining.Plan(
        items=(), refusals=(draining.Refusal(guest="web2", reasons=("n2: short of 1.0 GiB for web2",)),), at_once=2,
        seconds=0.0,
    )  # fmt: skip
    mocker.patch.object(drain, "Sight", return_value=sight)
    mocker.patch.object(drain, "_inputs", return_value=({}, {}))
    mocker.patch.object(drain, "_data_loss", return_value=[])
    mocker.patch.object(drain.draining, "plan", return_value=plan)
    mocker.patch.object(drain.admission, "against_drain", return_value=())
    mocker.patch.object(drain.decided, "drain", lambda *_args, forced, **_more: decided.append(forced))
    mocker.patch.object(drain.journal, "warn", logged.append)
    mocker.patch.object(drain, "Drain", return_value=SimpleNamespace(run=lambda is_forced: done.append(is_forced) or 0))

    def ask(*words):
        return main(["drain", "n1", *words], FakeHost()), decided, logged, done

    return ask


def test_a_guest_that_has_nowhere_to_go_keeps_its_node(asked, capsys):
    assert asked() == (2, [False], [], [])
    assert capsys.readouterr().err == f"kvmha: {SAID}\nn1 was not drained; --override does it all the same\n"


@pytest.mark.parametrize("option", ["--override", "--force"])
def test_who_overrides_that_drains_and_is_in_the_log(asked, option):
    assert asked(option) == (0, [True], [f"drain of n1 was forced: {SAID}"], [True])


def test_a_look_overrides_nothing_and_ends_like_a_refusal(asked):
    assert asked("--override", "--dry-run") == (2, [False], [], [])
