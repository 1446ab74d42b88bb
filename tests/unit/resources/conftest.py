"""The machine and the libvirt that the agents of these tests meet."""

from __future__ import annotations

import pytest

from tests.fakes import FakeHost, FakeLibvirt


@pytest.fixture
def host(monkeypatch) -> FakeHost:
    """Return a machine; nothing that an agent logs on it reaches the real system log."""
    monkeypatch.setattr("kvmha.ocf.report.Report.log", lambda self, text, warning=False: None)
    return FakeHost()


@pytest.fixture
def libvirt(host, monkeypatch) -> FakeLibvirt:
    """Return the libvirt of that machine, in the place of the real one."""
    fake = FakeLibvirt(host)
    monkeypatch.setattr("kvmha.tools.libvirtd.Libvirt", fake)
    return fake
