"""The promotion score in the cluster: written when it has changed, and never decisive for how an action ends."""

from __future__ import annotations

import posix

from kvmha.host import CommandError
from kvmha.policy import promotion
from kvmha.policy.promotion import Score, Scores
from kvmha.resources.drbd import looking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.ocf.agent import Agent
    from kvmha.resources.drbd.looking import Look
    from kvmha.tools.crm_attribute import Attribute

LIMIT = 5.0
"""Seconds for the cluster to take a score."""

REVIEW = 600.0
"""Seconds after which an unchanged score is compared with what the cluster has: its attribute daemon may have died
alone, and forgotten it."""

NONE = "-"


def given(agent: Agent, look: Look) -> Score:
    """Return the score that the replica deserves now."""
    return promotion.score(
        look.replica,
        look.known,
        scores_of(str(agent.values.get("adjust_master_score", ""))),
        is_guarded=bool(agent.values.get("stale_data_guard", True)),
        has_quorum=look.words.get("quorum") == "yes",
    )


def scores_of(text: str) -> Scores:
    """Read the four figures of adjust_master_score; the defaults where they are none."""
    figures = figures_of(text)
    if figures is None:
        return Scores()
    return Scores(consistent=figures[0], remote=figures[1], alone=figures[2], best=figures[3])


def figures_of(text: str) -> list[int] | None:
    """Return four whole numbers, none smaller than the one before, or None for a text that is something else."""
    words = text.split()
    if len(words) != 4 or not all(word.isascii() and word.isdigit() for word in words):
        return None
    figures = [int(word) for word in words]
    return figures if figures == sorted(figures) else None


def keep(agent: Agent, resource: str, look: Look, *, anew: bool = False) -> Score:
    """See that the cluster has the score that the replica deserves; ``anew`` writes it whatever was written before."""
    score = given(agent, look)
    words = look.words
    value = NONE if score.value is None else str(score.value)
    now = agent.host.now()
    # Attributes go when Pacemaker stops, and so does the executor that starts us.
    is_known = not anew and words.get("score") == value and words.get("scored_by") == str(posix.getppid())
    if is_known and 0 <= now - float(words.get("scored_at") or 0) < REVIEW:
        return score
    attribute = attribute_of(agent, resource)
    limit = min(LIMIT, agent.left() / 3 + 0.1)
    try:
        if not is_known or attribute.read(agent.host, timeout=limit) != value.replace(NONE, ""):
            attribute.write(agent.host, value.replace(NONE, ""), timeout=limit)
            agent.report.log(f"{resource}: promotion score {score.value or 'taken away'}: {score.reason}")
    except CommandError as error:
        # Without a cluster nobody wants the score; once there is one, another executor asks.
        if _complain(agent, resource, error):
            return score
    changed = {"score": value, "scored_by": str(posix.getppid()), "scored_at": str(int(now))}
    looking.keep_words(agent, resource, {**words, **changed})
    return score


def take_away(agent: Agent, resource: str) -> None:
    """Take the score away, as of a replica that is down."""
    try:
        attribute_of(agent, resource).write(agent.host, "", timeout=min(LIMIT, agent.left() / 2 + 0.1))
    except CommandError as error:
        _complain(agent, resource, error)


def attribute_of(agent: Agent, resource: str) -> Attribute:
    """Return where the score is kept: a promotable clone has a place for it, a plain one goes by a rule."""
    from kvmha.tools.crm_attribute import Attribute

    if agent.env.is_plain_clone or agent.name == "DRBDPrimary":
        return Attribute.named(f"drbd-promotion-score-{resource}")
    return Attribute.promotion(agent.env.instance)


def _complain(agent: Agent, resource: str, error: CommandError) -> bool:
    """Record that a score was not taken, unless there is no cluster to take it; return whether there is one."""
    from kvmha.tools.crm_attribute import is_clusterless

    if is_clusterless(error):
        return False
    agent.report.log(f"{resource}: the promotion score was not taken: {error}", warning=True)
    return True
