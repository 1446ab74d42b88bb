"""What an operator demands before any drill is run on this cluster: a time of the day, a fresh backup.

/etc/kvmha/drill.conf has one demand to a line, and options of the command line come before it::

    window 22:00-04:00
    backup-command /usr/local/sbin/backup-is-fresh
    backup-file /srv/backup/last.stamp
    backup-age 24
"""

from __future__ import annotations

from kvmha.errors import UserError
from kvmha.host import CommandError, CommandTimeout
from kvmha.policy import drill_gates
from kvmha.policy.drill_gates import Backup
from kvmha.policy.fencing_proof import ago
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

CONF = "/etc/kvmha/drill.conf"

HOUR_S = 3600.0
AGE_H = 24.0
MOST_H = 24.0 * 365

LIMIT = 60.0
"""Seconds that the operator's own command may take."""

STAT_LIMIT = 10.0


class Demands(Record):
    """What is demanded; empty words for what is not."""

    window: str = ""
    backup_command: str = ""
    backup_file: str = ""
    backup_age_h: float = AGE_H


def read(host: Host) -> Demands:
    """Return what the file demands, nothing where there is none. Raises UserError: a demand is never passed over."""
    try:
        text = host.read(CONF)
    except FileNotFoundError:
        return Demands()
    except OSError as error:
        raise UserError(f"{CONF} cannot be read: {error.strerror}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip().split(None, 1)
        if not words or words[0].startswith("#"):
            continue
        name = words[0].replace("-", "_")
        if name not in ("window", "backup_command", "backup_file", "backup_age") or len(words) < 2:
            raise UserError(
                f'{CONF}:{number}: "{line.strip()}" is not understood; '
                "window, backup-command, backup-file and backup-age are, each with a value"
            )
        found[name] = words[1].strip()
    return over(Demands(), where=f"{CONF}: ", **found)


def over(
    demands: Demands, *, where: str, window: str = "", backup_command: str = "", backup_file: str = "",
    backup_age: str = "",
) -> Demands:  # fmt: skip
    """Return demands with others laid over them; ``where`` stands before the name of a wrong one. Raises UserError."""
    if window and drill_gates.minutes(window) is None:
        raise UserError(f'{where}window: "{window}" is no window; give it as 22:00-04:00')
    age = demands.backup_age_h
    if backup_age:
        age = float(backup_age) if backup_age.replace(".", "", 1).isdecimal() else 0.0
        if not 0 < age <= MOST_H:
            raise UserError(f'{where}backup-age: "{backup_age}" is no number of hours up to {MOST_H:g}')
    return Demands(
        window=window or demands.window,
        backup_command=backup_command or demands.backup_command,
        backup_file=backup_file or demands.backup_file,
        backup_age_h=age,
    )


def backup(host: Host, demands: Demands) -> Backup | None:
    """Return whether there is a backup as fresh as is demanded; None where none is demanded."""
    found = []
    if demands.backup_command:
        found.append(_by_command(host, demands.backup_command))
    if demands.backup_file:
        found.append(_by_file(host, demands.backup_file, demands.backup_age_h))
    return min(found, key=lambda each: each.is_fresh, default=None)


def _by_command(host: Host, command: str) -> Backup:
    try:
        done = host.run("/bin/sh", "-c", command, timeout=LIMIT, ok=None)
    except CommandTimeout:
        return Backup(is_fresh=False, said=f"{command} did not end within {LIMIT:g} s")
    except CommandError as error:
        return Backup(is_fresh=False, said=str(error))
    words = [line.strip() for line in (done.out or done.err).splitlines() if line.strip()]
    last = f": {words[-1][:120]}" if words else ""
    return Backup(is_fresh=done.rc == 0, said=f"{command} left with {done.rc}{last}")


def _by_file(host: Host, path: str, age_h: float) -> Backup:
    # A file of a server that is away would keep a plain stat waiting for ever.
    try:
        done = host.run("stat", "--format=%Y", "--", path, timeout=STAT_LIMIT)
        age = host.wall_clock() - int(done.out.strip())
    except (CommandError, ValueError) as error:
        return Backup(is_fresh=False, said=f"{path}: {error}")
    said = f"{path} was written {ago(age)}, and may be {age_h:g} hours old"
    return Backup(is_fresh=age <= age_h * HOUR_S, said=said)
