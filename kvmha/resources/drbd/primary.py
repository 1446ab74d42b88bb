"""ocf:kvmha:DRBDPrimary, the right to write a DRBD resource, which is where its guest is and moves with it.

The device itself is up on every replica's node: that is ocf:kvmha:DRBD, as a plain clone. This resource runs on one
node, and DRBD is promoted there. Because it can migrate, Pacemaker itself makes and ends the time in which two nodes
may write: migrate_to and migrate_from come before the guest's, and the stop on the source comes after the guest's.

Invariant: stop returns 0 only where DRBD is not promoted on this node; two primaries are allowed only between
migrate_to and the stop, or the monitor that finds the permission left behind.
"""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import Agent, OcfError
from kvmha.ocf.spec import Action
from kvmha.resources.drbd import looking
from kvmha.resources.drbd.params import PARAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.replica import Replica

WINDOW = "/run/kvmha/drbd-window"
"""The folder of kvmha.resources.drbd.window, which a monitor loads only where it finds something there."""

PATIENCE = 20.0
"""Seconds for which DRBD's own handler is left to deal with a peer that is away."""

NAMES = ("drbd_resource", "drbdconf", "node_map", "stale_data_guard", "force_demote")
"""The parameters that this agent shares with ocf:kvmha:DRBD, where they are described."""


class DRBDPrimary(Agent):
    """The agent: a table, and one method for each action."""

    name = "DRBDPrimary"
    shortdesc = "Holds the Primary role of a DRBD resource where its guest runs"
    longdesc = """
    Promotes a DRBD resource on the one node where its guest runs, and lets the guest move live: for the time of the
    move DRBD may be promoted on both nodes, and on no third one.

    The device is brought up by ocf:kvmha:DRBD as a clone that is not promotable. Colocate this resource with the clone
    and order it after the clone, and colocate the guest with this resource and order it after this resource, all
    with score INFINITY and symmetrically. Two location rules keep it to replicas whose data are current: one with the
    score-attribute drbd-promotion-score-RESOURCE, and one with -INFINITY where that attribute is not defined. Set
    allow-migrate=true.
    """
    params = tuple(param for param in PARAMS if param.name in NAMES)
    actions = (
        Action(name="start", timeout=90),
        Action(name="stop", timeout=90),
        Action(name="monitor", timeout=20, interval=10, depth=0),
        Action(name="migrate_to", timeout=60),
        Action(name="migrate_from", timeout=90),
        Action(name="reload-agent", timeout=20),
        Action(name="validate-all", timeout=20),
        Action(name="meta-data", timeout=5),
    )

    # ----------------------------------------------------------------- actions

    def monitor(self) -> int:
        """Tell whether DRBD is promoted here."""
        if self.host.exists(f"{WINDOW}/{self.resource.replace('/', '_')}") and not self.env.is_probe:
            from kvmha.resources.drbd import window

            window.close(self)
        replica = self.seen()
        if replica is None or not replica.is_promoted:
            return codes.NOT_RUNNING
        if "fencing" in replica.suspended and not self.env.is_probe:
            self._resume(replica)
        if replica.fails_io:
            raise OcfError(codes.ERR_GENERIC, f"{self.resource}: all I/O fails since it was demoted by force")
        return codes.SUCCESS

    def start(self) -> int:
        """Promote DRBD here, if no other node may hold newer data or write."""
        from kvmha.resources.drbd import promoting, window

        window.close(self, now=True)
        promoting.promote(self)
        return codes.SUCCESS

    def stop(self) -> int:
        """Demote DRBD here, and see that it is; then one primary is the rule again."""
        from kvmha.resources.drbd import demoting, window

        if self.seen() is not None:
            demoting.demote(self)
        window.close(self, now=True)
        return codes.SUCCESS

    def migrate_to(self) -> int:
        """Allow two primaries on the source of the move."""
        from kvmha.resources.drbd import window

        if not self.env.migrate_target:
            raise OcfError(codes.ERR_ARGS, "the target of the move was not told")
        window.open_to(self, self.env.migrate_target)
        return codes.SUCCESS

    def migrate_from(self) -> int:
        """Promote DRBD on the target of the move, beside its source."""
        from kvmha.resources.drbd import promoting, window

        if not self.env.migrate_source:
            raise OcfError(codes.ERR_ARGS, "the source of the move was not told")
        replica = self.seen()
        if replica is not None and replica.is_promoted:
            return codes.SUCCESS
        source = window.join(self, self.env.migrate_source)
        try:
            # A monitor that looked a moment earlier, on either side, may take back what was allowed just now.
            promoting.promote(self, beside=source, allow=lambda: window.join(self, self.env.migrate_source))
        except OcfError:
            window.close(self, now=True)
            raise
        return codes.SUCCESS

    def validate_all(self) -> int:
        """Check that DRBD's tools are there."""
        for program in ("drbdsetup", "drbdadm"):
            if self.host.which(program) is None:
                raise OcfError(codes.ERR_INSTALLED, f"{program} is not installed (drbd-utils)")
        return codes.SUCCESS

    def _resume(self, replica: Replica) -> None:
        """Look whether I/O that waits for a peer to be fenced waits for nothing any more."""
        from kvmha.host import CommandError
        from kvmha.ocf import state_file
        from kvmha.resources.drbd import fence_peer

        words = state_file.read(self.host, looking.NAME, self.resource)
        if not words.get("suspended"):
            # The clone's monitor writes that too, if Pacemaker runs it: 2.1.5 was seen not to, after a maintenance.
            words = {**words, "suspended": str(int(self.host.now()))}
            looking.keep_words(self, self.resource, words)
        if self.host.now() - float(words["suspended"]) < PATIENCE:
            return
        try:
            fence_peer.resume(self, looking.named(replica, words))
        except (CommandError, OSError) as error:
            self.report.log(f"{self.resource}: its I/O stays frozen: {error}", warning=True)

    def seen(self) -> Replica | None:
        """Return this node's side of the resource, None where it is not up. Raises CommandError where nobody knows."""
        return looking.replica_of(self, self.resource)

    @property
    def resource(self) -> str:
        """DRBD's name of the resource."""
        return looking.resource_of(self)
