"""DRBD's configuration as drbd.conf(5) defines it, and as `drbdadm dump` prints it: words, braces and semicolons."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.host import Host


SECRET = "shared-secret"
"""The option that nobody else may read (drbd.conf(5)); drbdadm prints it like any other, on a line of its own."""


class DrbdConfError(ValueError):
    """The text is no configuration of DRBD; the message names the line."""


class Statement(Record):
    """A keyword with its words, ended by a semicolon, or by statements in braces."""

    words: tuple[str, ...]
    inside: tuple[Statement, ...] = ()

    def find(self, *words: str) -> Statement | None:
        """Return the last statement inside that begins with these words, for that one holds."""
        found = [each for each in self.inside if each.words[: len(words)] == words]
        return found[-1] if found else None


class DrbdResource(Record):
    """One resource: its hosts, and its options by section, those of ``common`` filled in."""

    name: str
    hosts: tuple[str, ...]
    sections: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    links: tuple[str, ...] = ()
    """The addresses that carry it."""

    def option(self, section: str, name: str) -> str | None:
        """Return an option as it is written, ``yes`` for one without a value, None where DRBD's default holds."""
        for each, options in self.sections:
            if each == section:
                return dict(options).get(name)
        return None


def dump_argv() -> tuple[str, ...]:
    """Return the command that prints the whole configuration of this node (drbdadm(8))."""
    return ("drbdadm", "dump", "all")


def dump(host: Host, *, timeout: float) -> str:
    """Return this node's configuration as text, without what authenticates the peers. Raises CommandError."""
    lines = host.run(*dump_argv(), timeout=timeout).out.splitlines(keepends=True)
    return "".join(line for line in lines if not line.strip().startswith(SECRET))


def parse(text: str) -> tuple[DrbdResource, ...]:
    """Return the resources of a configuration. Raises DrbdConfError."""
    words = list(_words(text))
    statements, end = _statements(words, 0)
    if end < len(words):
        raise DrbdConfError(f"line {words[end][1]}: a closing brace without a section to close")
    common = Statement(words=("common",), inside=tuple(
        inner for each in statements if each.words[0] == "common" for inner in each.inside))  # fmt: skip
    return tuple(_resource(each, common) for each in statements if each.words[0] == "resource" and len(each.words) > 1)


SECTIONS = ("net", "disk", "options", "handlers", "startup")


def _resource(statement: Statement, common: Statement) -> DrbdResource:
    hosts = [each.words[1] for each in statement.inside if each.words[0] == "on"]
    addresses = [word for each in _walk(statement) if each.words[0] in ("address", "host") for word in each.words[1:]]
    sections = []
    for name in SECTIONS:
        options: dict[str, str] = {}
        for source in (common, statement):
            for section in source.inside:
                if section.words[0] == name:
                    options.update((each.words[0], " ".join(each.words[1:]) or "yes") for each in section.inside)
        if "protocol" not in options and name == "net":
            # DRBD 8.3's place for it, which 8.4 still takes: beside the sections.
            old = statement.find("protocol") or common.find("protocol")
            options.update({"protocol": old.words[1]} if old and len(old.words) > 1 else {})
        sections.append((name, tuple(options.items())))
    return DrbdResource(
        name=statement.words[1],
        hosts=tuple(dict.fromkeys(hosts)),
        sections=tuple(sections),
        links=tuple(dict.fromkeys(_bare(word) for word in addresses if "." in word or ":" in word)),
    )


def _bare(address: str) -> str:
    """Return an address without its port and brackets."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] if address.count(":") == 1 else address


def _walk(statement: Statement) -> Iterator[Statement]:
    for each in statement.inside:
        yield each
        yield from _walk(each)


def _statements(words: list[tuple[str, int]], begin: int) -> tuple[list[Statement], int]:
    """Read statements up to a closing brace or the end; return them, and the place of what ended them."""
    found: list[Statement] = []
    line: list[str] = []
    at = begin
    while at < len(words) and words[at][0] != "}":
        word, number = words[at]
        if word == "{":
            if not line:
                raise DrbdConfError(f"line {number}: a section without a name")
            inside, at = _statements(words, at + 1)
            if at >= len(words):
                raise DrbdConfError(f"line {number}: the section {' '.join(line)} has no end")
            found.append(Statement(words=tuple(line), inside=tuple(inside)))
            line = []
        elif word == ";":
            if line:
                found.append(Statement(words=tuple(line)))
            line = []
        else:
            line.append(word)
        at += 1
    if line:
        raise DrbdConfError(f"line {words[min(at, len(words) - 1)][1]}: {' '.join(line)} has no semicolon")
    return found, at


def _words(text: str) -> Iterator[tuple[str, int]]:
    """Yield words, quoted ones without their quotes, and signs, each with its line."""
    for number, line in enumerate(text.splitlines(), 1):
        word, quoted = "", False
        for at, sign in enumerate(line):
            if quoted:
                if sign == '"' and (at == 0 or line[at - 1] != "\\"):
                    quoted = False
                    yield word or '""', number
                    word = ""
                else:
                    word += sign
            elif sign == '"':
                quoted = True
            elif sign == "#":
                break
            elif sign in "{};" or sign.isspace():
                if word:
                    yield word, number
                word = ""
                if not sign.isspace():
                    yield sign, number
            else:
                word += sign
        if quoted:
            raise DrbdConfError(f"line {number}: a quote without its end")
        if word:
            yield word, number
