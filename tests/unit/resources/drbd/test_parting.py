"""DRBD's handler split-brain, and what monitor and people hear of it."""

from __future__ import annotations

import pytest

from kvmha import alert
from kvmha.resources.drbd import parting
from tests.fakes import FakeHost

ENVIRON = {"DRBD_RESOURCE": "r0", "DRBD_PEER": "n2", "DRBD_PEERS": "n2", "DRBD_CONF": "/etc/drbd.conf"}
MARK = "/var/lib/kvmha/drbd-split-brain/r0"


@pytest.fixture
def sent(monkeypatch):
    found = []
    monkeypatch.setattr(alert, "send", lambda host, what, seconds: found.append(what))
    return found


@pytest.fixture
def machine():
    host = FakeHost()
    host.files["/proc/sys/kernel/hostname"] = b"n1\n"
    host.files["/var/lib/kvmha/drbd/r0"] = b"node x Primary 1.0 0\npeer n2 equal Secondary 1.0 0\n"
    return host


def test_people_are_told_once_for_each_call_and_the_kernel_is_asked_nothing(machine, sent):
    assert parting.run(ENVIRON, machine) == 0
    (told,) = sent
    assert (told.kind, told.subject) == ("drbd-split-brain", "r0")
    assert told.facts == {"node": "n1", "peer": "n2", "role": "Primary"}
    assert told.sentence.startswith("DRBD resource r0: split brain: n1 and n2 were both written since they parted")
    assert "kvmha drbd heal r0" in told.sentence
    assert machine.ran == []
    assert machine.files[MARK] == b"n2\n"


def test_a_second_peer_is_kept_beside_the_first(machine, sent):
    parting.run(ENVIRON, machine)
    parting.run({**ENVIRON, "DRBD_PEER": "n3"}, machine)
    parting.run(ENVIRON, machine)
    assert parting.peers(machine, "r0") == ("n2", "n3")


@pytest.mark.parametrize("environ", [{}, {"DRBD_RESOURCE": "r0"}, {"DRBD_PEER": "n2"}])
def test_a_call_that_does_not_say_what_it_is_about_does_nothing(machine, sent, environ):
    assert parting.run(environ, machine) == 1
    assert sent == []
    assert MARK not in machine.files


def test_a_disk_that_takes_no_mark_keeps_nobody_from_being_told(machine, sent, monkeypatch):
    def fail(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(machine, "write", fail)
    assert parting.run(ENVIRON, machine) == 0
    assert len(sent) == 1


class TestMonitor:
    """It says so until the two have met again."""

    @pytest.fixture
    def split(self, drbd, host):
        drbd.lose_peer()
        drbd.connection = "StandAlone"
        host.files[MARK] = b"n2\n"
        return drbd

    @pytest.mark.parametrize(("role", "code"), [("Secondary", 190), ("Primary", 191)])
    def test_it_is_reduced_with_the_split_brain_as_its_reason(self, act, split, said, role, code):
        split.role = role
        assert act("monitor") == code
        assert "split brain with n2 (StandAlone): both were written since they parted (kvmha drbd heal)" in said[-1]

    def test_a_plain_clone_says_190_in_both_roles(self, act, split, said):
        split.role = "Primary"
        assert act("monitor", meta={"clone_max": "2"}) == 190
        assert "split brain with n2" in said[-1]

    def test_without_the_mark_it_may_have_been_ended_by_hand(self, act, split, said, host):
        del host.files[MARK]
        assert act("monitor") == 190
        assert "split brain, or disconnected by hand" in said[-1]

    def test_it_is_over_when_the_two_have_met(self, act, split, said, host, logged):
        act("monitor")
        split.find_peer()
        assert act("monitor") == 0
        assert MARK not in host.files
        assert "r0: the split brain with n2 is over" in logged

    def test_neither_side_is_promoted_while_it_lasts(self, act, split, said):
        assert act("promote") == 1
        assert "may both have been written since they parted" in said[-1]
        assert split.role == "Secondary"
