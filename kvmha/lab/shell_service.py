"""What runs in a node with a kernel of its own, so that commands can be run there from the machine.

One file without imports from the package, run by the node's bare Python. A container is entered with nsenter(1), which
costs no time; a node on User Mode Linux has to be asked. A login by ssh costs it about a second, since starting a
process is what such a kernel does slowest, and this service starts one process per command: the command.

It listens on the management network, which no drill cuts. A client (shell_client) sends frames, each a letter, a
length and so many bytes: ``a`` the command's words, ``v`` its environment, ``t`` rows and columns if it shall have a
terminal, ``r`` to start it; then ``i`` what the command reads (an empty one is its end) and ``w`` another size of the
terminal. The service answers with ``o`` and ``e``, what the command writes, and with ``x``, how it ended: an exit code,
or a signal as a negative number. A command whose client goes away is killed.
"""

from __future__ import annotations

import _socket
import _thread
import errno
import fcntl
import os
import select
import struct
import sys
import termios

PORT = 7022
HEAD = struct.Struct("!cI")
LARGEST = 64 * 1024
BACKLOG = 4 * LARGEST
"""Bytes kept for a command that does not read; its client has to wait while there are more."""
SIGHUP, SIGKILL = 1, 9
IGNORED = (13, 25)
"""SIGPIPE and SIGXFSZ; the module signal would load enum."""


class Gone(Exception):
    """The client has gone."""


class Client:
    """A connection, frame by frame."""

    def __init__(self, line: _socket.socket) -> None:
        self.fd = line.fileno()
        self._line = line
        self._heard = bytearray()

    def send(self, kind: bytes, content: bytes = b"") -> None:
        """Send a frame. Raises Gone."""
        rest = HEAD.pack(kind, len(content)) + content
        try:
            while rest:
                rest = rest[os.write(self.fd, rest) :]
        except OSError:
            raise Gone from None

    def receive(self) -> None:
        """Take in what has arrived, waiting if that is nothing. Raises Gone."""
        try:
            chunk = os.read(self.fd, LARGEST)
        except OSError:
            raise Gone from None
        if not chunk:
            raise Gone
        self._heard += chunk

    def say_goodbye(self) -> None:
        """Wait until the client has heard all: what it says unheard would take the last words from it."""
        try:
            self._line.shutdown(_socket.SHUT_WR)
            while os.read(self.fd, LARGEST):
                pass
        except OSError:
            pass

    def frame(self) -> tuple[bytes, bytes] | None:
        """Return the next whole frame that has arrived, or None."""
        if len(self._heard) < HEAD.size:
            return None
        kind, length = HEAD.unpack_from(self._heard)
        end = HEAD.size + length
        if len(self._heard) < end:
            return None
        content = bytes(self._heard[HEAD.size : end])
        del self._heard[:end]
        return kind, content


class Command:
    """A command with pipes, or with a terminal: its process, and our ends of what it reads and writes."""

    def __init__(self, asked: dict[bytes, bytes]) -> None:
        words, variables = _list(asked[b"a"]), _list(asked.get(b"v", b""))
        environment = dict(pair.split(b"=", 1) for pair in variables if b"=" in pair)
        program = _find(words[0], environment.get(b"PATH", b"/usr/sbin:/usr/bin:/sbin:/bin"))
        self.is_terminal = b"t" in asked
        self._backlog = bytearray()
        self._is_closing = False
        if self.is_terminal:
            self.input, actions, close = _terminal(asked[b"t"])
            self.outputs = {self.input: b"o"}
        else:
            self.input, self.outputs, actions, close = _pipes()
        os.set_blocking(self.input, False)
        try:
            # Python ignores two signals, and what is ignored stays so in the command.
            self.pid = os.posix_spawn(
                program, words, environment, file_actions=actions, setsid=True, setsigdef=IGNORED, setsigmask=[]
            )
        except BaseException:
            close = [*close, self.input, *(fd for fd in self.outputs if fd != self.input)]
            raise
        finally:
            for fd in close:
                os.close(fd)
        self.exit_fd = os.pidfd_open(self.pid)

    @property
    def is_full(self) -> bool:
        """Tell whether the command has more to read than is kept for it."""
        return len(self._backlog) > BACKLOG

    @property
    def has_backlog(self) -> bool:
        """Tell whether there is something that the command has not read yet."""
        return self.input >= 0 and bool(self._backlog or self._is_closing)

    def give(self, content: bytes) -> None:
        """Let the command read this; nothing is the end of what it reads."""
        if content:
            self._backlog += content
        elif self.is_terminal:
            self._backlog += b"\x04"
        else:
            self._is_closing = True
        self.push()

    def push(self) -> None:
        """Hand over as much of it as the command takes now."""
        if self.input < 0:
            self._backlog.clear()
            return
        try:
            while self._backlog:
                del self._backlog[: os.write(self.input, self._backlog[:LARGEST])]
        except BlockingIOError:
            return
        except OSError:
            # It reads no more.
            self._backlog.clear()
            self._is_closing = not self.is_terminal
        if self._is_closing:
            os.close(self.input)
            self.input = -1

    def resize(self, rows_and_columns: bytes) -> None:
        """Give the terminal another size."""
        if self.is_terminal:
            _resize(self.input, rows_and_columns)

    def read(self, fd: int) -> bytes:
        """Return what the command has written; nothing at the end, after which that output is gone."""
        try:
            found = os.read(fd, LARGEST)
        except OSError as error:
            # A terminal that nobody has open any more.
            if error.errno != errno.EIO:
                raise
            found = b""
        if not found:
            del self.outputs[fd]
            if fd != self.input:
                os.close(fd)
        return found

    def kill(self) -> None:
        """End the command and its group, as those of a client that has gone."""
        for signal in (SIGHUP, SIGKILL) if self.is_terminal else (SIGKILL,):
            try:
                os.killpg(self.pid, signal)
            except OSError:
                pass

    def close(self) -> None:
        """Let go of everything."""
        for fd in {self.exit_fd, self.input, *self.outputs} - {-1}:
            os.close(fd)


def serve(line: _socket.socket) -> None:
    """Serve one client to the end."""
    client = Client(line)
    try:
        asked: dict[bytes, bytes] = {}
        while (frame := _next(client))[0] != b"r":
            asked[frame[0]] = frame[1]
        try:
            command = Command(asked)
        except OSError as error:
            name = _list(asked[b"a"])[0]
            client.send(b"e", b"%s: %s\n" % (name, (error.strerror or "cannot be run").encode()))
            client.send(b"x", b"127" if error.errno == errno.ENOENT else b"126")
            return
        try:
            _attend(client, command)
        except Gone:
            command.kill()
            os.waitpid(command.pid, 0)
        finally:
            command.close()
    except Gone:
        pass
    finally:
        client.say_goodbye()
        line.close()


def _attend(client: Client, command: Command) -> None:
    """Carry what client and command say to each other until the command has ended."""
    while True:
        _obey(client, command)
        poll = select.poll()
        poll.register(command.exit_fd, select.POLLIN)
        for fd in command.outputs:
            poll.register(fd, select.POLLIN)
        if not command.is_full:
            poll.register(client.fd, select.POLLIN)
        if command.has_backlog:
            poll.register(command.input, select.POLLOUT | (select.POLLIN if command.is_terminal else 0))
        ready = dict(poll.poll())
        if client.fd in ready:
            client.receive()
        if command.has_backlog and ready.get(command.input, 0) & ~select.POLLIN:
            command.push()
        for fd in [fd for fd in command.outputs if fd in ready]:
            _tell(client, command, fd)
        if command.exit_fd in ready:
            # What it has written is there once it has ended; what it has started may keep the pipes open for ever.
            for fd in list(command.outputs):
                while fd in command.outputs and _readable(fd):
                    _tell(client, command, fd)
            code = os.waitstatus_to_exitcode(os.waitpid(command.pid, 0)[1])
            client.send(b"x", b"%d" % code)
            return


def _obey(client: Client, command: Command) -> None:
    """Do what the frames say that have arrived."""
    while not command.is_full and (frame := client.frame()):
        if frame[0] == b"i":
            command.give(frame[1])
        elif frame[0] == b"w":
            command.resize(frame[1])


def _tell(client: Client, command: Command, fd: int) -> None:
    kind = command.outputs[fd]
    found = command.read(fd)
    if found:
        client.send(kind, found)


def _next(client: Client) -> tuple[bytes, bytes]:
    while (frame := client.frame()) is None:
        client.receive()
    return frame


def _readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _list(content: bytes) -> list[bytes]:
    return content.split(b"\0") if content else []


def _find(name: bytes, path: bytes) -> bytes:
    """Return the file of a command, as execvp(3) finds it. Raises FileNotFoundError."""
    if b"/" in name:
        return name
    for folder in path.split(b":"):
        found = folder + b"/" + name
        if os.access(found, os.X_OK) and not os.path.isdir(found):
            return found
    raise FileNotFoundError(errno.ENOENT, "command not found")


def _pipes() -> tuple[int, dict[int, bytes], list[tuple[object, ...]], list[int]]:
    (in_read, in_write), (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe(), os.pipe()
    actions: list[tuple[object, ...]] = []
    actions += [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((in_read, out_write, err_write))]
    return in_write, {out_read: b"o", err_read: b"e"}, actions, [in_read, out_write, err_write]


def _terminal(rows_and_columns: bytes) -> tuple[int, list[tuple[object, ...]], list[int]]:
    ours, theirs = os.openpty()
    _resize(ours, rows_and_columns)
    # The first terminal that a leader of a session opens becomes its terminal (tty(4)).
    actions: list[tuple[object, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.ttyname(theirs), os.O_RDWR, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, 0, number) for number in (1, 2)]
    return ours, actions, [theirs]


def _resize(fd: int, rows_and_columns: bytes) -> None:
    rows, columns = map(int, rows_and_columns.split())
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def main() -> None:
    """Listen on the given network interface for ever."""
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_BINDTODEVICE, sys.argv[1].encode())
    listener.bind(("", PORT))
    listener.listen(64)
    while True:
        fd, _ = listener._accept()  # type: ignore[attr-defined]
        peer = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM, 0, fd)
        peer.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        # A client whose machine has no more to say about it would otherwise be waited for always.
        peer.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
        _thread.start_new_thread(serve, (peer,))


if __name__ == "__main__":
    main()
