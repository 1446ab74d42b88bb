"""VirtualDomain against a libvirt that hangs, lies, refuses and lags, and against definitions that go away."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvmha.host import SIGKILL, SIGTERM
from kvmha.ocf import codes
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.resources.virtual_domain import VirtualDomain
from kvmha.resources.virtual_domain.remembered import FOLDER as REMEMBERED
from kvmha.tools.qemu_process import STATUS_FOLDER, find
from tests.fakes import HANGS, REFUSES, UNREACHABLE, FakeHost, FakeLibvirt, qemu_cmdline

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
OTHER = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a02"
CONFIG = "/etc/kvmha/guests/web1.xml"
STATUS = f"{STATUS_FOLDER}/web1.xml"
REMEMBERED_FILE = f"{REMEMBERED}/web1"
TIMEOUTS = {"start": 90.0, "stop": 90.0, "monitor": 30.0, "migrate_to": 120.0, "migrate_from": 60.0}


def definition(name="web1", uuid=UUID):
    return f"<domain type='kvm'>\n  <name>{name}</name>\n  <uuid>{uuid}</uuid>\n</domain>\n".encode()


class Called:
    """What became of one call: the code, and how long it took on the fake clock."""

    def __init__(self, host: FakeHost, action: str, params: dict[str, str] | None = None, **env: object) -> None:
        timeout = env.setdefault("timeout", TIMEOUTS.get(action, 20.0))
        begun = host.clock
        given_params = {"config": CONFIG} if params is None else params
        env.setdefault("instance", "web1")
        self.code = perform(VirtualDomain, OcfEnv(action=action, params=given_params, **env), host)
        self.took = host.clock - begun
        assert self.took <= timeout, f"{action} took {self.took} s, and Pacemaker ends it after {timeout} s"


def monitor(host, params=None, interval=10.0, **env):
    return Called(host, "monitor", params, interval=interval, **env).code


def reason(capfd):
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ocf-exit-reason:")]
    return lines[-1].partition(":")[2] if lines else ""


def remembered(host, name="web1", uuid=UUID, config=CONFIG, instance="web1"):
    host.files[f"{REMEMBERED}/{instance}"] = f"source={config}\nname={name}\nuuid={uuid}\n".encode()


@pytest.fixture(autouse=True)
def _definition(host):
    host.files[CONFIG] = definition()


# ---------------------------------------------------------------------- monitor


@pytest.mark.parametrize("interval", [0.0, 10.0], ids=["probe", "recurring"])
def test_a_running_guest_is_seen_without_libvirt_and_in_silence(host, libvirt, interval, capfd):
    libvirt.run_guest()
    assert monitor(host, interval=interval) == codes.SUCCESS
    assert libvirt.calls == []
    assert host.clock == 1000.0
    assert capfd.readouterr() == ("", "")
    assert REMEMBERED_FILE not in host.files


@pytest.mark.parametrize("interval", [0.0, 10.0], ids=["probe", "recurring"])
def test_no_guest_is_not_running(host, libvirt, interval):
    assert monitor(host, interval=interval) == codes.NOT_RUNNING


@pytest.mark.parametrize(
    "params", [{"migration_speed": "10M"}, {"force_stop": "perhaps"}, {"migration_transport": "smoke"}]
)
@pytest.mark.parametrize("interval", [0.0, 10.0], ids=["probe", "recurring"])
def test_a_wrong_tuning_parameter_hides_no_running_guest(host, libvirt, interval, params):
    libvirt.run_guest()
    assert monitor(host, {"config": CONFIG, **params}, interval=interval) == codes.SUCCESS


def test_a_definition_on_one_line_is_a_definition(host, libvirt):
    host.files[CONFIG] = b"".join(definition().split(b"\n"))
    libvirt.run_guest()
    assert monitor(host, interval=0.0) == codes.SUCCESS


@pytest.mark.parametrize(
    "broken",
    [None, b"", b"<domain><na", b"no xml", OSError(5, "Input/output error"), PermissionError(13, "Permission denied")],
    ids=["gone", "empty", "cut", "text", "io-error", "no-rights"],
)
class TestBrokenDefinition:
    """The definition went away or broke while the guest runs."""

    @pytest.fixture(autouse=True)
    def _broken(self, host, _definition, broken):
        host.files.pop(CONFIG)
        if broken is not None:
            host.files[CONFIG] = broken

    def test_what_was_remembered_tells_who_the_guest_is(self, host, libvirt, broken):
        libvirt.run_guest()
        remembered(host)
        assert monitor(host) == codes.SUCCESS
        assert monitor(host, interval=0.0) == codes.SUCCESS

    def test_stop_really_stops_what_was_remembered(self, host, libvirt, broken):
        libvirt.run_guest()
        remembered(host)
        assert Called(host, "stop").code == codes.SUCCESS
        assert not host.processes
        assert REMEMBERED_FILE not in host.files

    def test_without_memory_neither_probe_nor_stop_guesses(self, host, libvirt, broken, capfd):
        libvirt.run_guest()
        assert monitor(host, interval=0.0) == codes.ERR_GENERIC
        assert "cannot tell whether the guest runs here" in reason(capfd)
        assert Called(host, "stop").code == codes.ERR_GENERIC
        assert CONFIG in reason(capfd)
        assert host.processes

    def test_where_no_guest_runs_at_all_it_is_absent(self, host, libvirt, broken):
        host.processes[1] = ("/sbin/init",)
        assert monitor(host, interval=0.0) == codes.NOT_RUNNING
        assert Called(host, "stop").code == codes.SUCCESS

    def test_guests_of_other_resources_are_known_not_to_be_this_one(self, host, libvirt, broken):
        # A wrong path on a node that runs other guests must not end in a failed stop, and with it in fencing.
        libvirt.run_guest("db1", OTHER)
        remembered(host, name="db1", uuid=OTHER, config="/etc/kvmha/guests/db1.xml", instance="db1")
        assert monitor(host, interval=0.0) == codes.NOT_RUNNING
        assert Called(host, "stop").code == codes.SUCCESS
        assert host.processes

    def test_a_guest_that_another_resource_knows_by_this_very_definition_may_be_this_one(self, host, libvirt, broken):
        # Two resources by mistake, or one that was renamed while its guest ran on.
        libvirt.run_guest()
        remembered(host, instance="old-name")
        assert monitor(host, interval=0.0) == codes.ERR_GENERIC

    def test_start_fails_and_remembers_nothing(self, host, libvirt, broken):
        assert Called(host, "start").code in (codes.ERR_GENERIC, codes.ERR_CONFIGURED, codes.ERR_PERM)
        assert REMEMBERED_FILE not in host.files


def test_a_call_without_parameters_uses_what_was_remembered(host, libvirt):
    libvirt.run_guest()
    remembered(host)
    assert Called(host, "monitor", {}, interval=0.0, timeout=30.0).code == codes.SUCCESS
    assert Called(host, "stop", {}).code == codes.SUCCESS
    assert not host.processes


def test_what_was_remembered_of_another_definition_is_not_this_guest(host, libvirt):
    libvirt.run_guest("db1", OTHER)
    remembered(host, name="db1", uuid=OTHER, config="/etc/kvmha/guests/db1.xml")
    assert monitor(host, interval=0.0) == codes.NOT_RUNNING


@pytest.mark.parametrize("text", [b"", b"name=\nuuid=\n", b"\xff\xfe", b"config", b"=\n=\n"])
def test_a_damaged_memory_is_none(host, libvirt, text):
    host.files[REMEMBERED_FILE] = text
    libvirt.run_guest()
    assert monitor(host) == codes.SUCCESS
    assert Called(host, "stop").code == codes.SUCCESS
    assert not host.processes


@pytest.mark.parametrize("trouble", [HANGS, UNREACHABLE])
def test_without_status_file_and_libvirt_the_process_is_a_degraded_guest(host, libvirt, trouble, capfd):
    libvirt.run_guest()
    host.files.pop(STATUS)
    libvirt.trouble[""] = trouble
    assert monitor(host) == codes.DEGRADED
    assert reason(capfd).startswith("web1 runs as process 734, but libvirt ")


@pytest.mark.parametrize("trouble", [HANGS, UNREACHABLE])
def test_without_libvirt_the_process_table_proves_absence(host, libvirt, trouble):
    libvirt.trouble[""] = trouble
    assert monitor(host) == codes.NOT_RUNNING


def test_a_libvirt_that_refuses_to_answer_is_no_proof_of_absence(host, libvirt, capfd):
    libvirt.trouble["domain"] = REFUSES
    assert monitor(host) == codes.ERR_GENERIC
    assert "state change lock" in reason(capfd)


@pytest.mark.parametrize(
    "cmdline",
    [
        (),
        ("/usr/bin/vim", "/etc/passwd"),
        qemu_cmdline("web1", OTHER),
        qemu_cmdline("web2", OTHER),
    ],
    ids=["gone", "editor", "same-name", "other-guest"],
)
def test_a_status_file_whose_process_is_another_one_now_proves_nothing(host, libvirt, cmdline):
    guest = libvirt.run_guest()
    host.processes[guest.pid] = cmdline
    libvirt.guests.clear()
    assert monitor(host) == codes.NOT_RUNNING


def test_a_process_that_libvirt_does_not_know_is_told(host, libvirt, capfd):
    guest = libvirt.run_guest()
    host.files.pop(STATUS)
    libvirt.guests.remove(guest)
    assert monitor(host) == codes.ERR_GENERIC
    assert reason(capfd) == "web1 runs as process 734, of which libvirt does not know"


@pytest.mark.parametrize(
    ("state", "why", "code"),
    [
        ("running", "unpaused", codes.SUCCESS),
        ("shutdown", "user", codes.SUCCESS),
        ("paused", "user", codes.DEGRADED),
        ("paused", "ioerror", codes.ERR_GENERIC),
        ("paused", "panicked", codes.ERR_GENERIC),
        ("paused", "post-copy failed", codes.ERR_GENERIC),
        ("pmsuspended", "unknown", codes.DEGRADED),
        ("crashed", "panicked", codes.ERR_GENERIC),
        ("shutoff", "crashed", codes.ERR_GENERIC),
        ("novel", "thing", codes.ERR_GENERIC),
    ],
)
def test_a_state_that_has_a_process_is_never_not_running(host, libvirt, state, why, code, capfd):
    guest = libvirt.run_guest()
    libvirt.put_state(guest, state, why)
    assert monitor(host) == code
    assert reason(capfd).startswith("web1 is ") is (code != codes.SUCCESS)
    host.files.pop(STATUS)
    assert monitor(host) != codes.NOT_RUNNING


@pytest.mark.parametrize(
    ("wanted", "running"), [("web.1", "webX1"), ("vm", "vm 7"), ("c++vm", "cvm"), ("vm1", "vm1-old")]
)
def test_a_name_is_compared_exactly_where_the_definition_has_no_uuid(host, libvirt, wanted, running):
    host.files[CONFIG] = f"<domain><name>{wanted}</name></domain>".encode()
    libvirt.run_guest(running)
    assert monitor(host) == codes.NOT_RUNNING
    libvirt.run_guest(wanted, OTHER, pid=735)
    assert monitor(host) == codes.SUCCESS


def test_an_incoming_guest_counts_as_here(host, libvirt):
    guest = libvirt.run_guest()
    libvirt.put_state(guest, "paused", "migration")
    assert monitor(host, interval=0.0) == codes.DEGRADED


# ------------------------------------------------------------------------ start


def test_start_starts_and_remembers_who(host, libvirt):
    assert Called(host, "start").code == codes.SUCCESS
    assert host.files[REMEMBERED_FILE].decode() == f"source={CONFIG}\nname=web1\nuuid={UUID}\n"
    assert monitor(host) == codes.SUCCESS


def test_start_of_a_definition_without_uuid_remembers_the_one_that_libvirt_gave(host, libvirt, monkeypatch):
    host.files[CONFIG] = b"<domain><name>web1</name></domain>"
    assert Called(host, "start").code == codes.SUCCESS
    assert f"uuid={UUID}" in host.files[REMEMBERED_FILE].decode()


def test_start_of_a_running_guest_starts_nothing_and_remembers_it(host, libvirt):
    libvirt.run_guest()
    assert Called(host, "start").code == codes.SUCCESS
    assert "create" not in libvirt.calls
    assert REMEMBERED_FILE in host.files


def test_start_twice_is_start_once(host, libvirt):
    assert Called(host, "start").code == codes.SUCCESS
    assert Called(host, "start").code == codes.SUCCESS
    assert libvirt.calls.count("create") == 1


def test_start_finds_the_guest_it_remembers_though_the_definition_says_another(host, libvirt):
    libvirt.run_guest()
    remembered(host)
    host.files[CONFIG] = definition("web1", OTHER)
    assert Called(host, "start").code == codes.SUCCESS
    assert "create" not in libvirt.calls


def test_start_of_a_guest_that_stands_still_here_is_a_failure(host, libvirt, capfd):
    libvirt.put_state(libvirt.run_guest(), "paused", "ioerror")
    assert Called(host, "start").code == codes.ERR_GENERIC
    assert reason(capfd) == "web1 is paused by an I/O error of its disk"


@pytest.mark.parametrize("trouble", [REFUSES, UNREACHABLE])
def test_a_start_that_libvirt_did_not_take_leaves_nothing_remembered(host, libvirt, trouble, capfd):
    libvirt.trouble["create"] = trouble
    assert Called(host, "start").code == codes.ERR_GENERIC
    assert reason(capfd).startswith("start: libvirt ")
    assert REMEMBERED_FILE not in host.files
    assert monitor(host) == codes.NOT_RUNNING
    assert Called(host, "stop").code == codes.SUCCESS


def test_a_start_that_lost_libvirt_with_the_guest_there_is_a_start_and_remembered(host, libvirt, monkeypatch):
    create = FakeLibvirt.create

    def late(self, xml):
        create(self, xml)
        self.trouble["domain"] = UNREACHABLE
        self._enter("domain")

    monkeypatch.setattr(FakeLibvirt, "create", late)
    assert Called(host, "start").code == codes.SUCCESS
    assert REMEMBERED_FILE in host.files
    libvirt.trouble.clear()
    host.files.pop(CONFIG)
    assert Called(host, "stop").code == codes.SUCCESS
    assert not host.processes


class TestStartWithoutAnswer:
    """Libvirt took the request to start the guest and did not answer: it may still carry it out, any time later."""

    @pytest.fixture(autouse=True)
    def _started(self, host, libvirt, _definition):
        libvirt.trouble["create"] = HANGS
        assert Called(host, "start").code == codes.ERR_GENERIC
        assert not host.processes

    @pytest.mark.parametrize("trouble", [HANGS, UNREACHABLE])
    def test_stop_does_not_succeed_while_libvirt_may_still_start_it(self, host, libvirt, trouble, capfd):
        libvirt.trouble[""] = trouble
        assert Called(host, "stop").code == codes.ERR_GENERIC
        assert "may still start" in reason(capfd)

    def test_the_monitor_does_not_say_that_it_is_absent(self, host, libvirt):
        libvirt.trouble[""] = HANGS
        assert monitor(host, interval=0.0) == codes.ERR_GENERIC

    def test_stop_succeeds_once_libvirt_says_that_there_is_none(self, host, libvirt):
        libvirt.trouble.clear()
        assert Called(host, "stop").code == codes.SUCCESS
        assert REMEMBERED_FILE not in host.files

    def test_stop_stops_what_came_late(self, host, libvirt):
        libvirt.trouble.clear()
        libvirt.run_guest()
        assert Called(host, "stop").code == codes.SUCCESS
        assert not host.processes

    def test_a_later_start_that_works_clears_the_doubt(self, host, libvirt):
        libvirt.trouble.clear()
        assert Called(host, "start").code == codes.SUCCESS
        libvirt.end(libvirt.guests[0])
        libvirt.trouble[""] = UNREACHABLE
        assert monitor(host) == codes.NOT_RUNNING
        assert Called(host, "stop").code == codes.SUCCESS


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"config": "web1.xml"}, 'config="web1.xml" is not an absolute path'),
        ({"config": CONFIG, "migration_speed": "10M"}, 'migration_speed="10M" is not a whole number of at least 0'),
        (
            {"config": CONFIG, "hypervisor": "xen:///system"},
            'hypervisor="xen:///system" is not a local QEMU connection',
        ),
        (
            {"config": CONFIG, "migration_user": "a b", "migration_transport": "ssh"},
            'migration_user="a b" may only hold',
        ),
        ({"config": CONFIG, "migration_user": "virt"}, "needs migration_transport=ssh"),
        ({}, "neither config nor domain is set"),
    ],
)
@pytest.mark.parametrize("action", ["start", "validate-all", "reload-agent"])
def test_wrong_parameters_fail_before_anything_is_done(host, libvirt, action, params, said, capfd):
    assert Called(host, action, params).code == codes.ERR_CONFIGURED
    assert said in reason(capfd)
    assert libvirt.calls == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"<domain><name>web1</name>", "not well-formed"),
        (b"<network><name>web1</name></network>", "no <name> below <domain>"),
        (b'<?xml version="1.0" encoding="shift_jis"?><domain><name>web1</name></domain>', "encoding"),
        (b'<?xml version="1.0" encoding="no-such"?><domain><name>web1</name></domain>', "encoding"),
        (definition().decode().encode("utf-16"), "UTF-8"),
        (b'<?xml version="1.0" encoding="iso-8859-1"?><domain><name>caf\xe9</name></domain>', "UTF-8"),
    ],
    ids=["cut", "network", "multi-byte", "unknown-encoding", "utf-16", "latin-1"],
)
def test_a_definition_that_cannot_be_used_is_told(host, libvirt, text, said, capfd):
    host.files[CONFIG] = text
    assert Called(host, "start").code == codes.ERR_CONFIGURED
    assert said in reason(capfd)
    assert libvirt.calls == []
    assert Called(host, "validate-all", check_level=10).code == codes.ERR_CONFIGURED
    assert monitor(host, interval=0.0) == codes.NOT_RUNNING
    assert Called(host, "stop").code == codes.SUCCESS


def test_validate_all_looks_at_the_node_only_when_asked_to(host, libvirt):
    host.files.pop(CONFIG)
    assert Called(host, "validate-all").code == codes.SUCCESS
    assert Called(host, "validate-all", check_level=10).code == codes.ERR_GENERIC


# ------------------------------------------------------------------------- stop


def test_stop_lets_the_guest_shut_down(host, libvirt):
    libvirt.run_guest()
    libvirt.acpi = 12.0
    stop = Called(host, "stop")
    assert stop.code == codes.SUCCESS
    assert not host.processes
    assert "destroy" not in libvirt.calls
    assert not host.killed
    assert 12.0 <= stop.took < 15.0


def test_stop_of_what_is_not_there_is_a_success_twice(host, libvirt):
    assert Called(host, "stop").code == codes.SUCCESS
    assert Called(host, "stop").code == codes.SUCCESS
    assert "destroy" not in libvirt.calls


def test_stop_presses_the_button_again(host, libvirt):
    libvirt.run_guest()
    libvirt.acpi = None
    assert Called(host, "stop").code == codes.SUCCESS
    assert libvirt.calls.count("shutdown") >= 5


@pytest.mark.parametrize("timeout", [10.0, 20.0, 60.0, 90.0, 300.0])
def test_a_guest_that_ignores_the_button_is_down_before_the_deadline(host, libvirt, timeout):
    libvirt.run_guest()
    libvirt.acpi = None
    stop = Called(host, "stop", timeout=timeout)
    assert stop.code == codes.SUCCESS
    assert not host.processes
    assert "destroy" in libvirt.calls


def test_force_stop_does_not_ask(host, libvirt):
    libvirt.run_guest()
    stop = Called(host, "stop", {"config": CONFIG, "force_stop": "On"})
    assert stop.code == codes.SUCCESS
    assert "shutdown" not in libvirt.calls
    assert stop.took < 1.0


@pytest.mark.parametrize(
    ("state", "why"), [("paused", "ioerror"), ("paused", "user"), ("crashed", "panicked"), ("paused", "migration")]
)
def test_a_guest_whose_processors_stand_still_is_not_asked(host, libvirt, state, why):
    libvirt.put_state(libvirt.run_guest(), state, why)
    stop = Called(host, "stop")
    assert stop.code == codes.SUCCESS
    assert "shutdown" not in libvirt.calls
    assert stop.took < 1.0


def test_a_destroy_that_fails_is_followed_by_signals_and_proof(host, libvirt):
    guest = libvirt.run_guest()
    libvirt.acpi, libvirt.destroy_works = None, False
    host.deaf[guest.pid] = {SIGTERM}
    assert Called(host, "stop").code == codes.SUCCESS
    assert [signal for _, signal in host.killed] == [SIGTERM, SIGKILL]
    assert not host.processes


@pytest.mark.parametrize("trouble", [HANGS, UNREACHABLE])
@pytest.mark.parametrize("timeout", [20.0, 30.0, 90.0])
def test_stop_works_without_libvirt(host, libvirt, trouble, timeout):
    libvirt.run_guest()
    libvirt.trouble[""] = trouble
    stop = Called(host, "stop", timeout=timeout)
    assert stop.code == codes.SUCCESS
    assert not host.processes
    assert host.killed[0] == (734, SIGTERM)


@pytest.mark.parametrize("timeout", [20.0, 30.0, 90.0])
def test_without_libvirt_a_process_that_ignores_sigterm_has_time_to_die_of_sigkill(host, libvirt, timeout):
    guest = libvirt.run_guest()
    libvirt.trouble[""] = HANGS
    waits = []
    host.deaf[guest.pid] = {SIGTERM}
    kill = host.kill
    host.kill = lambda pid, signal, *, still, wait: waits.append(wait) or kill(pid, signal, still=still, wait=wait)
    assert Called(host, "stop", timeout=timeout).code == codes.SUCCESS
    # QEMU writes out its disks on SIGTERM and the kernel frees its memory on SIGKILL: neither takes no time.
    assert all(wait >= 0.5 for wait in waits), waits


def test_a_process_that_survives_everything_is_a_failed_stop(host, libvirt, capfd):
    guest = libvirt.run_guest()
    libvirt.acpi = None
    host.deaf[guest.pid] = {SIGTERM, SIGKILL}
    remembered(host)
    assert Called(host, "stop").code == codes.ERR_GENERIC
    assert reason(capfd).startswith("web1 is still here")
    assert REMEMBERED_FILE in host.files


@pytest.mark.parametrize("lag", [0.3, 3.0, 10.0])
@pytest.mark.parametrize("acpi", [2.0, None], ids=["shuts-down", "ignores"])
def test_a_libvirt_that_notices_the_end_late_is_waited_for(host, libvirt, lag, acpi):
    # QEMU's process is gone before libvirt has seen its monitor close and has cleaned up, hook scripts included.
    libvirt.run_guest()
    libvirt.lag, libvirt.acpi = lag, acpi
    stop = Called(host, "stop")
    assert stop.code == codes.SUCCESS


def test_a_guest_that_just_ended_is_waited_for_as_well(host, libvirt):
    guest = libvirt.run_guest()
    libvirt.lag = 3.0
    libvirt.end(guest)
    assert Called(host, "stop").code == codes.SUCCESS


def test_a_guest_that_libvirt_calls_active_without_any_process_is_destroyed_there(host, libvirt):
    # Libvirt is about to start it: the domain is active before QEMU is.
    libvirt.run_guest()
    host.processes.clear()
    assert Called(host, "stop").code == codes.SUCCESS
    assert "destroy" in libvirt.calls


def test_a_guest_that_libvirt_calls_active_to_the_end_is_a_failed_stop(host, libvirt, capfd):
    libvirt.run_guest()
    host.processes.clear()
    libvirt.destroy_works = False
    assert Called(host, "stop").code == codes.ERR_GENERIC
    assert "web1 is still here" in reason(capfd)


def test_a_libvirt_that_refuses_to_tell_is_no_proof_for_a_stop(host, libvirt, capfd):
    libvirt.trouble["domain"] = REFUSES
    assert Called(host, "stop").code == codes.ERR_GENERIC
    assert "state change lock" in reason(capfd)


@pytest.mark.parametrize("trouble", [HANGS, REFUSES, UNREACHABLE])
def test_a_button_that_cannot_be_pressed_does_not_save_the_guest(host, libvirt, trouble):
    libvirt.run_guest()
    libvirt.trouble["shutdown"] = trouble
    assert Called(host, "stop").code == codes.SUCCESS
    assert not host.processes


def test_stop_ends_a_migration_that_an_earlier_agent_left(host, libvirt):
    guest = libvirt.run_guest()
    guest.is_moving = True
    assert Called(host, "stop").code == codes.SUCCESS
    assert "abort_job" in libvirt.calls
    assert not host.processes


def test_stop_ends_both_processes_of_one_guest(host, libvirt):
    libvirt.run_guest()
    host.processes[900] = qemu_cmdline("web1", UUID)
    libvirt.acpi = None
    assert Called(host, "stop").code == codes.SUCCESS
    assert not host.processes


def test_stop_touches_no_other_guest(host, libvirt):
    libvirt.run_guest()
    other = libvirt.run_guest("web1-old", OTHER, pid=735)
    libvirt.acpi = None
    libvirt.trouble[""] = HANGS
    assert Called(host, "stop").code == codes.SUCCESS
    assert list(host.processes) == [other.pid]
    assert {pid for pid, _ in host.killed} == {734}


@pytest.mark.parametrize(
    "params", [{"config": CONFIG, "migration_speed": "10M"}, {"config": CONFIG, "force_stop": "?"}]
)
def test_a_wrong_tuning_parameter_does_not_keep_stop_from_stopping(host, libvirt, params):
    libvirt.run_guest()
    assert Called(host, "stop", params).code == codes.SUCCESS
    assert not host.processes


TROUBLES = st.sampled_from([None, HANGS, REFUSES, UNREACHABLE])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    trouble=st.dictionaries(
        st.sampled_from(["", "domain", "shutdown", "destroy", "abort_job", "migrating_out"]), TROUBLES
    ),
    acpi=st.none() | st.floats(0.1, 100),
    destroy_works=st.booleans(),
    lag=st.floats(0, 20),
    deaf=st.sets(st.sampled_from([SIGTERM, SIGKILL])),
    status=st.sampled_from([("running", "booted"), ("paused", "user"), ("paused", "ioerror"), ("crashed", ""), None]),
    is_moving=st.booleans(),
    is_remembered=st.booleans(),
    config=st.sampled_from([definition(), b"<domain><name>web1</name></domain>", b"<dom", None]),
    timeout=st.floats(5, 200),
)
def test_stop_never_succeeds_while_the_guest_has_a_process(
    monkeypatch, trouble, acpi, destroy_works, lag, deaf, status, is_moving, is_remembered, config, timeout
):
    host = FakeHost()
    libvirt = FakeLibvirt(host)
    monkeypatch.setattr("kvmha.tools.libvirtd.Libvirt", libvirt)
    monkeypatch.setattr("kvmha.ocf.report.Report.log", lambda self, text, warning=False: None)
    guest = libvirt.run_guest()
    libvirt.trouble = {method: kind for method, kind in trouble.items() if kind}
    libvirt.acpi, libvirt.destroy_works, libvirt.lag = acpi, destroy_works, lag
    host.deaf[guest.pid], guest.is_moving = deaf, is_moving
    host.files[CONFIG] = config
    if status:
        libvirt.put_state(guest, *status)
    else:
        host.files.pop(STATUS)
    if is_remembered:
        remembered(host)
    code = Called(host, "stop", timeout=timeout).code
    assert code in (codes.SUCCESS, codes.ERR_GENERIC)
    if code == codes.SUCCESS:
        assert not find(host, guest.identity)
        assert REMEMBERED_FILE not in host.files
