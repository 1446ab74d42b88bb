"""The arithmetic of the bench of migrations."""

from __future__ import annotations

from argparse import Namespace
from xml.etree import ElementTree

import pytest

from kvmha.lab.plan import LabError
from tests.bench import migration, migration_plot
from tests.bench.migration_runs import COMPLETED, RESTARTED, STAYED, Run
from tests.bench.migration_tables import aims, curves, rows, said


def run(way, rate, outcome=COMPLETED, **values):
    return Run(
        **{"way": way, "rate": rate, "outcome": outcome, "seconds": 8.0, "gap_s": 0.3, "ran_twice": False, **values}
    )


def test_a_row_counts_what_became_of_the_moves():
    moves = (run("ours", "idle"), run("ours", "idle", STAYED, seconds=50.0), run("ours", "idle", RESTARTED),
             run("ours", "idle", seconds=10.0, gap_s=0.5, forecast_s=12.0, took_s=10.0))  # fmt: skip
    found = rows(moves)[0]
    assert (found.completed, found.stayed, found.restarted) == (2, 1, 1)
    assert (found.seconds, found.error) == (9.0, 0.2)


def met(*moves):
    return [aim.is_met for aim in aims(rows(moves))]


def test_the_aims_are_about_ours():
    good = (run("shell", "twice", RESTARTED), run("shell", "idle"), run("ours", "twice", STAYED), run("ours", "idle"),
            run("hybrid", "twice", forecast_s=9.0, took_s=10.0))  # fmt: skip
    assert met(*good) == [True, True, True, True]
    assert met(run("ours", "idle", RESTARTED), run("hybrid", "idle", STAYED)) == [False, False, None, None]
    assert met(run("ours", "idle", gap_s=0.6), run("shell", "idle")) == [True, None, False, None]
    assert met(run("ours", "idle", forecast_s=2.0, took_s=4.0))[3] is False
    assert met() == [None, None, None, None]


def test_an_aim_says_what_was_measured():
    found = aims(rows((run("ours", "idle", gap_s=0.6), run("shell", "idle"), run("hybrid", "twice", STAYED))))
    assert [aim.measured for aim in found] == ["0 of 2", "0 of 1", "0.60 s against 0.30 s", ""]


def test_the_curves_are_of_one_move_that_converges_and_of_one_that_does_not():
    one, two, three = ((0.0, 256.0),), ((0.0, 256.0), (5.0, 200.0)), ((1.0, 9.0),)
    moves = (run("ours", "idle", curve=one), run("ours", "half", curve=two), run("shell", "twice", curve=three))
    assert list(curves(moves).values()) == [two]
    given_up = run("shell", "twice", RESTARTED, curve=three)
    found = curves((*moves, given_up))
    assert list(found.values()) == [two, three]
    assert [said.partition(":")[0] for said in found] == ["converges", "does not converge"]
    stayed = run("ours", "equal", STAYED, curve=one)
    assert list(curves((given_up, stayed)).values()) == [one]


def test_a_curve_falls_from_left_to_right():
    lines = migration_plot.text(((0.0, 256.0), (5.0, 128.0), (10.0, 0.0)), "a title").splitlines()
    assert (lines[0], lines[1][8], lines[-2][-1]) == ("a title", "*", "*")
    assert lines[-1].endswith("10 s")
    assert migration_plot.text((), "a title") == "a title: nothing was seen"


def test_the_picture_is_well_formed_and_holds_every_point():
    curve = ((0.0, 256.0), (5.0, 128.0), (10.0, 0.0))
    picture = ElementTree.fromstring(migration_plot.svg({"converges: <ours>": curve, "does not": ((0.0, 64.0),)}))
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert [line.get("points") for line in lines] == ["60.0,40.0 380.0,175.0 700.0,310.0", "60.0,242.5"]
    assert "converges: <ours>" in [each.text for each in picture]
    assert ElementTree.fromstring(migration_plot.svg({})).tag.endswith("svg")


class Deaf:
    """A mover whose guest does not obey at some of its moves."""

    def __init__(self, *deaf):
        self.turns, self.deaf = 0, deaf

    def prepare(self):
        pass

    def move(self, way, rate):
        self.turns += 1
        if self.turns in self.deaf:
            raise LabError(f"{way.guest} does not obey")
        return run(way.key, rate)


def measured(mover, runs):
    told = []
    given = Namespace(runs=3, only=["ours"], rates=["idle", "half"])
    migration._measure(given, mover, runs, told.append)
    return told


def test_a_move_that_could_not_be_made_is_told_and_the_next_one_is_tried():
    runs = []
    told = measured(Deaf(2, 3, 5), runs)
    assert (len(runs), sum("not seen, as web3 does not obey" in each for each in told)) == (3, 3)


def test_a_lab_in_which_nothing_moves_any_more_ends_the_bench_with_what_was_seen():
    runs = []
    with pytest.raises(LabError):
        measured(Deaf(2, 3, 4), runs)
    assert len(runs) == 1


def test_a_move_is_told_with_its_forecast():
    assert said(run("ours", "idle", forecast_s=9.0, took_s=10.0)) == (
        "completed, 8.0 s, a client waited 0.30 s; forecast 9.0 s, took 10.0 s"
    )
