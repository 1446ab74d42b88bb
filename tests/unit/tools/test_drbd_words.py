"""What DRBD tells of generations, and of the progress that only /proc/drbd has."""

from __future__ import annotations

import pytest

from kvmha.tools import ssh
from kvmha.tools.drbd import commands, generation, proc
from kvmha.tools.drbd.generation import Generation
from kvmha.tools.drbd.proc import Remaining
from tests.drbd_recordings import recorded


@pytest.mark.parametrize(("case", "promoted"), [("connected-primary", True), ("connected-secondary", False)])
def test_the_generation_of_a_replica_and_whether_it_is_promoted(case, promoted):
    text = recorded("8.4.11", case, "get-gi")
    (found,) = generation.parse(text)
    # The last digit tells the role, and the sides of one generation must compare alike.
    assert found.current[:15] == text[:15]
    assert int(found.current, 16) % 2 == 0
    assert found.base == generation.NONE
    assert found.was_promoted is promoted


def test_after_a_parting_the_last_common_generation_is_told():
    text = "16BD152E83A22EB9:66389A5C7B517562:343DA325C5F29A79:F1AAC1BC2801F0C5:1:1:0:0:0:1:0\n"
    assert generation.parse(text) == (Generation(current="16BD152E83A22EB8", base="66389A5C7B517562"),)


@pytest.mark.parametrize("text", ["", "no such resource", "1234:5678:90:12"])
def test_what_is_no_generation_is_left_out(text):
    assert generation.parse(text) == ()


def test_the_progress_of_a_verification():
    text = recorded("8.4.11", "verifys-primary", "proc-drbd")
    found = proc.parse(text)
    assert list(found) == [0]
    assert f"({found[0].remaining_kib}/{found[0].total_kib})K" in text
    assert found[0].total_kib == 65496


def test_large_devices_are_counted_in_megabytes():
    text = " 3: cs:SyncSource ro:Primary/Secondary\n\t[>....] sync'ed:  8.6% (1204/2048)M\n"
    assert proc.parse(text) == {3: Remaining(remaining_kib=1204 * 1024, total_kib=2048 * 1024)}


def test_nothing_is_under_way_in_a_replica_that_is_well():
    text = recorded("8.4.11", "connected-primary", "proc-drbd")
    assert proc.parse(text) == {}


def test_two_primaries_are_allowed_by_resource_or_by_peer():
    assert commands.two_primaries_argv("r1", allowed=False) == (
        "drbdadm",
        "net-options",
        "--allow-two-primaries=no",
        "r1",
    )
    assert commands.two_primaries_argv("r1", allowed=True, peer="n2", configuration="/x")[-4:] == (
        "/x",
        "net-options",
        "--allow-two-primaries=yes",
        "r1:n2",
    )


def test_ssh_never_asks_and_quotes_what_it_is_given():
    argv = ssh.argv("n2", "kvmha", "a b")
    assert argv[-1] == "kvmha 'a b'"
    assert "BatchMode=yes" in argv
