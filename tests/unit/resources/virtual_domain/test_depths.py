"""Monitors of depth 10 and 20, the way back from an I/O error, and what the parameters make of a state."""

from __future__ import annotations

import pytest

from kvmha.host import CommandMissing, CommandTimeout
from kvmha.ocf import codes
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.resources.virtual_domain import VirtualDomain
from kvmha.tools.qemu_process import STATUS_FOLDER
from tests.fakes import HANGS, REFUSES, SILENT, UNREACHABLE

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
CONFIG = "/etc/kvmha/guests/web1.xml"
STATUS = f"{STATUS_FOLDER}/web1.xml"
RESUMED = "/run/kvmha/VirtualDomain-resumed/web1"
DISK, OTHER_DISK = "/var/lib/images/web1", "/dev/vg/data"


def live(agent="connected"):
    channel = f"<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='{agent}'/></channel>"
    return f"""<domain><name>web1</name><devices>
        <disk type='file'><source file='{DISK}'/><target dev='vda'/></disk>
        <disk type='block'><source dev='{OTHER_DISK}'/><target dev='vdb'/></disk>
        <disk type='network'><source protocol='rbd' name='pool/image'/><target dev='vdc'/></disk>
        <disk type='file' device='cdrom'><target dev='sda'/></disk>
        {channel if agent else ""}</devices></domain>"""


class Monitor:
    """What became of one monitor: its code, how long it took on the fake clock, and that it kept to its time."""

    def __init__(self, host, depth=0, timeout=30.0, interval=10.0, **params):
        begun = host.clock
        env = OcfEnv(
            action="monitor", params={"config": CONFIG, **params}, instance="web1", timeout=timeout,
            interval=interval, check_level=depth,
        )  # fmt: skip
        self.code = perform(VirtualDomain, env, host)
        self.took = host.clock - begun
        assert self.took <= timeout, f"a monitor took {self.took} s of {timeout} s"


@pytest.fixture(autouse=True)
def _definition(host):
    host.files[CONFIG] = f"<domain type='kvm'><name>web1</name><uuid>{UUID}</uuid></domain>".encode()


@pytest.fixture
def guest(libvirt):
    found = libvirt.run_guest()
    found.xml = live()
    return found


@pytest.fixture
def reason(capfd):
    """Return how to ask for the last exit reason, and see that there is one at most."""

    def ask():
        said = capfd.readouterr()
        lines = said.err.splitlines()
        assert len(lines) <= 1, "an action says one reason"
        return lines[0].removeprefix("ocf-exit-reason:") if lines else ""

    return ask


def press(host, full="25.00"):
    host.files["/proc/pressure/memory"] = f"full avg10={full} avg60=9.00 avg300=1.00 total=1\n".encode()


# --------------------------------------------------------- states and parameters


@pytest.mark.parametrize(
    ("name", "state", "why"),
    [
        ("on_paused", "paused", "user"),
        ("on_ioerror", "paused", "ioerror"),
        ("on_pmsuspended", "pmsuspended", "unknown"),
        ("on_crashed", "crashed", "panicked"),
    ],
)
@pytest.mark.parametrize(
    ("word", "code"), [("running", codes.SUCCESS), ("degraded", codes.DEGRADED), ("failed", codes.ERR_GENERIC)]
)
@pytest.mark.parametrize("depth", [0, 10, 20])
def test_a_state_is_judged_as_its_parameter_says(host, libvirt, guest, reason, name, state, why, word, code, depth):
    libvirt.put_state(guest, state, why)
    libvirt.agent = SILENT
    assert Monitor(host, depth, **{name: word}).code == code
    assert bool(reason()) is (code != codes.SUCCESS)
    host.files.pop(STATUS)
    assert Monitor(host, **{name: word}).code == code


@pytest.mark.parametrize("name", ["on_paused", "on_ioerror", "on_pmsuspended", "on_crashed", "on_agent_silent"])
def test_a_wrong_word_fails_no_monitor(host, guest, name):
    assert Monitor(host, 20, **{name: "perhaps"}).code == codes.SUCCESS


@pytest.mark.parametrize("why", ["migration", "post-copy", "save", "dump", "snapshot"])
def test_a_guest_that_an_operation_left_paused_is_a_failure_and_one_that_is_under_way_is_not(
    host, libvirt, guest, reason, why
):
    libvirt.put_state(guest, "paused", why, operation="migration out")
    assert Monitor(host).code == codes.DEGRADED
    assert reason()
    libvirt.put_state(guest, "paused", why, operation="")
    assert Monitor(host).code == codes.ERR_GENERIC
    assert "that is over" in reason()
    assert libvirt.calls == []


def test_an_operation_that_ended_well_between_two_looks_is_no_failure(host, libvirt, guest, monkeypatch):
    libvirt.put_state(guest, "paused", "migration")
    read = host.read_bytes

    def goes_on_after_the_first(path, limit=8 * 1024 * 1024):
        found = read(path, limit)
        if path == STATUS:
            libvirt.put_state(guest, "running", "migrated")
        return found

    monkeypatch.setattr(host, "read_bytes", goes_on_after_the_first)
    assert Monitor(host).code == codes.SUCCESS


# ---------------------------------------------------------------- after an I/O error


@pytest.fixture
def stopped(host, libvirt, guest):
    """Have a guest that an I/O error of its first disk paused, and a storage that can be read again."""
    libvirt.put_state(guest, "paused", "ioerror")
    libvirt.failed_disks = ("vda",)
    host.commands[dd(DISK)] = ""
    return guest


def dd(path, *way):
    return ("dd", f"if={path}", "of=/dev/null", "bs=4096", "count=1", "status=none", *(way or ("iflag=direct",)))


def test_a_guest_whose_storage_is_back_goes_on_and_the_incident_is_over_when_it_runs(host, libvirt, stopped, reason):
    assert Monitor(host, on_ioerror="resume").code == codes.DEGRADED
    assert reason() == "web1 was paused by an I/O error and has just been told to go on"
    assert (stopped.state, RESUMED in host.files) == ("running", True)
    assert Monitor(host, on_ioerror="resume").code == codes.SUCCESS
    assert RESUMED not in host.files
    assert host.ran == [dd(DISK)]


def test_a_guest_that_is_paused_again_is_not_told_a_second_time(host, libvirt, stopped, reason):
    libvirt.storage_works = False
    assert Monitor(host, on_ioerror="resume").code == codes.DEGRADED
    reason()
    assert Monitor(host, on_ioerror="resume").code == codes.ERR_GENERIC
    assert reason() == "web1 is paused by an I/O error of its disk again, after it was told to go on"
    assert libvirt.calls.count("resume_after_io_error") == 1


def test_what_an_earlier_process_was_told_does_not_count(host, libvirt, stopped):
    host.files[RESUMED] = b"pid=1\n"
    assert Monitor(host, on_ioerror="resume").code == codes.DEGRADED
    assert stopped.state == "running"


def test_a_storage_that_comes_back_within_the_monitors_time_is_waited_for(host, libvirt, stopped):
    host.commands[dd(DISK)] = (1, "", "dd: error reading '/var/lib/images/web1': Input/output error")
    host.after(5.0, lambda: host.commands.update({dd(DISK): ""}))
    assert Monitor(host, on_ioerror="resume").code == codes.DEGRADED
    assert stopped.state == "running"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((1, "", "dd: error reading '/var/lib/images/web1': Input/output error"), "cannot be read: Input/output error"),
        (CommandTimeout, "does not answer"),
    ],
)
@pytest.mark.parametrize("timeout", [8.0, 30.0, 120.0])
def test_a_storage_that_stays_away_is_a_failure_and_nobody_goes_on(
    host, libvirt, stopped, reason, answer, said, timeout
):
    host.commands[dd(DISK)] = answer
    assert Monitor(host, timeout=timeout, on_ioerror="resume").code == codes.ERR_GENERIC
    assert reason() == f"web1 is paused by an I/O error of its disk: {DISK} {said}"
    assert (stopped.state, RESUMED in host.files) == ("paused", False)


def test_where_qemu_names_no_disk_all_that_have_a_path_are_read(host, libvirt, stopped):
    libvirt.failed_disks = ()
    host.commands[dd(OTHER_DISK)] = ""
    assert Monitor(host, on_ioerror="resume").code == codes.DEGRADED
    assert host.ran == [dd(DISK), dd(OTHER_DISK)]


def test_a_file_system_that_knows_no_way_past_the_cache_is_read_through_it(host, libvirt, stopped):
    host.commands[dd(DISK)] = (1, "", "dd: failed to open '/var/lib/images/web1': Invalid argument")
    host.commands[dd(DISK, *())[:-1]] = ""
    assert Monitor(host, on_ioerror="resume").code == codes.DEGRADED
    assert stopped.state == "running"


@pytest.mark.parametrize("trouble", [HANGS, REFUSES, UNREACHABLE])
@pytest.mark.parametrize("method", ["live_definition", "disk_errors", "resume_after_io_error"])
def test_without_libvirt_nobody_goes_on_and_it_is_a_failure(host, libvirt, stopped, reason, trouble, method):
    libvirt.trouble[method] = trouble
    assert Monitor(host, on_ioerror="resume").code == codes.ERR_GENERIC
    assert reason().startswith("web1 is paused by an I/O error of its disk, and cannot be told to go on: libvirt ")
    assert stopped.state == "paused"


def test_a_probe_changes_nothing(host, libvirt, stopped):
    assert Monitor(host, interval=0.0, on_ioerror="resume").code == codes.DEGRADED
    assert (libvirt.calls, host.ran, RESUMED in host.files) == ([], [], False)


@pytest.mark.parametrize(
    ("state", "why"),
    [("paused", "user"), ("paused", "watchdog"), ("paused", "migration"), ("crashed", "panicked"), ("pmsuspended", "")],
)
def test_only_an_io_error_makes_anybody_go_on(host, libvirt, stopped, state, why):
    libvirt.put_state(stopped, state, why)
    Monitor(host, on_ioerror="resume", on_crashed="degraded")
    assert (stopped.state, libvirt.calls) == (state, [])


def test_a_guest_that_an_administrator_paused_meanwhile_is_left_alone(host, libvirt, stopped, reason):
    host.commands[dd(DISK)] = lambda: libvirt.put_state(stopped, "paused", "user")
    assert Monitor(host, on_ioerror="resume").code == codes.DEGRADED
    assert stopped.state == "paused"
    assert "administrator" in reason()


@pytest.mark.parametrize("word", ["running", "degraded", "failed"])
def test_nobody_goes_on_unless_it_is_asked_for(host, libvirt, stopped, word):
    Monitor(host, on_ioerror=word)
    assert (stopped.state, libvirt.calls, host.ran) == ("paused", [], [])


# -------------------------------------------------------------------------- depth 10


@pytest.mark.parametrize("agent", ["connected", "disconnected", ""])
@pytest.mark.parametrize("depth", [10, 20])
def test_a_guest_that_is_well_is_well_in_silence(host, libvirt, guest, reason, agent, depth):
    guest.xml = live(agent)
    assert Monitor(host, depth).code == codes.SUCCESS
    assert reason() == ""
    assert ("agent_silence" in libvirt.calls) is (agent == "connected")


def test_depth_0_asks_nobody(host, libvirt, guest):
    libvirt.agent, libvirt.qemu = SILENT, SILENT
    assert Monitor(host, monitor_scripts="/usr/bin/check").code == codes.SUCCESS
    assert (libvirt.calls, host.ran) == ([], [])


@pytest.mark.parametrize("trouble", [HANGS, REFUSES, UNREACHABLE])
@pytest.mark.parametrize("method", ["", "domain", "live_definition", "agent_silence"])
@pytest.mark.parametrize("timeout", [5.0, 30.0])
def test_a_libvirt_that_does_not_answer_makes_a_guest_degraded(host, libvirt, guest, reason, trouble, method, timeout):
    libvirt.trouble[method] = trouble
    assert Monitor(host, 10, timeout=timeout).code == codes.DEGRADED
    assert reason().startswith("web1 runs, but libvirt ")


def test_a_guest_that_ended_while_libvirt_did_not_answer_is_not_running(host, libvirt, guest):
    libvirt.trouble["domain"] = HANGS
    host.after(3.0, lambda: libvirt.end(guest))
    assert Monitor(host, 10).code == codes.NOT_RUNNING


def test_a_process_that_libvirt_does_not_know_is_a_failure(host, libvirt, guest, reason):
    libvirt.guests.clear()
    assert Monitor(host, 10).code == codes.ERR_GENERIC
    assert reason() == "web1 runs as process 734, of which libvirt does not know"


def test_libvirts_own_word_on_the_state_counts(host, libvirt, guest, reason):
    guest.state, guest.reason = "paused", "watchdog"
    assert Monitor(host, 10).code == codes.ERR_GENERIC
    assert reason() == "web1 is paused by its watchdog"


@pytest.mark.parametrize(
    ("word", "code"), [("running", codes.SUCCESS), ("degraded", codes.DEGRADED), ("failed", codes.ERR_GENERIC)]
)
def test_a_silent_agent_is_judged_as_the_operator_wants(host, libvirt, guest, reason, word, code):
    libvirt.agent = SILENT
    assert Monitor(host, 10, on_agent_silent=word).code == code
    assert ("guest agent of web1" in reason()) is (code != codes.SUCCESS)


@pytest.mark.parametrize("word", ["degraded", "failed"])
def test_on_a_host_under_pressure_a_silent_agent_is_degraded_and_the_number_is_told(host, libvirt, guest, reason, word):
    libvirt.agent = SILENT
    press(host)
    assert Monitor(host, 10, on_agent_silent=word).code == codes.DEGRADED
    assert "everything here waited for memory in 25 % of the last 10 s" in reason()


def test_a_little_pressure_excuses_nobody(host, libvirt, guest):
    libvirt.agent = SILENT
    press(host, "4.00")
    assert Monitor(host, 10, on_agent_silent="failed").code == codes.ERR_GENERIC


def test_an_agent_that_left_while_it_was_asked_is_no_trouble(host, libvirt, guest):
    libvirt.agent = SILENT
    host.after(2.0, lambda: setattr(guest, "xml", live("disconnected")))
    assert Monitor(host, 10, on_agent_silent="failed").code == codes.SUCCESS


@pytest.mark.parametrize("agent", ["disconnected", ""])
def test_a_qemu_that_does_not_answer_is_degraded_without_any_agent(host, libvirt, guest, reason, agent):
    guest.xml, libvirt.qemu = live(agent), SILENT
    assert Monitor(host, 10, on_agent_silent="failed").code == codes.DEGRADED
    assert reason() == "web1: QEMU does not answer libvirt"


# -------------------------------------------------------------------------- depth 20

ONE, TWO, THREE = "/usr/lib/check/one", "/usr/lib/check/two", "/usr/lib/check/three"
ALL = f"{ONE} {TWO} {THREE}"


@pytest.fixture
def scripts(host, guest):
    """Have three scripts that are content."""
    host.commands.update({(path,): "all is well\n" for path in (ONE, TWO, THREE)})
    return lambda path, answer: host.commands.update({(path,): answer})


def test_scripts_run_in_their_order_at_depth_20_alone(host, scripts, reason):
    assert Monitor(host, 10, monitor_scripts=ALL).code == codes.SUCCESS
    assert host.ran == []
    assert Monitor(host, 20, monitor_scripts=ALL).code == codes.SUCCESS
    assert host.ran == [(ONE,), (TWO,), (THREE,)]
    assert reason() == ""


def test_scripts_get_the_environment_of_the_agent(host, scripts, monkeypatch):
    monkeypatch.setenv("OCF_ROOT", "/usr/lib/ocf")
    monkeypatch.setenv("SECRET", "of somebody else")
    Monitor(host, 20, monitor_scripts=ONE, migration_speed="10")
    given = host.environments[(ONE,)]
    assert {name: given.get(name) for name in ("OCF_ROOT", "OCF_RESOURCE_INSTANCE", "OCF_RESKEY_migration_speed")} == {
        "OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "web1", "OCF_RESKEY_migration_speed": "10",
    }  # fmt: skip
    assert "SECRET" not in given


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((3, "trying\nno answer on port 80\n\n", ""), f"web1: {TWO} exited with 3: no answer on port 80"),
        ((1, "trying\n", "curl: (7) refused\n"), f"web1: {TWO} exited with 1: curl: (7) refused"),
        ((1, "", ""), f"web1: {TWO} exited with 1 and printed nothing"),
    ],
)
@pytest.mark.parametrize("pressure", [False, True])
def test_a_script_that_says_no_is_a_failure_whatever_the_host(host, scripts, reason, answer, said, pressure):
    scripts(TWO, answer)
    if pressure:
        press(host)
    assert Monitor(host, 20, monitor_scripts=ALL).code == codes.ERR_GENERIC
    assert reason() == said
    assert host.ran == [(ONE,), (TWO,)]


@pytest.mark.parametrize("timeout", [10.0, 60.0])
def test_a_script_that_hangs_takes_its_share_and_leaves_the_others_theirs(host, scripts, reason, timeout):
    scripts(ONE, CommandTimeout)
    press(host)
    monitor = Monitor(host, 20, timeout=timeout, monitor_scripts=ALL)
    assert monitor.code == codes.DEGRADED
    assert host.ran == [(ONE,), (TWO,), (THREE,)]
    assert monitor.took <= timeout / 3
    assert f"{ONE} did not end within" in reason()


@pytest.mark.parametrize("answer", [CommandTimeout, (-9, "", "")])
def test_a_script_that_gave_no_answer_is_a_failure_unless_the_host_is_under_pressure(host, scripts, reason, answer):
    scripts(ONE, answer)
    assert Monitor(host, 20, monitor_scripts=ALL).code == codes.ERR_GENERIC
    assert ONE in reason()
    press(host)
    assert Monitor(host, 20, monitor_scripts=ALL).code == codes.DEGRADED
    assert "25 %" in reason()


def test_all_scripts_may_hang_and_the_monitor_keeps_to_its_time(host, scripts):
    press(host)
    for path in (ONE, TWO, THREE):
        scripts(path, CommandTimeout)
    assert Monitor(host, 20, timeout=20.0, monitor_scripts=ALL).code == codes.DEGRADED


@pytest.mark.parametrize("script", ["/usr/lib/check/none", "check", "./one"])
def test_a_script_that_cannot_be_run_says_nothing_of_the_guest(host, scripts, reason, script):
    scripts("/usr/lib/check/none", CommandMissing)
    assert Monitor(host, 20, monitor_scripts=f"{script} {ONE}").code == codes.DEGRADED
    assert script in reason()
    assert (ONE,) in host.ran


def test_a_failure_of_a_script_outweighs_a_silent_agent(host, libvirt, scripts, reason):
    libvirt.agent = SILENT
    scripts(ONE, (1, "", "no\n"))
    assert Monitor(host, 20, monitor_scripts=ONE).code == codes.ERR_GENERIC
    assert ONE in reason()


def test_a_silent_agent_is_told_where_the_scripts_are_content(host, libvirt, scripts, reason):
    libvirt.agent = SILENT
    assert Monitor(host, 20, monitor_scripts=ONE).code == codes.DEGRADED
    assert "guest agent of web1" in reason()


@pytest.mark.parametrize("action", ["validate-all", "start"])
def test_a_script_without_an_absolute_path_is_refused_before_it_is_needed(host, libvirt, reason, action):
    env = OcfEnv(action=action, params={"config": CONFIG, "monitor_scripts": "/usr/bin/true curl"}, instance="web1")
    assert perform(VirtualDomain, env, host) == codes.ERR_CONFIGURED
    assert reason() == 'monitor_scripts="curl" is not an absolute path'
