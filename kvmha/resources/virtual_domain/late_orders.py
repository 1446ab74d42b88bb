"""What an earlier move told the target over a path that was cut, and what would arrive in the middle of the next one.

A move that is given up ends with an order to the target's libvirt to drop its copy. Where the path is cut, that order
stays with the kernel, which repeats it at growing intervals for minutes after the agent has ended. It names the guest
and not the move, so it ends the copy of whichever move of the guest is under way when it arrives (seen with libvirt
9.0: the path was whole again after 50 s, the next move began 10 s later and was ended 3 s after that).
"""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.tools import migration_uri, ss

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.virtual_domain import VirtualDomain

LIMIT = 20.0
"""Seconds to wait for orders that the kernel cannot be told to drop, or a third of the action if that is less."""

INTERVAL = 1.0


def end(agent: VirtualDomain, guest: str, target: str, uri: str) -> None:
    """See that no order of an earlier move is on its way to a target. Raises OcfError where one stays.

    What ssh has taken is not seen: the connection is a process's of its own.
    """
    place = migration_uri.daemon_of(uri)
    if place is None:
        return
    until = agent.host.now() + min(LIMIT, agent.left() / 3)
    try:
        while _say(agent, ss.orphans_argv(*place)):
            if agent.host.now() + INTERVAL > until:
                reason = f"{guest} was not moved, as an order of an earlier move is still on its way to {target}"
                raise OcfError(codes.ERR_GENERIC, reason)
            agent.report.log(f"moving {guest}: ending what an earlier move had still to say to {target}", warning=True)
            _say(agent, ss.end_orphans_argv(*place))
            agent.host.sleep(INTERVAL)
    except CommandError as error:
        # Rare as such orders are, not to know of them is no reason to keep a guest from moving.
        agent.report.log(f"moving {guest}: orders of an earlier move were not looked for: {error}", warning=True)


def _say(agent: VirtualDomain, argv: tuple[str, ...]) -> str:
    """Raises CommandError."""
    return agent.host.run(*argv, timeout=min(ss.TIMEOUT, agent.left())).out.strip()
