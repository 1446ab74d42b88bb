"""How long a synchronisation will take."""

from __future__ import annotations

from kvmha.policy.progress import Sample, progress, recent


def test_speed_and_time_come_from_what_moved_of_late():
    samples = ()
    for at, left in ((0.0, 1000.0), (5.0, 900.0), (15.0, 400.0)):
        samples = recent(samples, Sample(at=at, remaining_kib=left))
    found = progress(samples, total_kib=1600.0)
    assert (found.speed_kib, found.seconds_left, found.done_percent) == (50.0, 8.0, 75.0)


def test_nothing_is_foretold_from_one_look_or_while_nothing_moves():
    one = recent((), Sample(at=0.0, remaining_kib=100.0))
    assert progress(one, total_kib=None).seconds_left is None
    stuck = recent(one, Sample(at=3.0, remaining_kib=100.0))
    found = progress(stuck, total_kib=None)
    assert (found.speed_kib, found.seconds_left, found.done_percent) == (None, None, None)


def test_new_changes_during_a_synchronisation_make_no_negative_speed():
    samples = recent(recent((), Sample(at=0.0, remaining_kib=100.0)), Sample(at=1.0, remaining_kib=150.0))
    assert progress(samples, total_kib=200.0).speed_kib is None
