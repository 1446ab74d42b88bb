"""YAML read against a table of fields, every mistake found at once and named by its line and field.

Nodes are composed instead of loaded, because a loaded dict has forgotten its lines and its duplicate keys,
and has turned the password 0123 into a number.
"""

from __future__ import annotations

import difflib

import yaml

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BOOL, NULL = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"
TRUE_WORDS = ("yes", "true", "on")
"""How YAML 1.1 spells true, in any case (yaml.org/type/bool.html); PyYAML follows it."""

CLIP = 60
OPTION_NAME_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class Field(Record):
    """One field: its name, what it means, what it takes.

    The shape is ``value`` (text, given to ``parse``), ``values`` (a list of such), ``flag`` (yes or no),
    ``fields`` (one group of the fields ``inner``), ``records`` (a list of such groups; where ``may_be_one``, a
    group by itself is a list of one) or ``options`` (names with one value each, which somebody else checks;
    those in ``taken`` are refused with the reason given there). A group becomes a value of the class ``make``;
    one that is left out has the defaults of its fields, or is None where it is ``optional``.
    """

    name: str
    help: str
    expects: str
    shape: str = "value"
    parse: Callable[[str], Any] = str
    required: bool = False
    default: Any = None
    inner: tuple[Field, ...] = ()
    make: type[Record] = Record
    taken: tuple[tuple[str, str], ...] = ()
    may_be_one: bool = False
    optional: bool = False


class Mistake(Record):
    """One thing that is wrong: where, and what was expected instead."""

    line: int
    place: str
    said: str

    def __str__(self) -> str:
        return ": ".join((str(self.line), *filter(None, (self.place, self.said))))


class Reader:
    """Walks a composed document along a table and collects what is wrong in it.

    A field that is wrong is absent from the dicts that come back, so that checks across fields can go on
    with the rest.
    """

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self._lines: dict[str, int] = {}
        self._alone: list[str] = []

    def report(self, place: str, said: str) -> None:
        """Add a mistake at a place that was walked over, as ``guests[0].prefers``."""
        for alone in self._alone:
            # A group that stands for a list of one is called as it is written, without a number.
            if place.startswith(f"{alone}[0]"):
                place = alone + place[len(alone) + len("[0]") :]
        self.mistakes.append(Mistake(line=self._line(place), place=place, said=said))

    def _line(self, place: str) -> int:
        """Return the line of a place, or of what it would stand in if it were there."""
        inside = place
        while inside not in self._lines:
            inside = inside[: max(inside.rfind("."), inside.rfind("["), 0)]
        return self._lines[inside]

    def group(self, node: yaml.Node, fields: tuple[Field, ...], place: str) -> dict[str, Any]:
        """Return the values of a group of fields by name, defaults filled in."""
        self._visit(node, place)
        names = [field.name for field in fields]
        if not isinstance(node, yaml.MappingNode):
            self.report(place, f"{_shown(node)}; expected the fields {', '.join(names)}")
            return {}
        given = self._pairs(node, place, names)
        values: dict[str, Any] = {}
        for field in fields:
            inside = _join(place, field.name)
            if field.name in given:
                try:
                    values[field.name] = self._field(given[field.name], field, inside)
                except ValueError as error:
                    self.report(inside, f"{error}; expected {field.expects}")
            elif field.required:
                self._lines[inside] = self._lines[place]
                self.report(inside, f"missing; expected {field.expects}")
            elif field.shape == "fields" and not field.optional:
                values[field.name] = defaults(field.inner)
            else:
                values[field.name] = field.default
        return values

    def _pairs(self, node: yaml.MappingNode, place: str, names: list[str]) -> dict[str, yaml.Node]:
        """Return the nodes below the known names, each name once."""
        given: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else _shown(key)
            inside = _join(place, name)
            if name in given:
                said = f"given a second time; the first is in line {self._lines[inside]}"
                self.mistakes.append(Mistake(line=_line(key), place=inside, said=said))
                continue
            self._visit(key, inside)
            if name in names:
                given[name] = value
                continue
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}"
            self.report(inside, f"unknown field; {hint}")
        return given

    def _field(self, node: yaml.Node, field: Field, place: str) -> Any:
        """Return one field's value. Raises ValueError with what is wrong about it as a whole."""
        if field.shape == "value":
            return self._value(node, field)
        if field.shape == "flag":
            return _flag(node)
        if field.shape == "fields":
            return self.group(node, field.inner, place)
        if field.shape == "options":
            return self._options(node, field, place)
        if node.tag == NULL:
            return ()
        if field.may_be_one and isinstance(node, yaml.MappingNode):
            self._alone.append(place)
            return (self.group(node, field.inner, place),)
        if not isinstance(node, yaml.SequenceNode):
            raise ValueError(_shown(node))
        if field.shape == "records":
            return tuple(self.group(item, field.inner, f"{place}[{n}]") for n, item in enumerate(node.value))
        return self._values(node, field, place)

    def _value(self, node: yaml.Node, field: Field) -> Any:
        text = _text(node)
        if node.tag == BOOL:
            raise ValueError(f'"{text}" is a boolean in YAML unless it stands in quotes')
        try:
            return field.parse(text)
        except ValueError:
            raise ValueError(f'"{_clip(text)}" does not fit') from None

    def _values(self, node: yaml.SequenceNode, field: Field, place: str) -> tuple[Any, ...]:
        """Return a list's values; one that is wrong leaves its place empty, as None."""
        values: list[Any] = []
        for number, item in enumerate(node.value):
            inside = f"{place}[{number}]"
            self._visit(item, inside)
            try:
                values.append(self._value(item, field))
            except ValueError as error:
                self.report(inside, f"{error}; expected {field.expects}")
                values.append(None)
        return tuple(values)

    def _options(self, node: yaml.Node, field: Field, place: str) -> dict[str, str]:
        """Return names and values as text; no value is ever shown in a mistake, for it may be a password."""
        if node.tag == NULL:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise ValueError("a list" if isinstance(node, yaml.SequenceNode) else "one value")
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        options: dict[str, str] = {}
        for name, value in self._pairs(node, place, keys).items():
            inside = _join(place, name)
            taken = dict(field.taken).get(name)
            if taken:
                self.report(inside, taken)
            elif not name or not OPTION_NAME_SIGNS.issuperset(name):
                self.report(inside, "no name of an option; expected letters, digits, _ and -")
            elif not isinstance(value, yaml.ScalarNode) or value.tag == NULL or not value.value:
                self.report(inside, "has no single value; expected text, a number, true or false")
            elif not value.value.isprintable():
                self.report(inside, "has a control character in its value; expected one line of text")
            elif value.tag == BOOL:
                options[name] = "true" if value.value.lower() in TRUE_WORDS else "false"
            else:
                options[name] = value.value
        return options

    def _visit(self, node: yaml.Node, place: str) -> None:
        """Remember the line of a place; a field begins with its name, which may stand above its value."""
        self._lines.setdefault(place, _line(node))


def defaults(fields: tuple[Field, ...]) -> dict[str, Any]:
    """Return the values of a group that is left out."""
    return {
        field.name: defaults(field.inner) if field.shape == "fields" and not field.optional else field.default
        for field in fields
    }


def build(values: dict[str, Any], fields: tuple[Field, ...], make: type[Record]) -> Any:
    """Turn the dicts of a document without mistakes into the records that the table names."""
    built = dict(values)
    for field in fields:
        if field.shape == "fields" and values[field.name] is not None:
            built[field.name] = build(values[field.name], field.inner, field.make)
        elif field.shape == "records":
            built[field.name] = tuple(build(item, field.inner, field.make) for item in values[field.name])
    return make(**built)


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _line(node: yaml.Node) -> int:
    number: int = node.start_mark.line + 1
    return number


def _text(node: yaml.Node) -> str:
    """Return a scalar as it was written. Raises ValueError for everything else."""
    if not isinstance(node, yaml.ScalarNode) or node.tag == NULL:
        raise ValueError(_shown(node))
    text: str = node.value
    return text


def _flag(node: yaml.Node) -> bool:
    """Return what YAML takes for yes or no. Raises ValueError for everything else."""
    if not isinstance(node, yaml.ScalarNode) or node.tag == NULL:
        raise ValueError(_shown(node))
    if node.tag != BOOL:
        raise ValueError(f'"{_clip(node.value)}" does not fit')
    return node.value.lower() in TRUE_WORDS


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "this is a list"
    if isinstance(node, yaml.MappingNode):
        return "this is a group of fields"
    return "has no value" if node.tag == NULL else f'"{_clip(node.value)}" is a single value'


def _clip(text: str) -> str:
    return text if len(text) <= CLIP else text[:CLIP] + "..."
