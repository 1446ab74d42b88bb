"""The host against real processes, files and descriptors of this machine."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from kvmha.host import (
    OUTPUT_LIMIT,
    SIGKILL,
    SIGTERM,
    CommandError,
    CommandFailed,
    CommandMissing,
    CommandTimeout,
    Host,
    Process,
)

SIGSTOP = 19

LONG = "300"
"""Seconds that a child sleeps which is to be ended by us; what is left of it after a test is a defect."""


@pytest.fixture
def host() -> Host:
    return Host()


def is_alive(pid: int) -> bool:
    """Tell whether a process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends(pid: int) -> bool:
    """Wait for a process to be gone, for as long as a loaded machine may need."""
    for _ in range(200):
        if not is_alive(pid):
            return True
        time.sleep(0.02)
    return False


def descriptors() -> set[str]:
    return {f"{fd}={os.readlink(f'/proc/self/fd/{fd}')}" for fd in os.listdir("/proc/self/fd") if _is_open(fd)}


def _is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


# ------------------------------------------------------------------- what a command gives


def test_a_command_gives_its_code_and_both_streams(host):
    done = host.run("sh", "-c", "echo out; echo err >&2; exit 3", timeout=20, ok=(3,))
    assert (done.rc, done.out, done.err) == (3, "out\n", "err\n")


def test_a_code_that_is_no_answer_is_an_error_with_the_last_words(host):
    with pytest.raises(CommandFailed, match=r"^sh exited with 3: in the end$") as caught:
        host.run("sh", "-c", "echo first >&2; echo in the end >&2; echo >&2; exit 3", timeout=20)
    assert caught.value.done.rc == 3


def test_any_code_is_an_answer_where_the_caller_says_so(host):
    assert host.run("sh", "-c", "exit 77", timeout=20, ok=None).rc == 77


def test_death_by_a_signal_is_told(host):
    with pytest.raises(CommandFailed, match=r"^sh was killed by signal 9$") as caught:
        host.run("sh", "-c", "kill -9 $$", timeout=20)
    assert caught.value.done.rc == -9


def test_a_missing_program_is_told_by_its_name(host):
    with pytest.raises(CommandMissing, match=r"^no-such-program-of-ours is not installed$"):
        host.run("no-such-program-of-ours", "x", timeout=20)


def test_a_program_that_cannot_be_executed_is_an_error_without_leaks(host, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    before = descriptors()
    with pytest.raises(OSError, match="No such file"):
        host.run(str(broken), timeout=20)
    assert descriptors() == before


def test_the_callers_path_does_not_decide_what_runs(host, monkeypatch, tmp_path):
    decoy = tmp_path / "sh"
    decoy.write_text("#!/bin/false\n")
    decoy.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        host.run("sh", "-c", "echo $PATH", timeout=20).out
        == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    )


def test_a_command_sees_the_c_locale_and_nothing_of_our_environment(host, monkeypatch):
    monkeypatch.setenv("LC_MESSAGES", "de_DE.UTF-8")
    monkeypatch.setenv("OCF_RESKEY_secret", "x")
    words = host.run("env", timeout=20, env={"CIB_file": "/x"}).out.split()
    assert "LC_ALL=C" in words
    assert "CIB_file=/x" in words
    assert not [word for word in words if word.startswith(("LC_MESSAGES", "OCF_"))]


def test_a_command_has_nothing_on_its_standard_input(host):
    assert host.run("cat", timeout=20).out == ""


@pytest.mark.parametrize("size", [1, 65536, 1_000_000], ids=["byte", "pipe", "more-than-a-pipe"])
def test_a_command_gets_all_of_its_standard_input(host, size):
    assert host.run("wc", "-c", timeout=20, given="x" * size).out.strip() == str(size)


def test_a_command_that_does_not_read_its_input_is_no_error(host):
    assert host.run("true", timeout=20, given="x" * 1_000_000).rc == 0


def test_much_output_on_both_streams_at_once_does_not_block(host):
    script = "import os\nfor _ in range(2000):\n os.write(1, b'o' * 1000)\n os.write(2, b'e' * 1000)"
    done = host.run(sys.executable, "-c", script, timeout=60)
    assert (len(done.out), len(done.err)) == (2_000_000, 2_000_000)


def test_output_beyond_the_limit_ends_the_command(host, tmp_path):
    mark = tmp_path / "pid"
    with pytest.raises(CommandError, match=f"^sh printed more than {OUTPUT_LIMIT} bytes$"):
        host.run("sh", "-c", f"echo $$ > {mark}; exec cat /dev/zero", timeout=60)
    assert ends(int(mark.read_text()))


def test_output_that_is_no_text_is_taken_anyway(host):
    assert host.run("printf", r"a\377b", timeout=20).out == "a\ufffdb"


def test_a_child_dies_of_a_broken_pipe_as_tools_expect(host):
    # Python ignores SIGPIPE. A tool that inherited that would go on, and "yes" would complain on standard error.
    done = host.run("sh", "-c", "yes | head -n 1", timeout=20)
    assert (done.out, done.err) == ("y\n", "")


# ------------------------------------------------------------------------- time


def test_a_command_that_takes_too_long_is_ended_with_its_grandchildren(host, tmp_path):
    script = f"sleep {LONG} & echo $! > {tmp_path}/grandchild; echo $$ > {tmp_path}/child; wait"
    with pytest.raises(CommandTimeout, match=r"^sh did not end within 0\.5 s$"):
        host.run("sh", "-c", script, timeout=0.5)
    assert ends(int((tmp_path / "child").read_text()))
    assert ends(int((tmp_path / "grandchild").read_text()))


def test_a_command_that_ignores_sigterm_is_ended(host, tmp_path):
    with pytest.raises(CommandTimeout):
        host.run(
            "sh", "-c", f"trap '' TERM HUP INT; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done", timeout=0.5
        )
    assert ends(int((tmp_path / "pid").read_text()))


def test_a_command_that_closed_its_streams_is_waited_for(host):
    with pytest.raises(CommandTimeout):
        host.run("sh", "-c", f"exec >&- 2>&-; sleep {LONG}", timeout=0.3)
    assert host.run("sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 4", timeout=20, ok=(4,)).rc == 4


def test_a_grandchild_that_keeps_the_pipes_does_not_hold_us(host, tmp_path):
    begun = time.monotonic()
    done = host.run("sh", "-c", f"echo said; sleep {LONG} & echo $! > {tmp_path}/pid", timeout=60)
    grandchild = int((tmp_path / "pid").read_text())
    try:
        assert done.out == "said\n"
        # The alternative is the whole minute of the timeout.
        assert time.monotonic() - begun < 50
        assert is_alive(grandchild)
    finally:
        os.kill(grandchild, SIGKILL)


def test_a_grandchild_that_talks_for_ever_does_not_hold_us_beyond_the_timeout(host, tmp_path):
    script = f"( while :; do echo x; sleep 0.01; done ) & echo $! > {tmp_path}/pid"
    done = host.run("sh", "-c", script, timeout=1.0)
    os.kill(int((tmp_path / "pid").read_text()), SIGKILL)
    assert done.rc == 0


def test_no_descriptor_and_no_child_is_left_over_two_hundred_runs(host):
    before = descriptors()
    for turn in range(200):
        host.run("true", timeout=20, given="x" if turn % 2 else "")
        if turn % 50 == 0:
            with pytest.raises(CommandMissing):
                host.run("no-such-program-of-ours", timeout=20)
            with pytest.raises(CommandTimeout):
                host.run("sleep", LONG, timeout=0.05)
    assert descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_the_streams_work_when_ours_are_closed():
    """An executor may start an agent without standard streams; the pipes then get their numbers."""
    script = (
        "import os, sys\n"
        f"sys.path.insert(0, {os.getcwd()!r})\n"
        "keep = os.dup(1)\n"
        "for fd in (0, 1, 2): os.close(fd)\n"
        "from kvmha.host import Host\n"
        "done = Host().run('sh', '-c', 'read line; echo out $line; echo err >&2', timeout=20, given='in\\n')\n"
        "os.write(keep, repr((done.out, done.err)).encode())\n"
    )
    assert Host().run(sys.executable, "-c", script, timeout=30).out == repr(("out in\n", "err\n"))


# ---------------------------------------------------------------- outliving us


def test_a_started_command_has_its_own_session_and_its_output_in_the_log(host, tmp_path):
    log = tmp_path / "log"
    pid = host.start("sh", "-c", f"echo begun; echo trouble >&2; sleep {LONG}", log=str(log))
    try:
        assert os.getsid(pid) == pid
        for _ in range(200):
            if log.exists() and log.read_text() == "begun\ntrouble\n":
                break
            time.sleep(0.02)
        assert log.read_text() == "begun\ntrouble\n"
    finally:
        os.killpg(pid, SIGKILL)
        os.waitpid(pid, 0)


def test_a_stream_is_read_as_it_comes_and_ended_with_its_grandchildren(host, tmp_path):
    before = descriptors()
    pid, fd = host.stream("sh", "-c", f"sleep {LONG} & echo $! > {tmp_path}/grandchild; echo out; echo err >&2; wait")
    try:
        read = b""
        while read.count(b"\n") < 2:
            read += os.read(fd, 100)
        assert read == b"out\nerr\n"
        assert host.wait(pid, timeout=0.05) is None
    finally:
        host.end(pid)
        os.close(fd)
    assert ends(int((tmp_path / "grandchild").read_text()))
    assert descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_the_code_of_a_started_command_is_told_once_it_has_ended(host, tmp_path):
    pid = host.start("sh", "-c", "exit 5", log=str(tmp_path / "log"))
    assert host.wait(pid, timeout=20) == 5
    assert host.wait(pid, timeout=0.1) is None


# --------------------------------------------------------------------- bounded


def test_bounded_returns_what_the_call_returns(host):
    assert host.bounded(lambda: [1], what="it", timeout=20) == [1]
    assert host.bounded(lambda: None, what="it", timeout=20) is None


def test_bounded_raises_what_the_call_raises(host):
    def fails() -> None:
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        host.bounded(fails, what="it", timeout=20)


def test_bounded_gives_up_a_call_that_hangs(host):
    gate = threading.Event()
    with pytest.raises(CommandTimeout, match=r"^it did not answer within 0\.2 s$"):
        host.bounded(lambda: gate.wait(60), what="it", timeout=0.2)
    gate.set()


@pytest.mark.parametrize("timeout", [0.0, -3.0])
def test_bounded_without_time_gives_up_at_once(host, timeout):
    gate = threading.Event()
    with pytest.raises(CommandTimeout):
        host.bounded(lambda: gate.wait(60), what="it", timeout=timeout)
    gate.set()


# ----------------------------------------------------------------------- files


def test_write_makes_the_folder_and_sets_the_mode(host, tmp_path):
    path = tmp_path / "a" / "b" / "file"
    host.write(str(path), "text\n", mode=0o600)
    assert path.read_text() == "text\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(host, tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_text("old")

    def fails(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"kvmha.host.posix.{call}", fails)
    with pytest.raises(OSError, match="No space"):
        host.write(str(path), "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_write_that_the_kernel_takes_in_pieces_is_whole(host, tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr("kvmha.host.posix.write", lambda fd, data: real(fd, data[:7]))
    host.write(str(tmp_path / "file"), "a text of more than seven bytes: ä")
    monkeypatch.undo()
    assert host.read(str(tmp_path / "file")) == "a text of more than seven bytes: ä"


def test_read_takes_bytes_that_are_no_text(host, tmp_path):
    (tmp_path / "file").write_bytes(b"a\xffb")
    assert host.read(str(tmp_path / "file")) == "a\ufffdb"


def test_read_bytes_stops_at_its_limit(host, tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 200_000)
    assert host.read_bytes(str(tmp_path / "file"), limit=70_000) == b"x" * 70_000


def test_remove_of_what_is_not_there_is_fine_and_of_a_folder_is_not(host, tmp_path):
    host.remove(str(tmp_path / "file"))
    with pytest.raises(OSError, match="directory"):
        host.remove(str(tmp_path))


def test_names_are_sorted_and_empty_where_there_is_no_folder(host, tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).touch()
    assert host.names(str(tmp_path)) == ["a", "b"]
    assert host.names(str(tmp_path / "none")) == []
    assert host.names(str(tmp_path / "a")) == []


# ------------------------------------------------------------------- processes


@pytest.fixture
def sleeper():
    """Start a process with telling arguments; it is ended and reaped afterwards."""
    pid = os.posix_spawn(
        "/bin/sh", ["sh", "-c", f"sleep {LONG}; :", "-name", "a b", ""], {"PATH": "/usr/bin:/bin"}, setpgroup=0
    )
    yield pid
    try:
        os.killpg(pid, SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def test_a_command_line_is_split_where_the_kernel_splits_it(host, sleeper):
    for _ in range(200):
        if host.cmdline(sleeper)[:1] == ("sh",):
            break
        time.sleep(0.02)
    assert host.cmdline(sleeper) == ("sh", "-c", f"sleep {LONG}; :", "-name", "a b", "")
    assert sleeper in set(host.pids())


def test_a_zombie_and_a_gone_process_have_no_command_line(host):
    pid = os.posix_spawn("/bin/true", ["true"], {})
    assert ends(pid)
    assert host.cmdline(pid) == ()
    os.waitpid(pid, 0)
    assert host.cmdline(pid) == ()


def test_a_process_shows_its_program_and_its_state(host, sleeper):
    until_shell_sleeps(host, sleeper)
    assert os.path.basename(host.exe(sleeper)) in ("dash", "bash", "busybox", "sh")
    assert host.process(sleeper) == Process(state="S", threads=1)
    os.kill(sleeper, SIGSTOP)
    until(lambda: host.process(sleeper).state == "T")


def test_a_process_that_is_not_there_shows_nothing(host):
    assert (host.exe(2**22 + 1), host.process(2**22 + 1)) == ("", None)


def test_a_kernel_thread_is_told(host):
    threads = [pid for pid in host.pids() if host.process(pid) is not None and host.process(pid).is_kernel]
    # A container sees none; what it sees must not be taken for one.
    assert os.getpid() not in threads
    assert all(host.cmdline(pid) == () for pid in threads)


def test_a_name_with_parentheses_does_not_disturb_the_state(host, tmp_path):
    program = tmp_path / ") Z 1 (x"
    program.write_text(f"#!/bin/sh\nsleep {LONG}; :\n")
    program.chmod(0o755)
    pid = os.posix_spawn(program, [str(program)], {"PATH": "/usr/bin:/bin"}, setpgroup=0)
    try:
        until_shell_sleeps(host, pid)
        assert host.process(pid).threads == 1
    finally:
        os.killpg(pid, SIGKILL)
        os.waitpid(pid, 0)


def until(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("never came true")


def until_shell_sleeps(host, pid):
    until(lambda: host.process(pid).state == "S" and "sh" in os.path.basename(host.exe(pid)))


def test_kill_ends_the_right_process(host, sleeper):
    assert host.kill(sleeper, SIGKILL, still=lambda: True, wait=20) is True
    assert not is_alive(sleeper)


def test_kill_leaves_a_process_that_is_no_longer_the_right_one(host, sleeper):
    assert host.kill(sleeper, SIGKILL, still=lambda: False, wait=0) is True
    assert is_alive(sleeper)


def test_kill_of_a_process_that_has_gone_is_fine(host):
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    assert host.kill(pid, SIGTERM, still=lambda: True, wait=0) is True


def test_kill_tells_that_a_process_did_not_end(host, tmp_path):
    ready = tmp_path / "ready"
    pid = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", f"trap '' TERM; : > {ready}; while :; do sleep 0.1; done"],
        {"PATH": "/usr/bin:/bin"},
        setpgroup=0,
    )
    try:
        for _ in range(500):
            if ready.exists():
                break
            time.sleep(0.02)
        assert host.kill(pid, SIGTERM, still=lambda: True, wait=0.3) is False
        assert is_alive(pid)
    finally:
        os.killpg(pid, SIGKILL)
        os.waitpid(pid, 0)


def test_a_watched_call_is_looked_at_until_it_returns():
    looks = []
    found = Host().watched(lambda: wait_for(looks, 3), lambda: looks.append(1), interval=0.01, what="it", timeout=10.0)
    assert found >= 3


def wait_for(looks, count):
    until = time.monotonic() + 10.0
    while len(looks) < count and time.monotonic() < until:
        time.sleep(0.01)
    return len(looks)


def test_a_watched_call_that_raises_does_so_here():
    def fail():
        raise KeyError("it")

    with pytest.raises(KeyError):
        Host().watched(fail, lambda: None, interval=10.0, what="it", timeout=10.0)


def test_a_watched_call_that_hangs_is_given_up():
    looks = []
    with pytest.raises(CommandTimeout, match="it did not answer"):
        Host().watched(lambda: time.sleep(5), lambda: looks.append(1), interval=0.02, what="it", timeout=0.2)
    assert looks
