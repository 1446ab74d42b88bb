"""The service in a node that runs commands for the machine, and the client that stands for the command here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from kvmha.lab import shell_client, shell_service

# It listens on one network interface; every machine has this one.
INTERFACE, ADDRESS = "lo", "127.0.0.1"

START = """\
import sys
sys.path.insert(0, sys.argv.pop(1))
import shell_service
shell_service.PORT = int(sys.argv.pop(1))
shell_service.main()
"""


@pytest.fixture(scope="module")
def port():
    """A service as it runs in a node, and the port that it has."""
    port = 40_000 + os.getpid() % 20_000
    folder = os.path.dirname(shell_service.__file__)
    argv = [sys.executable, "-IS", "-c", START, folder, str(port), INTERFACE]
    with subprocess.Popen(argv) as service:
        yield port
        service.kill()


def argv(port, *words):
    return [sys.executable, "-IS", shell_client.__file__, ADDRESS, str(port), *words]


def run(port, *words, **options):
    return subprocess.run(argv(port, *words), capture_output=True, timeout=30, check=False, **options)


def test_both_streams_and_the_exit_code_come_back_apart(port):
    done = run(port, "sh", "-c", "echo out; echo err >&2; exit 3", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_megabytes_go_both_ways_at_once(port):
    content = os.urandom(3_000_000)
    assert run(port, "cat", input=content).stdout == content


def test_a_command_that_does_not_read_ends_all_the_same(port):
    done = run(port, "sh", "-c", "sleep 0.1; echo done", input=bytes(3_000_000))
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_the_environment_is_that_of_the_client(port):
    assert run(port, "printenv", "KVMHA_X", env={"PATH": os.environ["PATH"], "KVMHA_X": "a b"}).stdout == b"a b\n"


def test_a_command_that_a_signal_killed_shows_as_killed_by_it(port):
    assert run(port, "sh", "-c", "kill -TERM $$", stdin=subprocess.DEVNULL).returncode == -signal.SIGTERM


def test_a_command_that_is_not_there_is_named(port):
    done = run(port, "kvmha-no-such-command", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (127, b"kvmha-no-such-command: command not found\n")


def test_what_a_command_leaves_behind_is_not_waited_for(port):
    begun = time.monotonic()
    assert run(port, "sh", "-c", "sleep 20 & echo $!", stdin=subprocess.DEVNULL).stdout.strip().isdigit()
    assert time.monotonic() - begun < 15


def test_a_command_ends_with_its_client(port, tmp_path):
    told = tmp_path / "pid"
    with subprocess.Popen(argv(port, "sh", "-c", f"echo $$ > {told}; exec sleep 60")) as client:
        until = time.monotonic() + 20
        while not (told.exists() and told.read_text().strip()) and time.monotonic() < until:
            time.sleep(0.05)
        client.kill()
    pid = int(told.read_text())
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < until:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")


def test_on_a_terminal_the_command_has_one_too(port):
    import pty

    ours, theirs = pty.openpty()
    words = ("sh", "-c", "tty && stty size")
    with subprocess.Popen(argv(port, *words), stdin=theirs, stdout=theirs, stderr=theirs) as client:
        os.close(theirs)
        client.wait(timeout=30)
        said = os.read(ours, 1000)
    os.close(ours)
    assert said.startswith(b"/dev/pts/")


def test_nobody_there_is_said_with_an_exit_code_of_its_own(monkeypatch, capsys):
    monkeypatch.setattr(shell_client, "PATIENCE", 0.2)
    monkeypatch.setattr("sys.argv", ["client", ADDRESS, "1", "true"])
    assert shell_client.main() == shell_client.NO_ANSWER
    assert "the node has power and does not answer: " in capsys.readouterr().err
