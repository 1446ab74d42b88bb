"""The arithmetic of a cluster, against numbers worked out by hand, and what must hold for all numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmha.policy import timing
from kvmha.policy.timing.recovery import Span

TOKENS = st.integers(min_value=1000, max_value=30_000)
MEMORY = st.integers(min_value=1, max_value=2_000_000)


def test_the_token_grows_with_the_third_node():
    assert timing.totem(2).token == 3000
    assert timing.totem(3).token == 3650
    assert timing.totem(3, coefficient=0).token == 3000


def test_what_follows_from_the_token():
    totem = timing.totem(3, links=((0, None, None, None), (1, 400, 800, None)))
    assert (totem.consensus, totem.lost_ms) == (4380, 8030)
    # 3650 / 4.2, and 0.8 of that less 10.
    assert (totem.retransmit, totem.hold) == (869, 685)
    first, second = totem.links
    assert (first.ping_interval, first.ping_timeout, first.down_ms) == (912, 1825, 2737)
    assert (second.ping_interval, second.ping_timeout, second.down_ms) == (400, 800, 1200)


def test_the_chain_of_numbers_names_each_of_them():
    assert timing.totem(3).lost_chain == (
        "token 3000 + 1 x coefficient 650 = 3650 ms; consensus 4380 ms = 1.2 x token; token + consensus = 8030 ms"
    )
    assert timing.totem(2, consensus=600).lost_chain == "token 3000 ms; consensus 600 ms; token + consensus = 3600 ms"


@given(TOKENS, st.integers(min_value=2, max_value=9))
def test_a_second_link_is_taken_before_the_token_is_lost_where_all_is_left_to_corosync(token, nodes):
    totem = timing.totem(nodes, token=token)
    assert all(link.down_ms < totem.token for link in totem.links)
    assert totem.consensus >= totem.join
    assert 0 <= totem.hold < totem.token


def test_a_quorum_device_that_is_left_as_it_is_gives_a_node_up_after_twelve_seconds():
    device = timing.QuorumDevice()
    assert (device.heartbeat, device.forgotten_ms) == (8000, 12_000)
    assert device.sync_timeout > device.forgotten_ms


def test_fence_ipmilan_looks_for_off_and_for_on():
    times = timing.agent_times("fence_ipmilan", {})
    assert times.most_s == 5 + 22 + 22
    assert timing.agent_times("fence_ipmilan", {}, action="off").most_s == 5 + 22
    assert timing.agent_times("fence_ipmilan", {"power_wait": "0"}).most_s == 5 + 20 + 20
    assert timing.agent_times("fence_ipmilan", {"delay": "7", "retry_on": "3"}).most_s == 7 + 5 + 22 + 3 * 22


def test_metadata_goes_before_what_we_know_and_options_before_metadata():
    metadata = {"power_timeout": "40", "login_timeout": "15s"}
    assert timing.agent_times("fence_x", {}, metadata, action="off").most_s == 15 + 40
    assert timing.agent_times("fence_x", {"power_timeout": "10"}, metadata, action="off").most_s == 15 + 10


def test_a_cycle_waits_for_nothing_and_says_so():
    times = timing.agent_times("fence_ipmilan", {"method": "cycle"})
    assert times.most_s == 5 + 2
    assert "no look" in times.chain


def test_a_small_guest_gets_what_the_agent_advertises():
    wanted = timing.GuestTimeouts(start=90, stop=90, monitor=30, migrate_to=120, migrate_from=60)
    assert timing.guest_timeouts(memory_mib=None) == wanted
    assert timing.guest_timeouts(memory_mib=256) == wanted


def test_a_large_guest_gets_time_for_its_memory():
    wanted = timing.guest_timeouts(memory_mib=65_536, bandwidth_mib_s=1000.0, at_once=2)
    # 60 + 65536 / 1024 = 124; 60 + 20 + 10 = 90; twice 65536 / 500 + 30 = 292.
    assert (wanted.start, wanted.stop, wanted.migrate_to) == (130, 90, 300)


def test_what_a_small_guest_needs_is_less_than_what_it_gets():
    least = timing.least_guest_timeouts(memory_mib=256)
    assert least == timing.GuestTimeouts(start=61, stop=90, monitor=30, migrate_to=35, migrate_from=60)


def test_a_disk_that_is_promoted_first_takes_its_time():
    plain, on_drbd = (timing.guest_timeouts(memory_mib=8192, drbd=drbd) for drbd in (False, True))
    assert on_drbd.migrate_to == plain.migrate_to + 20
    assert on_drbd.migrate_from == plain.migrate_from + 20


@given(MEMORY, st.floats(min_value=1, max_value=10_000), st.integers(min_value=1, max_value=8))
def test_no_timeout_is_shorter_than_the_copy_and_the_reserve(memory, bandwidth, at_once):
    wanted = timing.guest_timeouts(memory_mib=memory, bandwidth_mib_s=bandwidth, at_once=at_once)
    copied = timing.forecast_migration(memory, bandwidth_mib_s=bandwidth, at_once=at_once)
    assert wanted.migrate_to >= copied.seconds + timing.MIGRATION_RESERVE_S
    assert wanted.stop >= 60 + timing.STOP_RESERVE_S


@given(MEMORY, st.floats(min_value=1, max_value=10_000), st.floats(min_value=0, max_value=10_000))
def test_a_forecast_ends_and_grows_with_what_is_written(memory, bandwidth, dirty):
    calm, busy = (
        timing.forecast_migration(memory, bandwidth_mib_s=bandwidth, dirty_mib_s=rate) for rate in (0.0, dirty)
    )
    assert memory / bandwidth <= calm.seconds * 1.0001
    assert calm.seconds <= busy.seconds * 1.0001
    assert busy.seconds <= 5.001 * memory / bandwidth + 1
    assert busy.is_converging == (dirty / bandwidth <= 0.8)


def test_an_idle_guest_is_copied_once():
    assert timing.forecast_migration(1100, bandwidth_mib_s=110.0, dirty_mib_s=0.0).seconds == pytest.approx(10.0)


def test_a_promotion_waits_for_drbd_and_for_the_handler():
    # 10 + 0.5 until DRBD knows, 60 for the handler, 20 for the step.
    assert timing.drbd_timeouts().promote == 100
    assert timing.peer_lost_s() == 10.5
    assert timing.peer_lost_s(ping_interval_s=3, ping_timeout_ds=10, timeout_ds=60) == 7.0


def test_a_pair_without_a_device_knows_after_token_and_consensus():
    span, chain = timing.lost(timing.totem(2))
    assert span.most_s == 6.6
    # The token rests for 0.8 x 714 - 10 ms.
    assert span.least_s == pytest.approx(6.6 - 0.561)
    assert "token + consensus = 6600 ms" in chain


def test_a_quorum_device_can_be_what_a_failover_waits_for():
    span, chain = timing.lost(timing.totem(2), timing.QuorumDevice())
    assert span == Span(least_s=pytest.approx(6.039), most_s=12.0)
    assert "12000 ms until qnetd gives up a silent node" in chain


def test_a_guest_answers_after_its_boot():
    fenced = Span(least_s=3.0, most_s=50.0)
    back = timing.guest_back("web1", fenced, boot_s=20.0, start_timeout_s=90.0)
    assert back.answers == Span(least_s=back.started.least_s + 20, most_s=back.started.most_s + 20)
    assert timing.guest_back("web1", fenced, boot_s=None, start_timeout_s=90.0).answers is None


def test_msgwait_is_twice_the_watchdog_unless_it_is_said():
    assert timing.msgwait_s(5.0) == 10.0
    assert timing.msgwait_s(5.0, 30.0) == 30.0
