"""One connection to libvirt, and the ways in which it fails: the only importer of the binding.

Every call is bounded by what the caller has left, because a stopped or stuck daemon answers nothing and the binding
waits for ever. A lost connection, an answer that does not come, and a missing binding are all LibvirtUnreachable: they
say nothing about any guest.
"""

from __future__ import annotations

from kvmha.host import CommandError, CommandMissing, CommandTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from kvmha.host import Host
    from kvmha.policy.model import GuestIdentity

    T = TypeVar("T")

CALL_LIMIT = 10.0
"""Seconds that a call which only asks may take."""


WATCH_INTERVAL = 0.5
"""Seconds between two looks at what a long call does."""


class LibvirtError(CommandError):
    """Libvirt refused; the message is its own."""

    def __init__(self, said: str) -> None:
        super().__init__(("libvirt",), said)


class LibvirtUnreachable(LibvirtError):
    """Libvirt did not answer, so nothing is known from it."""


class LibvirtSilent(LibvirtUnreachable):
    """Libvirt took a call and did not answer in time: what it was asked to do, it may still do."""


class LibvirtLost(LibvirtUnreachable):
    """The connection broke in the middle of a call: what libvirt was asked to do may have been done, or not."""


class LibvirtMissing(LibvirtUnreachable, CommandMissing):
    """The binding is not installed."""


class Connection:
    """One connection to a hypervisor, made at the first question."""

    def __init__(self, host: Host, uri: str, left: Callable[[], float]) -> None:
        """``left`` tells at any time how many seconds the caller still has."""
        self._host = host
        self._uri = uri
        self._left = left
        self._connection: Any = None

    def _on_domain(
        self, guest: GuestIdentity, act: Callable[[Any, Any], T], limit: float | None = CALL_LIMIT
    ) -> T | None:
        """Do something with an active guest; a guest that is not there is left alone."""

        def call(libvirt: Any, connection: Any) -> T | None:
            domain = lookup(libvirt, connection, guest)
            return None if domain is None else act(libvirt, domain)

        return self._call(call, limit=limit)

    def _call(
        self,
        act: Callable[[Any, Any], T],
        limit: float | None = CALL_LIMIT,
        watch: Callable[[], object] | None = None,
    ) -> T:
        """Do something with the connection; ``watch`` is called meanwhile, and must have a connection of its own."""
        timeout = self._left() if limit is None else min(limit, self._left())

        def body() -> T:
            libvirt = binding()
            try:
                if self._connection is None:
                    self._connection = libvirt.open(self._uri)
                return act(libvirt, self._connection)
            except libvirt.libvirtError as error:
                raise _translated(libvirt, error, self._connection) from None

        try:
            if watch is not None:
                return self._host.watched(body, watch, interval=WATCH_INTERVAL, what="libvirt", timeout=timeout)
            return self._host.bounded(body, what="libvirt", timeout=timeout)
        except CommandTimeout:
            # The thread of the lost call keeps the old connection for itself.
            self._connection = None
            raise LibvirtSilent(f"at {self._uri} did not answer within {timeout:.0f} s") from None
        except LibvirtUnreachable:
            self._connection = None
            raise


def load() -> None:
    """Import the binding now. Raises LibvirtMissing. Threads that would import it at one time call this before."""
    binding()


def binding() -> Any:
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
    kind = LibvirtUnreachable if connection is None else LibvirtLost
    if error.get_error_code() in lost and error.get_error_domain() in remote:
        return kind(f"is not reachable: {said}")
    if error.get_error_code() == libvirt.VIR_ERR_INTERNAL_ERROR and error.get_error_domain() in remote:
        # "client socket is closed" and its kin.
        return kind(f"is not reachable: {said}")
    return LibvirtError(f"says: {said}")


def lookup(libvirt: Any, connection: Any, guest: GuestIdentity) -> Any:
    """Return libvirt's domain object, or None; the name alone decides only where no UUID is known."""
    try:
        return connection.lookupByUUIDString(guest.uuid) if guest.uuid else connection.lookupByName(guest.name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
