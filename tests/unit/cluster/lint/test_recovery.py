"""What is predicted for the loss of a node, phase by phase."""

from __future__ import annotations

import pytest

from kvmha.cluster.lint.recovery import predict
from kvmha.policy.timing.recovery import DECIDE_LEAST_S, DECIDE_MOST_S
from tests.unit.cluster.lint import breaks_fencing, examples


def test_fencing_by_a_controller_is_between_its_least_and_its_timeouts():
    recovery = predict(examples.facts("three"), "n1")
    assert recovery.lost.most_s == 6.6
    # Off and on: twice one second and power_wait 2; at the worst login 5 and twice 2 + 20.
    assert recovery.fenced.least_s == pytest.approx(recovery.lost.least_s + DECIDE_LEAST_S + 6)
    assert recovery.fenced.most_s == pytest.approx(6.6 + DECIDE_MOST_S + 49)


def test_a_timeout_of_the_device_bounds_its_fencing():
    change = breaks_fencing.option("fence-n1", "pcmk_reboot_timeout", "12s")
    recovery = predict(examples.facts("three", change), "n1")
    assert recovery.fenced.most_s == pytest.approx(6.6 + DECIDE_MOST_S + 12)


def test_delays_of_a_pair_count_for_the_node_that_they_favour():
    first, second = (predict(examples.facts("pair"), node) for node in ("n1", "n2"))
    assert first.fenced.least_s == pytest.approx(second.fenced.least_s + 5)
    # Either node may be the one that counts more when it dies.
    assert second.fenced.most_s == pytest.approx(6.6 + DECIDE_MOST_S + 49 + 10)


def test_a_disk_takes_msgwait_always():
    recovery = predict(examples.facts("disk"), "n2")
    assert recovery.fenced.least_s == pytest.approx(recovery.lost.least_s + DECIDE_LEAST_S + 20)


def test_the_watchdog_alone_takes_what_the_cluster_waits_for_it():
    recovery = predict(examples.facts("watchdog"), "n2")
    assert recovery.fenced.least_s == pytest.approx(recovery.lost.least_s + DECIDE_LEAST_S + 20)
    assert "watchdog 20 s" in recovery.chain


def test_a_quorum_device_is_waited_for():
    recovery = predict(examples.facts("device"), "n1")
    assert recovery.lost.most_s == 9.6


def test_a_node_that_nothing_fences_brings_no_guest_back():
    _, change, _, _ = breaks_fencing.BREAKS["fencing-none"]
    recovery = predict(examples.facts("three", change), "n3")
    assert recovery.fenced is None
    assert recovery.guests == ()
    assert "nothing fences n3" in recovery.chain


def test_a_guest_of_known_boot_time_is_told_when_it_answers():
    facts = examples.facts("three")
    facts = facts.replace(guests=tuple(guest.replace(boot_s=20.0) for guest in facts.guests))
    guest = predict(facts, "n1").guests[0]
    assert guest.answers.least_s == pytest.approx(guest.started.least_s + 20)
    assert guest.started.most_s == pytest.approx(predict(facts, "n1").fenced.most_s + 90)
