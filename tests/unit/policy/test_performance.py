"""A guest before and after its move: what is told of it, and what counts as worse."""

from __future__ import annotations

import pytest

from kvmha.policy.performance import Counters, Sample, compare, sample

FIRST = Counters(at_s=100.0, cpus=2, cpu_s=50.0, delay_s=1.0, requests=1000, request_s=4.0)


def test_a_sample_is_what_lies_between_two_looks():
    second = Counters(at_s=104.0, cpus=2, cpu_s=52.0, delay_s=1.8, requests=1100, request_s=4.3)
    found = sample(FIRST, second)
    assert (found.seconds, found.cpu_percent, found.requests_s) == (4.0, 50.0, 25.0)
    assert found.delay_percent == pytest.approx(10.0)
    assert found.latency_ms == pytest.approx(3.0)


@pytest.mark.parametrize(
    "second",
    [None, FIRST, FIRST.replace(at_s=104.0, cpu_s=1.0), FIRST.replace(at_s=104.0, requests=3)],
    ids=["gone", "no time", "started anew", "counted anew"],
)
def test_what_cannot_be_told_is_none(second):
    assert sample(FIRST, second) is None
    assert sample(second, FIRST) is None or second is not None


def test_few_requests_tell_nothing_of_their_latency():
    found = sample(FIRST, FIRST.replace(at_s=102.0, requests=1009, request_s=9.0))
    assert found.latency_ms is None


def test_a_kernel_that_does_not_count_delays_is_not_taken_for_one_without():
    assert sample(FIRST, FIRST.replace(at_s=102.0, delay_s=None)).delay_percent is None


BEFORE = Sample(seconds=2.0, cpu_percent=40.0, delay_percent=3.0, requests_s=50.0, latency_ms=2.0)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({}, ""),
        ({"cpu_percent": 90.0}, ""),
        ({"delay_percent": 22.0}, ""),
        ({"delay_percent": 23.0}, "it waits for the host's processors"),
        ({"latency_ms": 6.9}, ""),
        ({"latency_ms": 7.0}, "its disks are slower"),
        ({"latency_ms": 7.0, "delay_percent": 90.0}, "it waits for the host's processors and its disks are slower"),
        ({"latency_ms": None, "delay_percent": None}, ""),
    ],
)
def test_only_large_differences_count(after, said):
    found = compare(BEFORE, BEFORE.replace(**after))
    assert found.is_worse == bool(said)
    assert found.said.startswith(f"it does worse, as {said}: " if said else "it does as before: ")


def test_a_small_latency_may_grow_by_much():
    assert not compare(BEFORE.replace(latency_ms=0.1), BEFORE.replace(latency_ms=5.0)).is_worse


def test_what_is_not_known_is_not_compared():
    assert compare(None, BEFORE) is None
    assert compare(BEFORE, None) is None
