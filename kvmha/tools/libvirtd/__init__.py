"""Libvirt through its API: what is asked of it, and what it is told to do."""

from __future__ import annotations

from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.record import Record
from kvmha.tools.libvirtd.connection import (
    CALL_LIMIT,
    LibvirtError,
    LibvirtLost,
    LibvirtMissing,
    LibvirtSilent,
    LibvirtUnreachable,
    load,
    lookup,
)
from kvmha.tools.libvirtd.counters import GuestCounters
from kvmha.tools.libvirtd.files import Copied, NodeFiles, Room, Stopped
from kvmha.tools.libvirtd.node import NodeQuestions
from kvmha.tools.libvirtd.notes import GuestNotes
from kvmha.tools.libvirtd.progress import Progress, progress_of
from kvmha.tools.libvirtd.words import JOBS, REASONS, SHUTDOWN_MODES, STATES, state_of

__all__ = [
    "CALL_LIMIT",
    "REASONS",
    "SHUTDOWN_MODES",
    "STATES",
    "Copied",
    "Defined",
    "Domain",
    "Libvirt",
    "LibvirtError",
    "LibvirtLost",
    "LibvirtMissing",
    "LibvirtSilent",
    "LibvirtUnreachable",
    "Migration",
    "Progress",
    "Room",
    "Size",
    "Stopped",
    "load",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

POOL_LIMIT = 30.0
"""Seconds that a storage pool may take to start or to look for its volumes: it may be on another machine."""

AGENT_ANSWER = 5
"""Seconds in which a guest agent answers a ping, once it is in step with libvirt."""

AGENT_LIMIT = 11.0
"""Seconds that a ping may take in all: libvirt gives the agent 5 s to get in step, where it is not."""

PROGRESS_LIMIT = 3.0
"""Seconds for a look at a migration: an older one is of no use."""

DIRTY_PATIENCE = 3.0
"""Seconds in which a measurement of written pages is ready, after its own time."""

QEMU_LIMIT = 5.0
"""Seconds in which a QEMU that is given time to run answers its monitor."""


class Domain(Record):
    """A domain as libvirt knows it."""

    identity: GuestIdentity
    seen: GuestState
    is_active: bool
    is_persistent: bool


class Defined(Record):
    """A persistent domain, as libvirt would start it."""

    identity: GuestIdentity
    xml: str
    starts_with_host: bool
    """Its autostart is on."""
    is_saved: bool
    """Libvirt keeps a managed save of its memory, from which its next start goes on."""


class Size(Record):
    """What a running guest has of its host."""

    cpus: int
    memory_mib: int
    """The most that it may take, as virsh dominfo has it under "Max memory"."""


class Migration(Record):
    """Where a guest goes and how; None leaves the choice to libvirt."""

    target_uri: str
    migrate_uri: str = ""
    bandwidth_mib: int | None = None
    """MiB/s."""
    downtime_ms: int | None = None
    is_persistent: bool = False
    flags: tuple[str, ...] = ()
    """More of libvirt's flags, without VIR_MIGRATE_; with PEER2PEER the daemons do the move without us."""
    parameters: dict[str, Any] = {}  # noqa: RUF012 (a default that nobody changes: records are frozen)
    """More of libvirt's parameters: numbers, texts and tuples of texts, by libvirt's names."""


class Libvirt(NodeQuestions, NodeFiles, GuestCounters, GuestNotes):
    """A hypervisor."""

    def domain(self, guest: GuestIdentity, limit: float = CALL_LIMIT) -> Domain | None:
        """Return what libvirt knows of a guest, active or not; None if it says that there is no such domain."""

        def ask(libvirt: Any, connection: Any) -> Domain | None:
            found = lookup(libvirt, connection, guest)
            if found is None:
                return None
            try:
                return _describe(found)
            except libvirt.libvirtError as error:
                # A transient domain may end between the look-up and the question.
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise

        return self._call(ask, limit=limit)

    def number(self, guest: GuestIdentity) -> int | None:
        """Return libvirt's number of a guest's run, None if it does not run: every start and arrival gets another.

        It outlives the daemon, which keeps it with the guest's status (virDomainGetID).
        """

        def ask(libvirt: Any, connection: Any) -> int | None:
            found = lookup(libvirt, connection, guest)
            number = -1 if found is None else found.ID()
            return None if number < 0 else int(number)

        return self._call(ask)

    def create(self, xml: str) -> Domain:
        """Start a guest from its definition; persistent only if a domain of that name and UUID is defined already."""

        def start(_libvirt: Any, connection: Any) -> Domain:
            return _describe(connection.createXML(xml, 0))

        return self._call(start, limit=None)

    def start(self, guest: GuestIdentity) -> Domain:
        """Start a persistent domain; one that has gone meanwhile is a LibvirtError."""

        def start(libvirt: Any, connection: Any) -> Domain:
            found = lookup(libvirt, connection, guest)
            if found is None:
                raise LibvirtError(f"says: {guest.label} is not defined any more")
            found.create()
            return _describe(found)

        return self._call(start, limit=None)

    def defined(self, guest: GuestIdentity) -> Defined | None:
        """Return what libvirt keeps of a persistent domain; None if it has none of that name or UUID."""

        def ask(libvirt: Any, connection: Any) -> Defined | None:
            found = lookup(libvirt, connection, guest)
            if found is None or not found.isPersistent():
                return None
            return Defined(
                identity=GuestIdentity(name=found.name(), uuid=found.UUIDString().lower()),
                xml=found.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE),
                starts_with_host=bool(found.autostart()),
                is_saved=bool(found.hasManagedSaveImage(0)),
            )

        return self._call(ask)

    def definition_to_keep(self, guest: GuestIdentity) -> str | None:
        """Return what a running guest would be started from anew, passwords included; None if it is not there."""

        def ask(libvirt: Any, domain: Any) -> str:
            return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))

        return self._on_domain(guest, ask)

    def live_definition(self, guest: GuestIdentity) -> str | None:
        """Return the definition of a running guest with what is true of it at the moment; None if it is not there."""
        return self._on_domain(guest, lambda _libvirt, domain: str(domain.XMLDesc(0)))

    def agent_silence(self, guest: GuestIdentity) -> str:
        """Ping a guest agent that is connected; return what libvirt says of its silence, or nothing.

        This marks the domain as tainted by custom-ga-command. Questions of libvirt's own, such as for the time, do not,
        but they wait for ever for an agent that was stopped, and hold the lock that a shutdown by the agent needs (seen
        with libvirt 9.0).
        """

        def ask(libvirt: Any, domain: Any) -> str:
            import libvirt_qemu

            try:
                libvirt_qemu.qemuAgentCommand(domain, '{"execute":"guest-ping"}', AGENT_ANSWER, 0)
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_AGENT_UNRESPONSIVE:
                    return " ".join(str(error).split())
                # Whatever else comes from the driver and not from the lock on the domain is the agent's own refusal.
                is_own = error.get_error_domain() == libvirt.VIR_FROM_QEMU
                if is_own and error.get_error_code() != libvirt.VIR_ERR_OPERATION_TIMEOUT:
                    return ""
                raise
            return ""

        return self._on_domain(guest, ask, limit=AGENT_LIMIT) or ""

    def qemu_silence(self, guest: GuestIdentity) -> str:
        """Have libvirt, which has just answered, ask QEMU something; return words about its silence, or nothing."""

        def ask(libvirt: Any, domain: Any) -> str:
            state, _details, for_ms = domain.controlInfo()
            if state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED and for_ms >= QEMU_LIMIT * 1000:
                # One more question would only take one more of the daemon's threads.
                return f"QEMU has not answered libvirt for {for_ms // 1000} s"
            # What costs QEMU least among all that libvirt passes on to it.
            domain.connect().domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_IOTHREAD, 0)
            return ""

        try:
            return self._on_domain(guest, ask, limit=QEMU_LIMIT) or ""
        except LibvirtSilent:
            return "QEMU does not answer libvirt"

    def disk_errors(self, guest: GuestIdentity) -> tuple[str, ...]:
        """Return the targets of the disks on which QEMU met an error since the guest last went on."""
        return self._on_domain(guest, lambda _libvirt, domain: tuple(domain.diskErrors())) or ()

    def resume_after_io_error(self, guest: GuestIdentity) -> bool:
        """Have a guest go on if an I/O error is what it stands still for; tell whether that was so."""

        def act(_libvirt: Any, domain: Any) -> bool:
            seen = _describe(domain).seen
            if (seen.state, seen.reason) != ("paused", "ioerror"):
                return False
            domain.resume()
            return True

        return self._on_domain(guest, act) or False

    def size(self, guest: GuestIdentity) -> Size | None:
        """Return how many processors and how much memory a guest has; None if it is not there."""

        def ask(_libvirt: Any, domain: Any) -> Size:
            _state, most_kib, _now_kib, cpus, _time = domain.info()
            return Size(cpus=cpus, memory_mib=-(-most_kib // 1024))

        return self._on_domain(guest, ask)

    def save(self, guest: GuestIdentity, path: str, timeout: float) -> None:
        """End a guest and leave its memory in a file; a save that fails leaves the guest running."""
        self._on_domain(guest, lambda _libvirt, domain: domain.saveFlags(path, None, 0), limit=timeout)

    def saved_definition(self, path: str) -> str:
        """Return the definition in a file that ``save`` has made; LibvirtError for one that is not whole."""
        return self._call(lambda _libvirt, connection: str(connection.saveImageGetXMLDesc(path, 0)))

    def restore(self, path: str) -> None:
        """Have a guest go on from a file that ``save`` has made."""
        self._call(lambda _libvirt, connection: connection.restoreFlags(path, None, 0), limit=None)

    def start_pool(self, name: str) -> bool:
        """Start a storage pool, or see what is new in one that is active; tell whether it was started."""

        def start(_libvirt: Any, connection: Any) -> bool:
            pool = connection.storagePoolLookupByName(name)
            if pool.isActive():
                pool.refresh(0)
                return False
            pool.create(0)
            return True

        return self._call(start, limit=POOL_LIMIT)

    def start_network(self, name: str) -> bool:
        """Start a network that is not active; tell whether it was started."""

        def start(_libvirt: Any, connection: Any) -> bool:
            network = connection.networkLookupByName(name)
            if network.isActive():
                return False
            network.create()
            return True

        return self._call(start)

    def shutdown(self, guest: GuestIdentity, mode: str = "acpi", limit: float = CALL_LIMIT) -> None:
        """Ask the guest to shut down, by one of SHUTDOWN_MODES.

        Pressing the power button returns at once. Asking the guest agent waits for the guest's end, and for a minute
        if it does not come (VIR_DOMAIN_QEMU_AGENT_COMMAND_SHUTDOWN); the refusal of an agent that is silent takes 5 s.
        """

        def ask(libvirt: Any, domain: Any) -> None:
            domain.shutdownFlags(getattr(libvirt, f"VIR_DOMAIN_SHUTDOWN_{SHUTDOWN_MODES[mode]}"))

        self._on_domain(guest, ask, limit=limit)

    def end_for_good(self, guest: GuestIdentity) -> None:
        """Make every end of the running guest its last: by shutdown, reboot and crash alike.

        Else libvirt starts it again by itself where its definition says so. The definition of a persistent domain
        stays as it is.
        """

        def change(libvirt: Any, domain: Any) -> None:
            for event in ("POWEROFF", "REBOOT", "CRASH"):
                domain.setLifecycleAction(
                    getattr(libvirt, f"VIR_DOMAIN_LIFECYCLE_{event}"),
                    libvirt.VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY,
                    libvirt.VIR_DOMAIN_AFFECT_LIVE,
                )

        self._on_domain(guest, change)

    def wake(self, guest: GuestIdentity) -> None:
        """Wake a guest that sleeps (S3)."""
        self._on_domain(guest, lambda _libvirt, domain: domain.pMWakeup(0))

    def destroy(self, guest: GuestIdentity, timeout: float) -> None:
        """Cut the guest's power. Libvirt sends QEMU SIGTERM, after 10 s SIGKILL, and waits up to 40 s for its end.

        With VIR_DOMAIN_DESTROY_GRACEFUL it would leave out the second: the first ten seconds are the same.
        """
        self._on_domain(guest, lambda _libvirt, domain: domain.destroy(), limit=timeout)

    def abort_job(self, guest: GuestIdentity) -> None:
        """Ask a running migration to stop; having none is an error."""
        self._on_domain(guest, lambda _libvirt, domain: domain.abortJob())

    def job(self, guest: GuestIdentity) -> str:
        """Return which long job a guest has, one of JOBS, or nothing."""

        def ask(_libvirt: Any, domain: Any) -> str:
            operation = domain.jobStats().get("operation", 0)
            return JOBS[operation] if operation < len(JOBS) else f"job {operation}"

        return self._on_domain(guest, ask) or ""

    def progress(self, guest: GuestIdentity) -> Progress | None:
        """Return how far a guest's migration is; None where it has none, or libvirt does not count it yet."""

        def ask(_libvirt: Any, domain: Any) -> Progress | None:
            seen = _describe(domain).seen
            return progress_of(
                domain.jobStats(),
                is_post_copy=seen.reason.startswith("post-copy"),
                is_handed_over=(seen.state, seen.reason) == ("paused", "migration"),
            )

        return self._on_domain(guest, ask, limit=PROGRESS_LIMIT)

    def outcome(self, guest: GuestIdentity) -> Progress | None:
        """Return what libvirt counted of the migration with which a guest came, or None; asked of its target."""

        def ask(libvirt: Any, domain: Any) -> Progress | None:
            flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
            return progress_of(domain.jobStats(flags), is_post_copy=False)

        return self._on_domain(guest, ask)

    def dirty_mib_s(self, guest: GuestIdentity, seconds: int = 1) -> float | None:
        """Measure for some seconds how fast a running guest writes to its memory, in MiB/s; None where that fails.

        Pages that are written twice in that time count once. Not to be asked of a guest that migrates: the two share
        the log of written pages.
        """

        def ask(libvirt: Any, domain: Any) -> float | None:
            import time

            domain.startDirtyRateCalc(seconds, 0)
            until = time.monotonic() + seconds + DIRTY_PATIENCE
            while time.monotonic() < until:
                time.sleep(0.2)
                found = domain.connect().domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_DIRTYRATE, 0)
                stats = found[0][1] if found else {}
                if stats.get("dirtyrate.calc_status") == libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED:
                    return float(stats.get("dirtyrate.megabytes_per_second", 0))
            return None

        return self._on_domain(guest, ask, limit=seconds + 2 * DIRTY_PATIENCE)

    def set_max_downtime(self, guest: GuestIdentity, downtime_ms: int) -> None:
        """Let a guest stand still that long, in ms, at the end of a migration, of one under way too."""
        self._on_domain(guest, lambda _libvirt, domain: domain.migrateSetMaxDowntime(downtime_ms, 0))

    def start_post_copy(self, guest: GuestIdentity) -> None:
        """Have a guest that migrates run on the target at once, and fetch the rest of its memory from there."""
        self._on_domain(guest, lambda _libvirt, domain: domain.migrateStartPostCopy(0))

    def migrate(
        self, guest: GuestIdentity, order: Migration, timeout: float, watch: Callable[[], object] | None = None
    ) -> None:
        """Move a guest live, and return when it runs on the target; ``watch`` is called twice a second meanwhile.

        Raises LibvirtSilent when that takes longer than ``timeout`` seconds; the migration then still goes on, and ends
        with us unless the order says PEER2PEER.
        """

        def move(libvirt: Any, connection: Any) -> None:
            domain = lookup(libvirt, connection, guest)
            if domain is None:
                raise LibvirtError(f"says: {guest.label} is not here any more")
            if order.downtime_ms:
                # QEMU keeps the limit as a parameter, so it can be set before the job begins.
                domain.migrateSetMaxDowntime(order.downtime_ms, 0)
            flags, wishes = _flags(libvirt, order), _wishes(libvirt, order)
            if flags & libvirt.VIR_MIGRATE_PEER2PEER:
                domain.migrateToURI3(order.target_uri, wishes, flags)
            else:
                # Without an event loop no keepalive runs on it (virConnectSetKeepAlive). That is wanted: see moving.
                domain.migrate3(libvirt.open(order.target_uri), wishes, flags)

        self._call(move, limit=timeout, watch=watch)

    def suspend(self, guest: GuestIdentity) -> None:
        """Have a guest's processors stand still."""
        self._on_domain(guest, lambda _libvirt, domain: domain.suspend())

    def resume(self, guest: GuestIdentity) -> None:
        """Have a guest's processors go on."""
        self._on_domain(guest, lambda _libvirt, domain: domain.resume())


def _flags(libvirt: Any, order: Migration) -> int:
    """Return the flags of a migration. Raises LibvirtError for one that this libvirt does not know."""
    # An I/O error during the move ends it, instead of carrying a guest that stands still to the other side.
    names = ["LIVE", "ABORT_ON_ERROR", *(["PERSIST_DEST"] if order.is_persistent else []), *order.flags]
    unknown = [name for name in names if not hasattr(libvirt, f"VIR_MIGRATE_{name}")]
    if unknown:
        raise LibvirtError(f"here does not know VIR_MIGRATE_{unknown[0]}: it is too old for a parameter of the move")
    flags = 0
    for name in names:
        flags |= getattr(libvirt, f"VIR_MIGRATE_{name}")
    return flags


def _wishes(libvirt: Any, order: Migration) -> dict[str, Any]:
    wishes = {name: list(value) if isinstance(value, tuple) else value for name, value in order.parameters.items()}
    if order.migrate_uri:
        wishes[libvirt.VIR_MIGRATE_PARAM_URI] = order.migrate_uri
    if order.bandwidth_mib:
        wishes[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = order.bandwidth_mib
    return wishes


def _describe(domain: Any) -> Domain:
    return Domain(
        identity=GuestIdentity(name=domain.name(), uuid=domain.UUIDString().lower()),
        seen=state_of(*domain.state()),
        is_active=bool(domain.isActive()),
        is_persistent=bool(domain.isPersistent()),
    )
