"""The end of a guest: first by its own shutdown, then by force, and in the end by proof."""

from __future__ import annotations

from kvmha.host import SIGKILL, SIGTERM
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.policy.model import GuestIdentity
from kvmha.tools import qemu_process
from kvmha.tools.libvirtd import LibvirtError, LibvirtSilent, LibvirtUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.tools.libvirtd import Libvirt

RESERVE = 20.0
"""Seconds kept for what does not need the guest's consent. Libvirt alone waits 15 s for QEMU to go."""

PRESS_INTERVAL = 10.0
"""Seconds between two presses of the power button: a guest in its boot loader or early boot loses the first."""

RETRY_INTERVAL = 1.0
"""Seconds between two attempts to press it while libvirt is away."""

AWAY_LIMIT = 15.0
"""Seconds in which a libvirt that restarts should be back; then the guest is ended without its consent."""

NOTICE = 5.0
"""Seconds in which libvirt notices that a guest's process has ended; it calls the guest active until then."""

POLL = 0.25
"""Seconds between two looks while waiting."""


class GuestStop:
    """One stop of one guest."""

    def __init__(self, agent: VirtualDomain, guest: GuestIdentity) -> None:
        self.agent = agent
        self.host = agent.host
        self.guest = guest
        self.reserve = min(RESERVE, agent.left() * 0.4)
        self.libvirt = agent.libvirt()
        # A libvirt that hangs must not eat what is kept for the guest's end without it.
        self.polite = agent.libvirt(self.reserve)
        self._held: dict[int, int] = {}

    def run(self) -> None:
        """Stop the guest. Raises OcfError if it is not provably absent when the time is up."""
        if not self._why_not_gone(self.libvirt):
            return
        self._abort_move()
        if not self.agent.param("force_stop"):
            self._shut_down()
        self._cut_power()
        reason = self._wait_until_gone(self.agent.left())
        if reason:
            raise OcfError(codes.ERR_GENERIC, reason)
        self.agent.report.log(f"stopped {self.guest.name}")

    def _pids(self) -> list[int]:
        """Return the guest's processes, and hold each of them from the first time that it is seen.

        A process that is ending has no arguments any more by which it could be known, and may still have its disks
        open and writes under way, for as long as the storage hangs.
        """
        pids = qemu_process.find(self.host, self.guest)
        for pid in pids:
            if pid not in self._held:
                self._held[pid] = self.host.hold(pid)
        return pids

    def _why_not_gone(self, libvirt: Libvirt) -> str | None:
        """Return why the guest is not provably absent, or None: no process, and libvirt, where it answers, agrees."""
        name = self.guest.name
        pids = self._pids()
        if pids:
            return f"{name} is still here as process {pids[0]}"
        for pid, held in self._held.items():
            if not self.host.is_over(held):
                return f"{name} is ending as process {pid}, and has not let go of what it holds"
        try:
            domain = libvirt.domain(self.guest)
        except LibvirtUnreachable as error:
            # The process table is proof by itself, except for what libvirt is about to start.
            return f"{name} may still start here, because {error}" if self.agent.may_start() else None
        if domain is None or not domain.is_active:
            return None
        return f"{name} is still here for libvirt, though it has no process"

    def _wait_until_gone(self, seconds: float) -> str | None:
        """Wait for the guest's provable absence; return why it is not absent when the time is up, or None."""
        until = self.host.now() + min(seconds, self.agent.left())
        while True:
            reason = self._why_not_gone(self.libvirt)
            if reason is None or self.host.now() + POLL > until:
                return reason
            self.host.sleep(POLL)

    def _abort_move(self) -> None:
        """End a migration that an agent before us left behind: a moving guest cannot be shut down."""
        try:
            if self.polite.migrating_out(self.guest):
                self.polite.abort_job(self.guest)
                self._warn("aborted a migration in order to stop the guest")
        except LibvirtError as error:
            self._warn(f"could not look for a migration: {error}")

    def _shut_down(self) -> None:
        """Ask the guest to shut down until it has gone or only the reserve is left."""
        next_press = self.host.now()
        away_since: float | None = None
        while self.agent.left(self.reserve) > 0 and self._pids():
            seen = qemu_process.read_status(self.host, self.guest)
            if seen is not None and seen.state not in ("running", "blocked", "shutdown"):
                # A guest whose processors stand still cannot answer its power button.
                self._warn(f"the guest is {seen.state} ({seen.reason}), so it cannot shut down")
                return
            if self.host.now() >= next_press:
                next_press = self.host.now() + PRESS_INTERVAL
                try:
                    self.polite.shutdown(self.guest)
                    away_since = None
                except LibvirtUnreachable as error:
                    away_since = self.host.now() if away_since is None else away_since
                    is_back_late = self.host.now() - away_since >= AWAY_LIMIT
                    if isinstance(error, LibvirtSilent) or is_back_late:
                        self._warn(f"could not press the power button: {error}")
                        return
                    next_press = self.host.now() + RETRY_INTERVAL
                except LibvirtError as error:
                    self._warn(f"could not press the power button: {error}")
                    return
            self._wait_for_end(min(next_press - self.host.now(), self.agent.left(self.reserve)))

    def _wait_for_end(self, seconds: float) -> None:
        until = self.host.now() + seconds
        while self.host.now() < until and self._pids():
            self.host.sleep(POLL)

    def _cut_power(self) -> None:
        """End the guest without its consent: through libvirt, and where that fails by ending its QEMU process."""
        if not self._pids() and not self._wait_until_gone(min(NOTICE, self.agent.left() * 0.3)):
            return
        try:
            self.libvirt.destroy(self.guest, timeout=self.agent.left() * 0.6)
        except LibvirtError as error:
            self._warn(f"libvirt could not end the guest: {error}")
        for signal in (SIGTERM, SIGKILL):
            for pid in self._pids():
                self._kill(pid, signal)

    def _kill(self, pid: int, signal: int) -> None:
        def still() -> bool:
            return qemu_process.is_guest(self.host, pid, self.guest)

        self.host.kill(pid, signal, still=still, wait=min(5.0, self.agent.left() * 0.4))

    def _warn(self, text: str) -> None:
        self.agent.report.log(f"stopping {self.guest.name}: {text}", warning=True)
