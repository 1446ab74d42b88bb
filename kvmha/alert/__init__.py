"""Telling people that one of them is needed: in the system log at priority alert, and by programs of their own.

The programs in /etc/kvmha/alert.d are started one after the other, with what happened in their environment: whoever is
to be reached by a pager, or in a way of his own, is reached by one of them. Mail and webhooks are in ``ways``, which
holds back what comes too often; journal and programs get everything.
"""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

FOLDER = "/etc/kvmha/alert.d"

LIMIT = 15.0
"""Seconds for one program."""

PRIORITY = 1
"""LOG_ALERT, "action must be taken immediately" (syslog(3))."""


class Alert(Record):
    """Something that people have to know."""

    kind: str
    """A word for programs to tell kinds apart, such as ``drbd-split-brain``."""
    subject: str
    """What it is about: the name of a resource, a guest, a node."""
    sentence: str
    """All of it, for a person who reads nothing else."""
    facts: dict[str, str] = {}  # noqa: RUF012 (nobody changes it)
    """More, by names that can be those of variables."""


def send(host: Host, alert: Alert, *, seconds: float, recipient: str = "") -> tuple[str, ...]:
    """Tell it within that time, and return who has heard of it. Never raises: nobody could be told.

    ``recipient`` is a mail address or the URL of a webhook, beside those of the configuration.
    """
    from kvmha.alert import ways

    until = host.now() + seconds
    _log(host, alert, min(LIMIT, seconds))
    heard = []
    for path in programs(host):
        left = until - host.now()
        if left <= 0:
            _complain(alert, f"{path} was not started: the time is over")
            continue
        try:
            host.run(path, timeout=min(LIMIT, left), env=environment(alert))
            heard.append(path)
        except (CommandError, OSError) as error:
            _complain(alert, str(error))
    told, failed = ways.send(host, alert, ways.read(host, recipient), seconds=max(until - host.now(), 0.0))
    for reason in failed:
        _complain(alert, reason)
    return (*heard, *told)


def programs(host: Host) -> list[str]:
    """Return the programs, in the order of their names. What an editor or a package leaves beside them is none
    (run-parts(8): letters, digits, underscores and hyphens).
    """
    return [f"{FOLDER}/{name}" for name in sorted(host.names(FOLDER)) if _is_plain(name) and _is_program(host, name)]


def _is_program(host: Host, name: str) -> bool:
    """Tell whether it can be started; a README cannot."""
    return host.which(f"{FOLDER}/{name}") is not None


def _is_plain(name: str) -> bool:
    rest = name.replace("-", "").replace("_", "")
    return rest.isascii() and rest.isalnum()


def environment(alert: Alert) -> dict[str, str]:
    """Return what a program finds in its environment."""
    told = {"KVMHA_ALERT_KIND": alert.kind, "KVMHA_ALERT_SUBJECT": alert.subject, "KVMHA_ALERT_TEXT": alert.sentence}
    return {**told, **{f"KVMHA_ALERT_{name.upper()}": value for name, value in alert.facts.items()}}


def entry(alert: Alert) -> str:
    """Return the entry of the journal, one field to a line (systemd.journal-fields(7))."""
    fields = {"MESSAGE": alert.sentence, "PRIORITY": str(PRIORITY), "SYSLOG_IDENTIFIER": "kvmha", **environment(alert)}
    return "".join(f"{name}={' '.join(value.split())}\n" for name, value in fields.items())


def _log(host: Host, alert: Alert, limit: float) -> None:
    try:
        host.run("logger", "--journald", timeout=limit, given=entry(alert))
    except CommandError:
        # Without a journal, or with a logger that was built without it.
        _syslog(alert.sentence, is_alert=True)


def _complain(alert: Alert, reason: str) -> None:
    _syslog(f"alert {alert.kind} of {alert.subject}: {reason}", is_alert=False)


def _syslog(text: str, *, is_alert: bool) -> None:
    import syslog

    syslog.openlog("kvmha", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_ALERT if is_alert else syslog.LOG_WARNING, text)
