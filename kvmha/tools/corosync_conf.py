"""corosync.conf: sections in braces, and lines of the form ``key: value`` (corosync.conf(5))."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvmha.host import Host

PATH = "/etc/corosync/corosync.conf"

YES = ("yes", "true", "on", "1")

LONGEST = 10
"""How many digits corosync's largest number has, which has 32 bits."""

VOTES = {
    "node": ("nodeid", "quorum_votes"),
    "quorum": ("expected_votes", "two_node", "wait_for_all", "auto_tie_breaker", "last_man_standing"),
    "device": ("votes",),
}
"""By section, the keys that bear on votes; each takes a whole number (exec/coroparse.c)."""


class CorosyncConfError(ValueError):
    """The text is no corosync.conf; the message names the line and what is wrong with it."""


class Section(Record):
    """A section: its own keys, and the sections in it, both in the order of the file."""

    name: str
    line: int = 0
    values: tuple[tuple[str, str], ...] = ()
    sections: tuple[Section, ...] = ()

    def value(self, key: str, default: str = "") -> str:
        """Return a key's value; of a key that is given twice the last one holds, as corosync has it."""
        return next((value for name, value in reversed(self.values) if name == key), default)

    def number(self, key: str) -> int | None:
        """Return a key's value as a number, None where it is not given or no number."""
        text = self.value(key)
        return int(text) if _is_number(text) else None

    def is_yes(self, key: str) -> bool | None:
        """Return a key's value as yes or no, None where it is not given."""
        text = self.value(key).lower()
        return text in YES if text else None

    def all(self, name: str) -> tuple[Section, ...]:
        """Return the sections of a name."""
        return tuple(section for section in self.sections if section.name == name)

    def section(self, name: str) -> Section:
        """Return the section of a name with the keys of all that have it; an empty one if there is none."""
        found = self.all(name)
        return Section(
            name=name,
            line=found[0].line if found else 0,
            values=tuple(pair for section in found for pair in section.values),
            sections=tuple(inner for section in found for inner in section.sections),
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST


class _Open:
    """A section whose end has not come yet."""

    def __init__(self, name: str, line: int) -> None:
        self.name, self.line = name, line
        self.values: list[tuple[str, str]] = []
        self.sections: list[Section] = []

    def closed(self) -> Section:
        return Section(name=self.name, line=self.line, values=tuple(self.values), sections=tuple(self.sections))


def read(host: Host) -> Section:
    """Return this machine's corosync.conf. Raises OSError where there is none, and CorosyncConfError."""
    return parse(host.read(PATH))


def parse(text: str) -> Section:
    """Return the whole file as a section without a name. Raises CorosyncConfError."""
    stack = [_Open("", 0)]
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        # corosync's own parser (exec/coroparse.c) looks for the brace first, and so does this one.
        if "{" in line:
            name = line.partition("{")[0].strip()
            if not name or line.partition("{")[2].strip():
                raise CorosyncConfError(f'line {number}: "{line}" is no begin of a section; expected NAME {{ alone')
            stack.append(_Open(name, number))
        elif line == "}":
            if len(stack) == 1:
                raise CorosyncConfError(f"line {number}: a closing brace without a section to close")
            done = stack.pop().closed()
            stack[-1].sections.append(done)
        elif ":" in line:
            key, _, value = line.partition(":")
            stack[-1].values.append((key.strip(), value.strip()))
        else:
            raise CorosyncConfError(f'line {number}: "{line[:60]}" is neither a section nor KEY: VALUE')
    if len(stack) > 1:
        raise CorosyncConfError(f"line {stack[-1].line}: the section {stack[-1].name} has no end")
    return stack[0].closed()


def why_not_counted(root: Section) -> str:
    """Return why corosync does not start with what a file says of votes, or cannot mean it; empty for no reason."""
    quorum, nodes = root.section("quorum"), root.section("nodelist").all("node")
    for section in (*nodes, quorum, quorum.section("device")):
        for key in VOTES[section.name]:
            text = section.value(key)
            if text and not _is_number(text):
                return f'{section.name}.{key} is "{text[:40]}"; corosync takes nothing but a whole number'
    for key in ("nodeid", "name"):
        values = [node.value(key) for node in nodes if node.value(key)]
        twice = next((value for value in values if values.count(value) > 1), "")
        if twice:
            return f"two nodes have the {key} {twice}; each needs one of its own"
    return ""


def with_totem(text: str, values: Mapping[str, str | None]) -> str:
    """Return the text with these keys of totem set, or gone where the value is None; all else stays as it is written.

    Raises CorosyncConfError.
    """
    start = next((section.line for section in parse(text).sections if section.name == "totem"), 0)
    lines = text.splitlines()
    if not start:
        lines, start = [*lines, "totem {", "}"], len(lines) + 1
    kept: list[str] = []
    depth, totem = 0, True
    for line in lines[start:]:
        depth += ("{" in line) - (line.strip() == "}")
        totem = totem and depth >= 0
        if not (totem and not depth and line.partition(":")[0].strip() in values):
            kept.append(line)
    new = [f"    {key}: {value}" for key, value in values.items() if value is not None]
    return "\n".join([*lines[:start], *new, *kept]) + "\n"


def why_foreign(text: str, name: str) -> str:
    """Return what to do about a file that is of another cluster than the one that is meant."""
    addresses = [node.value("ring0_addr") for node in parse(text).section("nodelist").all("node")]
    if addresses == ["127.0.0.1"]:
        # Debian's package corosync brings such a file, for a cluster named debian, and starts it.
        return (
            "that is what the package corosync leaves behind; take it away on every node, with pcs cluster destroy, or "
            f"with systemctl stop pacemaker corosync && rm {PATH}, and run this again"
        )
    return f"run it on a node of the cluster that is described, or change the field cluster to {name}"
