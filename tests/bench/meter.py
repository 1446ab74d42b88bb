"""Runs commands as Pacemaker's executor does and says what each of them cost. Copied into a node and run there.

One file without imports from the package, for the bare Python of the node: jobs come as JSON on standard input, and
what they cost goes out as JSON. There are two ways of running, because no single one is exact in everything:

timed    Nothing is in the way. The time is that from the start to the end of the command itself. The processor time is
         the kernel's own account (wait4(2)): each process that ends hands its account, with those of the children that
         it waited for, to whoever waits for it. What is left behind by its parent comes to us, because we are a
         "subreaper" (prctl(2)), and is added. What a daemon does for the command is its own.
counted  The command and all that comes of it is traced (ptrace(2), PTRACE_O_TRACEFORK and its like): the kernel stops
         each new process and each new thread before its first instruction, so the count is exact. At each of these
         stops, and when a process ends, the memory is looked at. Tracing costs time, so no time is told.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LINGER = 3.0
"""Seconds in which what a command left behind has to end, to be counted and then killed."""

PR_SET_CHILD_SUBREAPER = 36
PTRACE_CONT, PTRACE_GETEVENTMSG, PTRACE_SEIZE, PTRACE_LISTEN = 7, 0x4201, 0x4206, 0x4208
EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_EXIT, EVENT_STOP = 1, 2, 3, 4, 6, 128
BIRTHS = (EVENT_FORK, EVENT_VFORK, EVENT_CLONE)
EXITKILL = 1 << 20
OPTIONS = sum(1 << event for event in (*BIRTHS, EVENT_EXEC, EVENT_EXIT)) | EXITKILL
ALL_KINDS = 0x40000000
"""__WALL of wait(2): threads as well as processes. All these numbers are those of linux/ptrace.h and linux/prctl.h."""

STOPPING = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


class Overdue(Exception):
    """A counted command took more than its time."""


def timed(argv: list[str], env: dict[str, str], timeout: float) -> dict[str, Any]:
    """Run a command, its process group killed when the time is up, and return its end, its time and its cost."""
    out, err = os.memfd_create("out"), os.memfd_create("err")
    begun = time.monotonic()
    pid = os.posix_spawn(
        argv[0],
        argv,
        env,
        file_actions=(
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out, 1),
            (os.POSIX_SPAWN_DUP2, err, 2),
        ),
        setpgroup=0,
    )
    held = os.pidfd_open(pid)
    is_killed = not _ends(held, timeout)
    if is_killed:
        # As Pacemaker does it: without a warning, and the whole group.
        os.killpg(pid, signal.SIGKILL)
        _ends(held, LINGER)
    wall = time.monotonic() - begun
    os.close(held)
    _, status, used = os.wait4(pid, 0)
    return {
        "rc": os.waitstatus_to_exitcode(status),
        "is_killed": is_killed,
        "wall": wall,
        "cpu": used.ru_utime + used.ru_stime + _cpu_of_orphans(),
        "out": _content(out),
        "err": _content(err),
    }


def _ends(held: int, timeout: float) -> bool:
    """Wait for a held process's end; tell whether it came in time."""
    poll = select.poll()
    poll.register(held, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def _cpu_of_orphans() -> float:
    """Return the processor time of what a command left behind, waiting a moment for its end."""
    seconds, until = 0.0, time.monotonic() + LINGER
    while time.monotonic() < until:
        try:
            pid, _, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return seconds
        if pid:
            seconds += used.ru_utime + used.ru_stime
        else:
            time.sleep(0.001)
    for pid in _children():
        os.kill(pid, signal.SIGKILL)
        _, _, used = os.wait4(pid, 0)
        seconds += used.ru_utime + used.ru_stime
    return seconds


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def counted(argv: list[str], env: dict[str, str], timeout: float) -> dict[str, Any]:
    """Run a command under trace and return its end, the processes and threads that it was, and their memory."""
    out, err = os.memfd_create("out"), os.memfd_create("err")
    pid = os.fork()
    if not pid:
        _become(argv, env, out, err)
    os.waitpid(pid, os.WUNTRACED)
    _ptrace(PTRACE_SEIZE, pid, 0, OPTIONS)
    os.kill(pid, signal.SIGCONT)
    census = Census(pid)
    signal.signal(signal.SIGALRM, _overdue)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    is_killed = False
    try:
        census.follow()
    except Overdue:
        is_killed = True
        os.killpg(pid, signal.SIGKILL)
        census.follow()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {
        "rc": census.rc,
        "is_killed": is_killed,
        "processes": census.processes,
        "threads": census.threads,
        "programs": census.programs,
        "largest_kib": census.largest_kib,
        "together_kib": census.together_kib,
        "out": _content(out),
        "err": _content(err),
    }


def _become(argv: list[str], env: dict[str, str], out: int, err: int) -> None:
    """Be the child: wait to be traced, then become the command."""
    try:
        os.setpgid(0, 0)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.execve(argv[0], argv, env)
    finally:
        os._exit(127)


def _overdue(_signal: int, _frame: object) -> None:
    raise Overdue


class Census:
    """All that comes of one traced process."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.alive = {first}
        self.processes, self.threads, self.programs = 1, 0, 0
        self.largest_kib = self.together_kib = 0
        self.rc = 0

    def follow(self) -> None:
        """Let all of them go on from stop to stop until none is left. Raises Overdue when the alarm comes."""
        while self.alive:
            try:
                pid, status = os.waitpid(-1, ALL_KINDS)
            except ChildProcessError:
                return
            if not os.WIFSTOPPED(status):
                self.alive.discard(pid)
                if pid == self.first:
                    self.rc = os.waitstatus_to_exitcode(status)
                continue
            self.alive.add(pid)
            self._go_on(pid, os.WSTOPSIG(status), status >> 16)

    def _go_on(self, pid: int, stopped_by: int, event: int) -> None:
        if event in BIRTHS:
            self._count(_event_message(pid))
        elif event == EVENT_EXEC:
            self.programs += 1
        if event in (*BIRTHS, EVENT_EXEC, EVENT_EXIT):
            self._weigh()
        if event == EVENT_STOP and stopped_by in STOPPING:
            _ptrace(PTRACE_LISTEN, pid, 0, 0)
            return
        # A stop that is an event, and not a signal on its way, hands no signal on.
        _ptrace(PTRACE_CONT, pid, 0, 0 if event else stopped_by)

    def _count(self, born: int) -> None:
        self.alive.add(born)
        if _status_of(born).get("Tgid") == str(born):
            self.processes += 1
        else:
            self.threads += 1

    def _weigh(self) -> None:
        """Note the memory of the process that has the most, at its peak, and of all of them together, now."""
        if not self.programs:
            # So far it is a copy of this very program.
            return
        together = 0
        for pid in self.alive:
            status = _status_of(pid)
            if status.get("Tgid") != str(pid) or "VmRSS" not in status:
                continue
            together += int(status["VmRSS"].split()[0])
            self.largest_kib = max(self.largest_kib, int(status["VmHWM"].split()[0]))
        # A peak between two stops is seen of each process, and not of all at once.
        self.together_kib = max(self.together_kib, together, self.largest_kib)


def _status_of(pid: int) -> dict[str, str]:
    """Return the fields of /proc/PID/status, proc(5); none for what has gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}
    except (FileNotFoundError, ProcessLookupError):
        return {}


def _event_message(pid: int) -> int:
    message = ctypes.c_ulong()
    _ptrace(PTRACE_GETEVENTMSG, pid, 0, ctypes.addressof(message))
    return message.value


def _ptrace(request: int, pid: int, address: int, data: int) -> None:
    if libc.ptrace(request, pid, address, data) < 0:
        number = ctypes.get_errno()
        # It was killed while it stood; waitpid will say so.
        if number != 3:
            raise OSError(number, f"ptrace {request:#x}: {os.strerror(number)}")


def _content(fd: int) -> str:
    try:
        return os.pread(fd, 1 << 20, 0).decode("utf-8", "replace")
    finally:
        os.close(fd)


def main() -> None:
    """Run all jobs, one after the other."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    jobs = json.load(sys.stdin)
    run = {"timed": timed, "counted": counted}
    json.dump([run[job["how"]](job["argv"], job["env"], job["timeout"]) for job in jobs], sys.stdout)


if __name__ == "__main__":
    main()
