"""The machine below every agent: from a call to an exit code, with the rules on errors and time in one place."""

from __future__ import annotations

import posix
import sys

from kvmha.host import CommandError, CommandMissing, Host
from kvmha.ocf import codes
from kvmha.ocf.env import OcfEnv
from kvmha.ocf.spec import Action, Param, read_params

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from kvmha.ocf.report import Report

DEFAULT_TIMEOUT = 20.0
"""Seconds that an action has when neither Pacemaker nor the table says: Pacemaker's own default."""

STRICT = ("start", "promote", "migrate_to", "reload-agent", "validate-all")
"""Actions that a wrong parameter fails. All others must tell the truth about what runs, whatever the tuning says."""


class OcfError(Exception):
    """An outcome that we understand: an exit code with its reason, one sentence of what, on which object, and why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Agent:
    """Base of the agents: a table, and a method for each action (``validate-all`` is ``validate_all``)."""

    name: str
    shortdesc: str
    longdesc: str
    params: tuple[Param, ...]
    actions: tuple[Action, ...]

    def __init__(self, env: OcfEnv, host: Host) -> None:
        self.env = env
        self.host = host
        self.values, self.param_errors = read_params(self.params, env.params)
        timeout = env.timeout or self._advertised_timeout()
        # Pacemaker ends an overdue agent with SIGKILL and no warning, so ours ends itself before that.
        self.until = host.now() + timeout - min(2.0, timeout * 0.05)

    @property
    def report(self) -> Report:
        """The agent's voice; a healthy monitor, which has nothing to say, does not load it."""
        return _voice(type(self), self.env)

    def param(self, name: str) -> Any:
        """Return a parameter's value: str, int, bool, or None for an integer that is not set."""
        return self.values[name]

    def left(self, reserve: float = 0.0) -> float:
        """Seconds until this action must be over, less a reserve for what comes after; never negative."""
        return max(self.until - self.host.now() - reserve, 0.0)

    def degraded(self, reason: str) -> int:
        """Report a service that runs while something below it is reduced."""
        self.report.exit_reason(reason)
        return codes.DEGRADED

    def wrong(self) -> list[str]:
        """Return a sentence for each parameter, or pair of them, that no row of the table can refuse alone."""
        return []

    def validate_all(self) -> int:
        """Check this node for what the parameters need: overridden by agents that can; never called with wrong ones."""
        return codes.SUCCESS

    def reload_agent(self) -> int:
        """Take over changed parameters: each action reads them anew, so there is nothing to do."""
        return codes.SUCCESS

    def _advertised_timeout(self) -> float:
        for action in self.actions:
            if action.name == self.env.action:
                return float(action.timeout)
        return DEFAULT_TIMEOUT


def perform(cls: type[Agent], env: OcfEnv, host: Host) -> int:
    """Run one action and return its exit code; on failure the last line on standard error is the exit reason."""
    if env.action == "meta-data":
        from kvmha.ocf.metadata import render

        sys.stdout.write(render(cls))
        sys.stdout.flush()
        return codes.SUCCESS
    if env.action not in {action.name for action in cls.actions}:
        _voice(cls, env).exit_reason(
            f'action "{env.action}" is not implemented; there are {", ".join(sorted({a.name for a in cls.actions}))}'
        )
        return codes.ERR_UNIMPLEMENTED
    agent = cls(env, host)
    if env.action in STRICT:
        wrong = [*agent.param_errors, *agent.wrong()]
        if wrong:
            agent.report.refusal(wrong)
            return codes.ERR_CONFIGURED
    try:
        action = getattr(agent, env.action.replace("-", "_"))
        code: int = action()
    except OcfError as error:
        agent.report.exit_reason(error.reason)
        return error.code
    except (CommandError, OSError) as error:
        agent.report.exit_reason(f"{env.action}: {error}")
        return _code_of(error, env)
    return code


def _voice(cls: type[Agent], env: OcfEnv) -> Report:
    from kvmha.ocf.report import Report

    return Report(agent=cls.name, instance=env.instance, prefix=env.exit_reason_prefix)


def _code_of(error: Exception, env: OcfEnv) -> int:
    """Map a tool's failure that an action did not handle itself.

    A missing program is a fact of the installation (5) only where that keeps the resource off this node. In stop and
    monitor it means that we do not know, and not knowing is 1.
    """
    if isinstance(error, CommandMissing) and env.action in STRICT:
        return codes.ERR_INSTALLED
    if isinstance(error, PermissionError) and posix.geteuid() != 0:
        return codes.ERR_PERM
    return codes.ERR_GENERIC


def _environ() -> dict[str, str]:
    """Return the environment as text, in the way of os.environ: what is no text there comes back whole in a path."""
    encoding = sys.getfilesystemencoding()
    raw: dict[bytes, bytes] = posix.environ
    return {
        name.decode(encoding, "surrogateescape"): value.decode(encoding, "surrogateescape")
        for name, value in raw.items()
    }


def main(cls: type[Agent]) -> NoReturn:
    """Be the agent's process.

    It leaves by _exit, because a thread that waits in a hung library must not keep the process alive.
    """
    try:
        env = OcfEnv.from_environ(sys.argv[1:], _environ())
        code = perform(cls, env, Host())
    except Exception:
        from kvmha.ocf.report import Report

        # A defect of ours. The traceback goes to the executor's log, and the reason says so in one line.
        sys.excepthook(*sys.exc_info())
        kind, error = sys.exc_info()[:2]
        prefix = _environ().get("OCF_EXIT_REASON_PREFIX", "ocf-exit-reason:")
        said = Report(agent=cls.name, instance="", prefix=prefix)
        said.exit_reason(f"defect in kvmha: {kind.__name__ if kind else ''}: {error}")
        code = codes.ERR_GENERIC
    posix._exit(code)
