"""A folder of rendered files: written as a whole or not at all, and never over anything that is not a rendering."""

from __future__ import annotations

import hashlib
import os

from kvmha.errors import UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvmha.host import Host

MANIFEST = "SHA256SUMS"
"""Names and digests of a rendering, as sha256sum writes them; by it a later one knows what it may replace."""

DRAFT = ".rendering"
"""Where the files lie inside their folder until all of them are written."""


def write(host: Host, folder: str, files: dict[str, str], mode: Callable[[str], int]) -> None:
    """Put rendered files into a folder that is new, empty, or holds an unchanged former rendering.

    Raises UserError for any other folder, and where writing fails; what was there before is then there still.
    """
    folder = folder.rstrip("/") or "/"
    former = _former(host, folder)
    sums = "".join(f"{_digest(text)}  {name}\n" for name, text in sorted(files.items()))
    wanted = {**files, MANIFEST: sums}
    made = not host.exists(folder)
    # A draft on the same disk first: once it is complete, only renames remain, and a full disk stops none.
    draft = f"{folder}/{DRAFT}"
    try:
        for name, text in wanted.items():
            host.write(f"{draft}/{name}", text, mode(name))
        for name in wanted:
            os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
            os.replace(f"{draft}/{name}", f"{folder}/{name}")
        _remove_folders(draft)
    except OSError as error:
        for name in _below(host, draft):
            host.remove(f"{draft}/{name}")
        for path in (draft, folder) if made else (draft,):
            if host.exists(path):
                _remove_folders(path)
        said = f"cannot write {folder}: {error.strerror}"
        raise UserError(f"{said}; give --out a folder that can be written") from error
    for name in former:
        if name not in wanted:
            host.remove(f"{folder}/{name}")
    _remove_empty(folder)


def _former(host: Host, folder: str) -> list[str]:
    """Return the files of a former rendering. Raises UserError for a folder that holds anything else."""
    if host.exists(folder) and not os.path.isdir(folder):
        raise UserError(f"{folder} is a file; give --out a folder that is new or empty")
    names = sorted(_below(host, folder))
    if not names:
        return []
    lines = host.read(f"{folder}/{MANIFEST}").splitlines() if MANIFEST in names else []
    sums = dict(line.split("  ", 1)[::-1] for line in lines if "  " in line)
    for name in names:
        if name != MANIFEST and name not in sums:
            said = f"{folder} holds {name}, which is no former rendering"
            raise UserError(f"{said}; give --out a folder that is new or empty")
        if name != MANIFEST and sums[name] != _digest(host.read(f"{folder}/{name}")):
            said = f"{folder}/{name} was changed after it was rendered"
            raise UserError(f"{said}; move the folder away, or give --out another one")
    return names


def _below(host: Host, folder: str) -> Iterator[str]:
    """Yield the files below a folder by their names relative to it."""
    for name in host.names(folder):
        if os.path.isdir(f"{folder}/{name}") and not os.path.islink(f"{folder}/{name}"):
            yield from (f"{name}/{inner}" for inner in _below(host, f"{folder}/{name}"))
        else:
            yield name


def _remove_folders(folder: str) -> None:
    for path, _, _ in os.walk(folder, topdown=False):
        os.rmdir(path)


def _remove_empty(folder: str) -> None:
    """Remove what lost its last file to a former rendering's end."""
    for path, _, _ in os.walk(folder, topdown=False):
        if path != folder and not os.listdir(path):
            os.rmdir(path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
