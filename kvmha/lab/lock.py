"""Keep two runs from working on the same lab, node or image at once."""

from __future__ import annotations

import fcntl
import os

from kvmha.lab.plan import LabError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host


class Lock:
    """A lock on a file for the length of a with block; the kernel takes it away from a process that dies.

    Raises LabError with the sentence ``busy`` if another process has had it for ``wait`` seconds.
    """

    def __init__(self, host: Host, path: str, *, wait: float, busy: str) -> None:
        self.host = host
        self.path = path
        self.wait = wait
        self.busy = busy
        self._fd = -1

    def __enter__(self) -> None:
        until = self.host.now() + self.wait
        while True:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            try:
                fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                # The run before us has just removed the folder.
                continue
            if self._take(fd):
                self._fd = fd
                return
            os.close(fd)
            if self.host.now() >= until:
                raise LabError(self.busy)
            self.host.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        # Whoever waits for this very file notices that it is no longer the one of that path, and takes the next.
        if self._still_there(self._fd):
            self.host.remove(self.path)
        os.close(self._fd)

    def _take(self, fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return self._still_there(fd)

    def _still_there(self, fd: int) -> bool:
        """Tell whether the file is still the one of that path: its folder may have been removed, and made again."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.path))
        except FileNotFoundError:
            return False
