"""A stop against guests that do not listen, come back, sleep or hang, and a libvirt that is stuck, away or behind."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from kvmha.host import SIGCONT, SIGKILL, SIGTERM, Process
from kvmha.ocf import codes
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.resources.virtual_domain import VirtualDomain
from kvmha.resources.virtual_domain.remembered import FOLDER as REMEMBERED
from kvmha.tools.libvirtd import LibvirtError
from kvmha.tools.qemu_process import STATUS_FOLDER
from tests.fakes import DEAF, HANGS, REFUSES, SILENT, UNREACHABLE, qemu_cmdline

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
CONFIG = "/etc/kvmha/guests/web1.xml"
STATUS = f"{STATUS_FOLDER}/web1.xml"
SAVING = "kvmha.resources.virtual_domain.saving"


class Stop:
    """What became of one stop: its code, how long it took on the fake clock, and that it kept to its time."""

    def __init__(self, host, timeout=90.0, **params):
        begun = host.clock
        env = OcfEnv(action="stop", params={"config": CONFIG, **params}, instance="web1", timeout=timeout)
        self.code = perform(VirtualDomain, env, host)
        self.took = host.clock - begun
        assert self.took <= timeout, f"stop took {self.took} s of {timeout} s"


@pytest.fixture(autouse=True)
def _definition(host):
    host.files[CONFIG] = f"<domain type='kvm'><name>web1</name><uuid>{UUID}</uuid></domain>".encode()


@pytest.fixture
def guest(libvirt):
    return libvirt.run_guest()


@pytest.fixture
def said(monkeypatch):
    """Return the list of what the agent writes to the system log."""
    lines = []
    monkeypatch.setattr("kvmha.ocf.report.Report.log", lambda self, text, warning=False: lines.append(text))
    return lines


def reason(capfd):
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ocf-exit-reason:")]
    return lines[-1].partition(":")[2] if lines else ""


# --------------------------------------------------------------- a libvirt that does not answer


@pytest.mark.parametrize("timeout", [10.0, 20.0, 30.0, 90.0, 300.0])
def test_a_stuck_libvirt_costs_less_than_half_of_the_time_and_is_asked_for_nothing_but_proof(
    host, libvirt, guest, timeout
):
    libvirt.trouble[""] = HANGS
    stop = Stop(host, timeout)
    assert stop.code == codes.SUCCESS
    assert libvirt.calls == ["domain", "domain"]
    assert host.killed == [(guest.pid, SIGTERM)]
    assert stop.took < min(timeout * 0.45, 15.0)


@pytest.mark.parametrize("method", ["job", "end_for_good", "shutdown"])
def test_the_first_silence_is_the_last_polite_question(host, libvirt, guest, method):
    libvirt.trouble[method] = HANGS
    assert Stop(host).code == codes.SUCCESS
    assert libvirt.calls.count(method) == (2 if method == "shutdown" else 1)
    assert "destroy" not in libvirt.calls
    assert libvirt.calls[-1] == "domain"


def test_a_stuck_libvirt_that_was_asked_to_start_the_guest_is_no_proof(host, libvirt, capfd):
    text = f"source={CONFIG}\nname=web1\nuuid={UUID}\nstarting=1\n"
    host.files[f"{REMEMBERED}/web1"] = text.encode()
    libvirt.trouble[""] = HANGS
    assert Stop(host).code == codes.ERR_GENERIC
    assert "may still start here" in reason(capfd)


def test_a_start_that_shows_late_is_stopped(host, libvirt):
    # Libvirt has taken the order of an agent that was killed, and is still reading the definition.
    host.files[f"{REMEMBERED}/web1"] = f"source={CONFIG}\nname=web1\nuuid={UUID}\nstarting=1\n".encode()
    host.after(2.5, libvirt.run_guest)
    assert Stop(host).code == codes.SUCCESS
    host.sleep(60.0)
    assert not host.processes


@pytest.mark.parametrize("back", [2.0, 8.0])
def test_a_libvirt_that_restarts_is_waited_for_and_the_guest_shuts_down(host, libvirt, guest, back):
    libvirt.trouble[""] = UNREACHABLE
    host.after(back, libvirt.trouble.clear)
    assert Stop(host).code == codes.SUCCESS
    assert libvirt.modes[-1] == "acpi"
    assert "destroy" not in libvirt.calls
    assert not host.killed


def test_a_libvirt_that_restarts_in_the_middle_of_a_shutdown_is_waited_for(host, libvirt, guest):
    libvirt.acpi = 25.0
    host.after(5.0, lambda: libvirt.trouble.update({"": UNREACHABLE}))
    host.after(13.0, libvirt.trouble.clear)
    assert Stop(host).code == codes.SUCCESS
    assert not host.killed


def test_a_libvirt_that_stays_away_is_not_waited_for_by_a_forced_stop(host, libvirt, guest):
    libvirt.trouble[""] = UNREACHABLE
    stop = Stop(host, force_stop="true")
    assert stop.code == codes.SUCCESS
    assert stop.took < 1.0


def test_a_guest_that_ends_while_libvirt_is_away_is_not_waited_for(host, libvirt, guest):
    libvirt.trouble[""] = UNREACHABLE
    host.after(2.0, lambda: libvirt.end(guest))
    stop = Stop(host)
    assert stop.code == codes.SUCCESS
    assert stop.took < 4.0
    assert not host.killed


def test_a_libvirt_that_wakes_up_and_still_has_the_guest_is_waited_for(host, libvirt, guest):
    libvirt.trouble[""] = HANGS
    libvirt.lag = 9.0
    host.after(8.0, libvirt.trouble.clear)
    stop = Stop(host)
    assert stop.code == codes.SUCCESS
    assert not libvirt.guests


# --------------------------------------------------------------- the ladder


@pytest.mark.parametrize("timeout", [10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0])
@pytest.mark.parametrize("agent", [None, DEAF, SILENT])
@pytest.mark.parametrize("destroy_works", [True, False])
def test_a_guest_that_listens_to_nobody_is_down_before_the_deadline(
    host, libvirt, guest, timeout, agent, destroy_works
):
    libvirt.acpi, libvirt.agent, libvirt.destroy_works = None, agent, destroy_works
    host.deaf[guest.pid] = {SIGTERM}
    stop = Stop(host, timeout)
    assert stop.code == codes.SUCCESS
    assert not host.processes
    assert stop.took >= min(timeout * 0.5, timeout - 25.0)


def test_a_guest_has_all_but_the_reserve_to_shut_down(host, libvirt, guest):
    libvirt.acpi = 66.0
    assert Stop(host, 90.0).code == codes.SUCCESS
    assert "destroy" not in libvirt.calls


@pytest.mark.parametrize(
    ("agent", "mode", "asked"),
    [
        pytest.param(3.0, "", ["agent"], id="agent-answers"),
        pytest.param(None, "", ["agent", "acpi"], id="no-agent"),
        pytest.param(SILENT, "", ["agent", "acpi"], id="agent-silent"),
        pytest.param(DEAF, "", ["agent", "acpi"], id="agent-without-effect"),
        pytest.param(3.0, "acpi", ["acpi"], id="acpi-only"),
        pytest.param(3.0, "acpi,agent", ["acpi"], id="acpi-first"),
        pytest.param(3.0, "agent", ["agent"], id="agent-only"),
        pytest.param(None, "agent", ["agent", "acpi"], id="agent-refused-acpi-in-the-end"),
        pytest.param(None, " initctl , signal,acpi ", ["initctl", "signal", "acpi"], id="refused-ones"),
        pytest.param(None, "initctl", ["initctl", "acpi"], id="only-a-refused-one"),
        pytest.param(3.0, "agnet", ["agent"], id="misspelt"),
    ],
)
def test_the_guest_is_asked_by_each_mode_in_its_order(host, libvirt, guest, agent, mode, asked):
    libvirt.agent = agent
    assert Stop(host, shutdown_mode=mode).code == codes.SUCCESS
    assert libvirt.modes == asked
    assert "destroy" not in libvirt.calls


def test_an_agent_without_effect_alone_is_never_helped_by_the_button(host, libvirt, guest):
    libvirt.agent = DEAF
    assert Stop(host, shutdown_mode="agent").code == codes.SUCCESS
    assert set(libvirt.modes) == {"agent"}
    assert "destroy" in libvirt.calls


@pytest.mark.parametrize("agent", [None, 5.0])
def test_a_guest_whose_definition_starts_it_again_stays_down(host, libvirt, guest, agent):
    guest.restarts, libvirt.agent = True, agent
    stop = Stop(host)
    assert stop.code == codes.SUCCESS
    assert guest.ends_for_good
    assert "destroy" not in libvirt.calls
    assert stop.took < 10.0


def test_a_guest_whose_ends_libvirt_will_not_change_is_asked_all_the_same(host, libvirt, guest):
    libvirt.trouble["end_for_good"] = REFUSES
    assert Stop(host).code == codes.SUCCESS
    assert "destroy" not in libvirt.calls


def test_a_guest_that_an_io_error_pauses_on_its_way_down_is_ended_at_once(host, libvirt, guest):
    libvirt.acpi = None
    host.after(7.0, lambda: libvirt.put_state(guest, "paused", "ioerror"))
    stop = Stop(host)
    assert stop.code == codes.SUCCESS
    assert stop.took < 15.0


# --------------------------------------------------------------- guests that stand still


def test_a_guest_that_sleeps_is_woken_and_shuts_down(host, libvirt, guest):
    libvirt.put_state(guest, "pmsuspended", "")
    assert Stop(host).code == codes.SUCCESS
    assert libvirt.calls.index("wake") < libvirt.calls.index("shutdown")
    assert "destroy" not in libvirt.calls


def test_a_guest_that_cannot_be_woken_is_ended(host, libvirt, guest):
    libvirt.put_state(guest, "pmsuspended", "")
    libvirt.wakes = False
    stop = Stop(host)
    assert stop.code == codes.SUCCESS
    assert "shutdown" not in libvirt.calls
    assert stop.took < 10.0


@pytest.mark.parametrize("job", ["migration out", "save", "dump", "snapshot"])
def test_a_job_in_the_way_is_aborted_and_the_guest_shuts_down(host, libvirt, guest, job):
    guest.job = job
    if job != "migration out":
        libvirt.put_state(guest, "paused", job)
    assert Stop(host).code == codes.SUCCESS
    assert libvirt.calls.index("abort_job") < libvirt.calls.index("shutdown")
    assert "destroy" not in libvirt.calls


def test_a_guest_that_stands_still_to_be_handed_over_is_ended_and_never_told_to_go_on(host, libvirt, guest):
    # Its copy may run on the target already, as far as anybody here knows.
    guest.job = "migration out"
    libvirt.put_state(guest, "paused", "migration")
    assert Stop(host).code == codes.SUCCESS
    assert not {"abort_job", "shutdown"} & set(libvirt.calls)
    assert "destroy" in libvirt.calls


def test_a_backup_is_not_aborted(host, libvirt, guest):
    guest.job = "backup"
    assert Stop(host).code == codes.SUCCESS
    assert "abort_job" not in libvirt.calls


def test_a_guest_on_its_way_in_is_ended_at_once(host, libvirt, guest):
    guest.job = "migration in"
    libvirt.put_state(guest, "paused", "migration")
    stop = Stop(host)
    assert stop.code == codes.SUCCESS
    assert not {"abort_job", "shutdown"} & set(libvirt.calls)
    assert stop.took < 1.0


@pytest.mark.parametrize("trouble", [None, HANGS])
def test_a_stopped_qemu_ends_by_sigterm_once_it_is_let_go_on(host, libvirt, guest, trouble):
    host.states[guest.pid] = Process(state="T", threads=3)
    if trouble:
        libvirt.trouble[""] = trouble
    assert Stop(host).code == codes.SUCCESS
    assert [signal for _, signal in host.killed] == [SIGTERM, SIGCONT, SIGTERM]
    assert "shutdown" not in libvirt.calls


@pytest.mark.parametrize("timeout", [20.0, 60.0, 90.0])
def test_a_qemu_that_waits_for_its_disk_is_a_failed_stop_in_time_and_says_so(host, libvirt, guest, timeout, capfd):
    host.states[guest.pid] = Process(state="D", threads=3)
    host.deaf[guest.pid] = {SIGTERM, SIGKILL}
    libvirt.acpi = None
    assert Stop(host, timeout).code == codes.ERR_GENERIC
    said = reason(capfd)
    assert said.startswith(f"web1 is still here as process {guest.pid}")
    assert "cannot be killed" in said


def test_a_process_that_is_ending_and_has_lost_its_arguments_is_not_absent(host, libvirt, guest, capfd):
    # An earlier stop has killed it, libvirt is away, and a thread still waits for the storage.
    host.processes[guest.pid] = ()
    host.states[guest.pid] = Process(state="Z", threads=2)
    libvirt.trouble[""] = UNREACHABLE
    assert Stop(host).code == codes.ERR_GENERIC
    assert "is still here as process" in reason(capfd)
    host.states[guest.pid] = Process(state="Z", threads=1)
    assert Stop(host).code == codes.SUCCESS


def test_a_process_that_lost_its_arguments_in_this_stop_is_waited_for(host, libvirt, guest):
    # Libvirt has cleaned up, and the kernel still closes the disks.
    def ends():
        libvirt.end(guest)
        host.processes[guest.pid] = ()
        host.states[guest.pid] = Process(state="D", threads=1)

    libvirt.acpi = None
    host.after(2.0, ends)
    host.after(9.0, lambda: host.processes.pop(guest.pid))
    stop = Stop(host)
    assert stop.code == codes.SUCCESS
    assert 9.0 <= stop.took < 10.0


# --------------------------------------------------------------- what is saved on the way


@pytest.fixture
def saving(monkeypatch, libvirt, guest):
    """Return a module in the place of the one that saves, which notes how it was called."""
    module = ModuleType(SAVING)
    module.calls = []
    module.failure = None

    def note(name):
        def called(agent, guest, libvirt):
            module.calls.append((name, list(libvirt.calls)))
            if module.failure is not None:
                raise module.failure
            return False

        return called

    module.before_stop, module.save_instead = note("before_stop"), note("save_instead")
    monkeypatch.setitem(sys.modules, SAVING, module)
    monkeypatch.setattr("kvmha.resources.virtual_domain.saving", module, raising=False)
    return module


@pytest.mark.parametrize("param", ["save_config_on_stop", "sync_config_on_stop"])
@pytest.mark.parametrize("force", ["true", "false"])
def test_the_definition_is_saved_before_the_guest_is_touched(host, libvirt, saving, param, force):
    assert Stop(host, **{param: "true", "force_stop": force}).code == codes.SUCCESS
    ((name, calls),) = saving.calls
    assert (name, calls) == ("before_stop", ["domain"])


def test_nothing_is_saved_unless_asked_for(host, libvirt, saving):
    assert Stop(host).code == codes.SUCCESS
    assert saving.calls == []


def test_a_state_that_was_saved_takes_the_place_of_the_shutdown(host, libvirt, saving, guest):
    save = saving.save_instead
    saving.save_instead = lambda *given: save(*given) or libvirt.end(guest) or True
    assert Stop(host, snapshot="/srv/states").code == codes.SUCCESS
    assert [name for name, *_ in saving.calls] == ["before_stop", "save_instead"]
    # What is saved must not remember that this stop would have made every end the last.
    assert not {"shutdown", "end_for_good", "destroy"} & set(libvirt.calls)


@pytest.mark.parametrize("failure", [LibvirtError("says: no space"), OSError(28, "No space left"), TypeError("defect")])
def test_a_state_that_cannot_be_saved_ends_in_a_shutdown(host, libvirt, saving, failure):
    saving.failure = failure
    stop = Stop(host, snapshot="/srv/states", save_config_on_stop="true")
    assert stop.code == codes.SUCCESS
    assert [name for name, *_ in saving.calls] == ["before_stop", "save_instead"]
    assert "shutdown" in libvirt.calls


def test_a_libvirt_that_does_not_answer_has_no_state_saved_and_a_second_for_the_rest(host, libvirt, saving):
    libvirt.trouble[""] = HANGS
    lefts = []
    saving.before_stop = lambda agent, guest, libvirt: lefts.append(libvirt.left())
    assert Stop(host, snapshot="/srv/states").code == codes.SUCCESS
    assert lefts == [1.0]
    assert saving.calls == []


def test_start_refuses_a_mode_that_there_is_none(host, libvirt, capfd):
    params = {"config": CONFIG, "shutdown_mode": "acpi,agnet"}
    env = OcfEnv(action="start", params=params, instance="web1", timeout=90.0)
    assert perform(VirtualDomain, env, host) == codes.ERR_CONFIGURED
    assert reason(capfd) == 'shutdown_mode="acpi,agnet": "agnet" is none of agent, acpi, initctl, signal, paravirt'


# --------------------------------------------------------------- who is the guest


@pytest.mark.parametrize(
    "exe", ["/usr/bin/dash", "/usr/bin/bash (deleted)", "/usr/bin/grep", "/usr/bin/python3.11", "/usr/bin/vim.basic"]
)
def test_a_process_that_only_carries_the_arguments_is_left_alone(host, libvirt, exe):
    host.processes[900], host.programs[900] = qemu_cmdline("web1", UUID), exe
    assert Stop(host).code == codes.SUCCESS
    assert not host.killed
    assert list(host.processes) == [900]


@pytest.mark.parametrize(
    "exe",
    [
        "/usr/libexec/qemu-kvm",
        "/usr/bin/kvm",
        "/usr/bin/qemu-system-x86_64 (deleted)",
        "/opt/vmm/bin/hv",
        "",
        "/memfd:x",
    ],
)
def test_whatever_may_be_qemu_is_the_guest(host, libvirt, exe):
    host.processes[900], host.programs[900] = qemu_cmdline("web1", UUID), exe
    assert Stop(host).code == codes.SUCCESS
    assert not host.processes


def test_a_script_that_libvirt_noted_as_the_guest_is_the_guest(host, libvirt, guest):
    host.programs[guest.pid] = "/usr/bin/dash"
    libvirt.trouble[""] = UNREACHABLE
    assert Stop(host).code == codes.SUCCESS
    assert host.killed == [(guest.pid, SIGTERM)]


# --------------------------------------------------------------- QEMU's own monitor


class Monitor:
    """QEMU's monitor when libvirt has let go of it; its guest switches itself off some time after the button."""

    PATH = "/var/lib/libvirt/qemu/domain-1-web1/monitor.sock"

    def __init__(self, host, libvirt, guest):
        self.host, self.said, self.state, self.off_after = host, [], "running", 3.0
        text = f"<domstatus state='running' reason='booted' pid='{guest.pid}'>\n<monitor path='{self.PATH}' type='u'/>"
        host.files[STATUS] = text.encode()
        host.sockets[self.PATH] = self.answer
        libvirt.trouble[""] = UNREACHABLE

    def answer(self, words):
        self.said.append(words.split('"')[-2])
        if self.said[-1] == "system_powerdown" and self.off_after is not None:
            self.host.after(self.off_after, lambda: setattr(self, "state", "shutdown"))
        status = f'{{"status": "{self.state}"}}' if self.said[-1] == "query-status" else "{}"
        return f'{{"QMP": {{}}}}\r\n{{"return": {{}}}}\r\n{{"event": "POWERDOWN"}}\r\n{{"return": {status}}}\r\n'


@pytest.fixture
def monitor(host, libvirt, guest):
    return Monitor(host, libvirt, guest)


def test_a_guest_whose_libvirt_stays_away_is_shut_down_at_the_monitor(host, monitor, guest):
    stop = Stop(host)
    assert stop.code == codes.SUCCESS
    assert monitor.state == "shutdown"
    assert host.killed == [(guest.pid, SIGTERM)]
    assert stop.took < 25.0


def test_a_guest_that_ignores_its_button_without_libvirt_is_down_before_the_deadline(host, monitor):
    monitor.off_after = None
    assert Stop(host).code == codes.SUCCESS
    assert monitor.said.count("system_powerdown") >= 5


def test_a_forced_stop_leaves_the_monitor_alone(host, monitor):
    assert Stop(host, force_stop="true").code == codes.SUCCESS
    assert monitor.said == []


@pytest.mark.parametrize(
    "heard",
    ["", '{"QMP": {}}\r\n', '{"return": {}}\r\n{"error": {"desc": "no"}}\r\n', "\0\n[]\n1\n", '{"return": {}}\n' * 2],
    ids=["held", "cut", "refused", "nonsense", "without-status"],
)
def test_a_monitor_that_is_of_no_use_does_not_keep_the_guest(host, monitor, heard):
    host.sockets[Monitor.PATH] = lambda words: heard
    assert Stop(host).code == codes.SUCCESS
    assert not host.processes


def test_a_stuck_libvirt_holds_the_monitor_so_it_is_left_alone(host, libvirt, monitor):
    libvirt.trouble[""] = HANGS
    assert Stop(host).code == codes.SUCCESS
    assert monitor.said == []
