"""What a service has acknowledged is compared with what it has afterwards: by real services on this machine."""

from __future__ import annotations

import http.server
import socketserver
import threading
import time

import pytest

from kvmha.drill import ending, writes
from kvmha.drill.records import Written
from kvmha.errors import UserError
from kvmha.lab import guest_service

WORD = "20261123T100000-power-cut"


@pytest.mark.parametrize(
    "text", ["", "web1", "web1=", "web1=h:1", "web1=tcp://h", "=tcp://h:1", "web1=ftp://h:1", "web1=tcp://h:0"]
)
def test_a_service_that_is_not_understood_is_refused(text):
    with pytest.raises(UserError, match="--writes"):
        writes.parse(text)


def test_a_service_is_named_by_its_url():
    assert writes.parse("web1=tcp://[fd00::7]:7000").host == "fd00::7"
    found = writes.parse("web1=http://192.0.2.7/drill/")
    assert (found.kind, found.host, found.port, found.path) == ("http", "192.0.2.7", 80, "/drill")


def test_a_record_is_what_the_guest_of_the_lab_writes():
    assert writes.record(7, WORD) == guest_service.record(7, WORD)


class Lines(socketserver.StreamRequestHandler):
    """The lab guest's own disk and words, behind a server of this test."""

    def handle(self):
        disk = self.server.disk
        self.wfile.write(b"web1 boot=1 answers=1\n")
        for line in self.rfile:
            words = line.decode().split()
            if words[0] == "write":
                number = int(words[1])
                if number not in self.server.forgets:
                    disk.write(number, words[2])
                self.wfile.write(f"wrote {number}\n".encode())
            else:
                self.wfile.write(f"{' '.join(words)} {disk.sum(int(words[1]), int(words[2])):08x}\n".encode())


class Store(http.server.BaseHTTPRequestHandler):
    """Keeps what it is given, but for what it forgets."""

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        number = int(self.path.rpartition("/")[2])
        if number not in self.server.forgets:
            self.server.kept[self.path] = body
        self.send_response(201)
        self.end_headers()

    def do_GET(self):
        body = self.server.kept.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_args):
        pass


@pytest.fixture(params=["tcp", "http"])
def served(request, tmp_path):
    """A service and its server, whose ``forgets`` are the numbers that it acknowledges and does not keep."""
    made = {"tcp": (socketserver.ThreadingTCPServer, Lines), "http": (http.server.ThreadingHTTPServer, Store)}
    kind, handler = made[request.param]
    path = tmp_path / "disk"
    path.write_bytes(bytes(1 << 20))
    with kind(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.forgets, server.kept, server.disk = set(), {}, guest_service.Disk(str(path))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield writes.parse(f"web1={request.param}://127.0.0.1:{server.server_address[1]}/drill".replace(
            "/drill", "" if request.param == "tcp" else "/drill"
        )), server  # fmt: skip
        server.shutdown()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(writes, "INTERVAL", 0.01)


def written(service, count):
    with writes.Writers((service,), WORD) as writers:
        until = time.monotonic() + 30
        while writers.writers[0].acknowledged < count and time.monotonic() < until:
            time.sleep(0.01)
        (found,) = writers.compare()
    assert found.acknowledged >= count
    return found


def test_what_was_acknowledged_is_there(served):
    service, _ = served
    found = written(service, 20)
    assert (found.lost, found.said) == ((), "")
    assert ending.lost((found,), 0.0) == ()


def test_what_was_acknowledged_and_is_gone_is_named(served):
    service, server = served
    server.forgets = {3, 11}
    found = written(service, 20)
    assert found.lost == (3, 11)
    (breach,) = ending.lost((found,), 0.0)
    assert breach.rule == "acknowledged"
    assert f"2 of {found.acknowledged} records that web1 had acknowledged are lost" in breach.said


def test_a_service_that_is_away_has_acknowledged_nothing():
    service = writes.parse("web1=tcp://127.0.0.1:9")
    with writes.Writers((service,), WORD) as writers:
        time.sleep(0.1)
        (found,) = writers.compare()
    assert (found.acknowledged, found.lost) == (0, ())


def test_what_cannot_be_asked_for_is_not_taken_for_kept():
    writer = writes.Writer(writes.parse("web1=tcp://127.0.0.1:9"), WORD)
    writer.acknowledged = 5
    found = writer.compare(patience=0.1)
    assert found.said.startswith("it could not be asked for them")
    (breach,) = ending.lost((found,), 0.0)
    assert "of the 5 records that web1 had acknowledged: it could not be asked" in breach.said
    assert ending.lost((Written(name="web1", acknowledged=0),), 0.0) == ()
