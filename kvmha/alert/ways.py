"""Alerts by mail and webhook, as /etc/kvmha/alert.conf has them, and not more of them than a person can bear.

The file has one setting to a line::

    mail ops@example.org
    webhook https://chat.example.org/hook
    repeat 600
    most 20

``repeat``: seconds within which the same thing is not told again; ``most``: alerts in an hour. What is held back is
counted, and the next one that is told says how many there were. The system's journal has all of them in any case.
"""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kvmha.alert import Alert
    from kvmha.host import Host

CONF = "/etc/kvmha/alert.conf"

STATES = ("/run/kvmha/alerts.json", "/var/lib/pacemaker/kvmha-alerts.json")
"""What was told when: of root, or of hacluster, as whom Pacemaker runs its alert agents."""

HOUR_S = 3600.0
REPEAT_S = 600.0
MOST = 20
KNOWN = 200
"""Kinds and subjects that are remembered."""

LIMIT = 15.0


class Ways(Record):
    """Who is told, and how often."""

    mail: tuple[str, ...] = ()
    webhooks: tuple[str, ...] = ()
    repeat_s: float = REPEAT_S
    most: int = MOST
    mistakes: tuple[str, ...] = ()
    """Lines that are not understood; the others count."""

    @property
    def is_empty(self) -> bool:
        """Whether nobody is to be told."""
        return not (self.mail or self.webhooks)


def parse(text: str) -> Ways:
    """Read the file."""
    found = Ways()
    for number, line in enumerate(text.splitlines(), 1):
        word, _, value = line.partition("#")[0].strip().partition(" ")
        value = value.strip()
        if not word:
            continue
        if word == "mail" and is_address(value):
            found = found.replace(mail=(*found.mail, value))
        elif word == "webhook" and value.startswith(("http://", "https://")) and not value.split()[1:]:
            found = found.replace(webhooks=(*found.webhooks, value))
        elif word == "repeat" and value.isdecimal():
            found = found.replace(repeat_s=float(value))
        elif word == "most" and value.isdecimal() and int(value):
            found = found.replace(most=int(value))
        else:
            said = f"{CONF}:{number}: not understood; mail ADDRESS, webhook URL, repeat SECONDS or most NUMBER is"
            found = found.replace(mistakes=(*found.mistakes, said))
    return found


def is_address(text: str) -> bool:
    """Tell whether a text is a mail address, or the name of a local user, and nothing that sendmail takes for more."""
    plain = text.replace("@", "a", 1)
    return bool(text) and text[0] not in "-@" and all(letter.isalnum() or letter in "._+-" for letter in plain)


def read(host: Host, recipient: str = "") -> Ways:
    """Return the ways of this machine, and the one that a recipient is: an address, or a URL."""
    try:
        text = host.read(CONF)
    except OSError:
        text = ""
    found = parse(text)
    if recipient.startswith(("http://", "https://")):
        return found.replace(webhooks=tuple(dict.fromkeys((*found.webhooks, recipient))))
    if is_address(recipient):
        return found.replace(mail=tuple(dict.fromkeys((*found.mail, recipient))))
    return found


# ----------------------------------------------------------------- how often


def decide(told: dict[str, Any], key: str, *, now: float, ways: Ways) -> tuple[bool, int, dict[str, Any]]:
    """Return whether an alert is told, how many were held back before it, and what is remembered from now on."""
    # A time from the future is of a clock that was wrong, and would keep everybody silent until then.
    last = {name: list(each) for name, each in told.get("last", {}).items() if now >= each[0] and (
        each[1] or now - each[0] < max(HOUR_S, ways.repeat_s)
    )}  # fmt: skip
    sent = [at for at in told.get("sent", []) if 0 <= now - at < HOUR_S]
    at, held = last.get(key, [float("-inf"), 0])
    is_told = now - at >= ways.repeat_s and len(sent) < ways.most
    # What was never told counts as told long ago, so that it is told as soon as there is room for it.
    last[key] = [now, 0] if is_told else [at if at > 0 else max(now - ways.repeat_s, 0.0), held + 1]
    while len(last) > KNOWN:
        del last[min(last, key=lambda name: last[name][0])]
    return is_told, int(held) if is_told else 0, {"last": last, "sent": [*sent, now] if is_told else sent}


def passes(host: Host, alert: Alert, ways: Ways) -> tuple[bool, int]:
    """Return whether an alert is told now, and how many like it were held back; in doubt it is told."""
    import json

    for path in STATES:
        try:
            held = host.lock(f"{path}.lock", timeout=2.0)
        except OSError:
            continue
        try:
            try:
                told = json.loads(host.read(path))
            except (OSError, ValueError):
                told = {}
            told = told if isinstance(told, dict) else {}
            is_told, before, kept = decide(told, f"{alert.kind} {alert.subject}", now=host.wall_clock(), ways=ways)
            host.write(path, json.dumps(kept), mode=0o600)
            return is_told, before
        except (OSError, TypeError, ValueError, IndexError, AttributeError):
            continue
        finally:
            host.unlock(held)
    return True, 0


# ---------------------------------------------------------------------- each


def send(host: Host, alert: Alert, ways: Ways, *, seconds: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tell an alert by all ways; return by which it went out, and why it did not by others. Never raises."""
    if ways.is_empty:
        return (), ways.mistakes
    is_told, before = passes(host, alert, ways)
    if not is_told:
        return (), ways.mistakes
    until = host.now() + seconds
    heard: list[str] = []
    failed = list(ways.mistakes)
    tasks: list[tuple[Callable[[Host, Alert, str, int, float], None], str, str]]
    tasks = [(_mail, address, f"mail {address}") for address in ways.mail]
    tasks += [(_post, url, "webhook") for url in ways.webhooks]
    for act, whom, name in tasks:
        left = until - host.now()
        if left <= 0:
            failed.append(f"{name}: the time is over")
            continue
        try:
            act(host, alert, whom, before, min(LIMIT, left))
            heard.append(name)
        except (CommandError, OSError, ValueError) as error:
            failed.append(f"{name}: {error}")
    return tuple(heard), tuple(failed)


def _mail(host: Host, alert: Alert, address: str, before: int, timeout: float) -> None:
    # Whom it is for stands in its head, which -t reads; -i lets a line be a single dot (sendmail(8)).
    host.run("sendmail", "-i", "-t", given=message(host, alert, address, before), timeout=timeout)


def message(host: Host, alert: Alert, address: str, before: int) -> str:
    """Return the mail."""
    from email.message import EmailMessage
    from email.utils import formatdate

    made = EmailMessage()
    made["To"] = address
    made["Subject"] = " ".join(f"[kvmha] {_node(host)}: {alert.kind} {alert.subject}".split())
    made["Date"] = formatdate(host.wall_clock())
    # Nobody's absence shall answer it (RFC 3834).
    made["Auto-Submitted"] = "auto-generated"
    lines = [alert.sentence, "", *(f"{name}: {value}" for name, value in sorted(alert.facts.items()))]
    lines += [f"(held back since the last one: {before})"] if before else []
    made.set_content("\n".join(lines) + "\n")
    return made.as_string()


def _post(host: Host, alert: Alert, url: str, before: int, timeout: float) -> None:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        url, data=payload(host, alert, before).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "kvmha"}, method="POST",
    )  # fmt: skip

    def ask() -> None:
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                answer.read(1024)
        except urllib.error.HTTPError as error:
            error.close()
            raise OSError(f"it answers {error.code} {error.reason}") from None

    # Its name may have to be looked up, and no timeout of ours reaches into the resolver.
    host.bounded(ask, what="the webhook", timeout=timeout)


def payload(host: Host, alert: Alert, before: int) -> str:
    """Return what a webhook is given."""
    import json

    return json.dumps(
        {
            "kind": alert.kind, "subject": alert.subject, "text": alert.sentence, "node": _node(host),
            "at": round(host.wall_clock(), 3), "facts": dict(alert.facts), "held_back": before,
        }
    )  # fmt: skip


def _node(host: Host) -> str:
    try:
        return host.name()
    except OSError:
        return ""
