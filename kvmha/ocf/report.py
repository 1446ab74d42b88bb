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
        line = _line(reason)
        if len(line) >= REASON_LIMIT:
            line = line[: REASON_LIMIT - 4] + "..."
        self._write(f"{self.prefix}{line}\n")

    def refusal(self, reasons: list[str]) -> None:
        """Say everything that is wrong, a line each, and as the exit reason as much of it as fits."""
        if len(reasons) > 1:
            self._write("".join(f"{_line(reason)}\n" for reason in reasons))
        shown = len(reasons)
        while shown > 1 and len(_some(reasons, shown)) >= REASON_LIMIT:
            shown -= 1
        self.exit_reason(_some(reasons, shown))

    def log(self, text: str, *, warning: bool = False) -> None:
        """Record a change of state, or a refusal, in the system log. A healthy monitor never calls this."""
        import syslog

        syslog.openlog(f"{self.agent}({self.instance})", syslog.LOG_PID, syslog.LOG_DAEMON)
        syslog.syslog(syslog.LOG_WARNING if warning else syslog.LOG_INFO, text)

    def _write(self, text: str) -> None:
        try:
            os.write(2, text.encode("utf-8", "replace"))
        except OSError:
            # Nobody listens any more. The exit code stays what it is.
            pass


def _line(reason: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(reason.split()))


def _some(reasons: list[str], count: int) -> str:
    more = len(reasons) - count
    return "; ".join(reasons[:count]) + (f"; and {more} more" if more else "")
