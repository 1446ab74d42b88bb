"""What all tests share: where the checkout is, and where a test may leave something for people to read."""

from __future__ import annotations

from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the folder that holds kvmha, agents and setup.cfg."""
    return CHECKOUT


@pytest.fixture(scope="session")
def build() -> Path:
    """Return the folder for what a run leaves behind: logs of failed lab tests, reports."""
    folder = CHECKOUT / "build"
    folder.mkdir(exist_ok=True)
    return folder
