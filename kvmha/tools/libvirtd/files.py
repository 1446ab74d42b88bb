"""Files of the node that a libvirt runs on, reached through libvirt itself: by the way, and the login, of a move.

libvirt shows files as volumes of storage pools. Where no pool has the folder, one is made for as long as a call lasts;
nobody else sees it afterwards, and it changes nothing in the folder. Holes of a file stay holes on their way.
"""

from __future__ import annotations

import os

from kvmha.record import Record
from kvmha.tools.libvirtd.connection import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any, TypeVar

    T = TypeVar("T")

FOLDER_LIMIT = 60.0
"""Seconds to look through a folder: libvirt opens every file in it."""

CHUNK = 1024 * 1024
ZEROS = bytes(CHUNK)

FROM_START = 0

MEMORY_FOLDER = "/dev/shm"
PROBE_MIB = 32
PROBE_LIMIT = 20.0
"""Seconds for the measurement of a path: one that needs longer carries less than 2 MiB/s."""

NOISE = bytes(range(256)) * 1024
"""What is sent to measure a path: no zeros, which somebody on the way might leave out."""


class Copied(Record):
    """A file that went to another node."""

    size: int
    """Bytes, holes counted."""
    sent: int
    """Bytes that went over the path."""
    digest: str
    """SHA-256 of the whole, holes as zeros."""


class Room(Record):
    """What a folder of a node offers."""

    free_bytes: int
    names: tuple[str, ...]
    """The files in it."""


class Stopped(Exception):
    """The caller wants no more of a file."""


class NodeFiles(Connection):
    """Files in a node's folders; a node is only ever told of files by their whole path."""

    def room(self, folder: str) -> Room | None:
        """Return what a folder holds and has free; None where there is none."""

        def ask(libvirt: Any, connection: Any) -> Room | None:
            try:
                with _pool(libvirt, connection, folder) as pool:
                    return Room(free_bytes=pool.info()[3], names=tuple(sorted(pool.listVolumes())))
            except libvirt.libvirtError:
                if _is_pool_of(connection, folder):
                    raise
                # libvirt says in many words that it could not open it.
                return None

        return self._call(ask, limit=FOLDER_LIMIT)

    def send_file(
        self,
        fd: int,
        path: str,
        *,
        owner: tuple[int, int, int],
        on_made: Callable[[], object],
        on_bytes: Callable[[int], None],
        watch: Callable[[], object],
    ) -> Copied:
        """Make a file on the node from an open one here, its folder too if need be.

        ``owner`` is mode, user and group. ``on_made`` is called once the file is there, ``on_bytes`` is told how far it
        is: both in another thread, and the second ends it by raising Stopped, which removes the file. ``watch`` is
        called twice a second meanwhile, in the caller's own thread, and gives it up by raising anything. A file that is
        there already is a LibvirtError.
        """
        folder, name = os.path.split(path)
        size = os.fstat(fd).st_size

        def send(libvirt: Any, connection: Any) -> Copied:
            with _pool(libvirt, connection, folder, is_made=True) as pool:
                volume = pool.createXML(_volume(name, size, owner), 0)
                on_made()
                try:
                    return _upload(libvirt, connection, volume, fd, size, on_bytes)
                except BaseException:
                    volume.delete(0)
                    raise

        return self._endless(send, watch)

    def digest_of(self, path: str, *, on_bytes: Callable[[int], None], watch: Callable[[], object]) -> str:
        """Fetch a file of the node and return its SHA-256; nothing of it is kept. See ``send_file``."""
        folder, name = os.path.split(path)

        def fetch(libvirt: Any, connection: Any) -> str:
            with _pool(libvirt, connection, folder) as pool:
                return _download(libvirt, connection, pool.storageVolLookupByName(name), on_bytes)

        return self._endless(fetch, watch)

    def remove_file(self, path: str) -> None:
        """Remove a file of the node; one that is not there is fine."""
        folder, name = os.path.split(path)

        def remove(libvirt: Any, connection: Any) -> None:
            with _pool(libvirt, connection, folder) as pool:
                if name in pool.listVolumes():
                    pool.storageVolLookupByName(name).delete(0)

        self._call(remove, limit=FOLDER_LIMIT)

    def path_mib_s(self, mib: int = PROBE_MIB) -> float:
        """Measure what libvirt's own stream to the node carries, in MiB/s: no more than the path does.

        The bytes go into the node's memory (/dev/shm), and are gone afterwards.
        """
        import time

        def carry(_libvirt: Any, connection: Any) -> float:
            with _pool(_libvirt, connection, MEMORY_FOLDER) as pool:
                volume = pool.createXML(_volume(f"kvmha-{os.getpid()}", mib * CHUNK, (0o600, 0, 0)), 0)
                try:
                    stream, left = connection.newStream(FROM_START), [mib * CHUNK]

                    def give(_stream: Any, count: int, _opaque: Any) -> bytes:
                        data = NOISE[: min(count, left[0])]
                        left[0] -= len(data)
                        return data

                    begun = time.monotonic()
                    volume.upload(stream, 0, mib * CHUNK, 0)
                    stream.sendAll(give, None)
                    stream.finish()
                    return mib / max(time.monotonic() - begun, 0.001)
                finally:
                    volume.delete(0)

        return self._call(carry, limit=PROBE_LIMIT)

    def _endless(self, act: Callable[[Any, Any], T], watch: Callable[[], object]) -> T:
        """Do what takes as long as it takes; a connection on which it was given up is not used again."""
        try:
            return self._call(act, limit=None, watch=watch)
        except BaseException:
            self._connection = None
            raise


def _volume(name: str, size: int, owner: tuple[int, int, int]) -> str:
    from xml.etree import ElementTree

    volume = ElementTree.Element("volume", {"type": "file"})
    ElementTree.SubElement(volume, "name").text = name
    ElementTree.SubElement(volume, "capacity", {"unit": "bytes"}).text = str(size)
    ElementTree.SubElement(volume, "allocation", {"unit": "bytes"}).text = "0"
    target = ElementTree.SubElement(volume, "target")
    # Whatever is in it, it is copied as it is.
    ElementTree.SubElement(target, "format", {"type": "raw"})
    permissions = ElementTree.SubElement(target, "permissions")
    mode, user, group = owner
    for tag, text in (("mode", f"0{mode:o}"), ("owner", str(user)), ("group", str(group))):
        ElementTree.SubElement(permissions, tag).text = text
    return ElementTree.tostring(volume, encoding="unicode")


def _upload(libvirt: Any, connection: Any, volume: Any, fd: int, size: int, on_bytes: Callable[[int], None]) -> Copied:
    import hashlib

    digest, at, sent = hashlib.sha256(), 0, 0

    def read(_stream: Any, count: int, _opaque: Any) -> bytes:
        nonlocal at, sent
        data = os.pread(fd, min(count, CHUNK), at)
        at += len(data)
        sent += len(data)
        digest.update(data)
        on_bytes(at)
        return data

    def section(_stream: Any, _opaque: Any) -> tuple[bool, int]:
        if at >= size:
            return False, 0
        begin = _data_after(fd, at, size)
        return (True, os.lseek(fd, at, os.SEEK_HOLE) - at) if begin == at else (False, begin - at)

    def skip(_stream: Any, length: int, _opaque: Any) -> int:
        nonlocal at
        at += length
        _hash_zeros(digest, length)
        on_bytes(at)
        return 0

    stream = connection.newStream(FROM_START)
    volume.upload(stream, 0, 0, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
    stream.sparseSendAll(read, section, skip, None)
    stream.finish()
    return Copied(size=at, sent=sent, digest=digest.hexdigest())


def _download(libvirt: Any, connection: Any, volume: Any, on_bytes: Callable[[int], None]) -> str:
    import hashlib

    digest, at = hashlib.sha256(), 0

    def take(_stream: Any, data: bytes, _opaque: Any) -> int:
        nonlocal at
        at += len(data)
        digest.update(data)
        on_bytes(at)
        return len(data)

    def skip(_stream: Any, length: int, _opaque: Any) -> int:
        nonlocal at
        at += length
        _hash_zeros(digest, length)
        on_bytes(at)
        return 0

    stream = connection.newStream(FROM_START)
    volume.download(stream, 0, 0, libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)
    stream.sparseRecvAll(take, skip, None)
    stream.finish()
    return digest.hexdigest()


def _data_after(fd: int, at: int, size: int) -> int:
    """Return where the next data begins, the end of the file where only a hole is left."""
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        # ENXIO (lseek(2)): there is no more.
        return size


def _hash_zeros(digest: Any, length: int) -> None:
    while length > 0:
        digest.update(ZEROS[: min(length, CHUNK)])
        length -= CHUNK


def _is_pool_of(connection: Any, folder: str) -> bool:
    return any(_folder_of(pool) == os.path.normpath(folder) for pool in connection.listAllStoragePools(0))


def _folder_of(pool: Any) -> str:
    from xml.etree import ElementTree

    return os.path.normpath(ElementTree.fromstring(pool.XMLDesc(0)).findtext("target/path") or "/")


def _pool(libvirt: Any, connection: Any, folder: str, *, is_made: bool = False) -> AbstractContextManager[Any]:
    """Return an active pool of a folder, up to date; one of our own is gone afterwards."""
    import contextlib
    from xml.etree import ElementTree

    @contextlib.contextmanager
    def pool() -> Iterator[Any]:
        for found in connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
            if _folder_of(found) == os.path.normpath(folder):
                found.refresh(0)
                yield found
                return
        xml = ElementTree.Element("pool", {"type": "dir"})
        ElementTree.SubElement(xml, "name").text = f"kvmha-{os.getpid()}"
        ElementTree.SubElement(ElementTree.SubElement(xml, "target"), "path").text = folder
        text = ElementTree.tostring(xml, encoding="unicode")
        try:
            own = connection.storagePoolCreateXML(text, 0)
        except libvirt.libvirtError:
            if not is_made:
                raise
            own = connection.storagePoolCreateXML(text, libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD)
        try:
            yield own
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                own.destroy()

    return pool()
