"""Read what a running command prints, line by line, within a time."""

from __future__ import annotations

import os
import select

from kvmha.host import SIGKILL, CommandTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host


def run(host: Host, *argv: str, each: Callable[[str], None], timeout: float, env: dict[str, str] | None = None) -> int:
    """Run a command, hand every line that it prints to ``each``, and return its exit code.

    Raises CommandMissing, CommandTimeout; the command then runs no longer.
    """
    until = host.now() + timeout
    pid, fd = host.stream(*argv, env=env)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    rest = b""
    try:
        while poll.poll(max(until - host.now(), 0.0) * 1000):
            chunk = os.read(fd, 65536)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines if chunk else [*lines, rest]:
                each(line.decode("utf-8", "replace"))
            if not chunk:
                code = host.wait(pid, timeout=max(until - host.now(), 1.0))
                if code is not None:
                    return code
                break
        raise CommandTimeout(argv, f"did not end within {timeout:g} s")
    except BaseException:
        host.kill(pid, SIGKILL, still=lambda: True, wait=5.0)
        host.wait(pid, timeout=1.0)
        raise
    finally:
        os.close(fd)
