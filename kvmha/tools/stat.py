"""stat: the size of a file, the room that it takes, whose it is, and what it lies on (stat(1))."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

TIMEOUT = 10.0


class Facts(Record):
    """What is known of a file without opening it."""

    size: int
    allocated: int
    """Bytes; less than the size where it has holes."""
    mode: int
    user: int
    group: int


def argv(path: str) -> tuple[str, ...]:
    """Return the command that tells of what a path leads to."""
    return ("stat", "--dereference", "--format=%s %b %B %a %u %g", "--", path)


def parse(out: str) -> Facts | None:
    """Read its answer; None for a text that is none."""
    words = out.split()
    if len(words) != 6 or not all(word.isdigit() for word in words):
        return None
    size, blocks, each, _mode, user, group = (int(word) for word in words)
    return Facts(size=size, allocated=blocks * each, mode=int(words[3], 8), user=user, group=group)


def facts(host: Host, path: str) -> Facts:
    """Ask it. Raises CommandError."""
    found = parse(host.run(*argv(path), timeout=TIMEOUT).out)
    if found is None:
        raise CommandError(argv(path), "printed nothing that can be read")
    return found


LOCAL = ("ext2/ext3", "xfs", "btrfs", "zfs", "f2fs", "jfs", "tmpfs", "overlayfs", "msdos")
"""File systems that one kernel at a time can mount, as stat calls them."""


def file_system_argv(path: str) -> tuple[str, ...]:
    """Return the command that names the kind of file system that a path lies on."""
    return ("stat", "--file-system", "--format=%T", "--", path)


def local_file_system(host: Host, path: str) -> str:
    """Return the kind of file system that a path lies on, if one node at a time can have it; else nothing.

    Raises CommandError.
    """
    found = host.run(*file_system_argv(path), timeout=TIMEOUT).out.strip()
    return found if found in LOCAL else ""
