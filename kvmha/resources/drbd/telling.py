"""What a node tells the others of its replica, for the case that they lose its connection."""

from __future__ import annotations

from kvmha.policy.peer_data import LEFT
from kvmha.resources.drbd import cluster_view, looking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.ocf.agent import Agent
    from kvmha.resources.drbd.looking import Look


def keep(agent: Agent, resource: str, look: Look) -> Look:
    """Tell what is true now, if something else was told last; return the look with what is kept of that."""
    word = looking.word_for(look)
    if look.words.get("told", "") == word or not cluster_view.tell(agent, resource, word):
        return look
    words = {**look.words, "told": word}
    looking.keep_words(agent, resource, words)
    return look.replace(words=words)


def farewell(agent: Agent, resource: str, look: Look | None) -> str:
    """Return what to tell when the replica goes down, after that last look."""
    if look is None or look.replica.is_promoted or not look.replica.is_up_to_date:
        return ""
    peers = [peer for peer in look.replica.peers if not peer.is_client]
    return LEFT if peers and all(peer.is_up_to_date for peer in peers) else ""
