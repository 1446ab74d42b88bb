"""Cases 1, 3, 4 and 5: whether an agent says what is true of a guest that runs."""

from __future__ import annotations

from tests.bench.case import ALIVE, NOT_RUNNING, Case, Finding, Trial, Unfit
from tests.bench.stage import IDLE, Guest

TWO_NAMES = IDLE.replace(
    "  <memory",
    """\
  <metadata>
    <owner xmlns="http://example.org/owner">
      <name>alice</name>
    </owner>
  </metadata>
  <memory""",
)

SMALL_DISK = "/run/bench-disk"
GUEST_PAUSE = 30.0
"""Seconds in which a guest that was told to do something has done it."""


def _probe_and_stop(trial: Trial, guest: Guest, **params: str) -> Finding:
    """See whether a probe finds the running guest, and a stop ends it."""
    found = trial.probe(guest, **params).rc in ALIVE
    stopped = trial.stop(guest, **params).rc == 0
    return trial.finding(found and stopped and not trial.places(guest))


def definition_gone(trial: Trial) -> Finding:
    guest = trial.guest(f"gone-{trial.side.provider}")
    trial.start(guest)
    trial.stage.run(trial.node, "rm", guest.config)
    return _probe_and_stop(trial, guest)


def definition_minified(trial: Trial) -> Finding:
    guest = trial.guest(f"mini-{trial.side.provider}")
    trial.start(guest)
    trial.stage.lab.copy_in(trial.node, guest.config, "".join(line.strip() for line in guest.xml.splitlines()))
    return _probe_and_stop(trial, guest)


def tuning_wrong(trial: Trial) -> Finding:
    guest = trial.guest(f"tuned-{trial.side.provider}")
    trial.start(guest)
    return _probe_and_stop(trial, guest, migration_speed="10M")


def a_dot_is_no_wildcard(trial: Trial) -> Finding:
    other, guest = trial.guest("webX1"), trial.guest("web.1")
    trial.start(other)
    without = _probe_without_libvirt(trial, guest, instance="another")
    return trial.finding(without == NOT_RUNNING, "while webX1 runs, and libvirt is stopped")


def a_plus_is_a_letter(trial: Trial) -> Finding:
    guest = trial.guest("c++vm")
    trial.start(guest)
    seen = _probe_without_libvirt(trial, guest)
    trial.stop(guest)
    return trial.finding(seen in ALIVE and trial.steps[-1].rc == 0 and not trial.places(guest))


def _probe_without_libvirt(trial: Trial, guest: Guest, **rest: str) -> int:
    trial.stage.stop_libvirt(trial.node)
    try:
        return trial.probe(guest, name="probe without libvirt", **rest).rc
    finally:
        trial.stage.start_libvirt(trial.node)


def two_names(trial: Trial) -> Finding:
    guest = trial.guest(f"named-{trial.side.provider}", TWO_NAMES)
    trial.call("start", guest, 20)
    if not trial.places(guest):
        return trial.finding(False)
    return _probe_and_stop(trial, guest)


def talkative_libvirt(trial: Trial) -> Finding:
    guest = trial.guest(f"talk-{trial.side.provider}")
    trial.start(guest)
    talk = {"LIBVIRT_DEBUG": "1", "LIBVIRT_LOG_OUTPUTS": "1:stderr"}
    heard = [trial.monitor(guest, env=talk).rc, trial.probe(guest, env=talk).rc]
    return trial.finding(all(code in ALIVE for code in heard))


def paused_by_io_error(trial: Trial) -> Finding:
    node = trial.node
    script = 'mkdir -p "$1" && mount -t tmpfs -o size=4m tmpfs "$1" && truncate -s 64M "$1/disk.raw"'
    trial.stage.run(node, "sh", "-c", script, "bench", SMALL_DISK)
    trial.undo.callback(trial.stage.run, node, "umount", SMALL_DISK, ok=None)
    guest = trial.booting_guest(f"full-{trial.side.provider}", disk=f"{SMALL_DISK}/disk.raw")
    trial.start(guest)
    trial.stage.wait_booted(guest)
    _type_until(trial, guest, "dd if=/dev/zero of=/dev/vda bs=1M count=32", "paused")
    return trial.finding(trial.monitor(guest).rc not in (*ALIVE, NOT_RUNNING))


def suspended_by_itself(trial: Trial) -> Finding:
    guest = trial.booting_guest(f"sleep-{trial.side.provider}")
    trial.start(guest)
    trial.stage.wait_booted(guest)
    _type_until(trial, guest, "echo mem > /sys/power/state", "pmsuspended")
    return trial.finding(trial.monitor(guest).rc in ALIVE)


def paused_by_a_person(trial: Trial) -> Finding:
    guest = trial.guest(f"pause-{trial.side.provider}")
    trial.start(guest)
    trial.stage.run(trial.node, "virsh", "suspend", guest.name)
    return trial.finding(trial.monitor(guest).rc in ALIVE)


def _type_until(trial: Trial, guest: Guest, line: str, state: str) -> None:
    """Type a line at the guest's console until libvirt sees the state: what comes before its shell is there is lost."""

    def is_there() -> bool:
        return trial.stage.state(guest, trial.node) == state

    until = trial.stage.host.now() + GUEST_PAUSE
    while not is_there():
        if trial.stage.host.now() > until:
            raise Unfit(f"the guest did not become {state}, libvirt calls it {trial.stage.state(guest, trial.node)}")
        trial.stage.console(guest, trial.node, line)
        trial.stage.wait(is_there, 4.0)


STILL = "the probe says that it runs, stop stops it"

CASES = (
    Case(number=1, name="the definition of a running guest is gone", wanted=STILL, attempt=definition_gone),
    Case(number=1, name="its definition is written in one line", wanted=STILL, attempt=definition_minified),
    Case(number=1, name='a tuning parameter is wrong: migration_speed="10M"', wanted=STILL, attempt=tuning_wrong),
    Case(
        number=3, name="web.1 is stopped, a guest webX1 runs",
        wanted="the probe of web.1 says 7 (not running)", attempt=a_dot_is_no_wildcard,
    ),
    Case(
        number=3, name="a guest c++vm runs",
        wanted="the probe without libvirt says that it runs, stop stops it", attempt=a_plus_is_a_letter,
    ),
    Case(
        number=3, name="a second <name> in the definition's metadata",
        wanted=f"it starts, {STILL}", attempt=two_names,
    ),
    Case(
        number=4, name="libvirt writes warnings to stderr (LIBVIRT_DEBUG)",
        wanted="monitor and probe say that it runs", attempt=talkative_libvirt,
    ),
    Case(
        number=5, name="paused by an I/O error: its storage is full",
        wanted="the monitor fails, and does not say that it is absent", attempt=paused_by_io_error,
    ),
    Case(
        number=5, name="suspended by the guest itself (S3)",
        wanted="the monitor says that it is alive (0, 190)", attempt=suspended_by_itself,
    ),
    Case(
        number=5, name="paused by an administrator",
        wanted="the monitor says that it is alive (0, 190)", attempt=paused_by_a_person,
    ),
)  # fmt: skip
