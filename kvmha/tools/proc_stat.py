"""/proc/stat: the time that a host, which is a guest itself, loses to its own host."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

PATH = "/proc/stat"

STEAL = 7
"""The position of steal among the numbers of a processor (proc(5)); guest and guest_nice follow it."""

WINDOW = 0.5
"""Seconds over which it is measured."""


def parse(text: str) -> tuple[int, int] | None:
    """Return the ticks that were stolen, and all, of the line ``cpu``; None for a text without it."""
    words = next((line.split()[1:] for line in text.splitlines() if line.startswith("cpu ")), [])
    if len(words) <= STEAL or not all(word.isdigit() for word in words):
        return None
    return int(words[STEAL]), sum(int(word) for word in words[: STEAL + 1])


def steal_percent(host: Host) -> float | None:
    """Measure it for a moment, in percent of all processors' time; None where the kernel does not tell."""
    try:
        before = parse(host.read(PATH))
        host.sleep(WINDOW)
        after = parse(host.read(PATH))
    except OSError:
        return None
    return _percent(before, after)


TWICE = ("sh", "-c", f"head -n 1 {PATH}; sleep {WINDOW:g}; head -n 1 {PATH}")
"""The command that prints what two looks see, for another machine."""


def parse_twice(text: str) -> float | None:
    """Return what the two lines of that command tell, in percent; None where they do not."""
    lines = text.splitlines()
    return _percent(parse(lines[0]), parse(lines[1])) if len(lines) > 1 else None


def _percent(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    if before is None or after is None or after[1] <= before[1]:
        return None
    return 100.0 * (after[0] - before[0]) / (after[1] - before[1])
