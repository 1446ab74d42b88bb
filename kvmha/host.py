"""The only door to commands, files, the clock and other processes.

Invariant: nothing in here waits without a bound. A child in D state, the ordinary failure of a storage stack, costs a
caller its timeout plus one second and never more.

This module is hot: it is loaded by every monitor, and so it imports nothing that an idle interpreter has to search for.
The system calls come from posix, where os has them from: os itself and what it loads are a ninth of what a monitor
costs, and only what is about paths or the environment needs it.
"""

from __future__ import annotations

import errno
import posix
import select
import time

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeVar

    T = TypeVar("T")

PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
OUTPUT_LIMIT = 8 * 1024 * 1024
"""Bytes of one stream of one command; nothing that we ask answers with more."""

HOSTNAME = "/proc/sys/kernel/hostname"
"""proc(5): the name in the UTS namespace of whoever reads."""


# The module signal loads enum, so the numbers stand here; signal(7) has them, the same on every Linux we support.
SIGKILL, SIGPIPE, SIGTERM, SIGCONT = 9, 13, 15, 18


class Completed(Record):
    """What a command did: its exit code and its two streams as text."""

    argv: tuple[str, ...]
    rc: int
    out: str
    err: str


class Process(Record):
    """What the kernel shows of a process."""

    state: str
    """One letter of proc(5): D waits for a device and hears no signal, T is stopped, Z has ended."""
    threads: int
    is_kernel: bool = False


class CommandError(Exception):
    """A command failed; the message names it, its exit code and its last words."""

    def __init__(self, argv: tuple[str, ...], said: str) -> None:
        super().__init__(f"{argv[0].rpartition('/')[2]} {said}")
        self.argv = argv


class CommandMissing(CommandError):
    """The program is not installed."""


class CommandTimeout(CommandError):
    """The command, or a call into a foreign library, did not end in its time."""


class CommandFailed(CommandError):
    """The command ended with an exit code that is not an answer."""

    def __init__(self, done: Completed) -> None:
        words = [line.strip() for line in (done.err or done.out).splitlines() if line.strip()]
        how = f"exited with {done.rc}" if done.rc >= 0 else f"was killed by signal {-done.rc}"
        super().__init__(done.argv, f"{how}: {words[-1][:160]}" if words else how)
        self.done = done


class Host:
    """One machine: run, read, write, look at processes, tell the time."""

    def now(self) -> float:
        """Seconds on a clock that never steps (CLOCK_MONOTONIC)."""
        return time.monotonic()

    def wall_clock(self) -> float:
        """Seconds since the epoch, for what is compared with other machines or with a log."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        time.sleep(seconds)

    def name(self) -> str:
        """Return what this machine calls itself, as ``uname -n`` says it. Raises OSError."""
        return self.read(HOSTNAME).strip()

    # ---------------------------------------------------------------- commands

    def which(self, program: str) -> str | None:
        """Return the absolute path of a program on the fixed PATH, or None."""
        if "/" in program:
            return program if posix.access(program, posix.X_OK) else None
        for directory in PATH:
            path = f"{directory}/{program}"
            if posix.access(path, posix.X_OK):
                return path
        return None

    def run(
        self,
        *argv: str,
        timeout: float,
        ok: tuple[int, ...] | None = (0,),
        given: str = "",
        env: dict[str, str] | None = None,
    ) -> Completed:
        """Run a command to its end, its whole process group killed after ``timeout`` seconds.

        ``ok`` are the exit codes that are answers, None for all of them; ``given`` becomes its standard input;
        ``env`` is added to the fixed PATH and locale.

        Raises CommandMissing, CommandTimeout, CommandFailed.
        """
        program = self._program(argv)
        until = self.now() + timeout
        files, close_after = _redirections(given)
        out_read, out_write = posix.pipe()
        err_read, err_write = posix.pipe()
        actions = [*files, (posix.POSIX_SPAWN_DUP2, out_write, 1), (posix.POSIX_SPAWN_DUP2, err_write, 2)]
        try:
            pid = _spawn(program, argv, actions, env)
        except BaseException:
            _close(out_read, err_read)
            raise
        finally:
            _close(out_write, err_write, *close_after)
        try:
            streams = self._collect(pid, argv, (out_read, err_read), until)
            status = self._reap(pid, until)
        except BaseException:
            _kill_group(pid)
            # One second for the kernel to take it away; a child in D state is left behind, and the caller goes on.
            self._reap(pid, self.now() + 1.0)
            raise
        finally:
            _close(out_read, err_read)
        if status is None:
            _kill_group(pid)
            self._reap(pid, self.now() + 1.0)
            raise CommandTimeout(argv, f"did not end within {timeout:g} s")
        done = Completed(argv=argv, rc=posix.waitstatus_to_exitcode(status), out=streams[0], err=streams[1])
        if ok is not None and done.rc not in ok:
            raise CommandFailed(done)
        return done

    def start(self, *argv: str, log: str, env: dict[str, str] | None = None) -> int:
        """Start a command that outlives us, in a session of its own with its output in ``log``; return its pid."""
        program = self._program(argv)
        actions = [
            (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0),
            (posix.POSIX_SPAWN_OPEN, 1, log, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND, 0o644),
            (posix.POSIX_SPAWN_DUP2, 1, 2),
        ]
        return _spawn(program, argv, actions, env, session=True)

    def stream(self, *argv: str, env: dict[str, str] | None = None) -> tuple[int, int]:
        """Start a command whose output the caller reads as it comes; return its pid and the descriptor to read."""
        program = self._program(argv)
        read, write = posix.pipe()
        actions = [*_redirections("")[0], (posix.POSIX_SPAWN_DUP2, write, 1), (posix.POSIX_SPAWN_DUP2, write, 2)]
        try:
            return _spawn(program, argv, actions, env), read
        except BaseException:
            _close(read)
            raise
        finally:
            _close(write)

    def end(self, pid: int) -> None:
        """End a command of ``stream`` with all that it started, and take its exit status."""
        _kill_group(pid)
        self._reap(pid, self.now() + 1.0)

    def wait(self, pid: int, *, timeout: float) -> int | None:
        """Return the exit code of a child that start or stream made, or None if it runs on or is no child of ours."""
        try:
            status = self._reap(pid, self.now() + timeout)
        except ChildProcessError:
            return None
        return None if status is None else posix.waitstatus_to_exitcode(status)

    def interact(self, *argv: str, env: dict[str, str] | None = None) -> int:
        """Run a command on the caller's own terminal until the person is done; return its exit code."""
        import os

        pid = posix.posix_spawn(self._program(argv), argv, {**os.environ, **(env or {})})
        return posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])

    def bounded(self, call: Callable[[], T], *, what: str, timeout: float) -> T:
        """Return what a call into a foreign library returns, or give it up after ``timeout`` seconds.

        The call runs in a thread that is abandoned when it hangs: a C library waiting for a stopped daemon cannot be
        interrupted from outside. The agent's main() therefore leaves by os._exit.
        """
        found = self.together([call], what=what, timeout=timeout)[0]
        if isinstance(found, BaseException):
            raise found
        return found

    def together(self, calls: Sequence[Callable[[], T]], *, what: str, timeout: float) -> list[T | BaseException]:
        """Make several such calls at one time; return for each what it returned or raised, or CommandTimeout."""
        import _thread

        until = self.now() + timeout
        results: list[T | BaseException] = [
            CommandTimeout((what,), f"did not answer within {timeout:.1f} s") for _ in calls
        ]
        locks = []

        def body(index: int, call: Callable[[], T], done: Any) -> None:
            try:
                results[index] = call()
            except BaseException as error:  # handed over to the caller's thread, whatever it is
                results[index] = error
            finally:
                done.release()

        for index, call in enumerate(calls):
            done = _thread.allocate_lock()
            done.acquire()
            locks.append(done)
            _thread.start_new_thread(body, (index, call, done))
        for done in locks:
            done.acquire(timeout=max(until - self.now(), 0.001))
        # A copy, because what was given up may still end.
        return list(results)

    def watched(
        self, call: Callable[[], T], watch: Callable[[], object], *, interval: float, what: str, timeout: float
    ) -> T:
        """Make such a call, and meanwhile another one here, again and again, with that many seconds between."""
        import _thread

        until = self.now() + timeout
        found: list[T | BaseException] = []
        done = _thread.allocate_lock()
        done.acquire()

        def body() -> None:
            try:
                found.append(call())
            except BaseException as error:  # handed over to the caller's thread, whatever it is
                found.append(error)
            finally:
                done.release()

        _thread.start_new_thread(body, ())
        while not done.acquire(timeout=max(min(interval, until - self.now()), 0.001)):
            if self.now() >= until:
                raise CommandTimeout((what,), f"did not answer within {timeout:.1f} s")
            watch()
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    def _program(self, argv: tuple[str, ...]) -> str:
        program = self.which(argv[0])
        if program is None:
            raise CommandMissing(argv, "is not installed")
        return program

    def _collect(self, pid: int, argv: tuple[str, ...], ends: tuple[int, int], until: float) -> list[str]:
        """Read both streams until they close, or the child has ended and is silent, or the time is up."""
        chunks: dict[int, list[bytes]] = {end: [] for end in ends}
        sizes = dict.fromkeys(ends, 0)
        exit_fd = posix.pidfd_open(pid)
        poll = select.poll()
        for fd in (*ends, exit_fd):
            poll.register(fd, select.POLLIN)
        open_ends = set(ends)
        try:
            while open_ends:
                left = until - self.now()
                if left <= 0:
                    break
                ready = [fd for fd, _ in poll.poll(left * 1000)]
                # A grandchild may keep the pipes open for ever; what the child itself wrote is there once it has ended.
                if ready == [exit_fd]:
                    break
                for fd in ready:
                    if fd == exit_fd:
                        continue
                    chunk = posix.read(fd, 65536)
                    if not chunk:
                        poll.unregister(fd)
                        open_ends.discard(fd)
                        continue
                    chunks[fd].append(chunk)
                    sizes[fd] += len(chunk)
                    if sizes[fd] > OUTPUT_LIMIT:
                        raise CommandError(argv, f"printed more than {OUTPUT_LIMIT} bytes")
        finally:
            posix.close(exit_fd)
        return [b"".join(chunks[end]).decode("utf-8", "replace") for end in ends]

    def _reap(self, pid: int, until: float) -> int | None:
        """Return the child's wait status, or None if it has not ended by then."""
        try:
            exit_fd = posix.pidfd_open(pid)
        except ProcessLookupError:
            return None
        try:
            poll = select.poll()
            poll.register(exit_fd, select.POLLIN)
            poll.poll(max(until - self.now(), 0) * 1000)
            found, status = posix.waitpid(pid, posix.WNOHANG)
            return status if found else None
        finally:
            posix.close(exit_fd)

    # ------------------------------------------------------------------- files

    def read(self, path: str) -> str:
        """Return a file's text. Raises OSError."""
        return self.read_bytes(path).decode("utf-8", "replace")

    def read_bytes(self, path: str, limit: int = OUTPUT_LIMIT) -> bytes:
        """Return a file's first ``limit`` bytes. Raises OSError."""
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            chunks = []
            while limit > 0:
                chunk = posix.read(fd, min(limit, 65536))
                if not chunk:
                    break
                chunks.append(chunk)
                limit -= len(chunk)
            return b"".join(chunks)
        finally:
            posix.close(fd)

    def size(self, path: str) -> int:
        """Return a file's size in bytes. Raises OSError."""
        return posix.stat(path).st_size

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Replace a file as a whole and durably, its folder made if need be: readers see the old text or the new."""
        import os

        os.makedirs(os.path.dirname(path), exist_ok=True)
        draft = f"{path}.{posix.getpid()}.new"
        fd = posix.open(draft, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, mode)
        try:
            try:
                rest = text.encode()
                while rest:
                    rest = rest[posix.write(fd, rest) :]
                posix.fsync(fd)
            finally:
                posix.close(fd)
            posix.rename(draft, path)
        except BaseException:
            posix.unlink(draft)
            raise
        # The name is in the folder, which the power may otherwise take away after the text has reached the disk.
        folder = posix.open(os.path.dirname(path) or ".", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        try:
            posix.fsync(folder)
        finally:
            posix.close(folder)

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is fine."""
        try:
            posix.unlink(path)
        except FileNotFoundError:
            pass

    def rename(self, path: str, new: str) -> None:
        """Give a file another name in the same file system, in the place of whatever has that name. Raises OSError."""
        posix.rename(path, new)

    def rewrite(self, path: str, text: str) -> None:
        """Replace the text of a file that is there, as ``write`` does, and keep its mode and what links to it."""
        import os

        real = os.path.realpath(path)
        self.write(real, text, mode=posix.stat(real).st_mode & 0o777)

    def exists(self, path: str) -> bool:
        """Tell whether anything has this path."""
        try:
            posix.stat(path)
        except (OSError, ValueError):
            return False
        return True

    def kind(self, path: str) -> str:
        """Return what a path leads to: ``file``, ``folder``, ``block device`` or ``special file``. Raises OSError."""
        # What stat.S_IFMT and its kin make of the mode (inode(7)); the module stat is C behind a door of Python.
        kinds = {0o100000: "file", 0o040000: "folder", 0o060000: "block device"}
        return kinds.get(posix.stat(path).st_mode & 0o170000, "special file")

    def link(self, path: str) -> str:
        """Return what a symbolic link says, without following it; nothing for what is none, or is not there."""
        try:
            return posix.readlink(path)
        except OSError:
            return ""

    def device_number(self, path: str) -> tuple[int, int]:
        """Return major and minor number of a device, without opening it. Raises OSError."""
        number = posix.stat(path).st_rdev
        return posix.major(number), posix.minor(number)

    def try_open(self, path: str, *, write: bool) -> None:
        """Open a file or device as it is, and close it again. Raises OSError, which says why that cannot be."""
        flags = (posix.O_RDWR if write else posix.O_RDONLY) | posix.O_CLOEXEC
        posix.close(posix.open(path, flags | posix.O_NONBLOCK | posix.O_NOCTTY))

    def open_to_read(self, path: str) -> int:
        """Return the descriptor of a file for who reads it in parts; the caller closes it. Raises OSError."""
        return posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)

    def close(self, fd: int) -> None:
        """Close what ``open_to_read`` has opened."""
        posix.close(fd)

    def lock(self, path: str, *, timeout: float) -> int | None:
        """Take a lock that other processes respect, for ``unlock``; None if they held it for ``timeout`` seconds."""
        import fcntl
        import os

        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = posix.open(path, posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC, 0o600)
        until = self.now() + timeout
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd
            except BlockingIOError:
                if self.now() >= until:
                    posix.close(fd)
                    return None
                self.sleep(0.01)

    def unlock(self, held: int | None) -> None:
        """Let go of a lock; the end of the process does so as well."""
        if held is not None:
            posix.close(held)

    def names(self, path: str) -> list[str]:
        """Return the names in a folder, sorted; none if there is no such folder."""
        try:
            return sorted(posix.listdir(path))
        except (FileNotFoundError, NotADirectoryError):
            return []

    # --------------------------------------------------------------- processes

    def pids(self) -> Iterator[int]:
        """Yield the ids of all processes."""
        return (int(name) for name in posix.listdir("/proc") if name.isdigit())

    def cmdline(self, pid: int) -> tuple[str, ...]:
        """Return a process's arguments as it got them; nothing for one that has ended or is a zombie."""
        try:
            raw = self.read_bytes(f"/proc/{pid}/cmdline", limit=1024 * 1024)
        except (FileNotFoundError, ProcessLookupError):
            return ()
        return tuple(part.decode("utf-8", "surrogateescape") for part in raw.split(b"\0")[:-1])

    def talk(self, path: str, words: str, *, is_enough: Callable[[str], bool], timeout: float) -> str:
        """Say something to whoever serves a local socket, and return what was heard until that is enough, or the end.

        Raises OSError, and CommandTimeout when it is not enough in time.
        """
        import socket

        until = self.now() + timeout
        heard = b""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(timeout)
            line.connect(path)
            line.sendall(words.encode())
            while not is_enough(heard.decode("utf-8", "replace")):
                line.settimeout(max(until - self.now(), 0.001))
                try:
                    chunk = line.recv(65536)
                except socket.timeout:  # TimeoutError itself from Python 3.10
                    raise CommandTimeout((path,), f"did not answer within {timeout:g} s") from None
                if not chunk or len(heard) > OUTPUT_LIMIT:
                    break
                heard += chunk
        return heard.decode("utf-8", "replace")

    def exe(self, pid: int) -> str:
        """Return the path of the program that a process runs, or nothing where the kernel does not tell."""
        try:
            return posix.readlink(f"/proc/{pid}/exe")
        except OSError:
            return ""

    def process(self, pid: int) -> Process | None:
        """Return what the kernel shows of a process, or None if there is none."""
        try:
            text = self.read(f"/proc/{pid}/stat")
        except OSError:
            return None
        # The name stands in parentheses and may itself hold any of them. PF_KTHREAD is 0x200000 (linux/sched.h).
        fields = text[text.rfind(")") + 1 :].split()
        return Process(state=fields[0], threads=int(fields[17]), is_kernel=bool(int(fields[6]) & 0x200000))

    def hold(self, pid: int) -> int:
        """Return what stands for this very process, whatever becomes of its number, to ask ``is_over`` with."""
        try:
            return posix.pidfd_open(pid)
        except ProcessLookupError:
            return -1

    def is_over(self, held: int) -> bool:
        """Tell whether a held process has ended with all its threads, and so has let go of all that it held."""
        if held < 0:
            return True
        poll = select.poll()
        poll.register(held, select.POLLIN)
        return bool(poll.poll(0))

    def kill(self, pid: int, signal: int, *, still: Callable[[], bool], wait: float) -> bool:
        """Send a signal to a process if ``still()`` says that it is the right one; tell whether it has ended.

        The process is held by a pidfd before it is looked at, so that the signal cannot hit one that got its number.
        """
        try:
            fd = posix.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            if not still():
                return True
            # signal.pidfd_send_signal lives in the module signal; the C module below it does not load enum.
            import _signal  # type: ignore[import-not-found]

            try:
                _signal.pidfd_send_signal(fd, signal)
            except OSError as error:
                if error.errno != errno.ESRCH:
                    raise
                return True
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            return bool(poll.poll(wait * 1000))
        finally:
            posix.close(fd)


def _redirections(given: str) -> tuple[list[tuple[Any, ...]], list[int]]:
    """Return the spawn actions for standard input, and the descriptors to close once the child has them."""
    if not given:
        return [(posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0)], []
    # A file in memory needs no writer beside the reader, whatever its size.
    memory = posix.memfd_create("given")
    posix.write(memory, given.encode())
    posix.lseek(memory, 0, 0)
    return [(posix.POSIX_SPAWN_DUP2, memory, 0)], [memory]


def _spawn(
    program: str,
    argv: tuple[str, ...],
    actions: list[tuple[Any, ...]],
    env: dict[str, str] | None,
    *,
    session: bool = False,
) -> int:
    environment = {"PATH": ":".join(PATH), "LC_ALL": "C", **(env or {})}
    # Python ignores SIGPIPE, and an ignored signal stays ignored across exec: tools would then not end with their pipe.
    fate = {"setsigdef": [SIGPIPE], "setsigmask": []}
    if session:
        return posix.posix_spawn(program, argv, environment, file_actions=actions, setsid=True, **fate)  # type: ignore[arg-type]
    return posix.posix_spawn(program, argv, environment, file_actions=actions, setpgroup=0, **fate)  # type: ignore[arg-type]


def _kill_group(pid: int) -> None:
    try:
        posix.killpg(pid, SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        posix.close(descriptor)
