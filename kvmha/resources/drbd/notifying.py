"""What the cluster tells of other replicas, before and after it changes them. Nothing here fails an action."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.ocf import codes
from kvmha.policy import peer_data
from kvmha.policy.replica import STANDALONE
from kvmha.resources.drbd import cluster_view, knowledge, looking, scoring
from kvmha.tools.drbd import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.ocf.agent import Agent
    from kvmha.resources.drbd.looking import Look


def notify(agent: Agent) -> int:
    """Take note."""
    resource = looking.resource_of(agent)
    what = agent.env.notification
    try:
        look = looking.look(agent, resource)
        if look is None:
            return codes.SUCCESS
        if what == "pre-promote":
            _foretell(agent, resource, look)
        elif what == "pre-start" or (what == "post-start" and not _is_split(agent, resource)):
            _connect(agent, resource, look)
        if what.startswith("post-"):
            scoring.keep(agent, resource, look)
    except (CommandError, OSError) as error:
        agent.report.log(f"{resource}: notification {what}: {error}", warning=True)
    return codes.SUCCESS


def _foretell(agent: Agent, resource: str, look: Look) -> None:
    """Keep, before a peer that is away is promoted, that it will have newer data from then on."""
    pairs = cluster_view.name_pairs(str(agent.values.get("node_map", "")))
    drbd_names = {cluster: drbd for drbd, cluster in pairs}
    told = [drbd_names.get(name, name) for name in agent.env.notified("promote") if name != agent.env.node]
    after = peer_data.foretell(look.known, look.replica, tuple(told), now=agent.host.wall_clock())
    if after != look.known:
        knowledge.write(agent.host, resource, after)


def _is_split(agent: Agent, resource: str) -> bool:
    """Tell whether DRBD has found a split brain: the two need not meet again until somebody has decided."""
    from kvmha.resources.drbd import parting

    return bool(parting.peers(agent.host, resource))


def _connect(agent: Agent, resource: str, look: Look) -> None:
    """Try anew what DRBD has given up, or does not know of yet, since a peer comes up."""
    if look.replica.peers and all(peer.connection != STANDALONE for peer in look.replica.peers):
        return
    argv = commands.adjust_argv(resource, str(agent.values.get("drbdconf") or commands.DEFAULT_CONFIGURATION))
    agent.host.run(*argv, timeout=agent.left(2.0) + 0.1)
