"""Promoting a replica, if no peer may hold newer data and none that cannot be seen may be writing."""

from __future__ import annotations

from kvmha.host import CommandFailed, Completed
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.policy import promotion
from kvmha.policy.replica import PRIMARY, Replica
from kvmha.resources.drbd import looking, scoring, telling
from kvmha.tools.drbd import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kvmha.ocf.agent import Agent
    from kvmha.resources.drbd.looking import Look

STEP = 0.2
"""Seconds between two attempts."""

PATIENCE = 10.0
"""Seconds for which a reason against a promotion may pass: the cluster's word on a node is some moments old, and a
connection may just be coming up."""

RESERVE = 3.0
"""Seconds to be left at the end for the account and the score."""


def promote(agent: Agent, *, beside: str = "", allow: Callable[[], object] | None = None) -> None:
    """Promote; ``beside`` is the peer that may be promoted at the same time, and ``allow`` allows that once more where
    DRBD says that it is not. Raises OcfError with the reason if not.
    """
    resource = looking.resource_of(agent)
    begun = agent.host.now()
    while True:
        look = looking.look(agent, resource, asks_cluster=True)
        if look is None:
            raise OcfError(codes.NOT_RUNNING, f"{resource} is down, and cannot be promoted")
        if look.replica.is_promoted:
            break
        reason = why_not(agent, look, beside) or _attempt(agent, look, beside)
        if not reason:
            continue
        if agent.host.now() - begun >= PATIENCE or not agent.left(RESERVE):
            # A score that no longer holds would bring the next attempt at once.
            scoring.keep(agent, resource, look)
            _write_down(agent, look, reason)
            raise OcfError(codes.ERR_GENERIC, f"{resource} is not promoted: {reason}")
        agent.host.sleep(STEP)
        if allow is not None and commands.TOO_MANY_PRIMARIES in reason:
            allow()
    if look.trouble:
        agent.report.log(f"{resource}: {look.trouble}", warning=True)
    scoring.keep(agent, resource, telling.keep(agent, resource, look))


def why_not(agent: Agent, look: Look, beside: str = "") -> str | None:
    """Return why the replica must not be promoted now."""
    others = [peer.name for peer in look.replica.peers if peer.role == PRIMARY and peer.agrees and peer.name != beside]
    if beside and others:
        return f"{others[0]} is promoted as well"
    if not agent.values.get("stale_data_guard", True):
        return None
    return promotion.why_not_promote(look.replica, look.known, look.nodes, has_quorum=look.words.get("quorum") == "yes")


def _write_down(agent: Agent, look: Look, reason: str) -> None:
    """Keep a refusal of ours with all that was seen, for kvmha decisions and kvmha replay; not one of DRBD itself."""
    if not agent.values.get("stale_data_guard", True):
        return
    seen: dict[str, Any] = {
        "replica": look.replica, "known": look.known, "nodes": look.nodes,
        "has_quorum": look.words.get("quorum") == "yes",
    }  # fmt: skip
    if promotion.why_not_promote(**seen) != reason:
        return
    from kvmha import journal

    resource = looking.resource_of(agent)
    journal.record(
        agent.host, "promote", seen, reason,
        subject=f"promote {resource}", said=f"not promoted: {reason}", guests=(agent.env.instance.partition(":")[0],),
    )  # fmt: skip


def _attempt(agent: Agent, look: Look, beside: str) -> str:
    """Ask the kernel for it; return why it would not, if that may pass. Raises OcfError for what will not pass."""
    done = _order(agent, look.replica)
    if done is not None and look.known.accepted and _is_about_data(done):
        agent.report.log(f"{look.replica.resource} is promoted by force, as an administrator decided", warning=True)
        done = _order(agent, look.replica, force=True)
    if done is None:
        return ""
    words = str(CommandFailed(done))
    if done.rc == commands.NO_CURRENT_DATA:
        scoring.keep(agent, look.replica.resource, look)
        raise OcfError(codes.ERR_GENERIC, f"{look.replica.resource} is not promoted: {words}")
    promoted = [
        peer.name for peer in look.replica.peers if peer.role == PRIMARY and peer.agrees and peer.name != beside
    ]
    if promoted:
        # DRBD has asked whether the peer is alive, and given it time to answer.
        return f"{promoted[0]} is promoted and answers: {words}"
    return words


def _order(agent: Agent, replica: Replica, *, force: bool = False) -> Completed | None:
    """Give the order for each device; return the first failure, or None."""
    for argv in commands.primary_argvs(replica, force=force):
        try:
            agent.host.run(*argv, timeout=agent.left(RESERVE) + 0.2)
        except CommandFailed as error:
            return error.done
    return None


def _is_about_data(done: Completed) -> bool:
    """Tell whether the kernel refused for want of current data, or because a peer is not known to be outdated."""
    return done.rc == commands.NO_CURRENT_DATA or "outdated" in done.err
