"""What an agent says: the exit reason on standard error, and changes of state in the system log."""

from __future__ import annotations

import os

from kvmha.record import Record

REASON_LIMIT = 200
"""Characters. Pacemaker keeps the reason in the CIB, where a longer one would only be in the way."""


class Report(Record):
    """The voice of one agent call."""

    agent: str
    instance: str
    prefix: str = "ocf-exit-reason:"

    def exit_reason(self, reason: str) -> None:
        """Say why the action fails, in one line, as the last: Pacemaker takes that to its end.

        It is stored in the CIB, and XML 1.0 has no way to write most of the characters that cannot be printed.
        """
        line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(reason.split()))
        if len(line) >= REASON_LIMIT:
            line = line[: REASON_LIMIT - 4] + "..."
        try:
            os.write(2, f"{self.prefix}{line}\n".encode("utf-8", "replace"))
        except OSError:
            # Nobody listens any more. The exit code stays what it is.
            pass

    def log(self, text: str, *, warning: bool = False) -> None:
        """Record a change of state, or a refusal, in the system log. A healthy monitor never calls this."""
        import syslog

        syslog.openlog(f"{self.agent}({self.instance})", syslog.LOG_PID, syslog.LOG_DAEMON)
        syslog.syslog(syslog.LOG_WARNING if warning else syslog.LOG_INFO, text)
