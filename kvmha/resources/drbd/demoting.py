"""Demoting a replica, and saying who is in the way."""

from __future__ import annotations

from kvmha.host import CommandFailed
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.policy.replica import Replica
from kvmha.resources.drbd import looking, openers
from kvmha.tools.drbd import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.ocf.agent import Agent

STEP = 0.3
"""Seconds between two attempts; whoever holds the device open may be about to let go of it."""

RESERVE = 3.0
"""Seconds to be left at the end for the last step, and to say what is in the way."""


def demote(agent: Agent, *, reserve: float = RESERVE) -> None:
    """Demote; fine where the resource is unpromoted or down already. Raises OcfError where that cannot be done."""
    resource = looking.resource_of(agent)
    is_logged = False
    while True:
        replica = looking.replica_of(agent, resource)
        if replica is None or not replica.is_promoted:
            break
        trouble = _order(agent, replica)
        if not trouble:
            continue
        held = openers.sentence(agent, replica)
        if held and not is_logged:
            agent.report.log(f"{resource} cannot be demoted yet: {held}", warning=True)
            is_logged = True
        if not agent.left(reserve):
            _last_step(agent, replica, held or trouble)
            break
        agent.host.sleep(STEP)
    if replica is not None:
        _take_note(agent, resource)


def _order(agent: Agent, replica: Replica, *, force: bool = False) -> str:
    """Give the order for each device; return what the kernel said against it."""
    for argv in commands.secondary_argvs(replica, force=force):
        try:
            agent.host.run(*argv, timeout=agent.left(1.0) + 0.2)
        except CommandFailed as error:
            return str(error)
    return ""


def _last_step(agent: Agent, replica: Replica, reason: str) -> None:
    """Demote by force, where that is wanted and the kernel can do it. Raises OcfError."""
    resource = replica.resource
    if not agent.values.get("force_demote"):
        raise OcfError(codes.ERR_GENERIC, f"{resource} cannot be demoted: {reason}")
    if not commands.is_version_9(replica):
        raise OcfError(codes.ERR_GENERIC, f"{resource} cannot be demoted, not even by force with DRBD 8.4: {reason}")
    agent.report.log(f"{resource} is demoted by force: {reason}", warning=True)
    trouble = _order(agent, replica, force=True)
    if trouble:
        raise OcfError(codes.ERR_GENERIC, f"{resource} cannot be demoted, nor by force: {trouble}; {reason}")


def _take_note(agent: Agent, resource: str) -> None:
    """Keep that the replica is unpromoted now."""
    looking.look(agent, resource)
