"""QEMU's monitor, spoken to over a real socket that a thread serves."""

from __future__ import annotations

import socket
import threading

import pytest

from kvmha.host import Host
from kvmha.tools import qmp
from kvmha.tools.qmp import QmpError

GREETING = b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}\r\n'
EVENT = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "POWERDOWN"}\r\n'
STATUS = b'{"return": {"status": "shutdown", "singlestep": false, "running": false}}\r\n'


@pytest.fixture
def served(tmp_path):
    """Return how to serve one client with chunks of bytes, and what that client had said when it was gone."""
    heard = []
    threads = []

    def serve(*chunks):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(tmp_path / "monitor.sock"))
        listener.listen(1)

        def body():
            with listener, listener.accept()[0] as client:
                for chunk in chunks:
                    client.sendall(chunk)
                while True:
                    said = client.recv(4096)
                    if not said:
                        return
                    heard.append(said)

        threads.append(threading.Thread(target=body, daemon=True))
        threads[-1].start()
        return str(tmp_path / "monitor.sock")

    def said():
        for thread in threads:
            thread.join(5.0)
        return b"".join(heard)

    yield serve, said
    said()


def test_the_button_is_pressed_after_the_negotiation(served):
    serve, said = served
    qmp.press_power_button(Host(), serve(GREETING, b'{"return"', b": {}}\r\n", EVENT, b'{"return": {}}\r\n'))
    assert said() == b'{"execute": "qmp_capabilities"}\n{"execute": "system_powerdown"}\n'


def test_the_state_is_read(served):
    serve, _ = served
    assert qmp.run_state(Host(), serve(GREETING, b'{"return": {}}\r\n', EVENT, STATUS)) == "shutdown"


@pytest.mark.parametrize("answer", [b'{"error": {"class": "GenericError", "desc": "no"}}\r\n', b""])
def test_a_refusal_is_an_error(served, answer):
    serve, _ = served
    with pytest.raises(QmpError):
        qmp.press_power_button(Host(), serve(GREETING, b'{"return": {}}\r\n', answer))


def test_a_monitor_that_somebody_else_holds_is_an_error_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr(qmp, "TIMEOUT", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "monitor.sock"))
        listener.listen(1)
        with pytest.raises(QmpError, match="did not answer"):
            qmp.press_power_button(Host(), str(tmp_path / "monitor.sock"))


def test_a_monitor_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(QmpError, match="No such file"):
        qmp.press_power_button(Host(), str(tmp_path / "monitor.sock"))
