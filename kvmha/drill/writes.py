"""Writers: each writes numbered records to a service all the time, and asks for them again when the drill is over.

Invariant: a record counts as acknowledged only when the service has said so, whatever the network said; what was
acknowledged must be there afterwards, byte for byte. One that was not may be there or not: nobody was promised it.

Two kinds of service are spoken to. ``tcp://``: one line ``write NUMBER WORD``, answered by ``wrote NUMBER`` once the
record is safe, and ``sum FIRST LAST``, answered by the CRC-32 of those records, each of 512 bytes: number, word and
blanks filled up with full stops. ``http://``: PUT of URL/NUMBER with the record as its body, answered by 2xx once it is
safe, and GET of the same.
"""

from __future__ import annotations

import binascii
import http.client
import socket
import threading
import time

from kvmha.drill.records import Written
from kvmha.errors import UserError
from kvmha.record import Record

INTERVAL = 0.2
"""Seconds between two records to one service."""

PATIENCE = 5.0
"""Seconds that a record may take to be acknowledged."""

READ_LIMIT = 30.0
"""Seconds for the service to tell afterwards what it has."""

RECORD = 512
LINES, HTTP = "tcp", "http"


class Service(Record):
    """A service that takes records."""

    name: str
    """The guest's, as the cluster calls it."""
    kind: str
    host: str
    port: int
    path: str = ""


def parse(text: str) -> Service:
    """Read ``GUEST=tcp://HOST:PORT`` or ``GUEST=http://HOST[:PORT]/PATH``. Raises UserError."""
    name, _, url = text.partition("=")
    kind, scheme, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    host, colon, port = place.rpartition(":")
    if kind == HTTP and not colon:
        host, port = place, "80"
    is_port = port.isdecimal() and 0 < int(port) < 65536
    if not name or not scheme or kind not in (LINES, HTTP) or not host or not is_port:
        right = "web1=tcp://192.0.2.7:7000 or web1=http://192.0.2.7:8080/drill"
        raise UserError(f'--writes: "{text}" is not understood; give it as {right}')
    return Service(name=name, kind=kind, host=host.strip("[]"), port=int(port), path=f"{slash}{path}".rstrip("/"))


def record(number: int, word: str) -> bytes:
    """Return a record, all of it, by its number and word."""
    return f"{number} {word} ".encode().ljust(RECORD, b".")


class Writer:
    """Writes to one service until it is told to stop. ``word`` marks the records of this drill."""

    def __init__(self, service: Service, word: str) -> None:
        self.service = service
        self.word = word
        self.acknowledged = 0
        """Numbers below it were acknowledged, all of them: one that was not is written again."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"writer of {service.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a record on its way is waited for."""
        self._stop.set()
        self._thread.join(timeout=PATIENCE + 1)

    def _work(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                if _write(self.service, self.acknowledged, self.word):
                    self.acknowledged += 1
            except (OSError, http.client.HTTPException):
                # The service is away, or on its way: the same number is tried again.
                continue

    def compare(self, patience: float = READ_LIMIT) -> Written:
        """Ask the service for all that it has acknowledged; it is given so long to be reached."""
        count = self.acknowledged
        made = Written(name=self.service.name, acknowledged=count)
        until = time.monotonic() + patience
        while count:
            try:
                return made.replace(lost=_lost(self.service, count, self.word))
            except (OSError, ValueError, http.client.HTTPException) as error:
                if time.monotonic() > until:
                    return made.replace(said=f"it could not be asked for them: {error or type(error).__name__}")
            time.sleep(0.5)
        return made


class Writers:
    """A context in which all services are written to."""

    def __init__(self, services: tuple[Service, ...], word: str) -> None:
        self.writers = tuple(Writer(service, word) for service in services)

    def __enter__(self) -> Writers:
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for writer in self.writers:
            writer.stop()

    def compare(self) -> tuple[Written, ...]:
        """End the writing, and return what is left of it."""
        for writer in self.writers:
            writer.stop()
        return tuple(writer.compare() for writer in self.writers)


# ------------------------------------------------------------------ what is spoken


def _write(service: Service, number: int, word: str) -> bool:
    if service.kind == LINES:
        return _line(service, f"write {number} {word}", PATIENCE) == f"wrote {number}"
    return 200 <= _request(service, "PUT", number, record(number, word), PATIENCE)[0] < 300


def _lost(service: Service, count: int, word: str) -> tuple[int, ...]:
    """Return which of the first so many records are not there. Raises OSError, ValueError, HTTPException."""
    if service.kind == HTTP:
        found = []
        for number in range(count):
            status, body = _request(service, "GET", number, None, READ_LIMIT)
            if status not in (200, 404, 410):
                raise ValueError(f"it answers {status}")
            if status != 200 or body != record(number, word):
                found.append(number)
        return tuple(found)
    return _lost_of(service, 0, count - 1, word)


def _lost_of(service: Service, first: int, last: int, word: str) -> tuple[int, ...]:
    """Halve what does not agree until single records are left."""
    said = _line(service, f"sum {first} {last}", READ_LIMIT).split()
    if said[:3] != ["sum", str(first), str(last)] or len(said) != 4:
        raise ValueError(f"it answers {' '.join(said) or 'nothing'}")
    value = 0
    for number in range(first, last + 1):
        value = binascii.crc32(record(number, word), value)
    if int(said[3], 16) == value:
        return ()
    if first == last:
        return (first,)
    middle = (first + last) // 2
    return (*_lost_of(service, first, middle, word), *_lost_of(service, middle + 1, last, word))


def _line(service: Service, text: str, limit: float) -> str:
    """Say one line, and return the line that answers it; a greeting before it is passed over."""
    wanted = text.split()[0]
    with socket.create_connection((service.host, service.port), timeout=limit) as client:
        client.sendall(f"{text}\n".encode())
        until = time.monotonic() + limit
        heard = b""
        while time.monotonic() < until:
            got = client.recv(4096)
            if not got:
                break
            *lines, heard = (heard + got).split(b"\n")
            for line in lines:
                answer = line.decode("ascii", "replace").strip()
                if answer.split()[:1] in (["wrote"] if wanted == "write" else [wanted], ["error:"]):
                    return answer
    return ""


def _request(service: Service, method: str, number: int, body: bytes | None, limit: float) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(service.host, service.port, timeout=limit)
    try:
        connection.request(method, f"{service.path}/{number}", body=body)
        answer = connection.getresponse()
        return answer.status, answer.read(RECORD * 2)
    finally:
        connection.close()
