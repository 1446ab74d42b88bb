"""The doubles of the unit tests: one for a machine, one for its libvirt, on a clock that only sleeping moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any, TypeVar

from kvmha.host import SIGKILL, SIGTERM, CommandFailed, CommandMissing, CommandTimeout, Completed, Host
from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.tools.libvirtd import CALL_LIMIT, Domain, LibvirtError, LibvirtSilent, LibvirtUnreachable, Migration
from kvmha.tools.qemu_process import STATUS_FOLDER

T = TypeVar("T")

HANGS, REFUSES, UNREACHABLE = "hangs", "refuses", "unreachable"


class FakeHost(Host):
    """A machine of dicts; a command that nobody scripted fails the test."""

    def __init__(self) -> None:
        self.clock = 1000.0
        self.files: dict[str, bytes | OSError] = {}
        self.processes: dict[int, tuple[str, ...]] = {}
        self.commands: dict[tuple[str, ...], Any] = {}
        """What a command answers, by argv: its output, (rc, out, err), a function that returns one, CommandMissing or
        CommandTimeout."""
        self.ran: list[tuple[str, ...]] = []
        self.killed: list[tuple[int, int]] = []
        self.deaf: dict[int, set[int]] = {}
        """Signals that a process outlives, by pid; SIGKILL too, for one that waits for its disk."""
        self.on_end: Callable[[int], object] = lambda pid: None
        """Who else hears of a process that was ended by a signal."""
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    # ------------------------------------------------------------------ time

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0, "slept for a negative time"
        until = self.clock + seconds
        while self._events and min(self._events)[0] <= until:
            event = min(self._events)
            self._events.remove(event)
            self.clock = max(self.clock, event[0])
            event[2]()
        self.clock = until

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something when the clock has moved that far."""
        self._count += 1
        self._events.append((self.clock + seconds, self._count, act))

    # -------------------------------------------------------------- commands

    def which(self, program: str) -> str | None:
        return f"/usr/bin/{program}"

    def run(
        self,
        *argv: str,
        timeout: float,
        ok: tuple[int, ...] | None = (0,),
        given: str = "",
        env: dict[str, str] | None = None,
    ) -> Completed:
        assert timeout > 0, f"{argv} may not take any time"
        assert argv in self.commands, f"nobody scripted {argv}"
        self.ran.append(argv)
        answer = self.commands[argv]
        if answer is CommandMissing:
            raise CommandMissing(argv, "is not installed")
        if answer is CommandTimeout:
            self.sleep(timeout)
            raise CommandTimeout(argv, f"did not end within {timeout:g} s")
        if callable(answer):
            answer = answer()
        rc, out, err = (0, answer or "", "") if not isinstance(answer, tuple) else answer
        done = Completed(argv=argv, rc=rc, out=out, err=err)
        if ok is not None and rc not in ok:
            raise CommandFailed(done)
        return done

    def start(self, *argv: str, log: str, env: dict[str, str] | None = None) -> int:
        raise AssertionError(f"nobody scripted a start of {argv}")

    def bounded(self, call: Callable[[], T], *, what: str, timeout: float) -> T:
        return call()

    # ----------------------------------------------------------------- files

    def read_bytes(self, path: str, limit: int = 8 * 1024 * 1024) -> bytes:
        found = self.files.get(path)
        if found is None:
            raise FileNotFoundError(2, "No such file or directory", path)
        if isinstance(found, OSError):
            raise found
        return found[:limit]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        self.files[path] = text.encode()

    def remove(self, path: str) -> None:
        self.files.pop(path, None)

    def exists(self, path: str) -> bool:
        return path in self.files

    def names(self, path: str) -> list[str]:
        return sorted({name[len(path) + 1 :].split("/")[0] for name in self.files if name.startswith(f"{path}/")})

    # ------------------------------------------------------------- processes

    def pids(self) -> Iterator[int]:
        return iter(list(self.processes))

    def cmdline(self, pid: int) -> tuple[str, ...]:
        return self.processes.get(pid, ())

    def hold(self, pid: int) -> int:
        return pid

    def is_over(self, held: int) -> bool:
        return held not in self.processes

    def kill(self, pid: int, signal: int, *, still: Callable[[], bool], wait: float) -> bool:
        assert wait >= 0, "waits for a negative time"
        if pid not in self.processes or not still():
            return True
        self.killed.append((pid, signal))
        if signal in self.deaf.get(pid, ()):
            self.sleep(wait)
        else:
            self.processes.pop(pid, None)
            self.on_end(pid)
        return pid not in self.processes


class FakeGuest:
    """One domain of FakeLibvirt."""

    def __init__(self, name: str, uuid: str, pid: int) -> None:
        self.identity = GuestIdentity(name=name, uuid=uuid)
        self.pid = pid
        self.state, self.reason = "running", ""
        self.is_active = True
        self.is_persistent = False
        self.is_moving = False


class FakeLibvirt:
    """The daemon, as kvmha.tools.libvirtd.Libvirt shows it, with the ways in which it goes wrong as attributes."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.left: Callable[[], float] = lambda: 3600.0
        self.guests: list[FakeGuest] = []
        self.calls: list[str] = []
        self.trouble: dict[str, str] = {}
        """HANGS, REFUSES or UNREACHABLE, by method name; "" stands for every method."""
        self.acpi: float | None = 2.0
        """Seconds from the power button to the end of the guest, None for a guest that does not listen."""
        self.destroy_works = True
        self.lag = 0.0
        """Seconds for which libvirt still calls a guest active whose process has ended."""
        self.migration: float | None = 1.0
        """Seconds that a migration takes, None for one that never ends."""
        self.abort_works = True
        self.orders: list[Migration] = []
        self.uri = ""
        host.on_end = lambda pid: [self.end(guest) for guest in list(self.guests) if guest.pid == pid]

    def __call__(self, host: FakeHost, uri: str, left: Callable[[], float]) -> FakeLibvirt:
        """Be constructed, in the place of the class Libvirt."""
        assert host is self.host
        self.uri = uri
        connection = copy(self)
        connection.left = left
        return connection

    # ------------------------------------------------------- the world below

    def run_guest(self, name: str = "web1", uuid: str = "", pid: int = 734) -> FakeGuest:
        """Have a guest running: domain, status file and process."""
        guest = FakeGuest(name, uuid or "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01", pid)
        self.guests.append(guest)
        self.host.processes[pid] = qemu_cmdline(name, guest.identity.uuid)
        self.put_state(guest, "running", "booted")
        return guest

    def put_state(self, guest: FakeGuest, state: str, reason: str) -> None:
        """Change a guest's state, in libvirt and in its status file."""
        guest.state, guest.reason = state, reason if state == "paused" else ""
        text = f"<!--\nWARNING\n-->\n\n<domstatus state='{state}' reason='{reason}' pid='{guest.pid}'>\n</domstatus>\n"
        self.host.files[f"{STATUS_FOLDER}/{guest.identity.name}.xml"] = text.encode()

    def end(self, guest: FakeGuest) -> None:
        """End a guest: its process at once, the rest when libvirt notices."""
        self.host.processes.pop(guest.pid, None)
        if self.lag:
            self.host.after(self.lag, lambda: self._noticed(guest))
        else:
            self._noticed(guest)

    def _noticed(self, guest: FakeGuest) -> None:
        guest.is_active, guest.is_moving, guest.state = False, False, "shutoff"
        self.host.files.pop(f"{STATUS_FOLDER}/{guest.identity.name}.xml", None)
        if guest in self.guests and not guest.is_persistent:
            self.guests.remove(guest)

    # --------------------------------------------------- what Libvirt offers

    def domain(self, guest: GuestIdentity) -> Domain | None:
        self._enter("domain")
        found = self._find(guest)
        if found is None:
            return None
        seen = GuestState(state=found.state, reason=found.reason)
        return Domain(identity=found.identity, seen=seen, is_active=found.is_active, is_persistent=found.is_persistent)

    def create(self, xml: str) -> Domain:
        from kvmha.tools.domain_xml import parse_identity

        self._enter("create", limit=None)
        wanted = parse_identity(xml.encode())
        guest = self.run_guest(wanted.name, wanted.uuid, pid=4000 + len(self.calls))
        return Domain(
            identity=guest.identity, seen=GuestState(state="running"), is_active=True, is_persistent=guest.is_persistent
        )

    def shutdown(self, guest: GuestIdentity) -> None:
        self._enter("shutdown")
        found = self._find(guest)
        if found is not None and self.acpi is not None:
            self.host.after(self.acpi, lambda: self.end(found))

    def destroy(self, guest: GuestIdentity, timeout: float) -> None:
        self._enter("destroy", limit=timeout)
        found = self._find(guest)
        if found is None or not found.is_active:
            return
        if not self.destroy_works or SIGKILL in self.host.deaf.get(found.pid, ()):
            self._spend(min(15.0, timeout))
            raise LibvirtError("says: Failed to terminate process with SIGKILL: Device or resource busy")
        self.end(found)

    def abort_job(self, guest: GuestIdentity) -> None:
        self._enter("abort_job")
        found = self._find(guest)
        if found is None:
            return
        if not found.is_moving:
            raise LibvirtError("says: Requested operation is not valid: no job is active on the domain")
        if self.abort_works:
            found.is_moving = False
            self.put_state(found, "running", "migration canceled")

    def migrating_out(self, guest: GuestIdentity) -> bool:
        self._enter("migrating_out")
        found = self._find(guest)
        return found is not None and found.is_moving

    def migrate(self, guest: GuestIdentity, order: Migration, timeout: float) -> None:
        self._enter("migrate", limit=timeout)
        self.orders.append(order)
        found = self._find(guest)
        if found is None:
            return
        found.is_moving = True
        if self.migration is None or self.migration > timeout:
            if self.migration is not None:
                self.host.after(self.migration, lambda: self.end(found) if found.is_moving else None)
            self._spend(timeout)
            raise LibvirtSilent(f"at {self.uri} did not answer within {timeout:.0f} s")
        self._spend(self.migration)
        self.end(found)

    def _find(self, guest: GuestIdentity) -> FakeGuest | None:
        for found in self.guests:
            if guest.uuid == found.identity.uuid if guest.uuid else guest.name == found.identity.name:
                return found
        return None

    def _spend(self, seconds: float) -> None:
        self.host.sleep(max(seconds, 0.0))

    def _enter(self, method: str, limit: float | None = CALL_LIMIT) -> None:
        self.calls.append(method)
        trouble = self.trouble.get(method, self.trouble.get(""))
        if trouble == REFUSES:
            raise LibvirtError("says: Timed out during operation: cannot acquire state change lock")
        if trouble == UNREACHABLE:
            raise LibvirtUnreachable("is not reachable: Failed to connect socket to '/var/run/libvirt/libvirt-sock'")
        if trouble == HANGS:
            seconds = self.left() if limit is None else min(limit, self.left())
            self._spend(seconds)
            raise LibvirtSilent(f"at {self.uri} did not answer within {seconds:.0f} s")


def qemu_cmdline(name: str, uuid: str) -> tuple[str, ...]:
    """Return the arguments that libvirt gives QEMU, as far as they tell who it is."""
    option = f"guest={name.replace(',', ',,')},debug-threads=on"
    return ("/usr/bin/qemu-system-x86_64", "-name", option, "-S", "-machine", "q35", "-uuid", uuid, "-no-shutdown")


__all__ = [
    "HANGS",
    "REFUSES",
    "SIGKILL",
    "SIGTERM",
    "UNREACHABLE",
    "FakeGuest",
    "FakeHost",
    "FakeLibvirt",
    "qemu_cmdline",
]
