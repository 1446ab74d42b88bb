"""How the rules read what the reader left of a document, where anything may be missing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def group(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a group of fields; an empty one where it is left out or wrong."""
    return values.get(name) or {}


def numbered(values: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and fields of each group in a list."""
    for number, item in enumerate(values.get(name) or ()):
        yield f"{name}[{number}]", item


def names(values: dict[str, Any], kind: str) -> list[str]:
    """Return the names that a list of groups gives."""
    return [item["name"] for item in values.get(kind) or () if item.get("name")]


def listed(item: dict[str, Any], name: str) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each right entry of a list."""
    for number, value in enumerate(item.get(name) or ()):
        if value is not None:
            yield number, value


def one_of(known: list[str], kind: str) -> str:
    """Say what would have been right: one of the known names."""
    return f"one of {', '.join(known)}" if known else f"the name of {kind}, of which there is none"
