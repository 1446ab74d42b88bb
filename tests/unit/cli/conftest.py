"""What every test of the command line has: a journal of its own, where one runs on the machine itself."""

from __future__ import annotations

import pytest

from kvmha import journal


@pytest.fixture(autouse=True)
def own_journal(monkeypatch, tmp_path):
    """Keep the tests' decisions out of the machine's journal."""
    monkeypatch.setattr(journal, "FOLDER", str(tmp_path / "decisions"))
