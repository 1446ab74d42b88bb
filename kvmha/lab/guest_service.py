"""What runs in a guest of the lab: it tells every client that the guest lives, and since when.

One file without imports from the package, run by the bare Python of the guest's initramfs. It speaks on TCP port 7000:
a client that connects is sent one line at once, and one more for every line that it sends:

    web1 boot=BOOT_ID answers=41 ticks=1207 uptime=120.71 dirty=0/0

``boot`` differs after every boot, ``answers`` and ``ticks`` count on in memory and so survive a live migration and
nothing else, ``dirty`` is the rate in MiB/s and the size in MiB. The lines a client may send:

    dirty RATE SIZE     overwrite SIZE MiB of memory, again and again, at RATE MiB/s
    dirty 0             stop that and give the memory back
    write NUMBER WORD   write a record to the disk; "wrote NUMBER" once the disk says that it is safe there
    sum FIRST LAST      the CRC-32 of those records as they are on the disk: "sum FIRST LAST CRC"
    (an empty line)     only the answer

One thread and one poll, no process per request: three guests share two emulated processors, and are asked all the time.
"""

from __future__ import annotations

import _socket
import binascii
import posix
import select
import sys
import time

PORT = 7000
TICK = 0.1
STEP = 0.02
"""Seconds between two portions of dirtied memory: small ones, since clients wait while one is written."""
MIB = 1024 * 1024
RECORD = 512
"""Bytes of a record on the disk: one sector, which a disk writes as a whole or not at all."""
LONGEST_LINE = 200
CLIENTS = 200
"""Connections kept open; the oldest one gives way, since a client cut off by a dead link never says goodbye."""


class Memory:
    """A block of memory that is overwritten at a given rate with bytes that differ every time."""

    def __init__(self) -> None:
        self.rate = 0
        self.size = 0
        self._block = bytearray()
        self._noise = memoryview(b"")
        self._at = 0
        self._debt = 0.0

    def dirty(self, rate: int, size: int) -> None:
        """Dirty ``size`` MiB at ``rate`` MiB/s from now on; 0 stops. Raises ValueError, MemoryError."""
        if rate < 0 or size < 0 or (rate and not size):
            raise ValueError("RATE and SIZE are whole MiB")
        self.rate, self.size, self._at, self._debt = rate, size if rate else 0, 0, 0.0
        if not rate:
            self._block, self._noise = bytearray(), memoryview(b"")
            return
        if len(self._block) != size * MIB:
            self._block = bytearray(size * MIB)
        # A window of one MiB that moves by an odd number of bytes differs in every page from what it overwrites.
        self._noise = self._noise or memoryview(_noise(2 * MIB))

    def work(self, seconds: float) -> None:
        """Overwrite what the rate asks for in this much time, at most one second's worth."""
        if not self.rate:
            return
        self._debt = min(self._debt + seconds * self.rate, float(self.rate))
        while self._debt >= 1.0:
            self._debt -= 1.0
            shift = (self._at * 4099) % MIB
            start = (self._at % self.size) * MIB
            self._block[start : start + MIB] = self._noise[shift : shift + MIB]
            self._at += 1


def record(number: int, word: str) -> bytes:
    """Return what a record is on the disk: whoever knows number and word knows all of it."""
    return f"{number} {word} ".encode().ljust(RECORD, b".")


class Disk:
    """Records on a disk. Writing waits for the disk, and with it all clients: nothing is said that might be lost."""

    def __init__(self, path: str = "/dev/vda") -> None:
        self.path = path
        self._fd = -1

    def write(self, number: int, word: str) -> None:
        """Write a record, and wait until it is where no loss of power can take it. Raises OSError."""
        posix.pwrite(self._open(), record(number, word), number * RECORD)
        posix.fdatasync(self._open())

    def sum(self, first: int, last: int) -> int:
        """Return the CRC-32 of some records. Raises OSError."""
        value = 0
        for number in range(first, last + 1):
            value = binascii.crc32(posix.pread(self._open(), RECORD, number * RECORD), value)
        return value

    def _open(self) -> int:
        if self._fd < 0:
            self._fd = posix.open(self.path, posix.O_RDWR)
        return self._fd


class Service:
    """The counters, and the clients connected at the moment."""

    def __init__(self, name: str, boot_id: str, port: int = PORT) -> None:
        self.name = name
        self.boot_id = boot_id
        self.answers = 0
        self.ticks = 0
        self.memory = Memory()
        self.disk = Disk()
        self.clients: dict[int, tuple[_socket.socket, bytes]] = {}
        self.listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        self.listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        self.listener.bind(("", port))
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.poll = select.poll()
        self.poll.register(self.listener.fileno(), select.POLLIN)

    def line(self) -> bytes:
        """Return the next answer."""
        self.answers += 1
        return (
            f"{self.name} boot={self.boot_id} answers={self.answers} ticks={self.ticks} "
            f"uptime={time.monotonic():.2f} dirty={self.memory.rate}/{self.memory.size}\n"
        ).encode()

    def serve(self, until: float) -> None:
        """Serve clients until that moment on the monotonic clock."""
        while True:
            left = until - time.monotonic()
            ready = self.poll.poll(max(left, 0.0) * 1000)
            for fd, _ in ready:
                if fd == self.listener.fileno():
                    self.accept()
                else:
                    self.hear(fd)
            if left <= 0:
                return

    def accept(self) -> None:
        """Take one client and send it the first line."""
        try:
            fd, _ = self.listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        client = _socket.socket(fileno=fd)
        client.setblocking(False)
        if len(self.clients) >= CLIENTS:
            self.drop(next(iter(self.clients)))
        self.clients[fd] = (client, b"")
        self.poll.register(fd, select.POLLIN)
        self.say(fd, self.line())

    def hear(self, fd: int) -> None:
        """Read what a client sends and answer every whole line."""
        client, heard = self.clients[fd]
        try:
            got = client.recv(LONGEST_LINE)
        except BlockingIOError:
            return
        except OSError:
            got = b""
        heard += got
        if not got or len(heard) > LONGEST_LINE:
            self.drop(fd)
            return
        *lines, rest = heard.split(b"\n")
        self.clients[fd] = (client, rest)
        for line in lines:
            self.say(fd, self.obey(line.decode("ascii", "replace").split()))

    def obey(self, words: list[str]) -> bytes:
        """Do what one line says and return the answer to it."""
        if not words:
            return self.line()
        try:
            if words[0] == "write" and len(words) == 3:
                self.disk.write(int(words[1]), words[2])
                return f"wrote {words[1]}\n".encode()
            if words[0] == "sum" and len(words) == 3:
                return f"{' '.join(words)} {self.disk.sum(int(words[1]), int(words[2])):08x}\n".encode()
            if words[0] != "dirty" or len(words) not in (2, 3):
                raise ValueError("say: dirty RATE SIZE")
            self.memory.dirty(int(words[1]), int(words[2]) if len(words) == 3 else 0)
        except (ValueError, MemoryError, OSError) as error:
            return f"error: {error or 'not that much memory here'}\n".encode()
        return self.line()

    def say(self, fd: int, line: bytes) -> None:
        """Send a line; a client that does not read its lines loses its connection."""
        if fd not in self.clients:
            return
        try:
            self.clients[fd][0].send(line)
        except OSError:
            self.drop(fd)

    def drop(self, fd: int) -> None:
        """Close a client's connection."""
        client, _ = self.clients.pop(fd)
        self.poll.unregister(fd)
        client.close()


def _noise(size: int) -> bytes:
    """Return that many bytes without a zero among them, made much faster than the guest's random source makes them."""
    state, words = 0x9E3779B97F4A7C15, []
    for _ in range(4096):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        words.append((state | 0x0101010101010101).to_bytes(8, "little"))
    page = b"".join(words)
    return page * (size // len(page))


def main(name: str) -> None:
    """Serve for ever."""
    fd = posix.open("/proc/sys/kernel/random/boot_id", posix.O_RDONLY)
    service = Service(name, posix.read(fd, 100).decode().strip())
    posix.close(fd)
    before = time.monotonic()
    next_tick = before + TICK
    while True:
        service.serve(before + STEP if service.memory.rate else next_tick)
        now = time.monotonic()
        service.memory.work(now - before)
        before = now
        if now >= next_tick:
            service.ticks += 1
            next_tick = now + TICK


if __name__ == "__main__":
    main(sys.argv[1])
