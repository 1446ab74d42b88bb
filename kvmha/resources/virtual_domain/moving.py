"""A guest's way to another node: it arrives, or it stays where it was, for a stated reason.

Invariant: migrate_to succeeds only if the guest runs on the target and has no process here. After a move that failed,
the guest runs here only if it never stood still for the hand-over, or if the target's libvirt has said since that it
has no copy of it. What it has is unknown while it does not answer, and unknown counts as a copy that runs.

The last step is the one that matters. libvirt asks the target to run the guest, and whoever asked and hears nothing for
half a minute (keepalive) resumes the guest on the source, while the target may carry out the question later: both then
run (seen with libvirt 9.0 and 11.3, a target whose libvirtd was stopped over that step and went on, and a link cut in
it). In a move that the daemons do between them (PEER2PEER) that is the source's libvirtd, and nobody can keep it from
doing so. So this process leads the move itself, without a keepalive: it waits for the target's answer or the deadline,
and a guest whose hand-over is in doubt stays paused here.
"""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.resources.virtual_domain import late_orders, migration_order
from kvmha.resources.virtual_domain.patience import Patience
from kvmha.resources.virtual_domain.steering import Steering
from kvmha.tools import libvirtd, qemu_process
from kvmha.tools.libvirtd import LibvirtError, LibvirtSilent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.model import GuestIdentity, GuestState
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.resources.virtual_domain.remembering import Before
    from kvmha.tools.libvirtd import Domain

ABORT_LEAD = 2.0
"""Seconds in which libvirt carries out an order to abort, before the call that moves is given up."""

PEER_LIMIT = 3.0
"""Seconds that the target's libvirt may take for an answer, its connection included."""

POLL = 0.25
"""Seconds between two looks while waiting."""

REST_PATIENCE = 6.0
"""Seconds in which the target gives up its copy of a guest that stays here, which is told otherwise."""

ARRIVED = "arrived"
ABSENT, INCOMING, RUNNING, UNKNOWN = "has no copy of it", "has a copy that does not run", "runs it", "does not answer"
"""What the target has of the guest, in words that follow its name."""

RESUMED = "migration canceled"
"""libvirt's reason for running a guest that it had stopped for the hand-over (virDomainRunningReason)."""


def is_incoming(seen: GuestState) -> bool:
    """Tell whether a guest is a copy that waits for its memory, or for the word to run."""
    return (seen.state, seen.reason) in (("paused", "migration"), ("paused", "starting up"))


class Move:
    """One move of one guest."""

    def __init__(self, agent: VirtualDomain, guest: GuestIdentity, target: str) -> None:
        self.agent = agent
        self.host = agent.host
        self.guest = guest
        self.target = target
        self.reserve = min(migration_order.RESERVE_S, agent.left() * 0.3)
        self.libvirt = agent.libvirt()
        self.peer = libvirtd.Libvirt(agent.host, migration_order.peer_uri(agent, target), agent.left)
        self.steering: Steering | None = None
        self.before: Before | None = None
        self._there = UNKNOWN
        self._is_held = False
        self._was_aborted = False
        self._rest_until = 0.0
        self._may_be_paused = False

    def run(self) -> None:
        """Move the guest. Raises OcfError, which says what became of it."""
        from kvmha.resources.virtual_domain import remembering

        domain = self._check()
        self._prepare()
        self.before = remembering.look(self.agent, self.guest, self.libvirt)
        # A guest that config names is not defined on the target, even if a domain of its name is defined here.
        is_persistent = domain.is_persistent and bool(self.agent.param("domain"))
        limit = self.agent.left(self.reserve)
        # What is due at the deadline is done before the call is given up, which ends the move from this side.
        limits = migration_order.limits(self.agent, limit - ABORT_LEAD)
        steering = Steering(self.agent, self.guest, migration_order.schedule_of(self.agent), limits)
        self.steering = steering
        downtime_ms = steering.course.downtime_ms
        order = migration_order.order(self.agent, self.target, downtime_ms=downtime_ms, is_persistent=is_persistent)
        try:
            self.libvirt.migrate(self.guest, order, timeout=limit, watch=steering.look)
        except LibvirtSilent:
            self._was_aborted = bool(steering.why_aborted)
            self._recover(steering.why_aborted or f"it had not ended after {limit:.0f} s")
        except LibvirtError as error:
            self._was_aborted = bool(steering.why_aborted)
            self._recover(steering.why_aborted or str(error))
        self._remember()
        self._wait_for_end()

    # -------------------------------------------------------------------- before

    def _check(self) -> Domain:
        """Return the guest's domain here, if it is here and not on the target. Raises OcfError."""
        name, target = self.guest.label, self.target
        if self.agent.param("migration_mode") == "cold":
            reason = f"{name} does not move live (migration_mode=cold): kvmha migrate shuts it down and starts it there"
            raise OcfError(codes.ERR_GENERIC, reason)
        patience = Patience(self.agent)
        domain = patience.ask(lambda: self.libvirt.domain(self.guest))
        if domain is None or not domain.is_active:
            raise OcfError(codes.ERR_GENERIC, f"{name} does not run here, so it cannot move to {target}")
        self.guest = domain.identity
        self._may_be_paused = domain.seen.state == "paused"
        # Before the target is asked, which may have a copy that goes with them.
        late_orders.end(self.agent, name, target, migration_order.peer_uri(self.agent, target))
        try:
            there = patience.ask(lambda: self.peer.domain(self.guest))
        except LibvirtError as error:
            raise OcfError(codes.ERR_GENERIC, f"{name} was not moved, as {target} does not answer: {error}") from None
        if there is not None and there.is_active:
            state = " ".join(word for word in (there.seen.state, there.seen.reason) if word)
            raise OcfError(codes.ERR_GENERIC, f"{name} was not moved, as {target} has a copy of it ({state})")
        return domain

    def _prepare(self) -> None:
        """Start what the guest needs there, and keep here what it would lose. Raises OcfError, LibvirtError."""
        from kvmha.resources.virtual_domain import provisions, saving
        from kvmha.tools.domain_xml import parse_resources

        if self.agent.param("start_resources"):
            needed = parse_resources(self.libvirt.definition_to_keep(self.guest) or "<domain/>")
            try:
                provisions.start(self.agent, self.peer, needed)
            except OcfError as error:
                reason = f"{self.guest.name} was not moved: on {self.target} {error.reason}"
                raise OcfError(error.code, reason) from None
        saving.before_stop(self.agent, self.guest, self.libvirt)

    # --------------------------------------------------------------------- after

    def _wait_for_end(self) -> None:
        """Wait until the guest has no process here, which libvirt ends last."""
        while qemu_process.find(self.host, self.guest):
            if self.agent.left() < POLL:
                raise OcfError(
                    codes.ERR_GENERIC, f"{self.guest.name} moved to {self.target}, but its QEMU process is still here"
                )
            self.host.sleep(POLL)

    def _recover(self, error: str) -> None:
        """Put right what a failed move left, as far as that is provably right; return if it did not fail after all.

        Raises OcfError, which says where the guest is.
        """
        outcome = None
        while outcome is None and self.agent.left() > POLL:
            try:
                outcome = self._outcome()
            except LibvirtError as refusal:
                # Asked again as long as there is time: it restarts, or is busy with the end of the move.
                self.agent.report.log(f"moving {self.guest.name}: {refusal}", warning=True)
            if outcome is None:
                self.host.sleep(POLL)
        if outcome == ARRIVED:
            return
        what = outcome or self._doubt()
        self._remember(error if what.endswith("the guest runs on here") else f"{what}: {error}")
        raise OcfError(codes.ERR_GENERIC, f"migration of {self.guest.name} to {self.target} {what}: {error}")

    def _remember(self, reason: str = "") -> None:
        from kvmha.resources.virtual_domain import remembering

        if self.steering is not None and self.before is not None:
            remembering.remember(
                self.agent, self.guest, self.target, self.steering, self.peer, self.before, reason=reason
            )

    def _outcome(self) -> str | None:
        """Return what became of the guest in words, ARRIVED, or None while that is open. Raises LibvirtError."""
        if not qemu_process.find(self.host, self.guest):
            return self._without_process()
        if self.libvirt.job(self.guest) == "migration out":
            if self.steering is not None and self.steering.is_post_copy:
                # Its memory is on both sides now, and comes together there or nowhere.
                return None
            self.libvirt.abort_job(self.guest)
            self._was_aborted = True
            return None
        domain = self.libvirt.domain(self.guest)
        if domain is None or not domain.is_active:
            return None
        seen = domain.seen
        if seen.state == "running":
            return self._running_here()
        if self._is_held:
            return self._held_here()
        if is_incoming(seen):
            return self._left_paused()
        return f"failed, and the guest is {seen.state} here ({seen.reason})"

    def _without_process(self) -> str | None:
        there = self._look_there()
        if there == RUNNING:
            return ARRIVED
        return f"failed, and it runs neither here nor there: {self.target} {there}" if there == ABSENT else None

    def _running_here(self) -> str | None:
        status = qemu_process.read_status(self.host, self.guest)
        if status is not None and status.reason != RESUMED:
            there = self._look_there()
            if there == ABSENT:
                return self._goes_on()
            # libvirt removes the copy by itself within moments; what does not go, or does not answer, is told.
            self._rest_until = self._rest_until or self.host.now() + min(REST_PATIENCE, self.agent.left() * 0.7)
            return self._goes_on(f"; {self.target} {there}") if self.host.now() >= self._rest_until else None
        # It stood still for the hand-over, so the target may have been told to run it, and libvirt resumed it here.
        self.libvirt.suspend(self.guest)
        self._is_held = True
        return self._held_here()

    def _held_here(self) -> str | None:
        there = self._look_there()
        if there == ABSENT:
            self._is_held = False
            self.libvirt.resume(self.guest)
            return self._goes_on()
        return f"failed, and it was paused here because {self.target} runs it as well" if there == RUNNING else None

    def _goes_on(self, rest: str = "") -> str:
        return f"{'was aborted' if self._was_aborted else 'failed'}, and the guest runs on here{rest}"

    def _left_paused(self) -> str | None:
        """Decide on a guest that stands still here since the hand-over, by what the target has."""
        there = self._look_there()
        if there == ABSENT:
            self.libvirt.resume(self.guest)
            return "failed, and the guest was resumed here"
        if there == RUNNING:
            # The rest here never ran again, and libvirt would have removed it, had it heard of the end.
            self.libvirt.destroy(self.guest, timeout=self.agent.left() * 0.6)
            self.agent.report.log(f"removed what a move of {self.guest.name} to {self.target} left here", warning=True)
        return None

    def _look_there(self) -> str:
        """Ask the target what it has of the guest."""
        try:
            there = self.peer.domain(self.guest, limit=PEER_LIMIT)
        except LibvirtError:
            self._there = UNKNOWN
            return UNKNOWN
        if there is None or not there.is_active:
            self._there = ABSENT
        elif is_incoming(there.seen) or (there.seen.state == "paused" and not self._may_be_paused):
            self._there = INCOMING
        else:
            self._there = RUNNING
        return self._there

    def _doubt(self) -> str:
        """Return what is known of the guest when the time is up and nothing is settled."""
        there = f"{self.target} {self._there}"
        seen = qemu_process.read_status(self.host, self.guest)
        if seen is None and not qemu_process.find(self.host, self.guest):
            return f"is in doubt; the guest does not run here any more, and {there}"
        if self.steering is not None and self.steering.is_post_copy:
            return f"is in post-copy, and its time is up; the guest stands still here, and {there}"
        if seen is not None and seen.state == "running":
            return "may still be under way; the guest runs here"
        return f"is in doubt; the guest stands still here, and {there}"
