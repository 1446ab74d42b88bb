"""When a drain begins the next move."""

from __future__ import annotations

import types

import pytest

from kvmha.cli import drain
from kvmha.cli.moving.through_pacemaker import MOVED, MOVING, OVER, WAITING


class FakeMove:
    """A move whose guest has been seen to move, or not."""

    def __init__(self, name, *, is_on_drbd):
        self.guest = types.SimpleNamespace(name=name)
        self.is_on_drbd = is_on_drbd
        self.has_gone = False
        self.state = WAITING

    @property
    def is_over(self):
        return self.state in OVER

    @property
    def is_between(self):
        return self.state == MOVING and self.is_on_drbd and not self.has_gone

    def begin(self):
        self.state = MOVING


def drained(monkeypatch, *, is_on_drbd, at_once=2):
    monkeypatch.setattr(drain, "sentence", lambda move: move.guest.name)
    made = types.SimpleNamespace(at_once=at_once, items=())
    work = drain.Drain(types.SimpleNamespace(host=None), "n1", made, {}, is_quiet=True)
    work.waiting = [FakeMove(name, is_on_drbd=is_on_drbd) for name in ("web1", "web2", "web3")]
    return work, list(work.waiting)


def names(moves):
    return [move.guest.name for move in moves]


def test_as_many_begin_as_may(monkeypatch):
    work, (web1, _web2, _web3) = drained(monkeypatch, is_on_drbd=False)
    assert names(work._next()) == ["web1", "web2"]
    web1.state = MOVED
    assert names(work._next()) == ["web2", "web3"]


def test_while_a_guests_disk_has_moved_and_the_guest_has_not_the_cluster_is_left_as_it_is(monkeypatch):
    work, (web1, web2, web3) = drained(monkeypatch, is_on_drbd=True)
    for _ in range(2):
        assert names(work._next()) == ["web1"]
    web1.has_gone = True
    assert names(work._next()) == ["web1", "web2"]
    web1.state = MOVED
    assert names(work._next()) == ["web1", "web2"]
    web2.has_gone = True
    assert names(work._next()) == ["web2", "web3"]
    web2.state = web3.state = MOVED
    assert names(work._next()) == []


@pytest.mark.parametrize("at_once", [1, 3])
def test_all_of_them_are_moved_in_the_end(monkeypatch, at_once):
    work, moves = drained(monkeypatch, is_on_drbd=True, at_once=at_once)
    for _ in range(12):
        for move in work._next():
            move.state = MOVED if move.has_gone else move.state
            move.has_gone = True
    assert {move.state for move in moves} == {MOVED}
