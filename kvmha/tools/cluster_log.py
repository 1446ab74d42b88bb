"""What corosync and Pacemaker write to the journal when a node is lost, read into events.

The sentences are those of Pacemaker 2.1 (Debian 12) and 3.0 (Debian 13), and of corosync 3.1; the recorded ones lie
with the contract tests.
"""

from __future__ import annotations

import json
import re

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ARGV = ("journalctl", "--follow", "--lines=0", "--output=json", "--no-pager",
        "--identifier=corosync", "--identifier=pacemaker-controld", "--identifier=pacemaker-fenced")  # fmt: skip


def since_argv(at: float, guests: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the command that prints what was written from a time on, in seconds since the epoch (journalctl(1)).

    Beside the cluster's daemons, it prints what our agents said of these guests.
    """
    own = (f"--identifier=VirtualDomain({name})" for name in guests)
    words = (word for word in ARGV[1:] if word not in ("--follow", "--lines=0"))
    return ("journalctl", f"--since=@{at:.3f}", *words, "--identifier=pacemaker-schedulerd", *own)


def brief_argv(at: float, guests: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the same with the fields alone that are read here: for the journal of days."""
    return (*since_argv(at, guests), "--output-fields=MESSAGE,SYSLOG_IDENTIFIER")


LOST, DECIDED, FENCING_ASKED, FENCING_CONFIRMED, START_ASKED, STARTED, AGENT_STARTED = (
    "lost", "decided", "fencing asked", "fencing confirmed", "start asked", "started", "agent done",
)  # fmt: skip


class Line(Record):
    """One line of a journal."""

    at: float
    """Seconds since the epoch, as the journal received it."""
    by: str
    """Who wrote it: the identifier of syslog."""
    text: str
    node: str = ""


class Entry(Record):
    """One event of the cluster."""

    at: float
    """Seconds since the epoch, as the journal received it."""
    kind: str
    subject: str
    """The node that was lost or fenced, or the resource that starts; empty where the sentence names none."""
    node: str = ""
    """Where it starts."""
    text: str = ""


_SENTENCES = (
    # corosync notices first, and cannot say yet who it is.
    (LOST, re.compile(r"token timed out|A processor failed, forming new configuration")),
    (LOST, re.compile(r"Node (?P<subject>\S+) state is now lost")),
    (DECIDED, re.compile(r"Cluster node (?P<subject>\S+) will be fenced\b")),
    (FENCING_ASKED, re.compile(r"Requesting (?:peer )?fencing \([a-z]+\) (?:of|targeting) (?:node )?(?P<subject>\S+)")),
    (FENCING_CONFIRMED, re.compile(r"Operation '(?:reboot|off)' targeting (?P<subject>\S+) by .*: (?:OK|complete)\b")),
    (START_ASKED, re.compile(r"Initiating start operation (?P<subject>\S+)_start_0 (?:locally )?on (?P<node>\S+)")),
    (STARTED, re.compile(r"Result of start operation for (?P<subject>\S+) on (?P<node>\S+): (?:ok|OK)\b")),
)  # fmt: skip

_AGENT = re.compile(r"VirtualDomain\((?P<subject>.+)\)")
"""The name by which our agent of a guest writes to the journal."""


def parse_line(line: str) -> Line | None:
    """Return one line of the journal's JSON; None for what is none."""
    try:
        fields = json.loads(line)
        message, at = fields["MESSAGE"], int(fields["__REALTIME_TIMESTAMP"]) / 1e6
    except (ValueError, KeyError, TypeError):
        return None
    # A message that is not clean UTF-8 comes as a list of bytes (systemd.journal-fields(7)).
    if isinstance(message, list):
        message = bytes(message).decode("utf-8", "replace")
    if not isinstance(message, str):
        return None
    return Line(at=at, by=str(fields.get("SYSLOG_IDENTIFIER", "")), text=message)


def parse_entry(line: str) -> Entry | None:
    """Return the event in one line of the journal's JSON, or None for a line that tells none of those above."""
    found = parse_line(line)
    return entry_of(found) if found is not None else None


def entry_of(line: Line) -> Entry | None:
    """Return the event that a line tells, or None."""
    agent = _AGENT.fullmatch(line.by)
    if agent is not None:
        is_start = line.text.startswith("started ")
        return Entry(at=line.at, kind=AGENT_STARTED, subject=agent["subject"], text=line.text) if is_start else None
    for kind, sentence in _SENTENCES:
        found = sentence.search(line.text)
        if found:
            parts = found.groupdict()
            subject, node = parts.get("subject") or "", parts.get("node") or ""
            return Entry(at=line.at, kind=kind, subject=subject, node=node, text=line.text)
    return None
