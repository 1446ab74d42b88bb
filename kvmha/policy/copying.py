"""Which files of a guest go with it to a node that does not share them, and why that cannot be.

Invariant: no file of the target is ever written over, and nothing is copied that would not be the whole disk: what
stands on another file, or is no plain file, is refused. A file that others may read as well stays where it is.
"""

from __future__ import annotations

from kvmha.policy.movability import TIES, Reason
from kvmha.record import Record


class File(Record):
    """A file that a guest is started from."""

    path: str
    kind: str = "file"
    """What it is on the source: ``file``, or what else was found there."""
    size: int = 0
    allocated: int = 0
    """Bytes; less than the size where it has holes."""
    owner: tuple[int, int, int] = (0o600, 0, 0)
    """Mode, user and group."""
    is_read_only: bool = False
    backing: str = ""
    """The file that it stands on."""
    is_there: bool | None = None
    """The target has a file of that path; None where that is not known."""


class View(Record):
    """All that the decision is made from."""

    guest: str
    source: str
    target: str
    is_on_source: bool
    """The command runs on the source."""
    files: tuple[File, ...]
    free_bytes: dict[str, int | None]
    """What the target's folders have free; None for one that is yet to be made."""
    has_definition: bool | None = None
    """The target has what the guest is started from; None where that is not known."""


class Copying(Record):
    """What is copied, or why nothing is."""

    files: tuple[File, ...]
    reasons: tuple[Reason, ...]


def decide(view: View) -> Copying:
    """Return which files go; with a reason, none does."""
    found: list[Reason] = []
    if not view.is_on_source:
        said = f"the disks of {view.guest} can only be copied by a command that runs on {view.source}"
        found.append(_no("not-on-source", said))
    if view.has_definition is False:
        found.append(_no("definition-missing", f"{view.target} does not have the definition of {view.guest}"))
    for file in view.files:
        found += _wrong(file, view.target)
    going = tuple(file for file in view.files if not (file.is_read_only and file.is_there))
    found += _short(going, view)
    if not going and not found:
        said = f"{view.guest} has no file on {view.source} that {view.target} lacks, so there is nothing to copy"
        found.append(_no("nothing-to-copy", said))
    return Copying(files=() if found else going, reasons=tuple(found))


def _wrong(file: File, target: str) -> list[Reason]:
    if file.kind != "file":
        said = f"{file.path} is no plain file but a {file.kind}: make one of that size on {target} and copy it there"
        return [_no("no-file", said)]
    if file.backing:
        return [_no("has-backing", f"{file.path} stands on {file.backing}: make one image of the two first")]
    if file.is_there and not file.is_read_only:
        said = (
            f"{target} has a file {file.path} already: a disk that both share needs no --copy-disks, and what is left "
            "of another guest or an earlier move has to be removed there first"
        )
        return [_no("file-there", said)]
    if file.is_there is None:
        return [_no("unknown-there", f"whether {target} has a file {file.path} already is not known")]
    return []


def _short(files: tuple[File, ...], view: View) -> list[Reason]:
    """Folders that have exactly as much free are taken to be on one file system."""
    needs: dict[int, int] = {}
    for file in files:
        free = view.free_bytes.get(file.path.rpartition("/")[0])
        if free is not None:
            needs[free] = needs.get(free, 0) + min(file.allocated, file.size)
    return [
        _no(
            "storage-short",
            f"{view.target}: short of {(need - free) / 1048576:.0f} MiB for the disks of {view.guest} "
            f"({free / 1048576:.0f} MiB free)",
            need=need / 1048576,
            free=free / 1048576,
        )
        for free, need in sorted(needs.items())
        if need > free
    ]


def _no(code: str, said: str, **numbers: float) -> Reason:
    return Reason(code=code, effect=TIES, said=said, numbers=numbers)


def check_invariants(view: View, found: Copying) -> None:
    """Raise AssertionError where a file of the target would be lost, or a part of a disk would be left behind."""
    for file in found.files:
        assert file.is_there is False
        assert file.kind == "file"
        assert not file.backing
    if found.files:
        assert view.is_on_source
        going = {file.path for file in found.files}
        assert all(file.path in going or file.is_read_only for file in view.files)
    assert bool(found.files) != bool(found.reasons)
