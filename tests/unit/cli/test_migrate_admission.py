"""kvmha migrate against an N+1 plan: refused, or done and logged."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvmha.cli import migrate
from kvmha.cli.main import main
from tests.fakes import FakeHost

SAID = "web2 has no place if n2 is lost"


@pytest.fixture
def asked(mocker):
    """Return a function that asks for a move that takes the reserve, and what was judged, logged and moved."""
    judged, logged = [], []
    guest = SimpleNamespace(name="web1", nodes=("n1",), agent=SimpleNamespace(param=lambda _name: "live"))
    view = SimpleNamespace(target="n2", guest=SimpleNamespace(memory_mib=0.0), path=None)
    preflight = SimpleNamespace(verdict="live")
    sight = SimpleNamespace(host=FakeHost(), guest=lambda _name: guest, node=lambda name: name)
    mocker.patch.object(migrate, "Sight", return_value=sight)
    mocker.patch.object(migrate.cut_short, "mend", return_value=False)
    mocker.patch.object(migrate, "choose", return_value=(view, preflight))
    mocker.patch.object(migrate, "refuse")
    mocker.patch.object(migrate, "_plan")
    mocker.patch.object(migrate, "Move")
    mocker.patch.object(migrate, "_end", return_value=0)
    moved = mocker.patch.object(migrate, "run", return_value=False)
    mocker.patch.object(migrate.journal, "warn", logged.append)

    def against(_sight, _guest, _target, *, is_forced):
        judged.append(is_forced)
        return (SAID,)

    mocker.patch.object(migrate.admission, "against_move", against)

    def ask(*words):
        return main(["migrate", "web1", "n2", "--no-probe", *words], FakeHost()), judged, logged, moved.call_count

    return ask


def test_a_move_that_takes_the_reserve_is_refused(asked, capsys):
    assert asked() == (2, [False], [], 0)
    assert capsys.readouterr().err == f"kvmha: {SAID}; --override moves web1 all the same\n"


@pytest.mark.parametrize("option", ["--override", "--force"])
def test_who_overrides_that_moves_and_is_in_the_log(asked, option):
    assert asked(option) == (0, [True], [f"migrate web1 n2 --override, against {SAID}"], 1)


def test_a_look_overrides_nothing(asked):
    assert asked("--override", "--dry-run") == (0, [False], [], 0)
