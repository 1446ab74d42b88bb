"""What a resource keeps between its actions."""

from __future__ import annotations

import pytest

from kvmha.ocf import state_file
from tests.fakes import FakeHost


def test_words_are_kept_as_they_were_and_empty_ones_not_at_all():
    host = FakeHost()
    state_file.write(host, "FloatingIP", "vip", {"ip": "::1", "nic": "", "link": "a=b"})
    assert state_file.read(host, "FloatingIP", "vip") == {"ip": "::1", "link": "a=b"}
    state_file.remove(host, "FloatingIP", "vip")
    assert state_file.read(host, "FloatingIP", "vip") == host.files == {}


def test_a_word_cannot_make_another_line():
    host = FakeHost()
    state_file.write(host, "FloatingIP", "vip", {"nic": "x\nip=10.0.0.1"})
    assert state_file.read(host, "FloatingIP", "vip") == {"nic": "x ip=10.0.0.1"}


def test_an_instance_names_no_path():
    assert state_file.path("FloatingIP", "../../etc/passwd") == "/run/kvmha/FloatingIP/.._.._etc_passwd"


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\xfe", PermissionError(13, "x")])
def test_what_cannot_be_read_is_nothing(content):
    host = FakeHost()
    host.files[state_file.path("FloatingIP", "vip")] = content
    assert state_file.read(host, "FloatingIP", "vip") == {}
