"""virt-copy-in of libguestfs, which puts files into a disk image that nobody uses."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

PROGRAM = "virt-copy-in"


def argv(image: str, folders: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that copies folders of the host, with all that is in them, into / of an image."""
    return (PROGRAM, "-a", image, *folders, "/")


def copy(host: Host, image: str, folders: tuple[str, ...], timeout: float) -> None:
    """Copy folders into an image; that boots a small machine, and takes seconds. Raises CommandError."""
    host.run(*argv(image, folders), timeout=timeout)
