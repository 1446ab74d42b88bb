"""What the verb does with the lab in the end."""

from __future__ import annotations

import argparse

import pytest

from kvmha.cli import lab_demo
from kvmha.host import Host
from kvmha.lab import demo, lab
from kvmha.lab.plan import LabError


@pytest.fixture
def calls(monkeypatch):
    """Return what was done to the lab, by a lab and a demonstration that do nothing else."""
    calls = []
    monkeypatch.setattr(lab.Lab, "up", lambda *_args, **_options: calls.append("up"))
    monkeypatch.setattr(lab.Lab, "down", lambda _self: calls.append("down"))
    monkeypatch.setattr(lab, "load", lambda _host, _name: None)
    monkeypatch.setattr(demo.Demo, "run", lambda _self: outcome())
    return calls


def outcome(**changes):
    move = demo.Move(guest="web1", source="n1", target="n2", gap=0.3, is_same_boot=changes.pop("is_same_boot", True))
    values = {"move": move, "victim": "n2", "moments": (), "recoveries": (), "all_back": True, "ran_twice": ()}
    return demo.Outcome(**{**values, "looks": 9, "longest_pause": 0.1, "cut_at": 0.0, **changes})


def run(*, keep=False, as_json=False):
    args = argparse.Namespace(name="demo", nodes=3, suite="bookworm", package=None, keep=keep, json=as_json)
    return lab_demo.run(args, Host())


def test_a_good_run_ends_with_0_and_removes_the_lab(calls):
    assert run() == 0
    assert calls == ["up", "down"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"all_back": False}, id="somebody-did-not-come-back"),
        pytest.param({"ran_twice": ("web1 executed on n1 and n2",)}, id="a-guest-ran-twice"),
        pytest.param({"is_same_boot": False}, id="the-migration-was-a-restart"),
    ],
)
def test_a_run_that_shows_something_wrong_does_not_end_with_0(calls, monkeypatch, capsys, changes):
    monkeypatch.setattr(demo.Demo, "run", lambda _self: outcome(**changes))
    assert run() == 1
    said = capsys.readouterr().out
    assert any(word in said for word in ("NOT ALL", "RAN TWICE", "ANOTHER BOOT"))


def test_keep_leaves_the_lab_and_says_how_to_look_around(calls, capsys):
    assert run(keep=True) == 0
    assert calls == ["up"]
    assert "kvmha lab down --name demo" in capsys.readouterr().out


def test_a_lab_of_its_own_is_removed_after_an_error(calls, monkeypatch):
    def fail(_self):
        raise LabError("no answer")

    monkeypatch.setattr(demo.Demo, "run", fail)
    with pytest.raises(LabError):
        run()
    assert calls == ["up", "down"]


def test_somebody_elses_lab_stays_after_an_error(calls, monkeypatch):
    def refuse(*_args, **_options):
        raise LabError("the lab demo is there already, with another package")

    monkeypatch.setattr(lab, "load", lambda _host, _name: object())
    monkeypatch.setattr(lab.Lab, "up", refuse)
    with pytest.raises(LabError):
        run()
    assert calls == []


def test_json_is_the_whole_outcome(calls, capsys):
    import json

    assert run(as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["is_good"] is True
