"""The end of a guest: first by its own shutdown, then by force, and in the end by proof.

The order is: save what a stop has to save; the guest's own shutdown, or its state saved in its stead; libvirt's
destroy; SIGTERM to QEMU, which lets it write out its disks; SIGKILL; and at last the proof that there is no process
and, where libvirt answers, that it agrees.

From the first question that libvirt leaves without answer it is asked for nothing but that proof. If its daemon has
gone, QEMU's own monitor is free, and the guest's power button is pressed there; a daemon that is stopped or stuck still
holds the monitor, and the guest then ends by signals alone.
"""

from __future__ import annotations

from kvmha.host import SIGCONT, SIGKILL, SIGTERM
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.resources.virtual_domain import asking
from kvmha.tools import qemu_process
from kvmha.tools.libvirtd import CALL_LIMIT, LibvirtError, LibvirtSilent, LibvirtUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from kvmha.policy.model import GuestIdentity
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.tools.libvirtd import Libvirt

    T = TypeVar("T")

RESERVE = 20.0
"""Seconds kept for what does not need the guest's consent. Libvirt alone waits 10 s between SIGTERM and SIGKILL."""

AWAY_LIMIT = 15.0
"""Seconds in which a libvirt that restarts should be back; then the guest is ended without it."""

RETRY_INTERVAL = 1.0
"""Seconds between two attempts to reach a libvirt that is away."""

PROOF_LIMIT = 2.0
"""Seconds for a libvirt that left a question without answer to confirm that the guest has gone."""

NOTICE = 5.0
"""Seconds in which libvirt notices that a guest's process has ended; it calls the guest active until then."""

SETTLE = 4.0
"""Seconds in which a start that libvirt took before shows: it reads the definition before it lists the guest."""

POLL = 0.25
"""Seconds between two looks while waiting."""


SAVING = ("save_config_on_stop", "sync_config_on_stop", "snapshot")
"""Parameters that have something saved at a stop."""


class NoAnswer(Exception):
    """Libvirt cannot be asked any more in this stop; the message says why."""


class GuestStop:
    """One stop of one guest."""

    def __init__(self, agent: VirtualDomain, guest: GuestIdentity) -> None:
        self.agent = agent
        self.host = agent.host
        self.guest = guest
        self.is_forced = bool(agent.param("force_stop"))
        self.reserve = min(RESERVE, agent.left() * 0.4)
        self.libvirt = agent.libvirt()
        # A libvirt that hangs must not eat what is kept for the guest's end without it.
        self.polite = agent.libvirt(self.reserve)
        self._first_limit = min(CALL_LIMIT, agent.left() * 0.25)
        self._settled_at = self.host.now() + min(SETTLE, agent.left() * 0.3)
        self._away_until: float | None = None
        self._is_unasked = self._is_away = False
        self._has_saved = False
        self._held: dict[int, int] = {}

    def run(self) -> None:
        """Stop the guest. Raises OcfError if it is not provably absent when the time is up."""
        if not self._why_not_gone():
            return
        try:
            self._end_with_consent()
        except NoAnswer as error:
            self.warn(f"it ends without libvirt: {error}")
            # A saved state that does not fit the disks any more has to go all the same.
            self._save_first(self.agent.libvirt(max(self.agent.left() - 1.0, 0.0)))
            if self._is_away and not self.is_forced:
                asking.ask_qemu(self)
        self._cut_power()
        reason = self._wait_until_gone(self.agent.left())
        if reason:
            raise OcfError(codes.ERR_GENERIC, reason)
        self.agent.report.log(f"stopped {self.guest.label}")

    # ------------------------------------------------------------------- consent

    def _end_with_consent(self) -> None:
        """Save what is to be saved, and let the guest end by itself. Raises NoAnswer."""
        domain = self.ask(lambda: self.polite.domain(self.guest, limit=self._first_limit))
        if not self.pids() or domain is None:
            return
        self._save_first(self.polite)
        if not self.is_forced and not self._is_saved_instead():
            asking.ask(self, domain.seen)

    def _save_first(self, libvirt: Libvirt) -> None:
        """Keep what the guest would lose by stopping, once."""
        if any(self.agent.param(name) for name in SAVING) and not self._has_saved:
            self._has_saved = True
            self._saved("before_stop", libvirt)

    def _is_saved_instead(self) -> bool:
        return bool(self.agent.param("snapshot")) and self._saved("save_instead", self.polite)

    def _saved(self, what: str, libvirt: Libvirt) -> bool:
        """Have something of the guest saved; tell what came of it. It never keeps the guest from stopping."""
        try:
            from kvmha.resources.virtual_domain import saving

            return bool(getattr(saving, what)(self.agent, self.guest, libvirt))
        except Exception as error:  # whatever it is, a defect of ours included: a guest that runs on is worse
            self.warn(f"{what}: {error or type(error).__name__}")
            return False

    def ask(self, question: Callable[[], T]) -> T:
        """Return libvirt's answer; ask anew while it restarts. Raises NoAnswer, and LibvirtError for a refusal."""
        while True:
            try:
                answer = question()
            except LibvirtSilent as error:
                self._is_unasked = True
                raise NoAnswer(str(error)) from None
            except LibvirtUnreachable as error:
                self._wait_for_libvirt(error)
            else:
                self._away_until = None
                return answer

    def _wait_for_libvirt(self, error: LibvirtUnreachable) -> None:
        """Wait before the next attempt. Raises NoAnswer if there is none to be made."""
        now = self.host.now()
        if self._away_until is None:
            patience = 0.0 if self.is_forced else min(AWAY_LIMIT, self.agent.left(self.reserve) * 0.5)
            self._away_until = now + patience
        if now + RETRY_INTERVAL > self._away_until or not self.wait_for_end(RETRY_INTERVAL):
            self._is_unasked = self._is_away = True
            raise NoAnswer(str(error))

    def wait_for_end(self, seconds: float) -> bool:
        """Wait while the guest has a process, at most that long; tell whether it still has one."""
        until = self.host.now() + seconds
        while self.pids():
            if self.host.now() >= until:
                return True
            self.host.sleep(min(POLL, until - self.host.now()))
        return False

    # --------------------------------------------------------------------- force

    def _cut_power(self) -> None:
        """End the guest without its consent: through libvirt, and where that fails by ending its QEMU process."""
        for pid in self.pids():
            if self.is_stopped(pid):
                # SIGTERM waits for it to go on; then it is the first thing that it meets.
                self._kill(pid, SIGTERM, wait=0.0)
                self._kill(pid, SIGCONT, wait=min(5.0, self.agent.left() * 0.2))
        if not self.pids() and not self._wait_until_gone(min(NOTICE, self.agent.left() * 0.3)):
            return
        if not self._is_unasked:
            try:
                self.libvirt.destroy(self.guest, timeout=self.agent.left() * 0.6)
            except LibvirtError as error:
                self.warn(f"libvirt could not end the guest: {error}")
        for signal in (SIGTERM, SIGKILL):
            for pid in self.pids():
                self._kill(pid, signal, wait=min(10.0, self.agent.left() * 0.4))

    def is_stopped(self, pid: int) -> bool:
        """Tell whether a process was stopped by a signal or a debugger, so that it answers nobody."""
        process = self.host.process(pid)
        return process is not None and process.state in "Tt"

    def _kill(self, pid: int, signal: int, *, wait: float) -> None:
        def still() -> bool:
            return qemu_process.is_guest(self.host, pid, self.guest)

        self.host.kill(pid, signal, still=still, wait=wait)

    # --------------------------------------------------------------------- proof

    def pids(self) -> list[int]:
        """Return the guest's processes, and hold each of them from the first time that it is seen.

        A process that is ending has no arguments any more by which it could be known, and may still have its disks
        open and writes under way, for as long as the storage hangs.
        """
        pids = qemu_process.find(self.host, self.guest)
        for pid in pids:
            if pid not in self._held:
                self._held[pid] = self.host.hold(pid)
        return pids

    def _why_not_gone(self) -> str | None:
        """Return why the guest is not provably absent, or None: no process, and libvirt, where it answers, agrees."""
        name = self.guest.label
        pids = self.pids()
        if pids:
            return f"{name} is still here as process {pids[0]}{self._plight(pids[0])}"
        for pid, held in self._held.items():
            if not self.host.is_over(held):
                return f"{name} is ending as process {pid}, and has not let go of what it holds{self._plight(pid)}"
        try:
            domain = self.libvirt.domain(self.guest, limit=PROOF_LIMIT if self._is_unasked else CALL_LIMIT)
        except LibvirtUnreachable as error:
            # The process table is proof by itself, except for what libvirt is about to start.
            return f"{name} may still start here, because {error}" if self.agent.may_start() else None
        if domain is not None and domain.is_active:
            return f"{name} is still here for libvirt, though it has no process"
        if self.agent.may_start() and self.host.now() < self._settled_at:
            return f"{name} may still start here, because libvirt was just asked to start it"
        return None

    def _plight(self, pid: int) -> str:
        process = self.host.process(pid)
        if process is None or process.state != "D":
            return ""
        return ", which waits for its storage or a device in the kernel and cannot be killed (state D)"

    def _wait_until_gone(self, seconds: float) -> str | None:
        """Wait for the guest's provable absence; return why it is not absent when the time is up, or None."""
        until = self.host.now() + min(seconds, self.agent.left())
        while True:
            reason = self._why_not_gone()
            if reason is None or self.host.now() + POLL > until:
                return reason
            self.host.sleep(POLL)

    def warn(self, text: str) -> None:
        """Write to the system log what keeps the guest from an ordinary end."""
        self.agent.report.log(f"stopping {self.guest.label}: {text}", warning=True)
