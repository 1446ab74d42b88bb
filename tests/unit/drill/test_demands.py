"""What an operator demands before a drill: it is read from a file and the command line, and never passed over."""

from __future__ import annotations

import os
import time

import pytest

from kvmha.drill import demands
from kvmha.drill.demands import CONF, Demands
from kvmha.errors import UserError
from kvmha.host import CommandTimeout, Host
from tests.fakes import FakeHost


def of_file(text):
    host = FakeHost()
    host.files[CONF] = text.encode()
    return demands.read(host)


def test_nothing_is_demanded_where_nobody_has_said_so():
    assert demands.read(FakeHost()) == Demands()
    assert demands.backup(FakeHost(), Demands()) is None


def test_the_file_demands_and_the_command_line_comes_before_it():
    found = of_file("# at night\nwindow 22:00-04:00\n\nbackup-command /usr/local/sbin/fresh --days 1\nbackup-age 12\n")
    assert found == Demands(window="22:00-04:00", backup_command="/usr/local/sbin/fresh --days 1", backup_age_h=12.0)
    laid = demands.over(found, where="--", window="01:00-02:00", backup_file="/srv/stamp")
    assert (laid.window, laid.backup_command, laid.backup_file) == (
        "01:00-02:00", found.backup_command, "/srv/stamp",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("windows 22:00-04:00", f'{CONF}:1: "windows 22:00-04:00" is not understood'),
        ("\nwindow", f'{CONF}:2: "window" is not understood'),
        ("window at night", f'{CONF}: window: "at night" is no window; give it as 22:00-04:00'),
        ("backup-age never", f'{CONF}: backup-age: "never" is no number of hours'),
        ("backup-age 0", f'{CONF}: backup-age: "0" is no number of hours'),
    ],
)
def test_a_demand_that_is_not_understood_is_named(text, said):
    with pytest.raises(UserError) as caught:
        of_file(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("command", "is_fresh", "said"),
    [
        ("echo the last one is of tonight", True, "left with 0: the last one is of tonight"),
        ("echo none since Friday >&2; exit 3", False, "left with 3: none since Friday"),
        ("/no/such/program", False, "left with 127"),
    ],
)
def test_a_command_of_the_operator_says_whether_there_is_one(command, is_fresh, said):
    found = demands.backup(Host(), Demands(backup_command=command))
    assert found.is_fresh is is_fresh
    assert said in found.said


def test_a_command_that_hangs_is_no_backup():
    host = FakeHost()
    host.commands["/bin/sh", "-c", "wait"] = CommandTimeout
    found = demands.backup(host, Demands(backup_command="wait"))
    assert (found.is_fresh, found.said) == (False, "wait did not end within 60 s")


def test_a_file_says_it_by_its_age(tmp_path):
    stamp = tmp_path / "stamp"
    wanted = Demands(backup_file=str(stamp), backup_age_h=2.0)
    assert demands.backup(Host(), wanted).is_fresh is False, "there is none"
    stamp.touch()
    assert demands.backup(Host(), wanted).is_fresh is True
    old = time.time() - 3 * 3600
    os.utime(stamp, (old, old))
    found = demands.backup(Host(), wanted)
    assert found.is_fresh is False
    assert found.said == f"{stamp} was written 3 hours ago, and may be 2 hours old"
    both = demands.backup(Host(), wanted.replace(backup_command="true"))
    assert both.is_fresh is False, "one that is fresh does not stand in for one that is not"
