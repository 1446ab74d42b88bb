"""One guest's move through Pacemaker: a constraint that asks for it, and that is removed whatever happens.

Invariant: the constraint is gone when this is over, and ends by itself if nobody is left to remove it. While the move
is under way it stays: without it Pacemaker would stop a guest that is half over on both sides.
"""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.record import Record
from kvmha.resources.virtual_domain import history
from kvmha.tools import cib, crm_resource
from kvmha.tools.cib import moves
from kvmha.tools.libvirtd import LibvirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cli.moving.sight import GuestSight, Sight
    from kvmha.tools.libvirtd import Libvirt, Progress

WAITING, MOVING, MOVED, STAYED, RESTARTED, NOWHERE, LATE = (
    "waiting", "moving", "moved", "stayed", "restarted", "nowhere", "late"
)  # fmt: skip
OVER = (MOVED, STAYED, RESTARTED, NOWHERE, LATE)

ABORTED = "aborted by the operator"

SLACK_S = 60.0
"""Seconds that the cluster may take beyond the timeouts of the operations before a move counts as late."""

NOT_BEGUN_S = 15.0
"""Seconds after which a move that was aborted, and that the cluster shows nothing of, has not begun."""

CALM_S = 5.0
"""Seconds without a job of libvirt after which a move that failed is over.

A source that dropped out of the membership for a moment may have been told twice to move its guest: its executor then
begins the second attempt when the first has ended, and nothing in the configuration tells of it (seen with Pacemaker
2.1.5). An agent needs that long, on a busy host, from its start to the job."""

CLEAN_LIMIT = 60.0
"""Seconds to clean up, and for the cluster to look at the guest anew."""

ARRIVED = ("migrated", "post-copy", "migration canceled")
"""libvirt's reasons for running a guest that came live."""


class Result(Record):
    """How a move ended."""

    guest: str
    source: str
    target: str
    result: str
    """One of OVER."""
    seconds: float
    downtime_ms: int | None
    """As QEMU counted it; None where that is not known, and for a guest that stayed."""
    transferred_mib: float | None
    reason: str = ""
    is_cold: bool = False


class Move:
    """One move, driven by whoever calls ``look`` again and again."""

    def __init__(
        self, sight: Sight, guest: GuestSight, target: str, *, is_cold: bool = False, held_s: float | None = None
    ) -> None:
        """``held_s`` is for how long the guest was kept stopped for this move, by ``moves.hold``."""
        self.host = sight.host
        self.sight = sight
        self.guest = guest
        self.source = guest.source
        self.target = target
        self.is_cold = is_cold
        self._held_s = held_s
        self.state = WAITING
        self.progress: Progress | None = None
        self.reason = ""
        self._libvirt = guest.lasting_libvirt(self.source)
        self._there = guest.lasting_libvirt(target)
        self._begun = self._ended = 0.0
        self._known: frozenset[tuple[str, int]] = frozenset()
        self._outcome: Progress | None = None
        self._aborted_at: float | None = None
        self._calm_since: float | None = None

    # ------------------------------------------------------------------- begin

    def begin(self) -> None:
        """Ask the cluster for the move. Raises CommandError."""
        if self._held_s is None and self.guest.name in moves.wished(cib.tree(cib.live(self.host))):
            # A run that was killed has left it, perhaps with a failure that the cluster is kept from acting on.
            self._forget_failure()
        self._begun = self.host.now()
        self._known = frozenset((each.node, each.call) for each in self._failures())
        until = int(self.host.wall_clock() + self._limit)
        meta = self.guest.resource.meta
        settings = moves.Settings(
            allow_migrate="false" if self.is_cold else meta.get("allow-migrate", ""),
            on_fail="block" if self.may_stay else self.guest.on_fail,
        )

        def edit(root: object) -> None:
            moves.wish(root, self.guest.name, self.target, until=until, settings=settings)

        cib.change(self.host, edit)
        self.state = MOVING

    @property
    def may_stay(self) -> bool:
        """Tell whether the guest is left alone where its move is given up, instead of being stopped on both sides.

        That is on-fail=block, for as long as the move lasts. Not so where a resource below the guest moves with it, the
        Primary role of its disk: it would be half over, and wait for the guest.
        """
        return not self.is_cold and (self.guest.on_fail == "block" or not self.guest.has_primary)

    @property
    def is_between(self) -> bool:
        """Tell whether the Primary role of the guest's disk may have moved, and the guest itself not begun to.

        Whatever changes in the cluster just then has Pacemaker plan anew and restart the guest (seen with 2.1.5 and
        3.0.0).
        """
        return self.state == MOVING and not self.is_cold and self.progress is None and self.guest.has_primary

    @property
    def _limit(self) -> float:
        """Seconds after which the move counts as late."""
        names = ("stop", "start") if self.is_cold else ("migrate_to", "migrate_from", "stop")
        found = [self.sight.cib.operation(self.guest.resource, name) for name in names]
        times = [cib.milliseconds(each.timeout) if each is not None else None for each in found]
        return sum((time or 20_000) / 1000 for time in times) + SLACK_S

    @property
    def elapsed(self) -> float:
        """Seconds since it was asked for, and no more once it is over."""
        return (self._ended or self.host.now()) - self._begun if self._begun else 0.0

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    # -------------------------------------------------------------------- look

    def look_at_job(self) -> None:
        """See how far libvirt is."""
        try:
            progress = self._libvirt.progress(self.guest.identity)
        except LibvirtError:
            return
        if progress is not None and progress.total_mib:
            self.progress = progress

    def look(self) -> bool:
        """See what the cluster has of the guest, after ``sight.refresh``; tell whether the move is over."""
        if self.is_over:
            return True
        status = self.sight.status.resource(self.guest.name)
        nodes = status.nodes if status is not None else ()
        is_busy = status is not None and bool(status.pending)
        failed = [each for each in self._failures() if (each.node, each.call) not in self._known]
        if failed and not self.reason:
            why = failed[0].reason or self._own_reason() or _in_words(failed[0], self.progress)
            # libvirt may end a move on an order to which it gave no answer in time.
            self.reason = why if self._aborted_at is None else f"{ABORTED}: {why}"
        if self.elapsed > self._limit:
            return self._end(LATE)
        if self._aborted_at is not None and not failed:
            self.abort()
        if is_busy:
            return False
        if nodes == (self.target,):
            return self._runs(self._there) and self._end(self._how_it_came())
        if failed and self.source in nodes and self._runs(self._libvirt):
            # A cluster that does not leave it alone stops it in a moment, and starts it anew.
            if self.may_stay and self._is_calm():
                return self._end(STAYED)
        elif failed and not nodes and self.may_stay:
            return self._end(NOWHERE)
        elif self._aborted_at is not None and self.host.now() - self._aborted_at > NOT_BEGUN_S:
            self.reason = self.reason or f"{ABORTED} before it began"
            return self._end(STAYED)
        return False

    def _is_calm(self) -> bool:
        """Tell whether libvirt has had no job for the guest for long enough that no second attempt is under way."""
        try:
            has_job = self._libvirt.progress(self.guest.identity) is not None
        except LibvirtError:
            # It may have a job: nobody knows.
            has_job = True
        if has_job:
            self._calm_since = None
            return False
        if self._calm_since is None:
            self._calm_since = self.host.now()
        return self.host.now() - self._calm_since >= CALM_S

    def _own_reason(self) -> str:
        """Return what the agent wrote down, if this is the node that the guest was to leave.

        Pacemaker keeps the reason of a migrate_to in its log only (seen with 2.1.5).
        """
        moves_here = history.read(self.host, self.guest.name) if self.sight.here == self.source else ()
        last = moves_here[-1] if moves_here else None
        return last.reason if last is not None and last.at >= self.host.wall_clock() - self.elapsed - 1.0 else ""

    def _how_it_came(self) -> str:
        """Tell a guest that came live from one that was booted there."""
        try:
            domain = self._there.domain(self.guest.identity)
            self._outcome = self._there.outcome(self.guest.identity)
        except LibvirtError:
            return MOVED if not self.reason else RESTARTED
        if self.is_cold:
            return MOVED
        if domain is None:
            return RESTARTED
        # After a failure only libvirt's own word counts: it may have come by a second attempt, or have been booted.
        came = domain.seen.reason in ARRIVED or (self._outcome is not None and not self.reason)
        return MOVED if came else RESTARTED

    def _runs(self, libvirt: Libvirt) -> bool:
        """Tell whether a hypervisor has the guest, and not only a copy that is to start or to arrive."""
        try:
            domain = libvirt.domain(self.guest.identity)
        except LibvirtError:
            return False
        if domain is None or not domain.is_active:
            return False
        return (domain.seen.state, domain.seen.reason) not in (("paused", "starting up"), ("paused", "migration"))

    def _failures(self) -> tuple[moves.Failure, ...]:
        try:
            return moves.failures(cib.tree(cib.live(self.host)), self.guest.name)
        except CommandError:
            return ()

    def _end(self, state: str) -> bool:
        self._ended = self.host.now()
        self.state = state
        return True

    # --------------------------------------------------------------------- end

    def abort(self) -> None:
        """Have libvirt give up the move; the agent then says so to the cluster, and the guest stays. Never raises.

        The constraint stays until that is so: without it the cluster would stop a guest that is half over. Where
        libvirt has not begun yet, it is told again with each look.
        """
        if self._aborted_at is None:
            self._aborted_at = self.host.now()
        try:
            self._libvirt.abort_job(self.guest.identity)
            self.reason = self.reason or ABORTED
        except LibvirtError:
            # Most often there is no job yet, or no more.
            return

    def finish(self) -> None:
        """Remove the constraint, and what the cluster remembers of a failure. Raises CommandError.

        Where a failure cannot be forgotten, the constraint stays without its weight, and with it on-fail=block: without
        that the cluster would act on the failure. The next run ends it.
        """
        if self.reason and self.is_over:
            cib.change(self.host, lambda root: moves.silence(root, self.guest.name))
            self._forget_failure()
        cib.change(self.host, lambda root: moves.withdraw(root, self.guest.name))

    def _forget_failure(self) -> None:
        """Have the cluster look at the guest anew on each node, the one that runs it last.

        In any other turn, and with a clean-up of the failure alone, it may take an earlier move from the target, whose
        end it has just forgotten, for one that was broken off, and restart the guest (seen with Pacemaker 2.1.5).
        """
        runs_on = self.target if self.state in (MOVED, RESTARTED) else self.source
        for node in (*(name for name in self.sight.nodes if name != runs_on), runs_on):
            crm_resource.refresh(self.host, self.guest.name, node=node, timeout=CLEAN_LIMIT)
            crm_resource.wait_idle(self.host, timeout=CLEAN_LIMIT)

    def result(self) -> Result:
        """Return how it ended."""
        outcome = self._outcome
        return Result(
            guest=self.guest.name,
            source=self.source,
            target=self.target,
            result=self.state,
            seconds=round(self.elapsed + (self._held_s or 0.0), 1),
            downtime_ms=outcome.downtime_ms if outcome is not None and self.state == MOVED else None,
            transferred_mib=round(outcome.processed_mib, 1) if outcome is not None else None,
            reason=self.reason,
            is_cold=self.is_cold,
        )


def _in_words(failure: moves.Failure, progress: Progress | None) -> str:
    """Return what is known from elsewhere of a failure whose reason is in the log of its node."""
    seen = ""
    if progress is not None:
        seen = (
            f", with {progress.remaining_mib:.0f} MiB left, {progress.dirty_mib_s:.0f} MiB/s written and "
            f"{progress.speed_mib_s:.0f} MiB/s sent"
        )
    return f"{failure.operation} failed on {failure.node}{seen}; its log has the reason"
