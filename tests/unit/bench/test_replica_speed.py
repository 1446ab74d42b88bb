"""The aims of the monitor of a replica, from rows that were measured."""

from __future__ import annotations

import pytest

from tests.bench.calls import Ran
from tests.bench.replica_speed import OUR_REPLICA, QUESTION, SHELL_REPLICA, aims
from tests.bench.speed import YARDSTICK, row


def rows(*, ours, shell=0.250, processes=2):
    def made(action, agent, cpu, count=1):
        ran = Ran(rc=0, is_killed=False, out="", err="", wall=cpu, cpu=cpu, processes=count)
        return row(action, agent, [ran], ran, 0.010)

    return [
        made(YARDSTICK, "", 0.010),
        made(QUESTION, "", 0.005),
        made("monitor", SHELL_REPLICA.name, shell, 25),
        made("monitor", OUR_REPLICA.name, ours, processes),
    ]


@pytest.mark.parametrize(("ours", "is_reached"), [(0.0249, True), (0.0251, False)])
def test_what_the_kernel_is_asked_is_not_counted_as_the_agents(ours, is_reached):
    first, *_ = aims(rows(ours=ours))
    assert first.is_reached is is_reached
    assert first.measured == pytest.approx((ours - 0.005) / 0.010)


def test_less_than_the_shell_agent_is_aimed_at():
    _, time, processes = aims(rows(ours=0.025))
    assert (time.measured, time.is_reached, processes.measured, processes.is_reached) == (10.0, True, 12.5, True)
    _, time, processes = aims(rows(ours=0.3, processes=25))
    assert (time.is_reached, processes.is_reached) == (False, False)
