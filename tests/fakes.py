"""The doubles of the unit tests: one for a machine, one for its libvirt, on a clock that only sleeping moves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any, TypeVar

from kvmha.host import (
    SIGCONT,
    SIGKILL,
    SIGTERM,
    CommandFailed,
    CommandMissing,
    CommandTimeout,
    Completed,
    Host,
    Process,
)
from kvmha.policy import guest_state
from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.tools import crm_mon, ss
from kvmha.tools.libvirtd import (
    AGENT_LIMIT,
    CALL_LIMIT,
    QEMU_LIMIT,
    Copied,
    Defined,
    Domain,
    LibvirtError,
    LibvirtLost,
    LibvirtSilent,
    LibvirtUnreachable,
    Migration,
    Progress,
    Room,
    Size,
)
from kvmha.tools.libvirtd.connection import WATCH_INTERVAL
from kvmha.tools.qemu_process import STATUS_FOLDER

T = TypeVar("T")

HANGS, REFUSES, UNREACHABLE, LOST = "hangs", "refuses", "unreachable", "lost"
DEAF, SILENT = "deaf", "silent"


class _FileHangs(Exception):
    """A file is on the file system of a server that is away."""


class FakeHost(Host):
    """A machine of dicts; a command that nobody scripted fails the test."""

    def __init__(self) -> None:
        self.clock = 1000.0
        self.files: dict[str, bytes | OSError | str] = {}
        """What is in a file, or what becomes of reading it: an OSError, or HANGS."""
        self._bounds = 0
        self.devices: dict[str, tuple[int, int]] = {}
        """Major and minor number of the block devices, by path."""
        self.links: dict[str, str] = {}
        """What symbolic links say, by path."""
        self.read_only: set[str] = set()
        """Paths that cannot be opened for writing."""
        self.opened: list[tuple[str, bool]] = []
        """What was tried to be opened, and whether for writing."""
        self.open_files: list[str] = []
        """What ``open_to_read`` has opened, by descriptor."""
        self.closed: list[str] = []
        self.processes: dict[int, tuple[str, ...]] = {}
        self.sockets: dict[str, Callable[[str], str]] = {}
        """Who serves a local socket, by path: what is heard from it when something is said."""
        self.programs: dict[int, str] = {}
        """What a process runs, by pid, where that is not its first argument."""
        self.states: dict[int, Process] = {}
        """What the kernel shows of a process, by pid, where that is not an ordinary one."""
        self.commands: dict[tuple[str, ...], Any] = {}
        """What a command answers, by argv: its output, (rc, out, err), a function that returns one, CommandMissing or
        CommandTimeout."""
        # A machine by itself, until a test says otherwise.
        self.commands[crm_mon.ARGV] = (crm_mon.DISCONNECTED, "", "")
        # Nothing that an earlier move has still to say to another node.
        self.commands[ss.orphans_argv("n2", 16509)] = ""
        self.ran: list[tuple[str, ...]] = []
        self.environments: dict[tuple[str, ...], dict[str, str]] = {}
        """What a command that ran was given beside the fixed environment, by argv."""
        self.killed: list[tuple[int, int]] = []
        self.deaf: dict[int, set[int]] = {}
        """Signals that a process outlives, by pid; SIGKILL too, for one that waits for its disk."""
        self.on_end: Callable[[int], object] = lambda pid: None
        """Who else hears of a process that was ended by a signal."""
        self._pending: dict[int, list[int]] = {}
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
        self.environments[argv] = env or {}
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
        """Make a call; a file that hangs takes all its time."""
        self._bounds += 1
        try:
            return call()
        except _FileHangs:
            self.sleep(timeout)
            raise CommandTimeout((what,), f"did not answer within {timeout:.1f} s") from None
        finally:
            self._bounds -= 1

    def together(self, calls: Sequence[Callable[[], T]], *, what: str, timeout: float) -> list[T | BaseException]:
        """Make the calls one after the other: each may take its time, and the clock shows the sum."""
        results: list[T | BaseException] = []
        for call in calls:
            try:
                results.append(call())
            except Exception as error:
                results.append(error)
        return results

    # ----------------------------------------------------------------- files

    def kind(self, path: str) -> str:
        if path in self.devices:
            return "block device"
        self.read_bytes(path) if path in self.files or path not in self.folders() else None
        return "file" if path in self.files else "folder"

    def link(self, path: str) -> str:
        return self.links.get(path, "")

    def device_number(self, path: str) -> tuple[int, int]:
        return self.devices[path]

    def try_open(self, path: str, *, write: bool) -> None:
        self.opened.append((path, write))
        if write and path in self.read_only:
            raise OSError(30, "Read-only file system", path)
        if path not in self.devices:
            self.read_bytes(path)

    def open_to_read(self, path: str) -> int:
        self.read_bytes(path)
        self.open_files.append(path)
        return len(self.open_files) - 1

    def close(self, fd: int) -> None:
        self.closed.append(self.open_files[fd])

    def lock(self, path: str, *, timeout: float) -> int | None:
        return 1

    def unlock(self, held: int | None) -> None:
        pass

    def folders(self) -> set[str]:
        """Return the folders that its files are in."""
        return {path[:end] for path in self.files for end, letter in enumerate(path) if letter == "/" and end}

    def read_bytes(self, path: str, limit: int = 8 * 1024 * 1024) -> bytes:
        found = self.files.get(path)
        if found is None:
            raise FileNotFoundError(2, "No such file or directory", path)
        if isinstance(found, OSError):
            raise found
        if found == HANGS:
            assert self._bounds, f"{path} hangs, and would do so for ever"
            raise _FileHangs
        return found[:limit]

    def size(self, path: str) -> int:
        return len(self.read_bytes(path, 1 << 40))

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        self.files[path] = text.encode()

    def remove(self, path: str) -> None:
        self.files.pop(path, None)

    def rename(self, path: str, new: str) -> None:
        self.files[new] = self.files.pop(path)

    def rewrite(self, path: str, text: str) -> None:
        assert path in self.files, f"{path} is not there to be rewritten"
        self.write(path, text)

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.devices or path in self.folders()

    def names(self, path: str) -> list[str]:
        known = (*self.files, *self.links)
        return sorted({name[len(path) + 1 :].split("/")[0] for name in known if name.startswith(f"{path}/")})

    # ------------------------------------------------------------- processes

    def pids(self) -> Iterator[int]:
        return iter(list(self.processes))

    def cmdline(self, pid: int) -> tuple[str, ...]:
        return self.processes.get(pid, ())

    def talk(self, path: str, words: str, *, is_enough: Callable[[str], bool], timeout: float) -> str:
        answer = self.sockets.get(path)
        if answer is None:
            raise FileNotFoundError(2, "No such file or directory", path)
        heard = answer(words)
        if not is_enough(heard):
            self.sleep(timeout)
            raise CommandTimeout((path,), f"did not answer within {timeout:g} s")
        return heard

    def exe(self, pid: int) -> str:
        return self.programs.get(pid, "".join(self.processes.get(pid, ())[:1]))

    def process(self, pid: int) -> Process | None:
        if pid in self.states:
            return self.states[pid]
        if pid not in self.processes:
            return None
        return Process(state="S", threads=3) if self.processes[pid] else Process(state="Z", threads=1)

    def hold(self, pid: int) -> int:
        return pid

    def is_over(self, held: int) -> bool:
        return held not in self.processes

    def kill(self, pid: int, signal: int, *, still: Callable[[], bool], wait: float) -> bool:
        assert wait >= 0, "waits for a negative time"
        if pid not in self.processes or not still():
            return True
        self.killed.append((pid, signal))
        state = self.states.get(pid)
        if state is not None and state.state == "T" and signal not in (SIGKILL, SIGCONT):
            # It is pending until the process goes on.
            self._pending.setdefault(pid, []).append(signal)
            self.sleep(wait)
        elif signal == SIGCONT:
            self.states.pop(pid, None)
            for waiting in self._pending.pop(pid, []):
                self.kill(pid, waiting, still=still, wait=wait)
        elif signal in self.deaf.get(pid, ()):
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
        self.job = ""
        """A long job other than a migration away, in the words of JOBS."""
        self.restarts = False
        """Its definition has libvirt start it again when it shuts down (on_poweroff=restart) or reboots."""
        self.ends_for_good = False
        self.starts_with_host = False
        self.is_saved = False
        self.xml = f"<domain><name>{name}</name><uuid>{uuid}</uuid></domain>"


class FakeLibvirt:
    """The daemon, as kvmha.tools.libvirtd.Libvirt shows it, with the ways in which it goes wrong as attributes."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.left: Callable[[], float] = lambda: 3600.0
        self.guests: list[FakeGuest] = []
        self.calls: list[str] = []
        self.trouble: dict[str, str] = {}
        """HANGS, REFUSES, UNREACHABLE or LOST, by method name; "" stands for every method."""
        self.acpi: float | None = 2.0
        """Seconds from the power button to the end of the guest, None for a guest that does not listen."""
        self.agent: float | str | None = None
        """Seconds from the guest agent's order to the end of the guest; DEAF for an agent that takes the order and does
        nothing, SILENT for one that does not answer, None for a guest without one."""
        self.modes: list[str] = []
        """How the guest was asked to shut down."""
        self.wakes = True
        """A guest that sleeps can be woken."""
        self.qemu = ""
        """SILENT for a QEMU that does not answer libvirt."""
        self.storage_works = True
        """A guest that goes on after an I/O error meets no other."""
        self.failed_disks: tuple[str, ...] = ()
        """The targets of the disks on which an I/O error was met."""
        self.destroy_works = True
        self.lag = 0.0
        """Seconds for which libvirt still calls a guest active whose process has ended."""
        self.migration: float | None = 1.0
        """Seconds that a migration takes, None for one that never ends."""
        self.abort_works = True
        self.course: Callable[[float], Progress] | None = None
        """What libvirt counts of a migration, some seconds after its begin; None for nothing at all."""
        self.counted: Progress | None = None
        """What libvirt counted of the migration with which a guest came."""
        self.notes: dict[str, str] = {}
        """What is noted of a guest, by its name."""
        self.dirty: float | None = None
        """How fast guests wrote when that was measured last."""
        self.downtimes: list[int] = []
        """The limits of the pause that a migration under way was given, in ms."""
        self._moving_since = 0.0
        self.saving: float | None = 5.0
        """Seconds that a save of a guest's memory takes, None for one that never ends."""
        self.orders: list[Migration] = []
        self.carries_mib_s = 80.0
        """What its stream carries."""
        self.free_bytes = 10 * 1024**3
        self.sender = host
        """The machine whose files are sent here."""
        self.spoils = False
        """A file that is sent here comes out as another."""
        self.uri = ""
        self.elsewhere: dict[str, FakeLibvirt] = {}
        """The daemons of other machines, by the URI that leads to them; one that nobody made has no guests."""
        self.hand_over: Callable[[FakeGuest, FakeLibvirt], object] = self._hand_over
        """What happens at the end of a migration, to the guest here and at its target."""
        host.on_end = lambda pid: [self.end(guest) for guest in list(self.guests) if guest.pid == pid]

    def __call__(self, host: FakeHost, uri: str, left: Callable[[], float]) -> FakeLibvirt:
        """Be constructed, in the place of the class Libvirt."""
        assert host is self.host
        self.uri = uri
        connection = copy(self._machine(uri))
        connection.uri = uri
        connection.left = left
        return connection

    def _machine(self, uri: str) -> FakeLibvirt:
        if ":///" in uri:
            return self
        if uri not in self.elsewhere:
            self.elsewhere[uri] = FakeLibvirt(FakeHost())
        return self.elsewhere[uri]

    # ------------------------------------------------------- the world below

    def run_guest(self, name: str = "web1", uuid: str = "", pid: int = 734) -> FakeGuest:
        """Have a guest running: domain, status file and process."""
        guest = FakeGuest(name, uuid or "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01", pid)
        self.guests.append(guest)
        self.host.processes[pid] = qemu_cmdline(name, guest.identity.uuid)
        self.put_state(guest, "running", "booted")
        return guest

    def define_guest(self, name: str = "web1", uuid: str = "") -> FakeGuest:
        """Have a persistent domain that does not run."""
        guest = FakeGuest(name, uuid or "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01", 0)
        guest.is_active, guest.is_persistent, guest.state = False, True, "shutoff"
        self.guests.append(guest)
        return guest

    def put_state(self, guest: FakeGuest, state: str, reason: str, operation: str | None = None) -> None:
        """Change a guest's state, in libvirt and in its status file; a pause for an operation is under one."""
        if operation is None and guest_state.is_passing(GuestState(state=state, reason=reason)):
            operation = reason
        job = f"  <job type='none' async='{operation}' phase='perform3' flags='0x3'/>\n" if operation else ""
        guest.state, guest.reason = state, reason
        text = f"<!--\nWARNING\n-->\n\n<domstatus state='{state}' reason='{reason}' pid='{guest.pid}'>\n"
        text += f"{job}  <domain type='kvm'>\n  </domain>\n</domstatus>\n"
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

    def domain(self, guest: GuestIdentity, limit: float = CALL_LIMIT) -> Domain | None:
        self._enter("domain", limit=limit)
        found = self._find(guest)
        if found is None:
            return None
        seen = GuestState(state=found.state, reason=found.reason)
        return Domain(identity=found.identity, seen=seen, is_active=found.is_active, is_persistent=found.is_persistent)

    def create(self, xml: str) -> Domain:
        from kvmha.tools.domain_xml import parse_identity

        self._enter("create", limit=None)
        wanted = parse_identity(xml.encode())
        guest = self._boot(wanted)
        if not guest.is_persistent:
            guest.xml = xml
        return self._shown(guest)

    def start(self, guest: GuestIdentity) -> Domain:
        self._enter("start", limit=None)
        found = self._find(guest)
        if found is None:
            raise LibvirtError(f"says: {guest.label} is not defined any more")
        return self._shown(self._boot(found.identity))

    def _boot(self, wanted: GuestIdentity) -> FakeGuest:
        """Start a guest; a persistent domain of that name and UUID stays one."""
        kept = [guest for guest in self.guests if guest.identity.name == wanted.name]
        if any(guest.is_active or guest.identity.uuid != wanted.uuid for guest in kept):
            raise LibvirtError(f"says: operation failed: domain '{wanted.name}' already exists")
        guest = self.run_guest(wanted.name, wanted.uuid, pid=4000 + len(self.calls))
        for old in kept:
            guest.is_persistent, guest.starts_with_host, guest.xml = True, old.starts_with_host, old.xml
            self.guests.remove(old)
        return guest

    def _shown(self, guest: FakeGuest) -> Domain:
        state = GuestState(state=guest.state, reason=guest.reason)
        return Domain(identity=guest.identity, seen=state, is_active=guest.is_active, is_persistent=guest.is_persistent)

    def defined(self, guest: GuestIdentity) -> Defined | None:
        self._enter("defined")
        found = self._find(guest)
        if found is None or not found.is_persistent:
            return None
        return Defined(
            identity=found.identity, xml=found.xml, starts_with_host=found.starts_with_host, is_saved=found.is_saved
        )

    def definition_to_keep(self, guest: GuestIdentity) -> str | None:
        self._enter("definition_to_keep")
        found = self._find(guest)
        return None if found is None else found.xml

    def live_definition(self, guest: GuestIdentity) -> str | None:
        self._enter("live_definition")
        found = self._find(guest)
        return None if found is None else found.xml

    def agent_silence(self, guest: GuestIdentity) -> str:
        self._enter("agent_silence", limit=AGENT_LIMIT)
        if self.agent != SILENT:
            return ""
        self._spend(5.0)
        return "Guest agent is not responding: Guest agent not available for now"

    def qemu_silence(self, guest: GuestIdentity) -> str:
        self._enter("qemu_silence", limit=QEMU_LIMIT)
        if self.qemu != SILENT:
            return ""
        self._spend(min(QEMU_LIMIT, self.left()))
        return "QEMU does not answer libvirt"

    def disk_errors(self, guest: GuestIdentity) -> tuple[str, ...]:
        self._enter("disk_errors")
        return self.failed_disks

    def resume_after_io_error(self, guest: GuestIdentity) -> bool:
        self._enter("resume_after_io_error")
        found = self._find(guest)
        if found is None or (found.state, found.reason) != ("paused", "ioerror"):
            return False
        if self.storage_works:
            self.put_state(found, "running", "unpaused")
        return True

    def size(self, guest: GuestIdentity) -> Size | None:
        self._enter("size")
        return None if self._find(guest) is None else Size(cpus=2, memory_mib=256)

    def save(self, guest: GuestIdentity, path: str, timeout: float) -> None:
        self._enter("save", limit=timeout)
        found = self._find(guest)
        if found is None:
            return
        self.host.files[path] = b"LibvirtQemudPart"
        if self.saving is None or self.saving > timeout:
            self.put_state(found, "paused", "save")
            found.job = "save"
            self._spend(timeout)
            raise LibvirtSilent(f"at {self.uri} did not answer within {timeout:.0f} s")
        self._spend(self.saving)
        self.host.files[path] = b"LibvirtQemudSave" + found.xml.encode()
        self.end(found)

    def saved_definition(self, path: str) -> str:
        self._enter("saved_definition")
        content = self.host.read_bytes(path)
        if not content.startswith(b"LibvirtQemudSave"):
            raise LibvirtError("says: operation failed: save image is incomplete")
        return content[len(b"LibvirtQemudSave") :].decode()

    def restore(self, path: str) -> None:
        from kvmha.tools.domain_xml import parse_identity

        self._enter("restore", limit=None)
        xml = self.saved_definition(path)
        self._boot(parse_identity(xml.encode())).xml = xml

    def start_pool(self, name: str) -> bool:
        self._enter(f"start_pool {name}")
        return True

    def start_network(self, name: str) -> bool:
        self._enter(f"start_network {name}")
        return True

    def shutdown(self, guest: GuestIdentity, mode: str = "acpi", limit: float = CALL_LIMIT) -> None:
        self.modes.append(mode)
        self._enter("shutdown", limit=limit)
        found = self._find(guest)
        if found is None:
            return
        if found.state not in ("running", "shutdown"):
            raise LibvirtError("says: Requested operation is not valid: domain is not running")
        if mode == "agent":
            self._ask_agent(found, limit)
        elif mode != "acpi":
            raise LibvirtError("says: unsupported flags (0x4) in function qemuDomainShutdownFlags")
        elif self.acpi is not None:
            self.host.after(self.acpi, lambda: self._powers_off(found))

    def _ask_agent(self, guest: FakeGuest, limit: float) -> None:
        if self.agent is None:
            raise LibvirtError("says: argument unsupported: QEMU guest agent is not configured")
        if self.agent == SILENT:
            self._spend(min(5.0, limit))
            raise LibvirtError("says: Guest agent is not responding: Guest agent not available for now")
        if self.agent != DEAF:
            self.host.after(float(self.agent), lambda: self._powers_off(guest))
        self._spend(min(limit, 60.0 if self.agent == DEAF else float(self.agent)))
        if guest.is_active:
            raise LibvirtSilent(f"at {self.uri} did not answer within {limit:.0f} s")

    def _powers_off(self, guest: FakeGuest) -> None:
        """Let a guest come to its end, unless libvirt was told to start it again then."""
        if guest.ends_for_good or not guest.restarts:
            self.end(guest)

    def end_for_good(self, guest: GuestIdentity) -> None:
        self._enter("end_for_good")
        found = self._find(guest)
        if found is not None:
            found.ends_for_good = True

    def wake(self, guest: GuestIdentity) -> None:
        self._enter("wake")
        found = self._find(guest)
        if found is not None and found.state == "pmsuspended" and self.wakes:
            self.put_state(found, "running", "wakeup")

    def job(self, guest: GuestIdentity) -> str:
        self._enter("job")
        found = self._find(guest)
        if found is None:
            return ""
        return "migration out" if found.is_moving else found.job

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
        if not found.is_moving and not found.job:
            raise LibvirtError("says: Requested operation is not valid: no job is active on the domain")
        if self.abort_works:
            found.is_moving, found.job = False, ""
            self.put_state(found, "running", "migration canceled")

    def suspend(self, guest: GuestIdentity) -> None:
        self._enter("suspend")
        found = self._find(guest)
        if found is not None:
            self.put_state(found, "paused", "user")

    def resume(self, guest: GuestIdentity) -> None:
        self._enter("resume")
        found = self._find(guest)
        if found is not None:
            self.put_state(found, "running", "unpaused")

    def progress(self, guest: GuestIdentity) -> Progress | None:
        self._enter("progress")
        found = self._find(guest)
        if found is None or not found.is_moving or self.course is None:
            return None
        progress = self.course(self.host.now() - self._moving_since)
        return progress.replace(is_post_copy=progress.is_post_copy or "start_post_copy" in self.calls)

    def versions(self) -> tuple[int, int]:
        self._enter("versions")
        return 9000000, 7002000

    def outcome(self, guest: GuestIdentity) -> Progress | None:
        self._enter("outcome")
        return self.counted

    def note(self, guest: GuestIdentity) -> str:
        self._enter("note")
        return self.notes.get(guest.name, "")

    def set_note(self, guest: GuestIdentity, text: str) -> None:
        self._enter("set_note")
        self.notes[guest.name] = text

    def last_dirty_mib_s(self, guest: GuestIdentity, within: float) -> float | None:
        self._enter("last_dirty_mib_s")
        return self.dirty

    def set_max_downtime(self, guest: GuestIdentity, downtime_ms: int) -> None:
        self._enter("set_max_downtime")
        self.downtimes.append(downtime_ms)

    def start_post_copy(self, guest: GuestIdentity) -> None:
        self._enter("start_post_copy")

    def migrate(
        self, guest: GuestIdentity, order: Migration, timeout: float, watch: Callable[[], object] | None = None
    ) -> None:
        self._enter("migrate", limit=timeout)
        self._moving_since = self.host.now()
        self.orders.append(order)
        found = self._find(guest)
        if found is None:
            raise LibvirtError(f"says: {guest.label} is not here any more")
        found.is_moving = True
        target = self._machine(order.target_uri)
        until = self.host.now() + timeout
        lasts = self.migration
        if lasts is not None and lasts > timeout:
            self.host.after(lasts, lambda: self.hand_over(found, target) if found.is_moving else None)
        while lasts is None or self.host.now() < self._moving_since + lasts:
            ends = until if lasts is None else min(until, self._moving_since + lasts)
            self._spend(min(WATCH_INTERVAL, ends - self.host.now()))
            if self.host.now() >= until:
                raise LibvirtSilent(f"at {self.uri} did not answer within {timeout:.0f} s")
            if watch is not None and (lasts is None or self.host.now() < self._moving_since + lasts):
                watch()
            if not found.is_moving:
                raise LibvirtError("says: operation aborted: migration out job: canceled by client")
            if "start_post_copy" in self.calls and lasts is None:
                lasts = self.host.now() + 2.0 - self._moving_since
        self.hand_over(found, target)

    def _hand_over(self, guest: FakeGuest, target: FakeLibvirt) -> None:
        arrived = target.run_guest(guest.identity.name, guest.identity.uuid, pid=9000)
        if guest.state == "paused":
            target.put_state(arrived, guest.state, guest.reason)
        self.end(guest)

    def room(self, folder: str) -> Room | None:
        self._enter("room")
        if folder not in self.host.folders():
            return None
        return Room(free_bytes=self.free_bytes, names=tuple(self.host.names(folder)))

    def send_file(
        self,
        fd: int,
        path: str,
        *,
        owner: tuple[int, int, int],
        on_made: Callable[[], object],
        on_bytes: Callable[[int], None],
        watch: Callable[[], object],
    ) -> Copied:
        self._enter("send_file", limit=None)
        if path in self.host.files:
            raise LibvirtError(f"says: storage volume '{path}' exists already")
        on_made()
        data = self.sender.read_bytes(self.sender.open_files[fd])
        self.host.files[path] = data[:-1] + b"?" if self.spoils else data
        watch()
        on_bytes(len(data))
        return Copied(size=len(data), sent=len(data), digest=hashlib.sha256(data).hexdigest())

    def digest_of(self, path: str, *, on_bytes: Callable[[int], None], watch: Callable[[], object]) -> str:
        self._enter("digest_of", limit=None)
        watch()
        return hashlib.sha256(self.host.read_bytes(path)).hexdigest()

    def path_mib_s(self, mib: int = 32) -> float:
        self._enter("path_mib_s")
        return self.carries_mib_s

    def remove_file(self, path: str) -> None:
        self._enter("remove_file")
        self.host.remove(path)

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
        if trouble == LOST:
            raise LibvirtLost("is not reachable: End of file while reading data: Input/output error")
        if trouble == HANGS:
            seconds = self.left() if limit is None else min(limit, self.left())
            self._spend(seconds)
            raise LibvirtSilent(f"at {self.uri} did not answer within {seconds:.0f} s")


def qemu_cmdline(name: str, uuid: str) -> tuple[str, ...]:
    """Return the arguments that libvirt gives QEMU, as far as they tell who it is."""
    option = f"guest={name.replace(',', ',,')},debug-threads=on"
    return ("/usr/bin/qemu-system-x86_64", "-name", option, "-S", "-machine", "q35", "-uuid", uuid, "-no-shutdown")


__all__ = [
    "DEAF",
    "HANGS",
    "LOST",
    "REFUSES",
    "SIGKILL",
    "SIGTERM",
    "SILENT",
    "UNREACHABLE",
    "FakeGuest",
    "FakeHost",
    "FakeLibvirt",
    "qemu_cmdline",
]
