"""The window of two primaries: opened by a move, closed by whoever finds that no move needs it any more."""

from __future__ import annotations

import pytest

from kvmha.host import CommandTimeout
from kvmha.ocf import codes
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.policy.two_primaries import PATIENCE
from kvmha.resources.drbd import window
from kvmha.resources.drbd.primary import DRBDPrimary
from kvmha.tools import drbd
from tests.fakes import FakeHost

ALLOW = ("drbdadm", "net-options", "--allow-two-primaries=yes", "r1")
FORBID = ("drbdadm", "net-options", "--allow-two-primaries=no", "r1")
CONNECT = ("drbdadm", "connect", "r1")
MARK = window.mark("r1")


class Device:
    """A DRBD 8.4 device with one peer."""

    def __init__(self, host: FakeHost) -> None:
        self.role, self.peer_role, self.disk, self.peer_disk = "Secondary", "Secondary", "UpToDate", "UpToDate"
        self.connection, self.is_up = "Connected", True
        host.files["/proc/drbd"] = b"version: 8.4.11\n"
        host.files["/proc/sys/kernel/hostname"] = b"n1\n"
        host.files["/proc/sys/kernel/random/boot_id"] = b"boot\n"
        host.files["/run/kvmha/DRBD/r1"] = b"instance=drbd-r1\nlife=boot/1\npeer=n2\nquorum=no\n"
        host.files["/var/lib/kvmha/drbd/r1"] = b"node boot/1 Secondary 1.0 0\npeer n2 equal Secondary 1.0 0\n"
        host.commands[drbd.events_argv("r1")] = lambda: (0, self.events, "") if self.is_up else (10, "", "")
        for argv in (ALLOW, FORBID, CONNECT):
            host.commands[argv] = ""
        host.commands[("drbdsetup", "primary", "0")] = lambda: self.become("Primary")
        host.commands[("drbdsetup", "secondary", "0")] = lambda: self.become("Secondary")
        self.refuses = ""

    def become(self, role: str):
        if self.refuses:
            return (11, "", self.refuses)
        self.role = role
        return ""

    @property
    def events(self) -> str:
        replication = "Established" if self.connection == "Connected" else "Off"
        return (
            f"exists resource name:r1 role:{self.role} suspended:no\n"
            "exists connection name:r1 peer-node-id:0 conn-name:peer "
            f"connection:{self.connection} role:{self.peer_role}\n"
            f"exists device name:r1 volume:0 minor:0 disk:{self.disk}\n"
            f"exists peer-device name:r1 peer-node-id:0 conn-name:peer volume:0 replication:{replication} "
            f"peer-disk:{self.peer_disk} resync-suspended:no\nexists -\n"
        )


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def device(host: FakeHost) -> Device:
    return Device(host)


@pytest.fixture(autouse=True)
def _no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """The score has tests of its own."""
    monkeypatch.setattr("kvmha.resources.drbd.scoring.keep", lambda *_words, **_more: None)


def run(host: FakeHost, action: str, *, timeout: float = 60.0, interval: float = 0.0) -> int:
    env = OcfEnv(
        action=action, instance="primary-r1", params={"drbd_resource": "r1"}, timeout=timeout, interval=interval,
        node="n1", migrate_source="n1" if action == "migrate_to" else "n2",
        migrate_target="n2" if action == "migrate_to" else "n1",
    )  # fmt: skip
    return perform(DRBDPrimary, env, host)


def orders(host: FakeHost) -> list[tuple[str, ...]]:
    return [argv for argv in host.ran if argv in (ALLOW, FORBID, CONNECT)]


def test_the_source_allows_two_primaries_after_it_has_left_a_mark(host, device):
    device.role = "Primary"
    was_marked = []
    host.commands[ALLOW] = lambda: was_marked.append(MARK in host.files) or ""
    assert run(host, "migrate_to") == codes.SUCCESS
    assert was_marked == [True]


def test_the_target_is_promoted_beside_the_source(host, device):
    device.peer_role = "Primary"
    assert run(host, "migrate_from") == codes.SUCCESS
    assert device.role == "Primary"
    assert MARK in host.files


def test_a_monitor_between_permission_and_promotion_does_not_take_the_permission_back(host, device):
    """The clone's monitor runs beside migrate_from; it once forbade what was to be used in the next moment."""
    device.peer_role = "Primary"
    host.commands[ALLOW] = lambda: "" if run(host, "monitor", interval=10) == codes.NOT_RUNNING else (1, "", "")
    assert run(host, "migrate_from") == codes.SUCCESS
    assert orders(host) == [ALLOW]
    assert device.role == "Primary"


def test_a_move_that_begins_while_a_monitor_looks_keeps_its_permission(host, device):
    """The guest moves on before a monitor has seen that the move to this node is over, and one looks just then."""
    host.files[MARK] = b"target 1000.0\n"
    device.role = "Primary"
    looks = []

    def look():
        looks.append(len(looks))
        if looks == [0]:
            assert run(host, "migrate_to") == codes.SUCCESS
        return (0, device.events, "")

    host.commands[drbd.events_argv("r1")] = look
    assert run(host, "monitor", interval=10) == codes.SUCCESS
    assert orders(host) == [ALLOW]
    assert host.files[MARK].startswith(b"source ")


def test_a_permission_that_is_taken_back_before_the_promotion_is_given_again(host, device):
    """A monitor that has looked before the mark was there forbids it a moment too late, here or on the source."""
    device.peer_role = "Primary"

    def refuse_once():
        if orders(host).count(ALLOW) < 2:
            return (11, "", "State change failed: (-1) Multiple primaries not allowed by config")
        return device.become("Primary")

    host.commands[("drbdsetup", "primary", "0")] = refuse_once
    assert run(host, "migrate_from") == codes.SUCCESS
    assert orders(host) == [ALLOW, ALLOW]
    assert host.files[MARK].startswith(b"target ")


def test_stop_on_the_source_demotes_and_forbids_it_again(host, device):
    device.role = "Primary"
    run(host, "migrate_to")
    device.peer_role = "Primary"
    assert run(host, "stop") == codes.SUCCESS
    assert device.role == "Secondary"
    assert orders(host) == [ALLOW, FORBID]
    assert MARK not in host.files


def test_stop_without_a_move_tells_drbd_nothing_of_two_primaries(host, device):
    device.role = "Primary"
    assert run(host, "stop") == codes.SUCCESS
    assert orders(host) == []


def test_a_resource_that_is_down_is_stopped_and_its_mark_goes(host, device):
    host.files[MARK] = b"source 900.0\n"
    device.is_up = False
    assert run(host, "stop") == codes.SUCCESS
    assert MARK not in host.files
    assert orders(host) == []


def test_nothing_is_allowed_while_the_peer_is_behind_and_the_wait_ends_in_time(host, device, capfd):
    device.role, device.peer_disk = "Primary", "Inconsistent"
    begin = host.now()
    assert run(host, "migrate_to", timeout=60) == codes.ERR_GENERIC
    assert host.now() - begin < 60
    assert "the data of n2 are not current" in capfd.readouterr().err
    assert orders(host) == []
    assert MARK not in host.files


def test_a_peer_that_comes_into_step_in_time_is_waited_for(host, device):
    device.role, device.peer_disk = "Primary", "Inconsistent"
    host.after(5.0, lambda: setattr(device, "peer_disk", "UpToDate"))
    assert run(host, "migrate_to") == codes.SUCCESS


def test_a_target_that_is_not_promoted_leaves_no_window(host, device):
    device.peer_role, device.refuses = "Primary", "State change failed: (-1) Multiple primaries not allowed by config"
    assert run(host, "migrate_from") == codes.ERR_GENERIC
    assert orders(host)[-1] == FORBID
    assert MARK not in host.files


def test_a_command_that_fails_leaves_no_mark(host, device):
    device.role = "Primary"
    host.commands[ALLOW] = (10, "", "unknown connection")
    assert run(host, "migrate_to") == codes.ERR_GENERIC
    assert MARK not in host.files


@pytest.mark.parametrize(
    ("mark", "role", "peer_role", "is_closed"),
    [
        pytest.param(b"source 1000.0\n", "Primary", "Secondary", False, id="a-move-begins"),
        pytest.param(b"source 1000.0\n", "Primary", "Primary", False, id="a-move-is-under-way"),
        pytest.param(
            b"source 100.0\n", "Primary", "Secondary", True, id="the-agent-died-before-the-target-was-promoted"
        ),
        pytest.param(b"target 1000.0\n", "Primary", "Secondary", True, id="the-guest-has-arrived"),
        pytest.param(b"target 1000.0\n", "Secondary", "Primary", False, id="the-target-is-about-to-be-promoted"),
        pytest.param(b"target 100.0\n", "Secondary", "Primary", True, id="the-agent-died-before-it-was-promoted-here"),
        pytest.param(b"source 1000.0\n", "Secondary", "Primary", True, id="the-agent-died-after-the-demotion"),
        pytest.param(b"garbage", "Primary", "Secondary", True, id="mark-of-nobody"),
    ],
)
def test_the_monitor_closes_what_no_move_needs(host, device, mark, role, peer_role, is_closed):
    assert host.now() == 1000.0
    assert PATIENCE < 900
    host.files[MARK] = mark
    device.role, device.peer_role = role, peer_role
    assert run(host, "monitor", interval=10) == (codes.SUCCESS if role == "Primary" else codes.NOT_RUNNING)
    assert (orders(host) == [FORBID]) is is_closed
    assert (MARK not in host.files) is is_closed


def test_a_probe_closes_nothing(host, device):
    host.files[MARK] = b"target 1000.0\n"
    device.role = "Primary"
    assert run(host, "monitor") == codes.SUCCESS
    assert orders(host) == []


def test_sides_that_parted_in_the_window_are_connected_again(host, device):
    host.files[MARK] = b"target 1000.0\n"
    device.role, device.connection, device.peer_role = "Primary", "StandAlone", "Unknown"
    run(host, "monitor", interval=10)
    assert orders(host) == [CONNECT]
    assert MARK in host.files
    device.connection, device.peer_role = "Connected", "Secondary"
    run(host, "monitor", interval=10)
    assert MARK not in host.files


def test_a_window_that_cannot_be_closed_is_tried_again_and_fails_no_monitor(host, device):
    host.files[MARK] = b"target 1000.0\n"
    device.role = "Primary"
    host.commands[FORBID] = CommandTimeout
    assert run(host, "monitor", interval=10) == codes.SUCCESS
    assert MARK in host.files


def test_a_device_whose_io_fails_is_failed(host, device, capfd):
    device.role = "Primary"
    host.commands[drbd.events_argv("r1")] = device.events.replace("suspended:no", "suspended:no force-io-failures:yes")
    assert run(host, "monitor", interval=10) == codes.ERR_GENERIC
    assert "all I/O fails" in capfd.readouterr().err


def test_start_promotes_with_the_guards_of_drbd(host, device, capfd):
    assert run(host, "start") == codes.SUCCESS
    assert device.role == "Primary"
    device.role, device.connection = "Secondary", "Connecting"
    assert run(host, "start", timeout=20) == codes.ERR_GENERIC
    assert "n2" in capfd.readouterr().err
