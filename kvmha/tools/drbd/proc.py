"""/proc/drbd of 8.4, the only place where it tells how far a verification has come."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

PATH = "/proc/drbd"


class Remaining(Record):
    """What a synchronisation or verification still has to look at, in KiB."""

    remaining_kib: int
    total_kib: int


def read(host: Host) -> dict[int, Remaining]:
    """Return what is under way, by minor number; nothing with DRBD 9, or where the module is not loaded."""
    try:
        return parse(host.read(PATH))
    except OSError:
        return {}


def parse(text: str) -> dict[int, Remaining]:
    """Read ``(60396/65496)K`` in the line below the one that begins with a minor number and a colon."""
    found = {}
    minor = -1
    for line in text.splitlines():
        number = line.partition(":")[0].strip()
        if number.isdigit():
            minor = int(number)
        if ("sync'ed:" in line or "verified:" in line) and ")" in line:
            # Megabytes where the device is large: drbd_proc.c writes K or M behind the parenthesis.
            inside, _, unit = line.partition("(")[2].partition(")")
            left, _, total = inside.partition("/")
            scale = 1024 if unit.startswith("M") else 1
            if left.isdigit() and total.isdigit():
                found[minor] = Remaining(remaining_kib=int(left) * scale, total_kib=int(total) * scale)
    return found
