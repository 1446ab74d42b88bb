"""The reference of cluster.yaml as text, made from its table of fields."""

from __future__ import annotations

from kvmha.cluster.fields import CLUSTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.document import Field

SHAPES = {"values": "list", "records": "list of groups", "fields": "group", "options": "names and values"}


def markdown() -> str:
    """Return a section for each group of fields, in the order in which they stand in the table."""
    return "\n".join(_sections("", "The file itself", CLUSTER))


def _sections(place: str, title: str, fields: tuple[Field, ...]) -> Iterator[str]:
    yield f"### {title}\n"
    yield "| field | takes | left out | meaning |\n| --- | --- | --- | --- |"
    for field in fields:
        yield f"| `{field.name}` | {_takes(field)} | {_left_out(field)} | {_cell(field.help)} |"
    yield ""
    for field in fields:
        if field.inner:
            inside = f"{place}.{field.name}" if place else field.name
            inside += "[]" if field.shape == "records" else ""
            yield from _sections(inside, f"`{inside}`", field.inner)


def _takes(field: Field) -> str:
    shape = SHAPES.get(field.shape)
    if field.shape in ("fields", "records"):
        return f"{shape}, or one group" if field.may_be_one else str(shape)
    is_said = shape is None or any(word in field.expects for word in ("a list", "names and values"))
    return _cell(field.expects if is_said else f"{shape}: {field.expects}")


def _left_out(field: Field) -> str:
    if field.required:
        return "refused"
    if field.shape == "flag":
        return "-" if field.default is None else ("yes" if field.default else "no")
    if field.default in (None, (), {}) or field.shape in ("fields", "records"):
        return "-"
    return f"`{field.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
