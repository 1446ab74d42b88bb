"""Case 2: libvirt hangs, or is just being restarted."""

from __future__ import annotations

from tests.bench.case import ALIVE, MIGRATE, START, STOP, Case, Finding, Trial
from tests.bench.stage import Guest

AWAY = 3.0
"""Seconds that a restart of libvirt takes here."""
SETTLED = 4.0
"""Seconds after which what libvirt was asked while it hung has been carried out, or never will be."""


def _freeze(trial: Trial) -> None:
    trial.stage.freeze_libvirt(trial.node)
    trial.undo.callback(trial.stage.thaw_libvirt, trial.node)


def _restart(trial: Trial) -> None:
    """Stop libvirt now, and have it back in a while."""
    trial.stage.stop_libvirt(trial.node)
    trial.later(AWAY, lambda: trial.stage.start_libvirt(trial.node))


def _thaw_and_look(trial: Trial, guest: Guest) -> bool:
    """Let libvirt go on, and tell whether a probe then says what is true."""
    trial.stage.thaw_libvirt(trial.node)
    trial.stage.host.sleep(SETTLED)
    seen = trial.probe(guest, name="libvirt goes on, probe")
    return (seen.rc in ALIVE) == bool(trial.places(guest)) and not seen.is_killed


def monitor_while_stuck(trial: Trial) -> Finding:
    guest = trial.guest(f"stuck-{trial.side.provider}")
    trial.start(guest)
    _freeze(trial)
    return trial.finding(trial.monitor(guest).rc in ALIVE)


def start_while_stuck(trial: Trial) -> Finding:
    guest = trial.guest(f"stuck-{trial.side.provider}")
    _freeze(trial)
    ran = trial.call("start", guest, START)
    is_bounded = not ran.is_killed and (ran.rc == 0) == bool(trial.places(guest))
    return trial.finding(is_bounded & _thaw_and_look(trial, guest))


def stop_while_stuck(trial: Trial) -> Finding:
    guest = trial.guest(f"stuck-{trial.side.provider}")
    trial.start(guest)
    _freeze(trial)
    ran = trial.call("stop", guest, STOP)
    return trial.finding(ran.rc == 0 and not trial.places(guest))


def migrate_while_stuck(trial: Trial) -> Finding:
    guest = trial.guest(f"stuck-{trial.side.provider}")
    trial.start(guest)
    _freeze(trial)
    ran = _migrate(trial, guest)
    stays = not ran.is_killed and ran.rc != 0 and trial.places(guest) == [trial.node]
    is_true = _thaw_and_look(trial, guest)
    return trial.finding(stays and is_true and trial.places(guest) == [trial.node])


def _migrate(trial: Trial, guest: Guest):
    return trial.call(
        "migrate_to", guest, MIGRATE, meta={"migrate_source": trial.node, "migrate_target": trial.peer}
    )  # fmt: skip


def monitor_while_restarted(trial: Trial) -> Finding:
    guest = trial.guest(f"back-{trial.side.provider}")
    trial.start(guest)
    _restart(trial)
    return trial.finding(trial.monitor(guest).rc in ALIVE)


def start_while_restarted(trial: Trial) -> Finding:
    guest = trial.guest(f"back-{trial.side.provider}")
    _restart(trial)
    ran = trial.call("start", guest, START)
    return trial.finding(not ran.is_killed and (ran.rc == 0) == bool(trial.places(guest)))


def stop_while_restarted(trial: Trial) -> Finding:
    guest = trial.guest(f"back-{trial.side.provider}")
    trial.start(guest)
    _restart(trial)
    ran = trial.stop(guest)
    return trial.finding(ran.rc == 0 and not trial.places(guest))


def migrate_while_restarted(trial: Trial) -> Finding:
    guest = trial.guest(f"back-{trial.side.provider}")
    trial.start(guest)
    _restart(trial)
    ran = _migrate(trial, guest)
    where = trial.peer if ran.rc == 0 else trial.node
    return trial.finding(not ran.is_killed and trial.places(guest) == [where])


BOUNDED = "it starts, or an error with its reason before the deadline; the next probe is true"

CASES = (
    Case(
        number=2, name="libvirt hangs (SIGSTOP): monitor",
        wanted="it runs (0, 190), before the deadline", attempt=monitor_while_stuck,
    ),
    Case(number=2, name="libvirt hangs: start", wanted=BOUNDED, attempt=start_while_stuck),
    Case(number=2, name="libvirt hangs: stop", wanted="stop stops it", attempt=stop_while_stuck),
    Case(
        number=2, name="libvirt hangs: migrate_to",
        wanted="an error before the deadline; it runs on where it is", attempt=migrate_while_stuck, is_alone=True,
    ),
    Case(
        number=2, name=f"libvirt is away for {AWAY:.0f} s: monitor",
        wanted="it runs (0, 190)", attempt=monitor_while_restarted,
    ),
    Case(
        number=2, name=f"libvirt is away for {AWAY:.0f} s: start",
        wanted="it starts, or an error before the deadline", attempt=start_while_restarted,
    ),
    Case(
        number=2, name=f"libvirt is away for {AWAY:.0f} s: stop",
        wanted="stop stops it", attempt=stop_while_restarted,
    ),
    Case(
        number=2, name=f"libvirt is away for {AWAY:.0f} s: migrate_to",
        wanted="it moves, or stays for an error before the deadline", attempt=migrate_while_restarted, is_alone=True,
    ),
)  # fmt: skip
