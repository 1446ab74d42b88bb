"""The begin of a guest: first what speaks against it, then libvirt, and what is remembered around that.

Invariant: libvirt is asked to start the guest only after it was seen that neither a process nor libvirt has it, and is
asked again only after that was seen again. From before the question until its answer is known, the guest is remembered
as starting, because what was asked may still be done after us.
"""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.resources.virtual_domain import before_start, overlay, provisions, saving, set_aside, utilization, validation
from kvmha.resources.virtual_domain.definition import of_domain
from kvmha.resources.virtual_domain.patience import RETRY_INTERVAL, Patience
from kvmha.tools import qemu_process
from kvmha.tools.libvirtd import LibvirtError, LibvirtLost, LibvirtMissing, LibvirtSilent, LibvirtUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from kvmha.policy.model import GuestIdentity
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.resources.virtual_domain.definition import Definition

    T = TypeVar("T")

RESERVE = 3.0
"""Seconds kept of the action for what comes after libvirt has been asked to begin."""

POLL = 0.25
"""Seconds between two looks while waiting."""

UNFINISHED = {("paused", "starting up"): "starting up", ("paused", "migration"): "paused by a migration"}
"""States of a guest with a process that is not running yet, and may never be: a copy that arrives can still go."""


def start(agent: VirtualDomain) -> int:
    """Start the guest and return the exit code; a guest that is here already is left as it is."""
    return GuestStart(agent).run()


class GuestStart:
    """One start of one guest."""

    def __init__(self, agent: VirtualDomain) -> None:
        self.agent = agent
        self.host = agent.host
        # A start that hangs leaves the time to see what came of it.
        self.libvirt = agent.libvirt(min(RESERVE, agent.left() * 0.1))
        self.patience = Patience(agent)

    def run(self) -> int:
        """Start the guest unless it is here; return the exit code. Raises OcfError and LibvirtError."""
        agent = self.agent
        here = self._here_by_name()
        if here is not None:
            return self._already_here(here)
        definition = self.patience.ask(agent.define)
        guest = definition.guest
        if qemu_process.find(self.host, guest):
            return self._already_here(guest)
        if self.patience.ask(lambda: self._is_active(guest)):
            # An earlier start of ours was killed, or somebody else is at it.
            return self._soon_here(guest)
        self.patience.ask(lambda: validation.check_domain(self.libvirt, definition))
        validation.check_node(agent)
        if agent.param("start_resources"):
            # A pool that is not active yet would make its disks look missing.
            provisions.start(agent, self.libvirt, provisions.needed_resources(definition))
        set_aside.before_start(agent)
        before_start.check(agent, definition)
        if not guest.uuid:
            agent.report.log(
                f"{guest.name} has no <uuid> in {agent.source}: it gets another one at every start, and its name "
                "alone tells a second copy",
                warning=True,
            )
        self._launch(definition)
        return self._arrive(guest)

    def _is_active(self, guest: GuestIdentity) -> bool:
        domain = self.libvirt.domain(guest)
        return domain is not None and domain.is_active

    # -------------------------------------------------------------- already here

    def _here_by_name(self) -> GuestIdentity | None:
        """Return the guest if it runs here already, as far as that can be told without its definition."""
        known = self.agent.remembered()
        candidates = [known.guest] if known is not None else []
        if self.agent.param("domain"):
            candidates.append(of_domain(self.agent.param("domain")))
        for guest in candidates:
            if qemu_process.find(self.host, guest):
                return guest
        return None

    def _already_here(self, guest: GuestIdentity) -> int:
        """Return how well a guest is that has a process, once it is no longer starting or arriving."""
        agent = self.agent
        seen = qemu_process.read_status(self.host, guest)
        while seen is not None and (seen.state, seen.reason) in UNFINISHED:
            if agent.left() < POLL:
                raise OcfError(codes.ERR_GENERIC, f"{guest.label} is still {UNFINISHED[seen.state, seen.reason]}")
            self.host.sleep(POLL)
            seen = qemu_process.read_status(self.host, guest)
        known = agent.remembered()
        agent.remember(guest, digest=known.digest if known is not None else "")
        code = agent.monitor()
        if code == codes.NOT_RUNNING:
            raise OcfError(codes.ERR_GENERIC, f"{guest.label} ended while it was looked at")
        return codes.SUCCESS if code == codes.DEGRADED else code

    def _soon_here(self, guest: GuestIdentity) -> int:
        self._wait_for_process(guest)
        return self._already_here(guest)

    def _wait_for_process(self, guest: GuestIdentity) -> None:
        """Wait for the process of a guest that libvirt calls active. Raises OcfError if it does not come up."""
        while not qemu_process.find(self.host, guest):
            if self.host.now() + POLL > self.patience.until or not self.patience.ask(lambda: self._is_active(guest)):
                raise OcfError(codes.ERR_GENERIC, f"libvirt has {guest.label} active, and no process of it came up")
            self.host.sleep(POLL)

    # ------------------------------------------------------------------ starting

    def _launch(self, definition: Definition) -> None:
        """Have libvirt begin the guest, from its saved state if it has one, else anew."""
        agent, guest = self.agent, definition.guest
        saved = saving.claim(agent, guest, self.libvirt)
        if saved:
            try:
                self._begin(guest, lambda: self.libvirt.restore(saved))
            except LibvirtError:
                if not self._may_be_here(guest):
                    saving.give_back(agent, saved)
                raise
            saving.spend(agent, saved)
            return
        overlay.prepare(agent)
        if definition.is_persistent:
            self._begin(guest, lambda: self.libvirt.start(guest))
        else:
            self._begin(guest, lambda: self.libvirt.create(definition.xml))

    def _begin(self, guest: GuestIdentity, begin: Callable[[], object]) -> None:
        """Ask libvirt to begin the guest until it has answered, and never while the guest may be here.

        Raises LibvirtError; the guest is forgotten then if it certainly is not here.
        """
        agent = self.agent
        was_starting = agent.may_start()
        # Written first: whatever becomes of us in the middle, the next stop knows whom to look for.
        agent.remember(guest, is_starting=True)
        while True:
            try:
                begin()
                return
            except LibvirtError as error:
                is_here = self._is_here_after(guest, error)
                if is_here:
                    self._wait_for_process(guest)
                    return
                if is_here is None:
                    raise
                is_lost = isinstance(error, LibvirtUnreachable) and not isinstance(error, LibvirtMissing)
                if not is_lost or self.host.now() + RETRY_INTERVAL > self.patience.until:
                    if not was_starting:
                        agent.forget()
                    raise
            self.host.sleep(RETRY_INTERVAL)

    def _is_here_after(self, guest: GuestIdentity, error: LibvirtError) -> bool | None:
        """Tell whether a guest is here that libvirt was asked to begin and answered with an error; None for a doubt."""
        if qemu_process.find(self.host, guest):
            return True
        if isinstance(error, LibvirtSilent):
            return None
        try:
            return self.patience.ask(lambda: self._is_active(guest))
        except LibvirtError:
            # A call that was lost may have been heard; one that was refused, or found no libvirt, was not.
            return None if isinstance(error, LibvirtLost) else False

    def _may_be_here(self, guest: GuestIdentity) -> bool:
        return self.agent.may_start() or bool(qemu_process.find(self.host, guest))

    def _arrive(self, guest: GuestIdentity) -> int:
        """Write down who has started, and what else is kept of a start."""
        agent = self.agent
        whole = qemu_process.complete(self.host, guest)
        agent.remember(whole, digest=saving.digest(agent, whole, self.libvirt))
        code = self._already_here(whole)
        if code == codes.SUCCESS:
            agent.report.log(f"started {whole.name} ({whole.uuid})")
            utilization.write(agent, whole, self.libvirt)
        return code
