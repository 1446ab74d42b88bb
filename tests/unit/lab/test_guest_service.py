"""The service in the guest, on a loopback socket: what it says, what it obeys, and that it counts."""

from __future__ import annotations

import socket
import time
import zlib

import pytest

from kvmha.lab.guest import parse_answer
from kvmha.lab.guest_service import CLIENTS, MIB, RECORD, Disk, Memory, Service, record

BOOT = "0d1f0c7e-3a8e-4a05-9d46-7a0bb3f6a2a1"


@pytest.fixture
def service():
    service = Service("web1", BOOT, port=0)
    yield service
    for fd in list(service.clients):
        service.drop(fd)
    service.listener.close()


@pytest.fixture
def client(service):
    """Connect clients; each is closed at the end."""
    clients = []

    def connect():
        made = socket.create_connection(("127.0.0.1", service.listener.getsockname()[1]), timeout=5)
        clients.append(made)
        return made

    yield connect
    for made in clients:
        made.close()


def turn(service):
    """Let the service do what there is to do at the moment."""
    service.serve(time.monotonic() + 0.05)


def ask(service, connection, text):
    connection.sendall(text)
    turn(service)
    return connection.recv(1000).decode()


def test_a_client_is_answered_without_asking(service, client):
    connection = client()
    turn(service)
    answer = parse_answer(connection.recv(1000).decode())
    assert (answer.name, answer.boot, answer.answers, answer.dirty) == ("web1", BOOT, 1, (0, 0))


def test_answers_count_over_all_clients(service, client):
    first, second = client(), client()
    turn(service)
    counted = {parse_answer(connection.recv(1000).decode()).answers for connection in (first, second)}
    assert counted == {1, 2}


def test_an_empty_line_asks_again_on_the_same_connection(service, client):
    connection = client()
    turn(service)
    connection.recv(1000)
    lines = ask(service, connection, b"\n\n").splitlines(keepends=True)
    assert [parse_answer(line).answers for line in lines] == [2, 3]


def test_a_line_may_arrive_in_pieces(service, client):
    connection = client()
    turn(service)
    connection.recv(1000)
    connection.sendall(b"dirty 3")
    turn(service)
    assert parse_answer(ask(service, connection, b" 2\n")).dirty == (3, 2)


@pytest.mark.parametrize("line", [b"dirty\n", b"dirty x 1\n", b"dirty -1 5\n", b"dirty 5\n", b"reboot\n", b"\xff\n"])
def test_nonsense_is_refused_and_changes_nothing(service, client, line):
    connection = client()
    turn(service)
    connection.recv(1000)
    assert ask(service, connection, line).startswith("error: ")
    assert service.memory.rate == 0


def test_a_client_that_went_away_does_no_harm(service, client):
    client().close()
    turn(service)
    turn(service)
    assert not service.clients


def test_the_oldest_connection_gives_way_when_there_are_too_many(service, client):
    connections = []
    for _ in range(CLIENTS + 1):
        connections.append(client())
        service.serve(0.0)
    assert len(service.clients) == CLIENTS
    assert connections[0].recv(1000)
    assert connections[0].recv(1000) == b""


def test_dirtied_memory_is_neither_zero_nor_the_same_again():
    memory = Memory()
    memory.dirty(1, 2)
    memory.work(1.0)
    memory.work(1.0)
    first = bytes(memory._block)
    assert 0 not in first
    memory.work(1.0)
    memory.work(1.0)
    second = bytes(memory._block)
    pages = range(0, 2 * MIB, 4096)
    assert not [page for page in pages if first[page : page + 4096] == second[page : page + 4096]]


def test_memory_is_dirtied_at_the_rate_that_was_asked_for():
    memory = Memory()
    memory.dirty(10, 64)
    for _ in range(50):
        memory.work(0.02)
    assert bytes(memory._block[: 9 * MIB]).count(0) == 0
    assert bytes(memory._block[11 * MIB :]).count(0) == 53 * MIB


def test_dirtying_stops_and_gives_the_memory_back():
    memory = Memory()
    memory.dirty(5, 8)
    memory.dirty(0, 0)
    memory.work(1.0)
    assert (memory.rate, memory.size, len(memory._block)) == (0, 0, 0)


@pytest.mark.parametrize("line", ["", "web1\n", "web1 boot=x answers=1 ticks=1 uptime=1.0 dirty=0/0", "error: no\n"])
def test_a_line_that_is_not_whole_is_no_answer(line):
    assert parse_answer(line) is None


def test_a_record_is_written_before_it_is_answered_for(service, client, tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(10 * RECORD))
    service.disk = Disk(str(disk))
    connection = client()
    turn(service)
    connection.recv(1000)
    assert ask(service, connection, b"write 2 order1\n") == "wrote 2\n"
    assert disk.read_bytes()[2 * RECORD : 3 * RECORD] == record(2, "order1")
    assert disk.read_bytes()[: 2 * RECORD] == bytes(2 * RECORD)


def test_the_sum_is_that_of_the_records_as_they_are_on_the_disk(service, client, tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(b"".join(record(number, "a") for number in range(5)))
    service.disk = Disk(str(disk))
    connection = client()
    turn(service)
    connection.recv(1000)
    expected = zlib.crc32(record(1, "a") + record(2, "a"))
    assert ask(service, connection, b"sum 1 2\n") == f"sum 1 2 {expected:08x}\n"
    disk.write_bytes(b"".join(record(number, "b") for number in range(5)))
    assert f"{expected:08x}" not in ask(service, connection, b"sum 1 2\n")


def test_a_guest_without_a_disk_says_so_and_promises_nothing(service, client, tmp_path):
    service.disk = Disk(str(tmp_path / "nothing"))
    connection = client()
    turn(service)
    connection.recv(1000)
    assert ask(service, connection, b"write 0 a\n").startswith("error: [Errno 2]")
