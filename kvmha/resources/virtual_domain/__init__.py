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
            self._define()
        return codes.SUCCESS

    def reload_agent(self) -> int:
        """Take over changed parameters: each action reads them anew, so there is nothing to do."""
        self._check_params()
        return codes.SUCCESS

    def monitor(self) -> int:
        """Tell whether the guest runs here and is well."""
        guest = self._guest()
        if guest is None:
            return self._without_identity()
        seen = qemu_process.read_status(self.host, guest)
        if seen is None:
            return self._look_closer(guest)
        return self._code_of(guest, seen)

    def start(self) -> int:
        """Start the guest from its definition and wait until it runs."""
        from kvmha.tools.libvirtd import LibvirtSilent

        self._check_params()
        running = self._remembered()
        if running is not None and qemu_process.find(self.host, running.guest):
            return self._already_here(running.guest)
        xml, guest = self._define()
        if qemu_process.find(self.host, guest):
            self._remember(guest)
            return self._already_here(guest)
        # Written first: whatever becomes of us in the middle, the next stop knows whom to look for.
        self._remember(guest, is_starting=True)
        try:
            domain = self.libvirt().create(xml)
        except LibvirtSilent:
            # It may still be carried out, so the doubt stays written down.
            raise
        except BaseException:
            if not qemu_process.find(self.host, guest):
                self._forget()
            raise
        self._remember(domain.identity)
        if self._code_of(guest, domain.seen) not in (codes.SUCCESS, codes.DEGRADED):
            return codes.ERR_GENERIC
        self.report.log(f"started {guest.name} ({domain.identity.uuid})")
        return codes.SUCCESS

    def stop(self) -> int:
        """Stop the guest: by its own shutdown, else by force; succeed only on proof of absence."""
        from kvmha.resources.virtual_domain.stopping import GuestStop

        guest = self._guest()
        if guest is None:
            code = self._without_identity()
            return codes.SUCCESS if code == codes.NOT_RUNNING else code
        GuestStop(self, guest).run()
        self._forget()
        return codes.SUCCESS

    def migrate_to(self) -> int:
        """Move the guest live to the target, or leave it running here and say why."""
        from kvmha.resources.virtual_domain.moving import move

        self._check_params()
        target = self.env.migrate_target
        if not target:
            raise OcfError(codes.ERR_ARGS, "migrate_to without a target: it is called by the cluster during a move")
        guest = self._guest()
        if guest is None:
            raise OcfError(codes.ERR_GENERIC, f"cannot tell who is to move: {self.param('config')} is not readable")
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
        guest = self._guest() or self._define()[1]
        seen = qemu_process.read_status(self.host, guest)
        # The source returns when the target has the guest; libvirt may still be writing that down.
        while seen is None or (seen.state, seen.reason) in (("paused", "migration"), ("paused", "starting up")):
            if self.left() < POLL or (seen is None and not qemu_process.find(self.host, guest)):
                source = self.env.migrate_source or "another node"
                raise OcfError(codes.ERR_GENERIC, f"{guest.name} did not arrive from {source}")
            self.host.sleep(POLL)
            seen = qemu_process.read_status(self.host, guest)
        self._remember(guest)
        code = self._code_of(guest, seen)
        return codes.SUCCESS if code == codes.DEGRADED else code

    # ------------------------------------------------------------- who and how

    def _check_params(self) -> None:
        """Refuse what no row of the table can refuse alone."""
        from kvmha.tools.migration_uri import why_not_host_part

        wrong = []
        config, hypervisor = self.param("config"), self.param("hypervisor")
        if not config.startswith("/"):
            wrong.append(f'config="{config}" is not an absolute path')
        if not hypervisor.startswith("qemu:///"):
            wrong.append(f'hypervisor="{hypervisor}" is not a local QEMU connection such as qemu:///system')
        for name in ("migration_user", "migration_network_suffix"):
            reason = why_not_host_part(self.param(name))
            if reason:
                wrong.append(f'{name}="{self.param(name)}" {reason}')
        if self.param("migration_user") and self.param("migration_transport") != "ssh":
            wrong.append(f'migration_user="{self.param("migration_user")}" needs migration_transport=ssh')
        if wrong:
            raise OcfError(codes.ERR_CONFIGURED, "; ".join(wrong))

    def _define(self) -> tuple[str, GuestIdentity]:
        """Read the definition: its text and whom it defines."""
        from kvmha.tools.domain_xml import DomainXmlError, parse_identity

        path = self.param("config")
        try:
            xml = self.host.read_bytes(path)
        except OSError as error:
            # It may be on a file system that is not mounted yet, which is no property of the installation.
            raise OcfError(codes.ERR_GENERIC, f"config={path}: {error.strerror}") from None
        try:
            return xml.decode(), parse_identity(xml)
        except UnicodeDecodeError:
            raise OcfError(codes.ERR_CONFIGURED, f"config={path} is not in UTF-8, which libvirt is given") from None
        except DomainXmlError as error:
            raise OcfError(codes.ERR_CONFIGURED, f"config={path} is no domain definition: {error}") from None

    def _guest(self) -> GuestIdentity | None:
        """Return who the guest is, from what was remembered or from the definition; None if neither tells."""
        known = self._remembered()
        if known is not None:
            return known.guest
        try:
            return self._define()[1]
        except OcfError:
            return None

    def _without_identity(self) -> int:
        """Answer for a guest that we cannot name: it is absent where every guest is known to be another resource's."""
        others = self._others()
        for pid in qemu_process.find_any(self.host):
            if not any(qemu_process.is_guest(self.host, pid, other) for other in others):
                path = self.param("config") or "(not set)"
                raise OcfError(
                    codes.ERR_GENERIC,
                    f"cannot tell whether the guest runs here: config={path} is not readable; process {pid} may be it",
                )
        return codes.NOT_RUNNING

    def libvirt(self, reserve: float = 0.0) -> Libvirt:
        """Return a new connection that keeps to what is left of the action, less a reserve."""
        from kvmha.tools.libvirtd import Libvirt

        return Libvirt(self.host, self.param("hypervisor"), lambda: self.left(reserve))

    # --------------------------------------------------------------- remembered

    def _remembered(self) -> Remembered | None:
        """Return who was started here; what was started from another definition is another guest."""
        found = remembered.read(self.host, self.env.instance)
        config = self.param("config")
        # Where the cluster has lost its own record, a stop may come without parameters: then the file alone decides.
        return None if found is None or (config and found.config != config) else found

    def _others(self) -> list[GuestIdentity]:
        """Return the guests that other resources started here, from other definitions than ours."""
        config = self.param("config")
        found = remembered.others(self.host, self.env.instance)
        return [other.guest for other in found if config and other.config != config]

    def _remember(self, guest: GuestIdentity, *, is_starting: bool = False) -> None:
        known = Remembered(config=self.param("config"), guest=guest, is_starting=is_starting)
        remembered.write(self.host, self.env.instance, known)

    def _forget(self) -> None:
        remembered.forget(self.host, self.env.instance)

    # ------------------------------------------------------------------ looking

    def _code_of(self, guest: GuestIdentity, seen: GuestState) -> int:
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
            return self._code_of(guest, domain.seen.replace(pid=pids[0] if pids else 0))
        if pids:
            raise OcfError(codes.ERR_GENERIC, f"{guest.name} runs as process {pids[0]}, of which libvirt does not know")
        return codes.NOT_RUNNING

    def may_start(self) -> bool:
        """Tell whether libvirt was asked to start the guest and may still do so."""
        known = self._remembered()
        return known is not None and known.is_starting

    def _already_here(self, guest: GuestIdentity) -> int:
        code = self.monitor()
        if code == codes.NOT_RUNNING:
            raise OcfError(codes.ERR_GENERIC, f"{guest.name} ended while it was looked at")
        return codes.SUCCESS if code == codes.DEGRADED else code
