"""The installed pcs, its interpreter kept warm: a command is a fork of one process that has imported pcs already.

Three quarters of the time of a pcs command are the start of Python and its imports; the examples take some hundred and
fifty of them. What runs is pcs itself, with the arguments, folder, environment and files of whoever calls it.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

# The process below is started as a script, by Python as it is installed: nothing of kvmha is there.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

CLIENT = """\
#!/usr/bin/python3 -IS
import array, json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
words = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
files = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))
server.sendmsg([len(words).to_bytes(4, "big") + words], [files])
said = server.recv(1)
sys.exit(said[0] if said else 99)
"""

START_LIMIT = 60.0


@contextlib.contextmanager
def warm(host: Host, folder: Path):
    """Have a warm pcs for as long as the context lasts; give the text of a program that stands for it."""
    path, log = f"{folder}/socket", f"{folder}/log"
    pid = host.start("/usr/bin/python3", __file__, path, log=log, env={"HOME": str(folder)})
    until = host.now() + START_LIMIT
    try:
        while not os.path.exists(path):
            assert host.now() < until, Path(log).read_text()
            assert os.waitpid(pid, os.WNOHANG) == (0, 0), Path(log).read_text()
            time.sleep(0.05)
        yield CLIENT.format(path=path)
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def serve(path: str) -> None:
    """Answer calls until the process is ended."""
    # Only here: the tests themselves run where no pcs is.
    from pcs import app

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen(16)
    os.rename(f"{path}.new", path)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        caller, _ = listener.accept()
        if os.fork() == 0:
            code = 99
            try:
                code = _answer(caller, app.main)
            finally:
                caller.sendall(bytes([code]))
                os._exit(0)
        caller.close()


def _answer(caller: socket.socket, main) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    first, files, _, _ = caller.recvmsg(65536, socket.CMSG_SPACE(12))
    size = int.from_bytes(first[:4], "big")
    words = first[4:]
    while len(words) < size:
        words += caller.recv(65536)
    argv, folder, env = json.loads(words)
    for number, file in enumerate(array.array("i", files[0][2])):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["pcs", *argv]
    try:
        main(argv)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve(sys.argv[1])
