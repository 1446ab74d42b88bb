"""The meter of the bench on commands of which is known what they are."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

METER = Path(__file__).resolve().parents[2] / "bench" / "meter.py"
ENV = {"PATH": "/usr/bin:/bin"}
BURN = "import time\nwhile time.process_time() < 0.2: pass"


def measure(*argv, how, timeout=20.0):
    """Run one command under the meter, as a program of its own, and return what it says."""
    job = {"argv": argv, "env": ENV, "timeout": timeout, "how": how}
    done = subprocess.run(
        [sys.executable, "-IS", str(METER)], input=json.dumps([job]), capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    return json.loads(done.stdout)[0]


@pytest.mark.parametrize("how", ["timed", "counted"])
def test_exit_code_and_output_are_those_of_the_command(how):
    found = measure("/bin/sh", "-c", "echo out; echo err >&2; exit 6", how=how)
    assert (found["rc"], found["is_killed"], found["out"], found["err"]) == (6, False, "out\n", "err\n")


@pytest.mark.parametrize("how", ["timed", "counted"])
def test_an_overdue_command_is_killed_with_its_whole_process_group(how):
    before = time.monotonic()
    found = measure("/bin/sh", "-c", "sleep 77 & sleep 78", how=how, timeout=0.5)
    assert (found["rc"], found["is_killed"]) == (-9, True)
    assert time.monotonic() - before < 20


def test_the_time_is_that_of_the_command_alone():
    found = measure("/bin/sh", "-c", "sleep 1 & sleep 0.3", how="timed")
    assert 0.3 <= found["wall"] < 0.9


@pytest.mark.parametrize(
    "script",
    [
        pytest.param('python3 -c "$1"', id="itself"),
        pytest.param('python3 -c "$1"; true', id="a child"),
        pytest.param('(python3 -c "$1" &) ; true', id="a grandchild that is left behind"),
    ],
)
def test_processor_time_is_that_of_all_its_processes(script):
    found = measure("/bin/sh", "-c", script, "sh", BURN, how="timed")
    assert found["cpu"] >= 0.2


def test_waiting_is_no_processor_time():
    assert measure("/bin/sleep", "0.5", how="timed")["cpu"] < 0.2


@pytest.mark.parametrize(
    ("script", "processes"),
    [
        pytest.param("exec sleep 0", 1, id="exec"),
        pytest.param("sleep 0; sleep 0", 3, id="two children"),
        pytest.param("(sleep 0; true) | cat | cat", 5, id="a pipe"),
        pytest.param("(sleep 0.2; sleep 0; true) & exit 0", 4, id="left behind"),
    ],
)
def test_processes_are_counted_exactly(script, processes):
    assert measure("/bin/dash", "-c", script, how="counted")["processes"] == processes


def test_threads_are_no_processes():
    program = "import _thread, time; _thread.start_new_thread(print, ()); time.sleep(0.2)"
    found = measure("/usr/bin/python3", "-c", program, how="counted")
    assert (found["processes"], found["threads"], found["programs"]) == (1, 1, 1)


def test_programs_are_counted_and_not_the_copies_of_a_shell():
    found = measure("/bin/dash", "-c", "(true); (true); sleep 0; true", how="counted")
    assert (found["processes"], found["programs"]) == (4, 2)


def test_the_largest_process_is_told_by_its_peak():
    found = measure("/usr/bin/python3", "-c", "block = bytearray(60 << 20); del block", how="counted")
    assert 60 * 1024 < found["largest_kib"] < 90 * 1024
    assert found["together_kib"] >= found["largest_kib"]


def test_the_meter_itself_does_not_count_as_memory():
    assert measure("/bin/true", how="counted")["largest_kib"] < 4 * 1024


def test_memory_together_is_that_of_processes_that_live_at_the_same_time():
    one = "import os, sys; block = bytearray(30 << 20); os.spawnv(os.P_WAIT, '/bin/sleep', ['sleep', '0'])"
    both = measure("/bin/sh", "-c", 'python3 -c "$1" & python3 -c "$1"; wait', "sh", one, how="counted")
    assert both["together_kib"] > 1.5 * both["largest_kib"]
