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

CODES = {
    guest_state.RUNNING: codes.SUCCESS,
    guest_state.DEGRADED: codes.DEGRADED,
    guest_state.FAILED: codes.ERR_GENERIC,
    guest_state.STOPPED: codes.NOT_RUNNING,
}


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
        Action(name="monitor", timeout=40, interval=60, depth=10),
        Action(name="monitor", timeout=120, interval=120, depth=20),
        Action(name="migrate_to", timeout=120),
        Action(name="migrate_from", timeout=60),
        Action(name="reload-agent", timeout=20),
        Action(name="validate-all", timeout=10),
        Action(name="meta-data", timeout=5),
    )

    # ----------------------------------------------------------------- actions

    def validate_all(self) -> int:
        """Check, at level 10 and above, what this node has of the guest."""
        if self.env.check_level >= 10:
            from kvmha.resources.virtual_domain import validation

            definition = self.define()
            validation.check_node(self)
            validation.check_domain(self.libvirt(), definition)
        return codes.SUCCESS

    def monitor(self) -> int:
        """Tell whether the guest runs here and is well."""
        guest = self.guest()
        if guest is None:
            return self._without_identity()
        seen = qemu_process.read_status(self.host, guest)
        if seen is None:
            return self.look_closer(guest)
        if self.param("on_ioerror") == guest_state.RESUME:
            from kvmha.resources.virtual_domain import deeper

            if (seen.state, seen.reason) == ("paused", "ioerror"):
                return deeper.resume(self, guest, seen)
            if seen.state in guest_state.AWAKE:
                deeper.forget_resume(self)
        if self.env.check_level >= 10 and seen.state in guest_state.AWAKE:
            from kvmha.resources.virtual_domain import deeper

            return deeper.look(self, guest)
        return self.code_of(guest, seen)

    def start(self) -> int:
        """Start the guest from its definition, unless something speaks against it, and return when it runs."""
        from kvmha.resources.virtual_domain import starting

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
        from kvmha.resources.virtual_domain.moving import Move

        target = self.env.migrate_target
        if not target:
            raise OcfError(codes.ERR_ARGS, "migrate_to without a target: it is called by the cluster during a move")
        guest = self.guest()
        if guest is None:
            raise OcfError(codes.ERR_GENERIC, f"cannot tell who is to move: {self.source} is not readable")
        Move(self, guest, target).run()
        self.report.log(f"moved {guest.label} to {target}")
        return codes.SUCCESS

    def migrate_from(self) -> int:
        """Take over the guest that has just come; it is here already when this is called.

        A wrong tuning parameter does not fail it: that would stop a guest which runs well.
        """
        from kvmha.resources.virtual_domain import arriving

        return arriving.arrive(self)

    # ------------------------------------------------------------- who and how

    @property
    def source(self) -> str:
        """What names the guest: the path of its definition, or the name or UUID of a persistent domain."""
        return str(self.param("config") or self.param("domain"))

    def wrong(self) -> list[str]:
        """Return what is wrong with the parameters beyond what their rows refuse."""
        from kvmha.resources.virtual_domain import validation

        return validation.wrong(self)

    def define(self) -> Definition:
        """Read the definition. Raises OcfError, which says what is wrong with it, and LibvirtError."""
        from kvmha.resources.virtual_domain import definition

        return definition.read(self)

    def guest(self) -> GuestIdentity | None:
        """Return who the guest is, from what was remembered or from the parameters; None if neither tells."""
        known = self.remembered()
        if known is not None:
            return known.guest
        if self.param("domain") and not self.param("config"):
            from kvmha.resources.virtual_domain import definition

            # Exactly that name, or exactly that UUID, needs no libvirt to be found.
            return qemu_process.complete(self.host, definition.of_domain(self.param("domain")))
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

    def remember(self, guest: GuestIdentity, *, is_starting: bool = False, digest: str = "") -> None:
        """Write down who the guest is, with what its process tells of a name or UUID that is not known yet."""
        guest = qemu_process.complete(self.host, guest)
        known = Remembered(source=self.source, guest=guest, is_starting=is_starting, digest=digest)
        remembered.write(self.host, self.env.instance, known)

    def forget(self) -> None:
        remembered.forget(self.host, self.env.instance)

    # ------------------------------------------------------------------ looking

    def code_of(self, guest: GuestIdentity, seen: GuestState) -> int:
        """Return the exit code for a state, and say why unless all is well."""
        code, reason = self.judged(guest, seen)
        if reason:
            self.report.exit_reason(reason)
        return code

    def judged(self, guest: GuestIdentity, seen: GuestState) -> tuple[int, str]:
        """Return the exit code for a state, and the reason for it unless all is well."""
        operation = None
        if guest_state.is_passing(seen):
            seen, operation = qemu_process.read_operation(self.host, guest) or (seen, None)
        names = guest_state.Settings._fields
        settings = guest_state.Settings(**{name: self.param(name) for name in names})
        found = guest_state.judge(seen, settings, operation)
        code = CODES[found.verdict]
        return code, f"{guest.label} is {found.reason}" if found.reason else ""

    def look_closer(self, guest: GuestIdentity) -> int:
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
        if self.may_start():
            # Libvirt lists a guest a while after it was asked to start it; a stop waits that while, and is sure then.
            raise OcfError(codes.ERR_GENERIC, f"a start of {guest.name} was interrupted, and libvirt may still do it")
        return codes.NOT_RUNNING

    def may_start(self) -> bool:
        """Tell whether libvirt was asked to start the guest and may still do so."""
        known = self.remembered()
        return known is not None and known.is_starting
