"""A service that is asked whether it answers."""

from __future__ import annotations

import socket
import threading

import pytest

from kvmha.host import Host
from kvmha.tools import service_probe
from kvmha.tools.service_probe import Service


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("tcp://10.0.0.1:80", Service(scheme="tcp", host="10.0.0.1", port=80)),
        ("tcp://[::1]:443", Service(scheme="tcp", host="::1", port=443)),
        ("http://web", Service(scheme="http", host="web", port=80)),
        ("http://web:8080/up?full=1", Service(scheme="http", host="web", port=8080, path="/up?full=1")),
    ],
)
def test_a_service_is_read(text, service):
    assert service_probe.parse(text) == service


@pytest.mark.parametrize(
    "text", ["", "web", "tcp://web", "tcp://:80", "tcp://web:80/x", "tcp://web:0", "tcp://web:70000", "https://web",
             "http://a b/"],
)  # fmt: skip
def test_what_is_no_service_is_refused(text):
    with pytest.raises(ValueError, match=r".*"):
        service_probe.parse(text)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n", None),
        (b"HTTP/1.0 302 Found\r\n", None),
        (b"HTTP/1.1 503 Service Unavailable\r\n", "it answers HTTP/1.1 503 Service Unavailable"),
        (b"SSH-2.0-OpenSSH\r\n", "it does not speak HTTP: 'SSH-2.0-OpenSSH'"),
        (b"", "it does not speak HTTP: ''"),
    ],
)
def test_only_a_success_is_an_answer(answer, reason):
    assert service_probe.why_refused(answer) == reason


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_port_that_takes_connections_answers_tcp_and_one_that_is_silent_no_http(server):
    port = server.getsockname()[1]
    assert service_probe.why_silent(Host(), service_probe.parse(f"tcp://127.0.0.1:{port}"), 5.0) is None
    said = service_probe.why_silent(Host(), service_probe.parse(f"http://127.0.0.1:{port}/"), 0.2)
    assert "127.0.0.1" in said
    server.close()
    said = service_probe.why_silent(Host(), service_probe.parse(f"tcp://127.0.0.1:{port}"), 5.0)
    assert said == f"127.0.0.1:{port}: Connection refused"


def test_an_http_service_is_asked_for_its_path(server):
    asked = []

    def serve():
        connection, _ = server.accept()
        with connection:
            asked.append(connection.recv(1024))
            connection.sendall(b"HTTP/1.0 204 No Content\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    probe = service_probe.parse(f"http://127.0.0.1:{server.getsockname()[1]}/up")
    assert service_probe.why_silent(Host(), probe, 5.0) is None
    thread.join(5)
    assert asked[0].startswith(b"GET /up HTTP/1.0\r\nHost: 127.0.0.1:")
