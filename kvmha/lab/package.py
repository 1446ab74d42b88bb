"""Find kvmha's own Debian package, which the nodes of a lab get as a user's hosts would."""

from __future__ import annotations

import glob
import hashlib
import os

import kvmha
from kvmha.lab.plan import LabError


def find(given: str | None) -> str:
    """Return the path of the given package, or of the newest one that this checkout has built. Raises LabError."""
    if given is not None:
        if not os.path.isfile(given):
            raise LabError(f"--package: there is no file {given}; ./dev deb builds one")
        return os.path.abspath(given)
    checkout = os.path.dirname(os.path.dirname(os.path.abspath(kvmha.__file__)))
    built = glob.glob(f"{glob.escape(checkout)}/dist/kvmha_*_all.deb")
    if not built:
        raise LabError(
            "no Debian package of kvmha for the nodes: build one with ./dev deb, or name one with --package FILE"
        )
    return max(built, key=os.path.getmtime)


def digest(path: str) -> str:
    """Return what tells one package from another."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
