"""Errors of libvirt 9.0 as they were seen, and what each says about a guest; calls that do not come back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvmha.host import CommandTimeout
from kvmha.policy.model import GuestIdentity
from kvmha.tools.libvirtd import Libvirt, LibvirtError, LibvirtSilent, LibvirtUnreachable
from tests.fakes import FakeHost

GUEST = GuestIdentity(name="web1", uuid="3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01")


class Refusal(Exception):
    """The binding's libvirtError: a text, a code and the part of libvirt that it comes from (virterror.h)."""

    def __init__(self, code, part, text):
        super().__init__(text)
        self.get_error_code, self.get_error_domain = lambda: code, lambda: part


class Binding(SimpleNamespace):
    """The constants of the binding that are looked at, with their numbers of virterror.h."""

    VIR_ERR_INTERNAL_ERROR, VIR_ERR_NO_CONNECT, VIR_ERR_INVALID_CONN = 1, 5, 6
    VIR_ERR_SYSTEM_ERROR, VIR_ERR_RPC, VIR_ERR_AUTH_UNAVAILABLE, VIR_ERR_NO_DOMAIN = 38, 39, 79, 42
    VIR_FROM_RPC, VIR_FROM_REMOTE = 7, 13
    libvirtError = Refusal


@pytest.fixture
def binding(monkeypatch):
    """Return a binding whose connection answers every look-up with the error that a test puts there."""
    found = Binding(error=None, open_error=None, is_alive=True, opened=[])

    def look_up(_text):
        raise found.error

    def connect(uri):
        found.opened.append(uri)
        if found.open_error:
            raise found.open_error
        return SimpleNamespace(isAlive=lambda: found.is_alive, lookupByUUIDString=look_up)

    found.open = connect
    monkeypatch.setattr("kvmha.tools.libvirtd.connection.binding", lambda: found)
    return found


def connection(host=None):
    return Libvirt(host or FakeHost(), "qemu:///system", lambda: 20.0)


def test_no_such_domain_is_an_answer(binding):
    binding.error = Refusal(42, 10, "Domain not found: no domain with matching uuid")
    assert connection().domain(GUEST) is None


def test_no_daemon_at_the_socket_is_no_answer(binding):
    binding.open_error = Refusal(
        38, 7, "Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory"
    )
    with pytest.raises(LibvirtUnreachable, match=r"^libvirt is not reachable: Failed to connect socket"):
        connection().domain(GUEST)


def test_a_connection_that_broke_is_no_answer_and_is_made_anew(binding):
    binding.is_alive, binding.error = False, Refusal(1, 7, "internal error: client socket is closed")
    libvirt = connection()
    for _ in range(2):
        with pytest.raises(LibvirtUnreachable):
            libvirt.domain(GUEST)
    assert len(binding.opened) == 2


def test_a_target_that_refuses_the_connection_is_a_refusal_of_a_libvirt_that_answers(binding):
    # The code and the part are those of a missing daemon; the daemon here is alive and passes them on.
    binding.error = Refusal(38, 7, "unable to connect to server at '127.0.0.1:1': Connection refused")
    with pytest.raises(LibvirtError, match=r"^libvirt says: unable to connect") as caught:
        connection().domain(GUEST)
    assert not isinstance(caught.value, LibvirtUnreachable)


def test_a_refusal_keeps_the_connection(binding):
    binding.error = Refusal(55, 10, "Requested operation is not valid")
    libvirt = connection()
    for _ in range(2):
        with pytest.raises(LibvirtError, match="says: Requested operation is not valid"):
            libvirt.domain(GUEST)
    assert len(binding.opened) == 1


def test_a_call_that_does_not_come_back_is_silence_and_its_connection_is_left_to_it(binding, monkeypatch):
    host = FakeHost()
    libvirt = connection(host)
    binding.error = Refusal(42, 10, "Domain not found")
    assert libvirt.domain(GUEST) is None

    def hangs(call, *, what, timeout):
        raise CommandTimeout((what,), "did not answer")

    bounded = host.bounded
    monkeypatch.setattr(host, "bounded", hangs)
    with pytest.raises(LibvirtSilent, match=r"^libvirt at qemu:///system did not answer within 10 s$"):
        libvirt.domain(GUEST)
    monkeypatch.setattr(host, "bounded", bounded)
    assert libvirt.domain(GUEST) is None
    assert len(binding.opened) == 2
