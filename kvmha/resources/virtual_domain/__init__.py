"""ocf:kvmha:VirtualDomain, a KVM guest that libvirt runs.

Invariant: "not running" and a successful stop are said only on proof, which is no QEMU process of that UUID in /proc
and no active domain at libvirt where libvirt answers. Who the guest is comes from the definition, or, once it was
started here, from what was remembered then, so that a definition that went away hides nothing. A start that libvirt
took and did not answer is no absence either, until libvirt can be asked.
"""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import Agent, OcfError
from kvmha.ocf.spec import Action
from kvmha.policy import guest_state
from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.resources.virtual_domain import remembered
from kvmha.resources.virtual_domain.params import PARAMS
from kvmha.resources.virtual_domain.remembered import Remembered
from kvmha.tools import qemu_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.virtual_domain.definition import Definition
    from kvmha.tools.libvirtd import Libvirt

POLL = 0.25
"""Seconds between two looks while waiting."""


class VirtualDomain(Agent):
    """The agent: a table, and one method for each action."""

    name = "VirtualDomain"
    shortdesc = "Manages a KVM guest through libvirt, with live migration"
    longdesc = """
    Runs a KVM guest of libvirt as a cluster resource and moves it live (with the meta attribute allow-migrate=true).

    The agent reports a guest as stopped only on proof, that is when no QEMU process with the guest's UUID exists on
    the node. It does so without libvirt when libvirt is down, restarting or stuck. The recurring monitor needs neither
    libvirt nor any other command.
    """
    params = PARAMS
    actions = (
        Action(name="start", timeout=90),
        Action(name="stop", timeout=90),
        Action(name="monitor", timeout=30, interval=10, depth=0),
        Action(name="migrate_to", timeout=120),
        Action(name="migrate_from", timeout=60),
        Action(name="reload-agent", timeout=20),
        Action(name="validate-all", timeout=10),
        Action(name="meta-data", timeout=5),
    )

    # ----------------------------------------------------------------- actions

    def validate_all(self) -> int:
        """Check relations between parameters; at level 10 and above also what this node has of the guest."""
        self._check_params()
        if self.env.check_level >= 10:
            self.define()
        return codes.SUCCESS

    def reload_agent(self) -> int:
        """Take over changed parameters: each action reads them anew, so there is nothing to do."""
        self._check_params()
        return codes.SUCCESS

    def monitor(self) -> int:
        """Tell whether the guest runs here and is well."""
        guest = self.guest()
        if guest is None:
            return self._without_identity()
        seen = qemu_process.read_status(self.host, guest)
        if seen is None:
            return self._look_closer(guest)
        return self.code_of(guest, seen)

    def start(self) -> int:
        """Start the guest from its definition, unless something speaks against it, and return when it runs."""
        from kvmha.resources.virtual_domain import starting

        self._check_params()
        return starting.start(self)

    def stop(self) -> int:
        """Stop the guest: by its own shutdown, else by force; succeed only on proof of absence."""
        from kvmha.resources.virtual_domain.stopping import GuestStop

        guest = self.guest()
        if guest is None:
            code = self._without_identity()
            return codes.SUCCESS if code == codes.NOT_RUNNING else code
        GuestStop(self, guest).run()
        self.forget()
        return codes.SUCCESS

    def migrate_to(self) -> int:
        """Move the guest live to the target, or leave it running here and say why."""
        from kvmha.resources.virtual_domain.moving import move

        self._check_params()
        target = self.env.migrate_target
        if not target:
            raise OcfError(codes.ERR_ARGS, "migrate_to without a target: it is called by the cluster during a move")
        guest = self.guest()
        if guest is None:
            raise OcfError(codes.ERR_GENERIC, f"cannot tell who is to move: {self.source} is not readable")
        libvirt = self.libvirt()
        domain = libvirt.domain(guest)
        if domain is None or not domain.is_active:
            raise OcfError(codes.ERR_GENERIC, f"{guest.name} does not run here, so it cannot move to {target}")
        move(self, domain, libvirt, target)
        self.report.log(f"moved {guest.name} to {target}")
        return codes.SUCCESS

    def migrate_from(self) -> int:
        """Take over the guest that has just come; it is here already when this is called.

        A wrong tuning parameter does not fail it: that would stop a guest which runs well.
        """
        guest = self.guest() or self.define().guest
        seen = qemu_process.read_status(self.host, guest)
        # The source returns when the target has the guest; libvirt may still be writing that down.
        while seen is None or (seen.state, seen.reason) in (("paused", "migration"), ("paused", "starting up")):
            if self.left() < POLL or (seen is None and not qemu_process.find(self.host, guest)):
                source = self.env.migrate_source or "another node"
                raise OcfError(codes.ERR_GENERIC, f"{guest.name} did not arrive from {source}")
            self.host.sleep(POLL)
            seen = qemu_process.read_status(self.host, guest)
        self.remember(guest)
        code = self.code_of(guest, seen)
        return codes.SUCCESS if code == codes.DEGRADED else code

    # ------------------------------------------------------------- who and how

    @property
    def source(self) -> str:
        """What names the guest: the path of its definition, or the name or UUID of a persistent domain."""
        return str(self.param("config") or self.param("domain"))

    def _check_params(self) -> None:
        """Refuse what no row of the table can refuse alone."""
        from kvmha.resources.virtual_domain import validation

        wrong = validation.wrong(self)
        if wrong:
            raise OcfError(codes.ERR_CONFIGURED, "; ".join(wrong))

    def define(self) -> Definition:
        """Read the definition. Raises OcfError, which says what is wrong with it."""
        from kvmha.resources.virtual_domain import definition

        return definition.read(self)

    def guest(self) -> GuestIdentity | None:
        """Return who the guest is, from what was remembered or from the definition; None if neither tells."""
        known = self.remembered()
        if known is not None:
            return known.guest
        try:
            return self.define().guest
        except OcfError:
            return None

    def _without_identity(self) -> int:
        """Answer for a guest that we cannot name: it is absent where every guest is known to be another resource's."""
        others = self.others()
        for pid in qemu_process.find_any(self.host):
            if not any(qemu_process.is_guest(self.host, pid, other) for other in others):
                raise OcfError(
                    codes.ERR_GENERIC,
                    f"cannot tell whether the guest runs here: {self.source or 'its definition'} is not readable; "
                    f"process {pid} may be it",
                )
        return codes.NOT_RUNNING

    def libvirt(self, reserve: float = 0.0) -> Libvirt:
        """Return a new connection that keeps to what is left of the action, less a reserve."""
        from kvmha.tools.libvirtd import Libvirt

        return Libvirt(self.host, self.param("hypervisor"), lambda: self.left(reserve))

    # --------------------------------------------------------------- remembered

    def remembered(self) -> Remembered | None:
        """Return who was started here; what was started from another definition is another guest."""
        found = remembered.read(self.host, self.env.instance)
        # Where the cluster has lost its own record, a stop may come without parameters: then the file alone decides.
        return None if found is None or (self.source and found.source != self.source) else found

    def others(self) -> list[GuestIdentity]:
        """Return the guests that other resources started here, from other definitions than ours."""
        found = remembered.others(self.host, self.env.instance)
        return [other.guest for other in found if self.source and other.source != self.source]

    def remember(self, guest: GuestIdentity, *, is_starting: bool = False) -> None:
        known = Remembered(source=self.source, guest=guest, is_starting=is_starting)
        remembered.write(self.host, self.env.instance, known)

    def forget(self) -> None:
        remembered.forget(self.host, self.env.instance)

    # ------------------------------------------------------------------ looking

    def code_of(self, guest: GuestIdentity, seen: GuestState) -> int:
        judged = guest_state.judge(seen)
        if judged.verdict == guest_state.RUNNING:
            return codes.SUCCESS
        if judged.verdict == guest_state.STOPPED:
            return codes.NOT_RUNNING
        self.report.exit_reason(f"{guest.name} is {judged.reason}")
        return codes.DEGRADED if judged.verdict == guest_state.DEGRADED else codes.ERR_GENERIC

    def _look_closer(self, guest: GuestIdentity) -> int:
        """Answer where the status file does not: ask libvirt, and look at every process."""
        from kvmha.tools.libvirtd import LibvirtUnreachable

        try:
            domain = self.libvirt().domain(guest)
        except LibvirtUnreachable as error:
            pids = qemu_process.find(self.host, guest)
            if not pids and self.may_start():
                raise OcfError(codes.ERR_GENERIC, f"{guest.name} may still start here, because {error}") from None
            if not pids:
                return codes.NOT_RUNNING
            return self.degraded(f"{guest.name} runs as process {pids[0]}, but {error}")
        pids = qemu_process.find(self.host, guest)
        if domain is not None and domain.is_active:
            return self.code_of(guest, domain.seen.replace(pid=pids[0] if pids else 0))
        if pids:
            raise OcfError(codes.ERR_GENERIC, f"{guest.name} runs as process {pids[0]}, of which libvirt does not know")
        return codes.NOT_RUNNING

    def may_start(self) -> bool:
        """Tell whether libvirt was asked to start the guest and may still do so."""
        known = self.remembered()
        return known is not None and known.is_starting
