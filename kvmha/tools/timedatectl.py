"""timedatectl: whether the clock is synchronised, by whatever program (the kernel itself knows, adjtimex(2))."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

ARGV = ("timedatectl", "show", "--property=NTPSynchronized", "--value")


def parse_synchronised(text: str) -> bool:
    """Return what it said. Raises ValueError for anything but yes and no."""
    word = text.strip()
    if word not in ("yes", "no"):
        raise ValueError(f'"{word[:60]}" is neither yes nor no')
    return word == "yes"


def is_synchronised(host: Host, *, timeout: float) -> bool:
    """Tell whether the clock is synchronised. Raises CommandError, ValueError."""
    return parse_synchronised(host.run(*ARGV, timeout=timeout).out)
