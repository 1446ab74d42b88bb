"""Taking a replica down. Success is said only once the kernel has no such resource."""

from __future__ import annotations

from kvmha.host import CommandError, CommandFailed
from kvmha.ocf import codes, state_file
from kvmha.ocf.agent import OcfError
from kvmha.resources.drbd import cluster_view, demoting, looking, openers, scoring, telling
from kvmha.tools.drbd import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.ocf.agent import Agent
    from kvmha.policy.replica import Replica

STEP = 0.5
"""Seconds between two attempts."""

RESERVE = 3.0
"""Seconds to be left at the end to say what is in the way."""


def stop(agent: Agent) -> int:
    """Demote if need be, take the resource down, and take back what the cluster was told of it."""
    resource = looking.resource_of(agent)
    if looking.replica_of(agent, resource) is None:
        _forget(agent, resource, word=_told(agent, resource))
        return codes.SUCCESS
    demoting.demote(agent, reserve=RESERVE + 2.0)
    word = telling.farewell(agent, resource, _last_look(agent, resource))
    trouble = ""
    while True:
        trouble = _down(agent, resource) or trouble
        replica = looking.replica_of(agent, resource)
        if replica is None:
            break
        if not agent.left(RESERVE):
            raise OcfError(codes.ERR_GENERIC, _why_up(agent, resource, replica, trouble))
        agent.host.sleep(STEP)
    _forget(agent, resource, word=word)
    return codes.SUCCESS


def _last_look(agent: Agent, resource: str) -> looking.Look | None:
    try:
        return looking.look(agent, resource)
    except CommandError as error:
        agent.report.log(f"{resource}: {error}", warning=True)
        return None


def _down(agent: Agent, resource: str) -> str:
    """Tell the kernel to take the resource down; return what it said against it."""
    try:
        agent.host.run(*commands.down_argv(resource), timeout=agent.left(RESERVE) + 0.1)
    except CommandFailed as error:
        return str(error)
    return ""


def _why_up(agent: Agent, resource: str, replica: Replica, trouble: str) -> str:
    held = openers.sentence(agent, replica)
    return f"{resource} is still up: {trouble or 'drbdsetup down had no effect'}{f'; {held}' if held else ''}"


def _told(agent: Agent, resource: str) -> str:
    return state_file.read(agent.host, looking.NAME, resource).get("told", "")


def _forget(agent: Agent, resource: str, *, word: str) -> None:
    """Take the score away, and leave only what the other nodes have to know of a replica that is down."""
    words = state_file.read(agent.host, looking.NAME, resource)
    if words.get("score"):
        scoring.take_away(agent, resource)
    told = words.get("told", "")
    if word != told and cluster_view.tell(agent, resource, word):
        told = word
    if told:
        looking.keep_words(agent, resource, {"told": told})
    else:
        state_file.remove(agent.host, looking.NAME, resource)
