"""What a QEMU process was promised of the node's memory, and what of that it has taken."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

TICKS = 100
"""Ticks a second, in which proc(5) gives times; the kernel shows this number to programs on every architecture."""

LARGEST_KIB = 64 * 1024 * 1024
"""Of a guest whose mapping is looked at page by page."""

_UNITS = {"k": 1, "m": 1024, "g": 1024 * 1024, "t": 1024 * 1024 * 1024}


def guest_kib(arguments: tuple[str, ...]) -> int:
    """Return the guest's memory in KiB, from ``-m 256`` or ``-m size=262144k,slots=16``; 0 where it is not told."""
    found = 0
    for option, value in zip(arguments, arguments[1:]):
        if option == "-m":
            size = value.partition(",")[0]
            size = (size[len("size=") :] if size.startswith("size=") else size).lower()
            number, unit = (size[:-1], size[-1]) if size[-1:] in _UNITS else (size, "m")
            if number.isdigit():
                found = int(number) * _UNITS[unit]
    return found


def resident_kib(host: Host, pid: int) -> int:
    """Return what a process holds of the node's memory, huge pages included; 0 for one that has ended."""
    try:
        text = host.read(f"/proc/{pid}/status")
    except OSError:
        return 0
    rows = (line.partition(":") for line in text.splitlines())
    sizes = {name: rest.split()[0] for name, _, rest in rows if name in ("VmRSS", "HugetlbPages") and rest.split()}
    return sum(int(size) for size in sizes.values() if size.isdigit())


def touched_kib(host: Host, pid: int) -> int | None:
    """Return what a process holds of the mapping that is its guest's memory: what the guest ever used, in KiB.

    None where no mapping, or more than one, has just that size, and for a guest so large that the kernel would be long
    about it.
    """
    size = guest_kib(host.cmdline(pid))
    if not 0 < size <= LARGEST_KIB:
        return None
    try:
        return parse_touched(host.read(f"/proc/{pid}/smaps"), size)
    except OSError:
        return None


def parse_touched(text: str, size_kib: int) -> int | None:
    """Return Rss of the one mapping of a size (proc_pid_smaps(5)), both in KiB."""
    found, is_it = [], False
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if name == "Size" and words:
            is_it = words[0] == str(size_kib)
        elif name == "Rss" and words and is_it:
            found.append(int(words[0]))
    return found[0] if len(found) == 1 else None


def age(host: Host, pid: int) -> float:
    """Return for how many seconds a process has been running, by the clock that counts from boot; 0 if it is over."""
    try:
        uptime = float(host.read("/proc/uptime").split()[0])
        # The name of the program may hold blanks and parentheses; the fields behind it do not (proc(5), starttime).
        fields = host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return max(uptime - int(fields[19]) / TICKS, 0.0)
    except (OSError, ValueError, IndexError):
        return 0.0
