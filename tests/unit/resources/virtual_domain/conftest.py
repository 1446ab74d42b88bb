"""What the tests of the agent for guests share."""

from __future__ import annotations

import pytest

from tests.unit.resources.virtual_domain.calls import CONFIG, definition


@pytest.fixture
def config(host):
    """Have the guest's definition in its file."""
    host.files[CONFIG] = definition().encode()
    return CONFIG


@pytest.fixture
def log(monkeypatch):
    """Return the list of what the agent writes to the system log."""
    lines = []
    monkeypatch.setattr("kvmha.ocf.report.Report.log", lambda self, text, warning=False: lines.append(text))
    return lines
