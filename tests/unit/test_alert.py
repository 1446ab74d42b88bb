"""How people are told that one of them is needed."""

from __future__ import annotations

import stat

import pytest

from kvmha import alert
from kvmha.alert import Alert
from kvmha.host import CommandMissing, CommandTimeout, Host
from tests.fakes import FakeHost

SPLIT = Alert(kind="drbd-split-brain", subject="r0", sentence="r0: both were written", facts={"peer": "n2"})
LOGGER = ("logger", "--journald")


class Listener(FakeHost):
    """A machine that keeps what its commands were given."""

    def __init__(self):
        super().__init__()
        self.given = []
        self.plain = set()
        self.commands[LOGGER] = ""

    def run(self, *argv, given="", **options):
        self.given.append(given)
        return super().run(*argv, given=given, **options)

    def which(self, program):
        return None if program in self.plain else program

    def program(self, name, answer=""):
        self.files[f"{alert.FOLDER}/{name}"] = b""
        self.commands[(f"{alert.FOLDER}/{name}",)] = answer


@pytest.fixture
def host():
    return Listener()


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(alert, "_syslog", lambda text, is_alert: lines.append((is_alert, text)))
    return lines


def test_the_journal_has_it_at_priority_alert_with_fields_of_its_own(host, logged):
    assert alert.send(host, SPLIT, seconds=30) == ()
    assert host.given == [
        "MESSAGE=r0: both were written\nPRIORITY=1\nSYSLOG_IDENTIFIER=kvmha\nKVMHA_ALERT_KIND=drbd-split-brain\n"
        "KVMHA_ALERT_SUBJECT=r0\nKVMHA_ALERT_TEXT=r0: both were written\nKVMHA_ALERT_PEER=n2\n"
    ]
    assert logged == []


def test_no_text_can_make_a_second_field(host, logged):
    alert.send(host, SPLIT.replace(sentence="one\nPRIORITY=7"), seconds=30)
    assert "MESSAGE=one PRIORITY=7\n" in host.given[0]


@pytest.mark.parametrize("answer", [CommandMissing, (1, "", "no journal"), CommandTimeout])
def test_without_a_journal_the_system_log_has_it(host, logged, answer):
    host.commands[LOGGER] = answer
    alert.send(host, SPLIT, seconds=30)
    assert logged == [(True, "r0: both were written")]


def test_every_program_hears_of_it_in_the_order_of_their_names(host, logged):
    host.program("20-pager")
    host.program("10-mail")
    told = alert.send(host, SPLIT, seconds=30)
    assert told == ("/etc/kvmha/alert.d/10-mail", "/etc/kvmha/alert.d/20-pager")
    assert host.environments[(told[0],)] == {
        "KVMHA_ALERT_KIND": "drbd-split-brain",
        "KVMHA_ALERT_SUBJECT": "r0",
        "KVMHA_ALERT_TEXT": "r0: both were written",
        "KVMHA_ALERT_PEER": "n2",
    }


@pytest.mark.parametrize("name", ["mail~", "mail.dpkg-old", ".mail.swp", "README.md"])
def test_what_lies_beside_the_programs_is_not_started(host, logged, name):
    host.program(name)
    assert alert.send(host, SPLIT, seconds=30) == ()


def test_a_file_that_cannot_be_executed_is_no_program(host, logged):
    host.program("README")
    host.plain.add("/etc/kvmha/alert.d/README")
    assert alert.send(host, SPLIT, seconds=30) == ()
    assert logged == []


def test_one_that_fails_or_hangs_does_not_keep_it_from_the_others(host, logged):
    host.program("1", (1, "", "no such user"))
    host.program("2", CommandTimeout)
    host.program("3")
    begin = host.now()
    assert alert.send(host, SPLIT, seconds=60) == ("/etc/kvmha/alert.d/3",)
    assert host.now() - begin <= 60
    assert [is_alert for is_alert, _text in logged] == [False, False]
    assert "no such user" in logged[0][1]


def test_it_ends_in_its_time(host, logged):
    for name in "12345":
        host.program(name, CommandTimeout)
    begin = host.now()
    assert alert.send(host, SPLIT, seconds=20) == ()
    assert host.now() - begin <= 21
    assert logged[-1][1].endswith("the time is over")


def test_a_real_program_is_started_with_it(tmp_path, monkeypatch, logged):
    monkeypatch.setattr(alert, "FOLDER", str(tmp_path / "alert.d"))
    program = tmp_path / "alert.d" / "10-note"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$KVMHA_ALERT_KIND: $KVMHA_ALERT_TEXT ($KVMHA_ALERT_PEER)" > {tmp_path}/heard\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "alert.d" / "20-note").write_text("not a program")
    assert alert.send(Host(), SPLIT, seconds=30) == (str(program),)
    assert (tmp_path / "heard").read_text() == "drbd-split-brain: r0: both were written (n2)\n"
