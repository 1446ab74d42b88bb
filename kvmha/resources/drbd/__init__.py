"""ocf:kvmha:DRBD, a replica of a DRBD resource that the cluster promotes.

Invariant: monitor and stop ask the kernel and need no configuration file; "not running" and a successful stop mean that
the kernel has no such resource. No replica is promoted while a peer may hold newer data (policy.promotion). The
promotion score follows the state and never decides how an action ends.
"""

from __future__ import annotations

from kvmha.host import CommandTimeout
from kvmha.ocf import codes, state_file
from kvmha.ocf.agent import Agent, OcfError
from kvmha.ocf.spec import Action
from kvmha.policy import replica
from kvmha.resources.drbd import knowledge, looking, scoring
from kvmha.resources.drbd.params import PARAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.promotion import Score
    from kvmha.resources.drbd.looking import Look

WINDOW_MARKS = "/run/kvmha/drbd-window"
"""Where a mark lies for each resource that two nodes may have promoted, as during a live migration."""

FENCE_MARKS = "/var/lib/kvmha/drbd-fenced"
"""Where a mark lies for each resource for which this node keeps a peer from promotion."""

SPLIT_MARKS = "/var/lib/kvmha/drbd-split-brain"
"""Where a mark lies for each resource of which DRBD has found a split brain."""


class DRBD(Agent):
    """The agent: a table, and one method for each action."""

    name = "DRBD"
    shortdesc = "Manages a replica of a DRBD resource"
    longdesc = """
    Brings a DRBD resource up on each of its nodes, and promotes it where the cluster wants it written. It serves as a
    promotable clone, and as a plain one beside ocf:kvmha:DRBDPrimary, which moves the promoted role with a guest. The
    clone's meta attribute notify should be true.

    It keeps an account of its peers' data on the node's own disk and promotes no replica while a peer may hold newer
    data. Against the loss of what a cut-off node writes before it is fenced only DRBD itself can help: configure
    fencing resource-and-stonith with kvmha's handler, or, with DRBD 9 and three nodes, quorum.
    """
    params = PARAMS
    actions = (
        Action(name="start", timeout=120),
        Action(name="stop", timeout=100),
        Action(name="promote", timeout=90),
        Action(name="demote", timeout=90),
        Action(name="monitor", timeout=20, interval=20, depth=0, role="Unpromoted"),
        Action(name="monitor", timeout=20, interval=10, depth=0, role="Promoted"),
        Action(name="notify", timeout=60),
        Action(name="reload-agent", timeout=20),
        Action(name="validate-all", timeout=20),
        Action(name="meta-data", timeout=5),
    )

    def wrong(self) -> list[str]:
        """Return what is wrong with the parameters beyond what their rows refuse."""
        from kvmha.resources.drbd import validation

        return validation.wrong(self)

    def validate_all(self) -> int:
        """Check that this node has DRBD, and a configuration of the resource that fits it and the cluster."""
        from kvmha.resources.drbd import validation

        validation.check_node(self, looking.resource_of(self))
        return codes.SUCCESS

    def monitor(self) -> int:
        """Tell whether the resource is up here, in which role, and how well; and keep score and account."""
        resource = looking.resource_of(self)
        try:
            found = looking.look(self, resource)
        except CommandTimeout as error:
            return self._blind(resource, error)
        if found is None:
            return codes.NOT_RUNNING
        if not found.replica.volumes:
            raise OcfError(codes.ERR_GENERIC, f"{resource} has no volume: it is half brought up, or half taken down")
        found = self._tend(resource, found)
        score = scoring.keep(self, resource, found, anew=self.env.is_probe)
        return self._judged(resource, found, score)

    def start(self) -> int:
        """Bring the resource up, unpromoted."""
        from kvmha.resources.drbd import starting

        return starting.start(self)

    def stop(self) -> int:
        """Take the resource out of the kernel."""
        from kvmha.resources.drbd import stopping

        return stopping.stop(self)

    def promote(self) -> int:
        """Make the devices writable, if no peer may hold newer data."""
        from kvmha.resources.drbd import promoting

        promoting.promote(self)
        return codes.SUCCESS

    def demote(self) -> int:
        """Make the devices read-only again."""
        from kvmha.resources.drbd import demoting

        if looking.replica_of(self, looking.resource_of(self)) is None:
            raise OcfError(codes.NOT_RUNNING, f"{looking.resource_of(self)} is down, and cannot be demoted")
        demoting.demote(self)
        return codes.SUCCESS

    def notify(self) -> int:
        """Take note of what the cluster does, or is about to do, to other replicas."""
        from kvmha.resources.drbd import notifying

        return notifying.notify(self)

    def reload_agent(self) -> int:
        """Take over changed parameters; the scores among them show at once."""
        resource = looking.resource_of(self)
        found = looking.look(self, resource)
        if found is not None:
            scoring.keep(self, resource, found, anew=True)
        return codes.SUCCESS

    # ---------------------------------------------------------------- monitor

    def _tend(self, resource: str, found: Look) -> Look:
        """Keep in step with the replica what lies beside it, where a mark or a change says that something is to do."""
        if self.host.exists(f"{WINDOW_MARKS}/{resource}"):
            from kvmha.resources.drbd import window

            window.close(self)
        if found.replica.is_promoted and self.host.exists(f"{FENCE_MARKS}/{resource}"):
            from kvmha.resources.drbd import unfence

            unfence.repair(self, found.replica)
        if self.host.exists(f"{SPLIT_MARKS}/{resource}"):
            from kvmha.resources.drbd import parting

            found = found.replace(split=parting.review(self, found.replica))
        if looking.wants_to_tell(found):
            from kvmha.resources.drbd import telling

            found = telling.keep(self, resource, found)
        since = found.words.get("suspended", "")
        if (found.replica.suspended != "no") != bool(since) or found.words.get("blind"):
            suspended = (since or str(int(self.host.now()))) if found.replica.suspended != "no" else ""
            words = {**found.words, "suspended": suspended, "blind": ""}
            looking.keep_words(self, resource, words)
            found = found.replace(words=words)
        return found

    def _blind(self, resource: str, error: CommandTimeout) -> int:
        """Judge a replica of which nothing can be seen: slow is not dead, for the time that suspended I/O has."""
        words = state_file.read(self.host, looking.NAME, resource)
        if self.env.is_probe or "life" not in words:
            raise error
        since = words.get("blind", "")
        if not since:
            since = str(int(self.host.now()))
            looking.keep_words(self, resource, {**words, "blind": since})
        if self.host.now() - float(since) >= float(self.param("suspended_grace")):
            raise error
        self.report.exit_reason(f"{resource}: nothing can be seen of it: {error}")
        was_promoted = knowledge.read(self.host, resource).role == replica.PRIMARY
        return codes.DEGRADED_PROMOTED if was_promoted and not self.env.is_plain_clone else codes.DEGRADED

    def _judged(self, resource: str, found: Look, score: Score) -> int:
        since = found.words.get("suspended", "")
        health = replica.health(
            found.replica,
            suspended_for=self.host.now() - float(since) if since else 0.0,
            patience=float(self.param("suspended_grace")),
            split=found.split,
        )
        shows_role = found.replica.is_promoted and not self.env.is_plain_clone
        if health.level == replica.FAILED:
            self.report.exit_reason(f"{resource}: {'; '.join(health.reasons)}")
            return codes.FAILED_PROMOTED if shows_role else codes.ERR_GENERIC
        reasons = [found.trouble] if found.trouble else []
        if score.value is None and not found.replica.is_promoted and not found.replica.is_client:
            reasons.append(f"not to be promoted: {score.reason}")
        reasons += health.reasons
        if found.words.get("unknown"):
            reasons.append(f"the cluster has no node named {found.words['unknown']} (see node_map)")
        if not reasons or self.param("on_degraded") == "running":
            return codes.RUNNING_PROMOTED if shows_role else codes.SUCCESS
        self.report.exit_reason(f"{resource}: {'; '.join(reasons)}")
        return codes.DEGRADED_PROMOTED if shows_role else codes.DEGRADED
