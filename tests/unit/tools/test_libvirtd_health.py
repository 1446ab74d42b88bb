"""What libvirt's numbers for a state mean, and how the silence of an agent and of QEMU is told from libvirt's own."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from kvmha.host import CommandTimeout
from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.tools.libvirtd import REASONS, STATES, Libvirt, LibvirtError, LibvirtSilent
from kvmha.tools.libvirtd.notes import dirty_of
from tests.fakes import FakeHost

GUEST = GuestIdentity(name="web1", uuid="3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01")


class Refusal(Exception):
    """The binding's libvirtError: a text, a code and the part of libvirt that it comes from (virterror.h)."""

    def __init__(self, code, part, text):
        super().__init__(text)
        self.get_error_code, self.get_error_domain = lambda: code, lambda: part


class Domain:
    """The binding's domain, with what each call answers as an attribute."""

    def __init__(self):
        self.number = (1, 1)
        self.control = [0, 0, 0]
        self.asked = []
        self.resumed = False

    def state(self):
        return self.number

    def controlInfo(self):
        return self.control

    def connect(self):
        return SimpleNamespace(domainListGetStats=lambda domains, what, flags: self.asked.append(what))

    def resume(self):
        self.resumed = True

    name, UUIDString = (lambda self: "web1"), (lambda self: GUEST.uuid)
    isActive = isPersistent = lambda self: 1


@pytest.fixture
def domain(monkeypatch):
    """Return the domain that a connection finds; ``agent`` becomes of a command for its guest agent."""
    found = Domain()
    found.agent = lambda: '{"return":{}}'
    connection = SimpleNamespace(isAlive=lambda: True, lookupByUUIDString=lambda _uuid: found)
    binding = SimpleNamespace(
        open=lambda _uri: connection, libvirtError=Refusal, VIR_ERR_AGENT_UNRESPONSIVE=86,
        VIR_ERR_OPERATION_TIMEOUT=68, VIR_FROM_QEMU=10, VIR_DOMAIN_CONTROL_OCCUPIED=2, VIR_DOMAIN_STATS_IOTHREAD=128,
        VIR_DOMAIN_METADATA_ELEMENT=2, VIR_DOMAIN_AFFECT_LIVE=1, VIR_ERR_NO_DOMAIN_METADATA=80,
    )  # fmt: skip
    monkeypatch.setattr("kvmha.tools.libvirtd.connection.binding", lambda: binding)
    module = SimpleNamespace(qemuAgentCommand=lambda _domain, _text, _seconds, _flags: found.agent())
    monkeypatch.setitem(sys.modules, "libvirt_qemu", module)
    return found


def raising(*error):
    def fail(*_arguments):
        raise Refusal(*error)

    return fail


@pytest.fixture
def libvirt(domain):
    return Libvirt(FakeHost(), "qemu:///system", lambda: 30.0)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ((1, 1), ("running", "booted")), ((3, 1), ("paused", "user")), ((3, 5), ("paused", "ioerror")),
        ((3, 13), ("paused", "post-copy failed")), ((5, 1), ("shutoff", "shutdown")), ((6, 1), ("crashed", "panicked")),
        ((7, 0), ("pmsuspended", "unknown")), ((1, 11), ("running", "post-copy failed")),
        ((3, 99), ("paused", "reason 99")), ((99, 1), ("state 99", "reason 1")),
    ],
)  # fmt: skip
def test_numbers_become_the_words_of_the_status_files(domain, libvirt, number, words):
    domain.number = number
    assert libvirt.domain(GUEST).seen == GuestState(state=words[0], reason=words[1])


def test_the_tables_are_as_long_as_libvirts_enumerations():
    assert STATES[3] == "paused"
    assert {state: len(words) for state, words in REASONS.items()} == {
        "nostate": 1, "running": 12, "blocked": 1, "paused": 15, "shutdown": 2, "shutoff": 9, "crashed": 2,
        "pmsuspended": 1,
    }  # fmt: skip


# The texts are those of libvirt 9.0, with an agent that was stopped, and one that was told to refuse the command.
SILENT = (86, 10, "Guest agent is not responding: Guest agent not available for now")
REFUSED = (1, 10, "internal error: unable to execute QEMU agent command 'guest-ping': Command has been disabled")


def test_an_agent_that_answers_or_refuses_is_not_silent(domain, libvirt):
    assert libvirt.agent_silence(GUEST) == ""
    domain.agent = raising(*REFUSED)
    assert libvirt.agent_silence(GUEST) == ""


def test_a_silent_agent_is_told_in_libvirts_words(domain, libvirt):
    domain.agent = raising(*SILENT)
    assert libvirt.agent_silence(GUEST) == SILENT[2]


@pytest.mark.parametrize(
    "error",
    [
        (68, 10, "Timed out during operation: cannot acquire state change lock (held by agent=remoteDispatch)"),
        (38, 7, "Cannot recv data: Connection reset by peer"),
    ],
)
def test_an_agent_that_could_not_be_asked_is_not_called_silent(domain, libvirt, error):
    domain.agent = raising(*error)
    with pytest.raises(LibvirtError):
        libvirt.agent_silence(GUEST)


def test_a_qemu_that_answers_is_not_silent(domain, libvirt):
    assert libvirt.qemu_silence(GUEST) == ""
    assert domain.asked == [128]


def test_a_qemu_that_owes_libvirt_an_answer_already_is_not_asked_again(domain, libvirt):
    domain.control = [2, 0, 8020]
    assert libvirt.qemu_silence(GUEST) == "QEMU has not answered libvirt for 8 s"
    assert domain.asked == []
    domain.control = [2, 0, 300]
    assert libvirt.qemu_silence(GUEST) == ""


def test_a_question_that_qemu_does_not_answer_is_its_silence(domain, libvirt, monkeypatch):
    def hangs(_host, _call, *, what, timeout):
        raise CommandTimeout((what,), "did not answer")

    monkeypatch.setattr(FakeHost, "bounded", hangs)
    assert libvirt.qemu_silence(GUEST) == "QEMU does not answer libvirt"
    with pytest.raises(LibvirtSilent):
        libvirt.agent_silence(GUEST)


@pytest.mark.parametrize("number", [(1, 1), (3, 1), (3, 2), (3, 6), (3, 10), (5, 1), (6, 1), (7, 0)])
def test_nothing_goes_on_but_what_an_io_error_paused(domain, libvirt, number):
    domain.number = number
    assert (libvirt.resume_after_io_error(GUEST), domain.resumed) == (False, False)
    domain.number = (3, 5)
    assert (libvirt.resume_after_io_error(GUEST), domain.resumed) == (True, True)


def test_a_dirty_rate_counts_only_while_it_is_fresh():
    stats = {"dirtyrate.calc_status": 2, "dirtyrate.calc_start_time": 100, "dirtyrate.megabytes_per_second": 12}
    assert dirty_of(stats, 2, 99.0) == 12.0
    assert dirty_of(stats, 2, 101.0) is None
    assert dirty_of({**stats, "dirtyrate.calc_status": 1}, 2, 99.0) is None
    assert dirty_of({}, 2, 0.0) is None


def test_a_note_is_read_as_it_was_written(domain, libvirt):
    written = {}

    def metadata(_kind, uri, _flags):
        if uri not in written:
            raise Refusal(80, 10, "metadata not found")
        return written[uri]

    domain.metadata = metadata
    domain.setMetadata = lambda _kind, text, _key, uri, _flags: written.update({uri: text})
    assert libvirt.note(GUEST) == ""
    libvirt.set_note(GUEST, '[{"reason": "<&>"}]')
    assert libvirt.note(GUEST) == '[{"reason": "<&>"}]'
