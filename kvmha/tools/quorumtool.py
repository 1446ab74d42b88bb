"""corosync-quorumtool: whether this node's part of the cluster may act."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

ARGV = ("corosync-quorumtool", "-s")
NOT_QUORATE = 2
"""corosync-quorumtool(8): it ran, and there is no quorum."""


class Votes(Record):
    """What votequorum counts at the moment."""

    is_quorate: bool
    expected: int | None
    total: int | None
    quorum: int | None
    flags: tuple[str, ...]
    """2Node, Quorate, WaitForAll, Qdevice and others."""
    device: int | None = None
    """The votes that the quorum device gives now; None where none is registered."""


def parse(text: str) -> Votes:
    """Read the lines ``Name:   value`` of the status; what is missing is None."""
    values: dict[str, str] = {}
    device = None
    for line in text.splitlines():
        words = line.split()
        # Its row has the id 0 and no flags: "0  1  Qdevice", or "0  0  Qdevice (votes 1)" while it does not vote.
        if words[2:3] == ["Qdevice"]:
            device = _number(words[1])
        name, colon, value = line.partition(":")
        if colon:
            values.setdefault(name.strip(), value.strip())
    return Votes(
        is_quorate=values.get("Quorate", "").lower() == "yes",
        expected=_number(values.get("Expected votes", "")),
        total=_number(values.get("Total votes", "")),
        quorum=_number(values.get("Quorum", "")),
        flags=tuple(values.get("Flags", "").split()),
        device=device,
    )


def _number(text: str) -> int | None:
    word = text.split()[0] if text.split() else ""
    return int(word) if word.isdigit() else None


def look(host: Host, *, timeout: float) -> Votes:
    """Ask corosync. Raises CommandError where it does not run."""
    return parse(host.run(*ARGV, timeout=timeout, ok=(0, NOT_QUORATE)).out)
