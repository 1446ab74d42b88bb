"""Pack the guest's initramfs: a cpio archive of files taken from an image, with what they need and nothing else."""

from __future__ import annotations

import lzma
import os
import re
import stat

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Entry(Record):
    """One name in the archive; ``mode`` is the type and the permissions, as stat(2) has them in st_mode."""

    path: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)
    changed: int = 0


def folder_entry(path: str) -> Entry:
    """Return a folder."""
    return Entry(path=path, mode=stat.S_IFDIR | 0o755)


def file_entry(path: str, content: bytes, *, mode: int = 0o644, changed: int = 0) -> Entry:
    """Return a file; ``changed`` is its time of modification in whole seconds since 1970."""
    return Entry(path=path, mode=stat.S_IFREG | mode, content=content, changed=changed)


def link_entry(path: str, target: str) -> Entry:
    """Return a symbolic link."""
    return Entry(path=path, mode=stat.S_IFLNK | 0o777, content=target.encode())


def device_entry(path: str, major: int, minor: int) -> Entry:
    """Return a character device."""
    return Entry(path=path, mode=stat.S_IFCHR | 0o600, device=(major, minor))


def cpio(entries: Iterable[Entry]) -> bytes:
    """Return the archive in the "newc" form that the kernel unpacks (its buffer-format.rst), with folders as needed."""
    known: dict[str, Entry] = {}
    for entry in entries:
        folder = os.path.dirname(entry.path)
        missing = []
        while folder and folder not in known:
            missing.append(folder)
            folder = os.path.dirname(folder)
        known.update((name, folder_entry(name)) for name in reversed(missing))
        known[entry.path] = entry
    parts = [_member(entry, number) for number, entry in enumerate(known.values(), start=1)]
    parts.append(_member(Entry(path="TRAILER!!!", mode=0), 0))
    return b"".join(parts)


def _member(entry: Entry, inode: int) -> bytes:
    name = entry.path.encode() + b"\0"
    fields = (inode, entry.mode, 0, 0, 1, entry.changed, len(entry.content), 0, 0, *entry.device, len(name), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    return _padded(head) + _padded(entry.content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def module_folder(root: str) -> str | None:
    """Return the folder with the modules of a kernel package unpacked to ``root``: Debian 13 has it below /usr."""
    found = [f"{root}/{name}" for name in ("lib/modules", "usr/lib/modules") if os.path.isdir(f"{root}/{name}")]
    return found[0] if found else None


def modules(folder: str, wanted: Iterable[str]) -> list[tuple[str, bytes]]:
    """Return (file name, content) of the wanted kernel modules and of all that they depend on, in order of loading.

    ``folder`` is the package's /lib/modules/VERSION. A name that has no file is built into the kernel, and left out.
    """
    files: dict[str, str] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            found = re.fullmatch(r"(.+)\.ko(\.xz)?", name)
            if found:
                files[found[1].replace("-", "_")] = os.path.join(place, name)
    ordered: dict[str, bytes] = {}

    def add(name: str) -> None:
        name = name.replace("-", "_")
        if name in ordered or name not in files:
            return
        content = _module(files[name])
        # modinfo(8) prints this section; "depends" names the modules whose symbols this one uses.
        needs = re.search(rb"\0depends=([^\0]*)\0", content)
        for need in needs[1].decode().split(",") if needs else ():
            add(need)
        ordered[name] = content

    for name in wanted:
        add(name)
    return [(f"{name}.ko", content) for name, content in ordered.items()]


def _module(path: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read()
    return lzma.decompress(content) if path.endswith(".xz") else content
