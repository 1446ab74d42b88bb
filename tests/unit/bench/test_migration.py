"""The arithmetic of the bench of migrations."""

from __future__ import annotations

from tests.bench.migration_runs import COMPLETED, RESTARTED, STAYED, Run
from tests.bench.migration_tables import aims, plot, rows


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


def test_a_curve_falls_from_left_to_right():
    lines = plot(((0.0, 256.0), (5.0, 128.0), (10.0, 0.0)), "a title").splitlines()
    assert (lines[0], lines[1][8], lines[-2][-1]) == ("a title", "*", "*")
    assert lines[-1].endswith("10 s")
    assert plot((), "a title") == "a title: nothing was seen"
