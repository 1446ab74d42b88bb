"""Promotion scores and other transient attributes."""

from __future__ import annotations

import pytest

from kvmha.host import CommandFailed
from kvmha.tools.crm_attribute import NO_CLUSTER, NO_SUCH, Attribute, is_clusterless
from tests.fakes import FakeHost

SCORE, WORD = Attribute.promotion("drbd-r0:1"), Attribute.named("drbd-data-r0")


def test_an_instance_of_a_clone_shares_the_score_of_its_resource():
    assert SCORE.write_argv("10") == ("crm_attribute", "--promotion=drbd-r0", "--update", "10")


def test_an_empty_value_takes_the_attribute_away():
    wanted = ("crm_attribute", "--name", "drbd-data-r0", "--lifetime", "reboot", "--delete")
    assert WORD.write_argv("") == wanted
    host = FakeHost()
    host.commands[wanted] = (NO_SUCH, "", "")
    WORD.write(host, "", timeout=1.0)


def test_what_is_not_there_is_read_as_empty():
    host = FakeHost()
    host.commands[SCORE.read_argv()] = (NO_SUCH, "", "No such object")
    assert SCORE.read(host, timeout=1.0) == ""
    host.commands[SCORE.read_argv()] = "1000\n"
    assert SCORE.read(host, timeout=1.0) == "1000"


@pytest.mark.parametrize(("code", "answer"), [(NO_CLUSTER, True), (NO_SUCH, False), (124, False)])
def test_a_failure_for_want_of_a_cluster_is_told_from_others(code, answer):
    host = FakeHost()
    host.commands[SCORE.write_argv("5")] = (code, "", "no")
    with pytest.raises(CommandFailed) as caught:
        SCORE.write(host, "5", timeout=1.0)
    assert is_clusterless(caught.value) is answer
