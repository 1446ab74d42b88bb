"""The arithmetic of the bench, and what it makes of it."""

from __future__ import annotations

import pytest

from tests.bench import speed, tables
from tests.bench.calls import OURS, SHELL, Call, Ran, job
from tests.bench.case import Step


@pytest.mark.parametrize(
    ("values", "median", "p90"),
    [
        pytest.param([3.0], 3.0, 3.0, id="one"),
        pytest.param([4.0, 1.0], 2.5, 4.0, id="two"),
        pytest.param([float(n) for n in range(10, 0, -1)], 5.5, 9.0, id="ten"),
        pytest.param([float(n) for n in range(1, 12)], 6.0, 10.0, id="eleven"),
    ],
)
def test_median_and_percentile(values, median, p90):
    assert (speed.median(values), speed.percentile(values, 0.9)) == (median, p90)


def rows(cpu, *, shell=0.3, processes=1, memory=9000):
    counted = Ran(rc=0, is_killed=False, out="", err="", processes=processes, largest_kib=memory)
    return tuple(
        speed.row(
            "monitor", side.name, [Ran(rc=0, is_killed=False, out="", err="", wall=time, cpu=time)], counted, 0.01
        )
        for side, time in ((SHELL, shell), (OURS, cpu))
    )


def reached(found):
    return [aim.is_reached for aim in speed.aims(found)]


def test_the_aims_are_reached_by_what_reaches_them():
    assert reached(rows(0.016, shell=0.16)) == [True, True, True, True]


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        pytest.param(rows(0.0161), 0, id="more than 1.6 interpreters"),
        pytest.param(rows(0.015, shell=0.149), 1, id="less than ten times less"),
        pytest.param(rows(0.015, processes=2), 2, id="two processes"),
        pytest.param(rows(0.015, memory=16 * 1024 + 1), 3, id="too much memory"),
    ],
)
def test_an_aim_that_is_missed_is_told(found, missed):
    assert reached(found) == [number != missed for number in range(4)]
    line = tables.aim_lines(speed.aims(found))[missed]
    assert "NOT reached" in line


def test_an_exit_code_that_was_different_once_is_the_one_that_is_shown():
    well, failed = (Ran(rc=code, is_killed=False, out="", err="", cpu=0.1) for code in (0, 1))
    assert speed.row("monitor", "a", [well, failed, well], well, 0.1).rc == 1


def test_an_agent_is_called_as_the_executor_calls_it():
    call = Call(action="monitor", instance="web1", params={"config": "/etc/web1.xml"}, timeout=30, interval=10)
    made = job(SHELL, call, "n1")
    assert made.argv == ("/usr/lib/ocf/resource.d/heartbeat/VirtualDomain", "monitor")
    wanted = {
        "OCF_ROOT": "/usr/lib/ocf",
        "OCF_RESOURCE_INSTANCE": "web1",
        "OCF_RESOURCE_PROVIDER": "heartbeat",
        "OCF_RESKEY_config": "/etc/web1.xml",
        "OCF_RESKEY_CRM_meta_timeout": "30000",
        "OCF_RESKEY_CRM_meta_interval": "10000",
        "OCF_RESKEY_CRM_meta_on_node": "n1",
    }
    assert {name: made.env.get(name) for name in wanted} == wanted


def test_a_probe_has_no_interval():
    made = job(OURS, Call(action="monitor", instance="web1", params={}, timeout=30), "n1")
    assert "OCF_RESKEY_CRM_meta_interval" not in made.env


def test_a_killed_agent_leaves_no_time_but_the_kill():
    call = Call(action="migrate_to", instance="web1", params={}, timeout=120, killed_after=4)
    made = job(OURS, call, "n1")
    assert (made.timeout, made.env["OCF_RESKEY_CRM_meta_timeout"]) == (4, "120000")


def test_a_step_is_told_with_what_was_true_after_it():
    step = Step(action="stop", node="n1", rc=0, is_killed=False, seconds=0.31, deadline=20.0, reason="", places=("n1",))
    assert step.said() == "stop 0 in 0.3 s, it runs on n1"
    assert step.replace(is_killed=True, places=()).said() == "stop KILLED at 20 s, it does not run"
    assert step.replace(rc=1, reason="why").said() == 'stop 1 in 0.3 s, it runs on n1 "why"'


def test_the_reason_is_the_last_one():
    ran = Ran(rc=1, is_killed=False, out="", err="x\nocf-exit-reason:one\nocf-exit-reason:two\n")
    assert ran.reason == "two"
