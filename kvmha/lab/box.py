"""The box that machines of Vagrant are made of: built once per suite from Debian packages, and kept.

vagrant/box/build makes it; what it consists of stands in kvmha.lab.recipe, as for the image of the other nodes.
"""

from __future__ import annotations

import os
import shutil

from kvmha.cluster import share
from kvmha.host import CommandTimeout
from kvmha.lab import lines, recipe
from kvmha.lab.image import BUILD_TIMEOUT, GIB, ProgressReader, isolated_argv, proxies, why_no_space
from kvmha.lab.lock import Lock
from kvmha.lab.plan import LabError, cache_folder
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.image import Progress

BOX_SPACE = 8 * GIB
"""The root, the disk made of it, and the box that it is packed into exist side by side for a moment."""


class Box(Record):
    """A box: what it is called, the folder of all that was built, and the file that Vagrant adds."""

    suite: str
    folder: str

    @property
    def file(self) -> str:
        """What ``vagrant box add`` takes."""
        return f"{self.folder}/kvmha-{self.suite}.box"

    @property
    def name(self) -> str:
        """What it is called in Vagrant's own store; another recipe makes another box."""
        return f"kvmha-{os.path.basename(self.folder).removeprefix('box-')}"


def box_of(suite: str) -> Box:
    """Return the box of a suite, built or not."""
    return Box(suite=suite, folder=f"{cache_folder()}/box-{suite}-{_key(suite)}")


def ensure(host: Host, suite: str, progress: Progress) -> Box:
    """Return the box of a suite, after building it if need be. Raises LabError, CommandError."""
    box = box_of(suite)
    lock = f"{cache_folder()}/box-{suite}.lock"
    with Lock(host, lock, wait=BUILD_TIMEOUT, busy=f"another run is building the box of {suite}"):
        if not host.exists(box.folder):
            _build(host, box, progress)
    return box


def _build(host: Host, box: Box, progress: Progress) -> None:
    reason = why_no_space(box.folder, BOX_SPACE)
    if reason:
        raise LabError(f"no room for the box: {reason}; free some, or name another folder in KVMHA_LAB_CACHE")
    draft, log = f"{cache_folder()}/building-box-{box.suite}", f"{cache_folder()}/box-{box.suite}.log"
    shutil.rmtree(draft, ignore_errors=True)
    files = f"{draft}/files"
    try:
        for path, text in recipe.FILES.items():
            host.write(f"{files}{path}", text)
        argv = ("sh", f"{_folder()}/build", box.suite, f"{draft}/box", files, *recipe.box_packages(box.suite))
        _run(host, argv, log, progress)
        _remove_older(host, box)
        os.rename(f"{draft}/box", box.folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run(host: Host, argv: tuple[str, ...], log: str, progress: Progress) -> None:
    reader = ProgressReader()
    with open(log, "w", encoding="utf-8") as file:

        def each(line: str) -> None:
            file.write(line + "\n")
            said = reader.read(line)
            if said:
                progress("box", said)

        try:
            code = lines.run(host, *isolated_argv(*argv), each=each, timeout=BUILD_TIMEOUT, env=proxies())
        except CommandTimeout as error:
            raise LabError(f"{error}; is the Debian mirror slow? The whole story is in {log}") from error
    if code != 0:
        raise LabError(f"no box: {reader.error or 'its build failed'}; the whole story is in {log}")


def _remove_older(host: Host, box: Box) -> None:
    """Remove boxes of the suite that older recipes made; machines that exist have disks of their own."""
    for name in host.names(cache_folder()):
        if name.startswith(f"box-{box.suite}-"):
            shutil.rmtree(f"{cache_folder()}/{name}")


def _folder() -> str:
    return f"{share.folder('vagrant')}/box"


def _key(suite: str) -> str:
    """Return twelve characters that differ when the box would."""
    import hashlib

    parts = [*recipe.box_packages(suite), *(f"{path}\n{text}" for path, text in recipe.FILES.items())]
    for name in sorted(os.listdir(_folder())):
        with open(f"{_folder()}/{name}", encoding="utf-8") as file:
            parts.append(file.read())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
