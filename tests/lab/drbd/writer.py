"""A writer in a node that tells what it was told is safe, and the proof afterwards that all of it is there."""

from __future__ import annotations

import os
import select
import sys
import zlib

from kvmha.lab.guest_service import PORT, RECORD, record

DEVICE = "/dev/drbd0"

# Runs in the node. Each record is written past every cache, and its number printed once the device says it is safe.
WRITE = """\
import mmap, os, sys, time
device, word, size, number = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
fd = os.open(device, os.O_RDWR | os.O_DIRECT)
page = mmap.mmap(-1, size)
while True:
    page[:] = f"{number} {word} ".encode().ljust(size, b".")
    os.pwrite(fd, page, number * size)
    os.fdatasync(fd)
    os.write(1, b"%d\\n" % number)
    number += 1
    time.sleep(0.005)
"""

SUM = """\
import mmap, os, sys, zlib
device, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
page, value = mmap.mmap(-1, size), 0
for number in range(count):
    os.preadv(fd, [page], number * size)
    value = zlib.crc32(page, value)
print("%08x" % value)
"""


class Writer:
    """Writes records in a node until it is stopped or the node is; ``safe`` is how many were acknowledged."""

    def __init__(self, pair, node, word, first=0):
        self.pair = pair
        self.node = node
        self.word = word
        self.safe = first
        self._rest = b""
        self._pid, self._fd = pair.host.stream(*self.command(first))

    def command(self, first):
        """Return the command that writes."""
        argv = ("python3", "-IS", "-c", WRITE, DEVICE, self.word, str(RECORD), str(first))
        return self.pair.lab.enter_argv(self.node, *argv)

    def read(self, seconds):
        """Take in for so long what the writer says, and return how many records are safe."""
        until = self.pair.host.now() + seconds
        while (left := until - self.pair.host.now()) > 0 and self._fd >= 0:
            if not select.select([self._fd], [], [], left)[0]:
                break
            chunk = os.read(self._fd, 65536)
            if not chunk:
                self.close()
                break
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                # Anything else is an error of the writer's, such as one of the device.
                if line.strip().isdigit():
                    assert int(line) == self.safe, "a record was acknowledged out of turn"
                    self.safe = int(line) + 1
        return self.safe

    def write_at_least(self, count, limit=300):
        """Wait until so many more records are safe than before."""
        wanted = self.safe + count
        self.pair.wait(f"{count} more records are written", lambda: self.read(0.5) >= wanted, limit=limit)

    def stalls(self, seconds):
        """Tell whether nothing more is acknowledged for so long."""
        self.read(0.5)
        before = self.safe
        return self.read(seconds) == before

    def stop(self):
        """End the writer, and take in what it had to say."""
        if self._fd >= 0:
            self.pair.run(self.node, "pkill", "-KILL", "-f", self.word, ok=None)
            self.read(10)
        self.close()

    def close(self):
        """Let go of the writer, whose node may be dead."""
        if self._fd >= 0:
            self.pair.host.end(self._pid)
            os.close(self._fd)
            self._fd = -1

    def expected(self):
        """Return the checksum of all that was acknowledged."""
        value = 0
        for number in range(self.safe):
            value = zlib.crc32(record(number, self.word), value)
        return f"{value:08x}"


def checksum(pair, node, count):
    """Return the checksum of so many records as a primary node reads them from its device."""
    return pair.run(node, "python3", "-IS", "-c", SUM, DEVICE, str(RECORD), str(count), timeout=300).out.strip()


# Runs on the machine, in the lab's network: it has the guest write records, and is told which of them are safe.
HAVE_WRITTEN = """\
import socket, sys, time
address, port, word, number = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
while True:
    try:
        with socket.create_connection((address, port), 5) as client:
            client.settimeout(120)
            lines = client.makefile("rw")
            lines.readline()
            while True:
                lines.write(f"write {number} {word}\\n")
                lines.flush()
                if lines.readline() != f"wrote {number}\\n":
                    raise OSError
                print(number, flush=True)
                number += 1
                time.sleep(0.02)
    except OSError:
        time.sleep(0.2)
"""

SAY = """\
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as client:
    client.settimeout(60)
    lines = client.makefile("rw")
    first = lines.readline()
    if len(sys.argv) > 3:
        lines.write(sys.argv[3] + "\\n")
        lines.flush()
    print(lines.readline() if len(sys.argv) > 3 else first)
"""


class Customer(Writer):
    """Somebody whom the guest serves over the network: it writes what he sends, and says when it is safe."""

    def __init__(self, pair, word):
        super().__init__(pair, None, word)

    def command(self, first):
        return in_network(self.pair, HAVE_WRITTEN, *service(self.pair), self.word, str(first))

    def stop(self):
        """Stop sending."""
        self.read(2.0)
        self.close()


def in_network(pair, script, *words):
    """Return the command that runs a script on the machine, in the lab's network."""
    return ("nsenter", f"--net=/run/netns/{pair.plan.netns}", sys.executable, "-IS", "-c", script, *words)


def service(pair):
    """Return address and port of the guest's service."""
    return pair.plan.guest("web1").address, str(PORT)


def say(pair, *words):
    """Say something to the guest, or nothing, and return its answer; nothing if it does not answer."""
    argv = in_network(pair, SAY, *service(pair), *([" ".join(words)] if words else []))
    return pair.host.run(*argv, timeout=90, ok=None).out.strip()
