"""A report of a cluster, as `pcs cluster report` and crm_report make it: the CIB and corosync.conf that it holds.

A report is an archive or an unpacked folder, with a folder for each node in it; each has the node's cib.xml and
corosync.conf (Pacemaker's tools/crm_report.in, getconfig). A compressed file that is no archive holds one CIB alone, as
the inputs of the scheduler do that Pacemaker keeps (/var/lib/pacemaker/pengine).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zlib

from kvmha.errors import UserError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.host import Host

LIMIT = 256 * 1024 * 1024
CIB, CONF = "cib.xml", "corosync.conf"
GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ"
"""How compressed files begin."""

TAR, TAR_AT = b"ustar", 257
"""What an archive has in its first header, and where (tar(5))."""


class Saved(Record):
    """What a file, an archive or a folder holds of a cluster; ``conf`` is None where there is no corosync.conf."""

    cib: str
    conf: str | None = None


def read(host: Host, path: str) -> Saved:
    """Return the cluster that was saved under a path. Raises UserError."""
    try:
        if host.kind(path) == "folder":
            return _newest(path, _in_folder(host, path))
        found = host.read_bytes(path, LIMIT)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    try:
        found = _unpacked(found)
        if not found.startswith(TAR, TAR_AT):
            return Saved(cib=found.decode("utf-8", "replace"))
        with tarfile.open(fileobj=io.BytesIO(found), mode="r:") as archive:
            return _newest(path, _in_archive(archive))
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        said = " ".join(str(error).split())
        raise UserError(f"{path} is compressed or an archive, and cannot be read to its end: {said}") from None


def _unpacked(content: bytes) -> bytes:
    packed = io.BytesIO(content)
    if content.startswith(GZIP):
        return gzip.GzipFile(fileobj=packed).read(LIMIT)
    if content.startswith(BZIP2):
        return bz2.BZ2File(packed).read(LIMIT)
    return lzma.LZMAFile(packed).read(LIMIT) if content.startswith(XZ) else content


def _in_folder(host: Host, path: str) -> Iterator[tuple[str, str]]:
    """Yield folder and text of each file that matters, in the folder itself and in those of the nodes."""
    for folder in (path, *(f"{path}/{name}" for name in host.names(path))):
        for name in (CIB, CONF):
            if host.exists(f"{folder}/{name}") and host.kind(folder) == "folder":
                yield f"{folder}/{name}", host.read_bytes(f"{folder}/{name}", LIMIT).decode("utf-8", "replace")


def _in_archive(archive: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    for member in archive:
        opened = archive.extractfile(member) if member.isfile() and member.size <= LIMIT else None
        if opened is not None and member.name.rpartition("/")[2] in (CIB, CONF):
            yield member.name, opened.read(LIMIT).decode("utf-8", "replace")


def _newest(path: str, files: Iterator[tuple[str, str]]) -> Saved:
    """Return the latest CIB of all nodes, and the corosync.conf of that node, or else of any."""
    cibs: dict[str, str] = {}
    confs: dict[str, str] = {}
    for name, text in files:
        folder, _, last = name.rpartition("/")
        (cibs if last == CIB else confs)[folder] = text
    if not cibs:
        raise UserError(
            f"{path} holds no cib.xml; give a report of pcs cluster report, or what cibadmin --query prints"
        )
    best = max(sorted(cibs), key=lambda folder: version(cibs[folder]))
    return Saved(cib=cibs[best], conf=confs.get(best, next(iter(confs.values()), None)))


def version(cib: str) -> tuple[int, ...]:
    """Return by what a later CIB is told from an earlier one: admin_epoch, epoch, num_updates."""
    head = cib[: cib.find(">", cib.find("<cib")) + 1]
    found = (re.search(rf'\s{word}="(\d+)"', head) for word in ("admin_epoch", "epoch", "num_updates"))
    return tuple(int(each.group(1)) if each else 0 for each in found)
