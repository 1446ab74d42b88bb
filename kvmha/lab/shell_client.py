"""Run a command in a node with a kernel of its own, as nsenter(1) would in a container: the other end of shell_service.

One file without imports from the package, run by a bare Python in the lab's network namespace: address and port of the
node's service, then the command. What this process reads, writes, has in its environment, and its exit code are those
of the command; on a terminal the command gets one too.
"""

from __future__ import annotations

import _socket
import os
import select
import struct
import sys
import time

HEAD = struct.Struct("!cI")
LARGEST = 64 * 1024
PATIENCE = 5.0
"""Seconds for a node that has power and does not answer yet."""
NO_ANSWER = 125


def connect(address: str, port: int) -> _socket.socket:
    """Return a connection to the service. Raises OSError when there is no answer."""
    until = time.monotonic() + PATIENCE
    while True:
        line = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        line.settimeout(max(until - time.monotonic(), 0.1))
        try:
            line.connect((address, port))
        except OSError:
            line.close()
            if time.monotonic() >= until:
                raise
            time.sleep(0.1)
            continue
        line.settimeout(None)
        line.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        # A node that loses its power says nothing any more; its command has then failed.
        line.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
        line.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_KEEPIDLE, 2)
        line.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_KEEPINTVL, 1)
        line.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_KEEPCNT, 8)
        return line


def frame(kind: bytes, content: bytes = b"") -> bytes:
    """Return a frame as it goes over the line."""
    return HEAD.pack(kind, len(content)) + content


def request(words: list[str], size: tuple[int, int] | None) -> bytes:
    """Return what starts a command, with a terminal of that size or without one."""
    variables = [f"{name}={value}" for name, value in os.environ.items()]
    out = frame(b"a", b"\0".join(os.fsencode(word) for word in words))
    out += frame(b"v", b"\0".join(os.fsencode(pair) for pair in variables))
    if size is not None:
        out += frame(b"t", b"%d %d" % size)
    return out + frame(b"r")


def carry(line: _socket.socket, first: bytes) -> int:
    """Carry everything between our streams and the command's until it has ended; return how it ended.

    Neither side may wait for the other to read, or both would: what cannot be sent now is kept, and little of it.
    """
    line.setblocking(False)
    said, heard = bytearray(first), bytearray()
    is_open = True
    while True:
        poll = select.poll()
        poll.register(line.fileno(), select.POLLIN | (select.POLLOUT if said else 0))
        if is_open and len(said) < LARGEST:
            poll.register(0, select.POLLIN)
        try:
            ready = dict(poll.poll())
        except InterruptedError:
            continue
        if 0 in ready:
            content = read(0)
            is_open = bool(content)
            said += frame(b"i", content)
        said += resized()
        try:
            if said:
                del said[: line.send(said)]
            if ready.get(line.fileno(), 0) & ~select.POLLOUT:
                chunk = line.recv(LARGEST)
                if not chunk:
                    raise OSError
                heard += chunk
        except BlockingIOError:
            continue
        except OSError:
            sys.stderr.write("the node went away\n")
            return NO_ANSWER
        while len(heard) >= HEAD.size:
            kind, length = HEAD.unpack_from(heard)
            end = HEAD.size + length
            if len(heard) < end:
                break
            content = bytes(heard[HEAD.size : end])
            del heard[:end]
            if kind == b"x":
                return int(content)
            write(1 if kind == b"o" else 2, content)


RESIZED: list[bytes] = []


def resized() -> bytes:
    """Return the frames that tell of another size of our terminal since the last call."""
    frames, RESIZED[:] = b"".join(RESIZED), []
    return frames


def read(fd: int) -> bytes:
    """Return some of what there is to read; nothing at the end."""
    try:
        return os.read(fd, LARGEST)
    except OSError:
        return b""


def write(fd: int, content: bytes) -> None:
    """Write all of it."""
    while content:
        content = content[os.write(fd, content) :]


def on_terminal(line: _socket.socket, first: bytes) -> int:
    """Carry everything with our own terminal left to the command's."""
    import signal
    import termios
    import tty

    def resize(*_: object) -> None:
        columns, rows = os.get_terminal_size(0)
        RESIZED.append(frame(b"w", b"%d %d" % (rows, columns)))

    before = termios.tcgetattr(0)
    signal.signal(signal.SIGWINCH, resize)
    try:
        tty.setraw(0)
        return carry(line, first)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def main() -> int:
    """Run the command that the arguments name, and end as it does."""
    address, port, *words = sys.argv[1:]
    try:
        line = connect(address, int(port))
    except OSError as error:
        sys.stderr.write(f"the node has power and does not answer: {error.strerror or error}\n")
        return NO_ANSWER
    is_terminal = os.isatty(0) and os.isatty(1)
    size = None
    if is_terminal:
        columns, rows = os.get_terminal_size(0)
        size = (rows, columns)
    first = request(words, size)
    code = on_terminal(line, first) if is_terminal else carry(line, first)
    if code < 0:
        # The command was killed by a signal; whoever waits for us shall see that.
        import _signal  # type: ignore[import-not-found]

        if code != -9:
            _signal.signal(-code, _signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main())
