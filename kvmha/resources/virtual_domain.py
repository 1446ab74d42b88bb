"""ocf:kvmha:VirtualDomain, a KVM guest that libvirt runs.

Invariant: "not running" and a successful stop are said only on proof, which is no QEMU process of that UUID in /proc
and no active domain at libvirt where libvirt answers. Who the guest is comes from the definition, or, once it was
started here, from what was remembered then, so that a definition that went away hides nothing. A start that libvirt
took and did not answer is no absence either, until libvirt can be asked.
"""

from __future__ import annotations

from kvmha.host import SIGKILL, SIGTERM
from kvmha.ocf import codes
from kvmha.ocf.agent import Agent, OcfError
from kvmha.ocf.spec import Action, Param
from kvmha.policy import guest_state
from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.record import Record
from kvmha.tools import qemu_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.tools.libvirtd import Domain, Libvirt

REMEMBERED = "/run/kvmha/VirtualDomain"
"""Folder of one file per resource: who was started here. It goes with the boot, and so do the guests."""

STOP_RESERVE = 20.0
"""Seconds kept of a stop for what does not need the guest's consent. Libvirt alone waits 15 s for QEMU to go."""

PRESS_INTERVAL = 10.0
"""Seconds between two presses of the power button: a guest in its boot loader or early boot loses the first."""

MIGRATION_RESERVE = 15.0
"""Seconds kept of a migrate_to to abort the move and see the guest run here again."""

NOTICE = 5.0
"""Seconds in which libvirt notices that a guest's process has ended; it calls the guest active until then."""

POLL = 0.25
"""Seconds between two looks while waiting."""

_OWN_WORDS = "Uses libvirt's own choice where it is empty."

_PARAMS = (
    Param(
        name="config", required=True, identity=True, unique_group="config",
        shortdesc="Path of the guest's libvirt XML definition",
        longdesc="""Absolute path of the guest's libvirt XML definition, readable on every node that may run the guest.
        Give the definition a UUID: it is what tells a second copy of the guest from the first. The file is read at
        start; once the guest runs, the agent remembers who it is, so that monitor and stop stay right if the file goes
        away.""",
    ),
    Param(
        name="hypervisor", default="qemu:///system", identity=True,
        shortdesc="Libvirt connection URI of this node",
        longdesc="Libvirt connection URI of this node. Only the QEMU driver is supported: qemu:///system.",
    ),
    Param(
        name="force_stop", kind="boolean", default="false",
        shortdesc="Stop by cutting the guest's power",
        longdesc="""Stop by cutting the guest's power at once, without asking it to shut down. Without this the guest
        has the time of the stop action, less a reserve, to shut down by itself before its power is cut.""",
    ),
    Param(
        name="migration_transport", choices=("", "ssh", "tls", "tcp"),
        shortdesc="How the target's libvirt is reached for a live migration",
        longdesc=f"""How the target's libvirt is reached for a live migration: ssh, tls or tcp. {_OWN_WORDS} tcp is not
        encrypted and belongs on a network that only the cluster's nodes can reach.""",
    ),
    Param(
        name="migration_user",
        shortdesc="User name at the target's libvirt",
        longdesc="User name at the target's libvirt, with migration_transport=ssh. Empty: the agent's own, root.",
    ),
    Param(
        name="migration_network_suffix",
        shortdesc="Suffix of the node names on the migration network",
        longdesc="""Appended to the first label of the target's node name to name it on the migration network: with
        -mig, a move to n2.example.org goes to n2-mig.example.org. Both the call to the target's libvirt and the
        guest's memory take that way.""",
    ),
    Param(
        name="migrateuri",
        shortdesc="Where the target receives the guest's memory",
        longdesc="""Where the target receives the guest's memory, as libvirt's migration URI; %n is replaced by the
        target's node name, as in tcp://%n. It overrides what migration_network_suffix would make.""",
    ),
    Param(
        name="migration_speed", kind="integer", minimum=1,
        shortdesc="Limit of a migration's bandwidth, MiB/s",
        longdesc="Limit of a live migration's bandwidth in MiB/s. Not set: libvirt's own.",
    ),
    Param(
        name="migration_downtime", kind="integer", minimum=1, maximum=2_000_000,
        shortdesc="Limit of the guest's pause in a migration, ms",
        longdesc="""How long, in milliseconds, QEMU may expect the guest to stand still at the end of a live migration.
        Not set: QEMU's own, 300 ms.""",
    ),
)  # fmt: skip


class Remembered(Record):
    """What is kept of a guest while it runs here."""

    config: str
    guest: GuestIdentity
    is_starting: bool = False
    """Libvirt was asked to start the guest, and its answer has not been seen."""


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
    params = _PARAMS
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
            domain = self._libvirt().create(xml)
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
        guest = self._guest()
        if guest is None:
            code = self._without_identity()
            return codes.SUCCESS if code == codes.NOT_RUNNING else code
        libvirt = self._libvirt()
        reserve = min(STOP_RESERVE, self.left() * 0.4)
        if self._why_not_gone(guest, libvirt):
            # A libvirt that hangs must not eat what is kept for the guest's end without it.
            polite = self._libvirt(reserve)
            self._abort_move(guest, polite)
            if not self.param("force_stop"):
                self._shut_down(guest, polite, reserve)
            self._cut_power(guest, libvirt)
            reason = self._wait_until_gone(guest, libvirt, self.left())
            if reason:
                raise OcfError(codes.ERR_GENERIC, reason)
            self.report.log(f"stopped {guest.name}")
        self._forget()
        return codes.SUCCESS

    def migrate_to(self) -> int:
        """Move the guest live to the target, or leave it running here and say why."""
        self._check_params()
        target = self.env.migrate_target
        if not target:
            raise OcfError(codes.ERR_ARGS, "migrate_to without a target: it is called by the cluster during a move")
        guest = self._guest()
        if guest is None:
            raise OcfError(codes.ERR_GENERIC, f"cannot tell who is to move: {self.param('config')} is not readable")
        libvirt = self._libvirt()
        domain = libvirt.domain(guest)
        if domain is None or not domain.is_active:
            raise OcfError(codes.ERR_GENERIC, f"{guest.name} does not run here, so it cannot move to {target}")
        self._move(domain, libvirt, target)
        if qemu_process.find(self.host, guest):
            raise OcfError(codes.ERR_GENERIC, f"{guest.name} moved to {target}, but its QEMU process is still here")
        self.report.log(f"moved {guest.name} to {target}")
        return codes.SUCCESS

    def migrate_from(self) -> int:
        """Take over the guest that has just come; it is here already when this is called."""
        self._check_params()
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
        remembered = self._remembered()
        if remembered is not None:
            return remembered.guest
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

    def _libvirt(self, reserve: float = 0.0) -> Libvirt:
        from kvmha.tools.libvirtd import Libvirt

        return Libvirt(self.host, self.param("hypervisor"), lambda: self.left(reserve))

    # --------------------------------------------------------------- remembered

    def _remembered(self) -> Remembered | None:
        """Return who was started here; what was started from another definition is another guest."""
        found = _read_remembered(self.host, self._remembered_path())
        config = self.param("config")
        # Where the cluster has lost its own record, a stop may come without parameters: then the file alone decides.
        return None if found is None or (config and found.config != config) else found

    def _others(self) -> list[GuestIdentity]:
        """Return the guests that other resources started here, from other definitions than ours."""
        names = [name for name in self.host.names(REMEMBERED) if name != self.env.instance]
        found = [_read_remembered(self.host, f"{REMEMBERED}/{name}") for name in names]
        config = self.param("config")
        return [other.guest for other in found if other is not None and config and other.config != config]

    def _remember(self, guest: GuestIdentity, *, is_starting: bool = False) -> None:
        text = f"config={self.param('config')}\nname={guest.name}\nuuid={guest.uuid}\n"
        self.host.write(self._remembered_path(), text + ("starting=1\n" if is_starting else ""), mode=0o600)

    def _forget(self) -> None:
        self.host.remove(self._remembered_path())

    def _remembered_path(self) -> str:
        return f"{REMEMBERED}/{self.env.instance}"

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
            domain = self._libvirt().domain(guest)
        except LibvirtUnreachable as error:
            pids = qemu_process.find(self.host, guest)
            if not pids and self._may_start():
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

    def _may_start(self) -> bool:
        """Tell whether libvirt was asked to start the guest and may still do so."""
        remembered = self._remembered()
        return remembered is not None and remembered.is_starting

    def _why_not_gone(self, guest: GuestIdentity, libvirt: Libvirt) -> str | None:
        """Return why the guest is not provably absent, or None: no process, and libvirt, where it answers, agrees."""
        from kvmha.tools.libvirtd import LibvirtUnreachable

        pids = qemu_process.find(self.host, guest)
        if pids:
            return f"{guest.name} is still here as process {pids[0]}"
        try:
            domain = libvirt.domain(guest)
        except LibvirtUnreachable as error:
            # The process table is proof by itself, except for what libvirt is about to start.
            return f"{guest.name} may still start here, because {error}" if self._may_start() else None
        if domain is None or not domain.is_active:
            return None
        return f"{guest.name} is still here for libvirt, though it has no process"

    def _wait_until_gone(self, guest: GuestIdentity, libvirt: Libvirt, seconds: float) -> str | None:
        """Wait for the guest's provable absence; return why it is not absent when the time is up, or None."""
        until = self.host.now() + min(seconds, self.left())
        while True:
            reason = self._why_not_gone(guest, libvirt)
            if reason is None or self.host.now() + POLL > until:
                return reason
            self.host.sleep(POLL)

    def _already_here(self, guest: GuestIdentity) -> int:
        code = self.monitor()
        if code == codes.NOT_RUNNING:
            raise OcfError(codes.ERR_GENERIC, f"{guest.name} ended while it was looked at")
        return codes.SUCCESS if code == codes.DEGRADED else code

    # ----------------------------------------------------------------- stopping

    def _abort_move(self, guest: GuestIdentity, libvirt: Libvirt) -> None:
        """End a migration that an agent before us left behind: a moving guest cannot be shut down."""
        from kvmha.tools.libvirtd import LibvirtError

        try:
            if libvirt.migrating_out(guest):
                libvirt.abort_job(guest)
                self.report.log(f"aborted a migration of {guest.name} in order to stop it", warning=True)
        except LibvirtError as error:
            self.report.log(f"could not look for a migration of {guest.name}: {error}", warning=True)

    def _shut_down(self, guest: GuestIdentity, libvirt: Libvirt, reserve: float) -> None:
        """Ask the guest to shut down until it has gone or only the reserve is left."""
        from kvmha.tools.libvirtd import LibvirtError

        next_press = self.host.now()
        while self.left(reserve) > 0:
            pids = qemu_process.find(self.host, guest)
            if not pids:
                return
            seen = qemu_process.read_status(self.host, guest)
            if seen is not None and seen.state not in ("running", "blocked", "shutdown"):
                # A guest whose processors stand still cannot answer its power button.
                self.report.log(f"{guest.name} is {seen.state} ({seen.reason}), so it cannot shut down", warning=True)
                return
            if self.host.now() >= next_press:
                next_press = self.host.now() + PRESS_INTERVAL
                try:
                    libvirt.shutdown(guest)
                except LibvirtError as error:
                    self.report.log(f"could not press the power button of {guest.name}: {error}", warning=True)
                    return
            self._wait_for_end(guest, pids[0], min(next_press - self.host.now(), self.left(reserve)))

    def _wait_for_end(self, guest: GuestIdentity, pid: int, seconds: float) -> None:
        until = self.host.now() + seconds
        while self.host.now() < until and qemu_process.is_guest(self.host, pid, guest):
            self.host.sleep(POLL)

    def _cut_power(self, guest: GuestIdentity, libvirt: Libvirt) -> None:
        """End the guest without its consent: through libvirt, and where that fails by ending its QEMU process."""
        from kvmha.tools.libvirtd import LibvirtError

        has_process = bool(qemu_process.find(self.host, guest))
        if not has_process and not self._wait_until_gone(guest, libvirt, min(NOTICE, self.left() * 0.3)):
            return
        try:
            libvirt.destroy(guest, timeout=self.left() * 0.6)
        except LibvirtError as error:
            self.report.log(f"libvirt could not end {guest.name}: {error}", warning=True)
        for signal in (SIGTERM, SIGKILL):
            for pid in qemu_process.find(self.host, guest):
                self._kill(guest, pid, signal)

    def _kill(self, guest: GuestIdentity, pid: int, signal: int) -> None:
        def still() -> bool:
            return qemu_process.is_guest(self.host, pid, guest)

        self.host.kill(pid, signal, still=still, wait=min(5.0, self.left() * 0.4))

    # ------------------------------------------------------------------- moving

    def _move(self, domain: Domain, libvirt: Libvirt, target: str) -> None:
        from kvmha.tools import migration_uri
        from kvmha.tools.libvirtd import LibvirtError, LibvirtUnreachable, Migration

        address = migration_uri.on_network(target, self.param("migration_network_suffix"))
        order = Migration(
            target_uri=migration_uri.target_uri(
                self.param("hypervisor"), address, self.param("migration_transport"), self.param("migration_user")
            ),
            migrate_uri=migration_uri.migrate_uri(
                self.param("migrateuri"), target, address if self.param("migration_network_suffix") else ""
            ),
            bandwidth_mib=self.param("migration_speed"),
            downtime_ms=self.param("migration_downtime"),
            is_persistent=domain.is_persistent,
        )
        reserve = min(MIGRATION_RESERVE, self.left() * 0.3)
        name = domain.identity.name
        try:
            libvirt.migrate(domain.identity, order, timeout=self.left(reserve))
        except LibvirtUnreachable as error:
            outcome = self._step_back(domain.identity, libvirt)
            raise OcfError(codes.ERR_GENERIC, f"migration of {name} to {target} {outcome}: {error}") from None
        except LibvirtError as error:
            raise OcfError(codes.ERR_GENERIC, f"migration of {name} to {target} failed: {error}") from None

    def _step_back(self, guest: GuestIdentity, libvirt: Libvirt) -> str:
        """Abort a migration until the guest runs here again or time is up; return what came of it."""
        from kvmha.tools.libvirtd import LibvirtError

        while True:
            try:
                if libvirt.migrating_out(guest):
                    libvirt.abort_job(guest)
                else:
                    seen = qemu_process.read_status(self.host, guest)
                    if seen is not None and seen.state == "running":
                        return "was aborted and the guest runs here"
            except LibvirtError:
                # Whatever it is, the guest itself decides what there is to say when the time is up.
                pass
            if not qemu_process.find(self.host, guest):
                return "did not end in time and the guest does not run here any more"
            if self.left() < POLL:
                return "did not end in time and may still be under way"
            self.host.sleep(POLL)


def _read_remembered(host: Host, path: str) -> Remembered | None:
    try:
        text = host.read(path)
    except OSError:
        return None
    found = {}
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        found[key] = value
    if not found.get("name"):
        return None
    guest = GuestIdentity(name=found["name"], uuid=found.get("uuid", ""))
    return Remembered(config=found.get("config", ""), guest=guest, is_starting="starting" in found)
