"""Pacemaker's scheduler for tests: the machine's own, or that of a lab image, of whatever release, without a node."""

from __future__ import annotations

from pathlib import Path

from kvmha.host import Completed, Host
from kvmha.lab import image
from kvmha.tools import crm_simulate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HOST = Host()
INTERRUPTED = (0, 1)
"""crm_simulate exits with 1 where a part of the transition cannot be executed; what it prints is whole all the same."""


class Scheduler:
    """crm_simulate of one release."""

    def __init__(self, argv: tuple[str, ...], env: dict[str, str]) -> None:
        self.argv = argv
        self.env = env

    def simulate(self, cib: str) -> str:
        """Return, as XML, how a CIB is read, what would be done, and what the cluster would then be."""
        return HOST.run(*self.argv, *crm_simulate.ARGV[1:], given=cib, timeout=120.0, env=self.env, ok=INTERRUPTED).out


class ImageHost(Host):
    """This machine, with the crm_simulate of a lab image."""

    def __init__(self, chosen: Scheduler) -> None:
        super().__init__()
        self.chosen = chosen

    def run(self, *argv: str, env: dict[str, str] | None = None, **more: Any) -> Completed:
        if argv[0] != "crm_simulate":
            return super().run(*argv, env=env, **more)
        return super().run(*self.chosen.argv, *argv[1:], env={**(env or {}), **self.chosen.env}, **more)


def scheduler(suite: str, drafts: Path, progress: Callable[..., None] = lambda *_said: None) -> Scheduler:
    """Return the scheduler of a suite of Debian, from its lab image, which is built where there is none yet."""
    built = image.ensure(HOST, suite, progress)
    root, library = built.root, f"{built.root}/usr/lib"
    argv = (
        f"{root}/lib64/ld-linux-x86-64.so.2",
        "--library-path", f"{library}/x86_64-linux-gnu:{library}",
        f"{root}/usr/sbin/crm_simulate",
    )  # fmt: skip
    env = {"CIB_shadow_dir": str(drafts), "PCMK_schema_directory": f"{root}/usr/share/pacemaker"}
    return Scheduler(argv, env)
