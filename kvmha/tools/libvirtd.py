"""Libvirt through its API: the only importer of the binding.

Every call is bounded by what the caller has left, because a stopped or stuck daemon answers nothing and the binding
waits for ever. A lost connection, an answer that does not come, and a missing binding are all LibvirtUnreachable: they
say nothing about any guest.
"""

from __future__ import annotations

from kvmha.host import CommandError, CommandMissing, CommandTimeout
from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from kvmha.host import Host

    T = TypeVar("T")

CALL_LIMIT = 10.0
"""Seconds that a call which only asks may take."""

# The order of virDomainState and virDomainPausedReason (include/libvirt/libvirt-domain.h), in the words of its status
# files.
STATES = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
PAUSED_REASONS = (
    "unknown", "user", "migration", "save", "dump", "ioerror", "watchdog", "from snapshot", "shutdown", "snapshot",
    "panicked", "starting up", "post-copy", "post-copy failed", "api error",
)  # fmt: skip


class LibvirtError(CommandError):
    """Libvirt refused; the message is its own."""

    def __init__(self, said: str) -> None:
        super().__init__(("libvirt",), said)


class LibvirtUnreachable(LibvirtError):
    """Libvirt did not answer, so nothing is known from it."""


class LibvirtSilent(LibvirtUnreachable):
    """Libvirt took a call and did not answer in time: what it was asked to do, it may still do."""


class LibvirtMissing(LibvirtUnreachable, CommandMissing):
    """The binding is not installed."""


class Domain(Record):
    """A domain as libvirt knows it."""

    identity: GuestIdentity
    seen: GuestState
    is_active: bool
    is_persistent: bool


class Migration(Record):
    """Where a guest goes and how; None leaves the choice to libvirt."""

    target_uri: str
    migrate_uri: str = ""
    bandwidth_mib: int | None = None
    """MiB/s."""
    downtime_ms: int | None = None
    is_persistent: bool = False


class Libvirt:
    """One connection to a hypervisor, made at the first question."""

    def __init__(self, host: Host, uri: str, left: Callable[[], float]) -> None:
        """``left`` tells at any time how many seconds the caller still has."""
        self._host = host
        self._uri = uri
        self._left = left
        self._connection: Any = None

    def domain(self, guest: GuestIdentity) -> Domain | None:
        """Return what libvirt knows of a guest, active or not; None if it says that there is no such domain."""

        def ask(libvirt: Any, connection: Any) -> Domain | None:
            found = _lookup(libvirt, connection, guest)
            if found is None:
                return None
            try:
                return _describe(found)
            except libvirt.libvirtError as error:
                # A transient domain may end between the look-up and the question.
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise

        return self._call(ask)

    def create(self, xml: str) -> Domain:
        """Start a guest from its definition; persistent only if a domain of that name and UUID is defined already."""

        def start(_libvirt: Any, connection: Any) -> Domain:
            return _describe(connection.createXML(xml, 0))

        return self._call(start, limit=None)

    def shutdown(self, guest: GuestIdentity) -> None:
        """Press the guest's power button (ACPI); returns at once, whatever the guest makes of it."""
        self._on_domain(guest, lambda libvirt, domain: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN))

    def destroy(self, guest: GuestIdentity, timeout: float) -> None:
        """Cut the guest's power; libvirt itself waits up to 15 s for QEMU to go."""
        self._on_domain(guest, lambda _libvirt, domain: domain.destroy(), limit=timeout)

    def abort_job(self, guest: GuestIdentity) -> None:
        """Ask a running migration to stop; having none is an error."""
        self._on_domain(guest, lambda _libvirt, domain: domain.abortJob())

    def migrating_out(self, guest: GuestIdentity) -> bool:
        """Tell whether a migration of the guest away from here is under way."""

        def ask(libvirt: Any, domain: Any) -> bool:
            return bool(domain.jobStats().get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT)

        return self._on_domain(guest, ask) or False

    def migrate(self, guest: GuestIdentity, order: Migration, timeout: float) -> None:
        """Move a guest live, and return when it runs on the target.

        Raises LibvirtSilent when that takes longer than ``timeout`` seconds; the migration then still goes on.
        """

        def move(libvirt: Any, domain: Any) -> None:
            flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
            # An I/O error during the move ends it, instead of carrying a guest that stands still to the other side.
            flags |= libvirt.VIR_MIGRATE_ABORT_ON_ERROR
            if order.is_persistent:
                flags |= libvirt.VIR_MIGRATE_PERSIST_DEST
            wishes: dict[str, Any] = {}
            if order.migrate_uri:
                wishes[libvirt.VIR_MIGRATE_PARAM_URI] = order.migrate_uri
            if order.bandwidth_mib:
                wishes[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = order.bandwidth_mib
            if order.downtime_ms:
                # QEMU keeps the limit as a parameter, so it can be set before the job begins.
                domain.migrateSetMaxDowntime(order.downtime_ms, 0)
            domain.migrateToURI3(order.target_uri, wishes, flags)

        self._on_domain(guest, move, limit=timeout)

    def _on_domain(
        self, guest: GuestIdentity, act: Callable[[Any, Any], T], limit: float | None = CALL_LIMIT
    ) -> T | None:
        """Do something with an active guest; a guest that is not there is left alone."""

        def call(libvirt: Any, connection: Any) -> T | None:
            domain = _lookup(libvirt, connection, guest)
            return None if domain is None else act(libvirt, domain)

        return self._call(call, limit=limit)

    def _call(self, act: Callable[[Any, Any], T], limit: float | None = CALL_LIMIT) -> T:
        timeout = self._left() if limit is None else min(limit, self._left())

        def body() -> T:
            libvirt = _binding()
            try:
                if self._connection is None:
                    self._connection = libvirt.open(self._uri)
                return act(libvirt, self._connection)
            except libvirt.libvirtError as error:
                raise _translated(libvirt, error, self._connection) from None

        try:
            return self._host.bounded(body, what="libvirt", timeout=timeout)
        except CommandTimeout:
            # The thread of the lost call keeps the old connection for itself.
            self._connection = None
            raise LibvirtSilent(f"at {self._uri} did not answer within {timeout:.0f} s") from None
        except LibvirtUnreachable:
            self._connection = None
            raise


def _binding() -> Any:
    """Import the binding, which agents started with -S find only after site has run."""
    import sys

    if sys.flags.no_site and "site" not in sys.modules:
        import site

        site.main()
    try:
        import libvirt
    except ImportError as error:
        raise LibvirtMissing(f"cannot be asked: {error} (Debian: python3-libvirt)") from None

    # The binding prints every error on standard error by default, where Pacemaker would read it as ours.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    return libvirt


def _translated(libvirt: Any, error: Any, connection: Any) -> LibvirtError:
    said = " ".join(str(error).split())
    # isAlive asks the own end of the socket only. A daemon that is there may pass on that another one is not: the
    # target of a migration is told with the very code that stands for a lost connection.
    if connection is not None and connection.isAlive():
        return LibvirtError(f"says: {said}")
    # virterror.h: no daemon at the socket, or the connection broke in the middle.
    lost = (
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_SYSTEM_ERROR,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    )
    remote = (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE)
    if error.get_error_code() in lost and error.get_error_domain() in remote:
        return LibvirtUnreachable(f"is not reachable: {said}")
    if error.get_error_code() == libvirt.VIR_ERR_INTERNAL_ERROR and error.get_error_domain() in remote:
        # "client socket is closed" and its kin.
        return LibvirtUnreachable(f"is not reachable: {said}")
    return LibvirtError(f"says: {said}")


def _lookup(libvirt: Any, connection: Any, guest: GuestIdentity) -> Any:
    """Return libvirt's domain object, or None; the name alone decides only where no UUID is known."""
    try:
        return connection.lookupByUUIDString(guest.uuid) if guest.uuid else connection.lookupByName(guest.name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _describe(domain: Any) -> Domain:
    state, reason = domain.state()
    is_paused = state < len(STATES) and STATES[state] == "paused"
    return Domain(
        identity=GuestIdentity(name=domain.name(), uuid=domain.UUIDString().lower()),
        seen=GuestState(
            state=STATES[state] if state < len(STATES) else f"state {state}",
            reason=PAUSED_REASONS[reason] if is_paused and reason < len(PAUSED_REASONS) else "",
        ),
        is_active=bool(domain.isActive()),
        is_persistent=bool(domain.isPersistent()),
    )
