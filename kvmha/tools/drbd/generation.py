"""The generation identifiers of a replica, by which DRBD knows whose data are newer, and that both sides parted."""

from __future__ import annotations

from kvmha.record import Record
from kvmha.tools.drbd.commands import DEFAULT_CONFIGURATION, prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

LIMIT = 10.0
"""Seconds to be told."""

NONE = "0" * 16
"""An identifier that stands for no generation."""


class Generation(Record):
    """The generation of one volume's data."""

    current: str
    """Sixteen hexadecimal digits, as drbdadm prints them; the last one also tells the role, and is even here."""
    base: str = NONE
    """The generation from which the bitmap counts changes: the last one that both sides had; NONE where they agree."""
    was_promoted: bool = False
    """The node was promoted when the identifiers were written."""


def get_gi_argv(resource: str, configuration: str = DEFAULT_CONFIGURATION) -> tuple[str, ...]:
    """Ask for the identifiers of a resource, up or down, a line for each volume (drbdadm(8))."""
    return (*prefix(configuration), "get-gi", resource)


def read(host: Host, resource: str, *, configuration: str = DEFAULT_CONFIGURATION) -> tuple[Generation, ...]:
    """Return the generation of each volume, none where they cannot be told. Raises CommandError."""
    return parse(host.run(*get_gi_argv(resource, configuration), timeout=LIMIT).out)


def parse(text: str) -> tuple[Generation, ...]:
    """Read lines such as ``66389A5C7B517562:343DA325C5F29A79:F1AAC1BC2801F0C5:0000000000000004:1:1:0:0:0:1:0``.

    Current, base, two of the history, and flags: consistent, up to date, promoted, connected and others.
    """
    found = []
    for line in text.split():
        words = line.split(":")
        if len(words) >= 4 and all(_is_identifier(word) for word in words[:2]):
            flags = words[4:]
            found.append(
                Generation(
                    current=_without_role(words[0]),
                    base=_without_role(words[1]),
                    was_promoted=len(flags) > 2 and flags[2] == "1",
                )
            )
    return tuple(found)


def _is_identifier(word: str) -> bool:
    return len(word) == 16 and all(letter in "0123456789ABCDEFabcdef" for letter in word)


def _without_role(word: str) -> str:
    return f"{int(word, 16) & ~1:016X}"
