"""One look at a replica: what DRBD says, what is known from before, and what follows for what is known."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.ocf import codes, state_file
from kvmha.ocf.agent import OcfError
from kvmha.policy import peer_data
from kvmha.policy.peer_data import Knowledge, NodeView
from kvmha.policy.replica import Peer, Replica
from kvmha.record import Record
from kvmha.resources.drbd import knowledge
from kvmha.tools import drbd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.ocf.agent import Agent

NAME = "DRBD"
"""Under which the words of a resource lie below /run, whichever agent looks."""

NAMELESS = "peer"
"""What drbdsetup calls every connection of 8.4."""

NOBODY = "-"
"""Stands for no peers in the words that are kept."""

UNCONFIGURED = "Unconfigured"
"""The connection to a peer that the configuration has and the kernel does not know of."""

BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Look(Record):
    """What one look found."""

    replica: Replica
    known: Knowledge
    words: dict[str, str]
    """What is kept below /run from the resource's start to its stop."""
    nodes: tuple[NodeView, ...] | None = None
    """What the cluster says of the nodes, None where it was not asked or did not answer."""
    trouble: str = ""
    """Why what is known could not be written down."""
    split: tuple[str, ...] = ()
    """Peers that DRBD has found to have been written apart from this node."""


def resource_of(agent: Agent) -> str:
    """Return the name of the DRBD resource: as told, or as it was written down at start where nothing tells."""
    resource = str(agent.param("drbd_resource")) or _remembered(agent)
    if not resource:
        raise OcfError(codes.ERR_CONFIGURED, "drbd_resource is not set")
    return resource


def _remembered(agent: Agent) -> str:
    for name in agent.host.names(f"{state_file.FOLDER}/{NAME}"):
        if state_file.read(agent.host, NAME, name).get("instance") == agent.env.instance:
            return name
    return ""


def replica_of(agent: Agent, resource: str, *, statistics: bool = False) -> Replica | None:
    """Return what DRBD says, or None where the resource is down. Raises CommandError where that cannot be told."""
    # The kernel answers at once; a node so busy that drbdsetup needs seconds is slow, and its replica not dead.
    return drbd.replica(agent.host, resource, timeout=agent.left(1.0) + 0.1, statistics=statistics)


def look(agent: Agent, resource: str, *, asks_cluster: bool = False) -> Look | None:
    """Look at a replica, and keep what is new; None where the resource is down. Raises CommandError."""
    host = agent.host
    seen = replica_of(agent, resource)
    if seen is None:
        return None
    words = state_file.read(host, NAME, resource)
    if "life" not in words or not (words.get("peers") or words.get("peer")):
        words = with_names(agent, resource, words)
    replica = named(seen, words)
    before = knowledge.read(host, resource)
    nodes = None
    is_anyone_away = not all(peer.agrees or peer.is_client for peer in replica.peers)
    if (asks_cluster and is_anyone_away) or peer_data.needs_nodes(before, replica):
        from kvmha.resources.drbd import cluster_view

        nodes = cluster_view.nodes(agent, resource)
    known = peer_data.learn(before, replica, life=words["life"], now=host.wall_clock(), nodes=nodes)
    trouble = "" if known == before else _keep(agent, resource, known)
    return Look(replica=replica, known=known, words=words, nodes=nodes, trouble=trouble)


def _keep(agent: Agent, resource: str, known: Knowledge) -> str:
    try:
        knowledge.write(agent.host, resource, known)
    except OSError as error:
        return f"what is known of the peers' data cannot be kept: {error}"
    return ""


def keep_words(agent: Agent, resource: str, words: dict[str, str]) -> None:
    """Keep these words below /run. What cannot be written there is found out anew at the next look."""
    try:
        state_file.write(agent.host, NAME, resource, words)
    except OSError as error:
        agent.report.log(f"{resource}: cannot write below {state_file.FOLDER}: {error}", warning=True)


def named(replica: Replica, words: dict[str, str]) -> Replica:
    """Give the peer the name that it has in the configuration, which 8.4 does not tell, and add whom DRBD has
    forgotten.

    A peer that the kernel knows nothing of, as of one that was never connected, may hold data all the same.
    """
    name = words.get("peer", "")
    peers = replica.peers
    if name and _is_nameless(replica):
        peers = tuple(peer.replace(name=name) for peer in peers)
    known = [peer.name for peer in peers]
    expected = words.get("peers") or name or NOBODY
    missing = [one for one in expected.split() if one not in (NOBODY, *known)]
    if missing == [NAMELESS] and known:
        missing = []
    return replica.replace(peers=(*peers, *(Peer(name=one, connection=UNCONFIGURED) for one in missing)))


def _is_nameless(replica: Replica) -> bool:
    return len(replica.peers) == 1 and replica.peers[0].name == NAMELESS


def new_life(agent: Agent) -> str:
    """Return what stands for a time of being up that begins now."""
    try:
        boot = agent.host.read(BOOT_ID).strip()
    except OSError:
        boot = "unknown"
    return f"{boot}/{agent.host.now():.3f}"


def with_names(agent: Agent, resource: str, words: dict[str, str]) -> dict[str, str]:
    """Find out what a look needs to know beside what DRBD says, and keep it: this life, and the peer's name."""
    from kvmha.tools.drbd import configuration

    words = {"instance": agent.env.instance, "life": new_life(agent), **words}
    try:
        found = configuration.read(
            agent.host, resource, agent.param("drbdconf"), timeout=min(configuration.LIMIT, agent.left() / 2 + 0.1)
        )
        peers = found.peers_of(own_name(agent))
        words.update(peer_words(peers))
    except CommandError:
        # A configuration that cannot be read is start's business; until then the peer stays without a name.
        words.setdefault("peers", NAMELESS)
    try:
        words["quorum"] = "yes" if drbd.keeps_quorum(_shown(agent, resource)) else "no"
    except CommandError:
        words.setdefault("quorum", "no")
    keep_words(agent, resource, words)
    return words


def peer_words(peers: tuple[str, ...]) -> dict[str, str]:
    """Return the words that keep the names of the peers."""
    return {"peers": " ".join(peers) or NOBODY, "peer": peers[0] if len(peers) == 1 else ""}


def _shown(agent: Agent, resource: str) -> str:
    return agent.host.run(*drbd.show_argv(resource), timeout=min(drbd.TIMEOUT, agent.left() / 2 + 0.1)).out


def own_name(agent: Agent) -> str:
    """Return this node's name as DRBD takes it: what ``uname -n`` says."""
    return agent.host.name()


def word_for(look: Look) -> str:
    """Return what the other nodes should hear of this replica while it is up."""
    away = [peer for peer in look.replica.peers if not peer.agrees and not peer.is_client]
    return peer_data.WENT_ON if look.replica.is_promoted and away else ""


def wants_to_tell(look: Look) -> bool:
    """Tell whether the other nodes heard something else last."""
    return look.words.get("told", "") != word_for(look)
