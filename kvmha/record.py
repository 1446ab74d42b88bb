"""Frozen, keyword-only values at a fraction of the import cost of dataclasses.

Agents are started many times a second, and ``import dataclasses`` alone would double the time that one monitor takes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from typing_extensions import Self, dataclass_transform

    T = TypeVar("T")
else:

    def dataclass_transform(**_options):
        """Stand in for the checker's decorator, which means nothing at run time."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Record:
    """Base of all values: the annotations of a class are its fields, a class attribute is a field's default."""

    _fields: tuple[str, ...] = ()
    _required: frozenset[str] = frozenset()
    _known: frozenset[str] = frozenset()

    def __init_subclass__(cls) -> None:
        own = (name for name in cls.__dict__.get("__annotations__", ()) if not name.startswith("_"))
        cls._fields = (*cls._fields, *(name for name in own if name not in cls._fields))
        cls._required = frozenset(name for name in cls._fields if not hasattr(cls, name))
        cls._known = frozenset(cls._fields)

    def __init__(self, **values: Any) -> None:
        if not self._required <= values.keys() <= self._known:
            for name in self._fields:
                if name in self._required and name not in values:
                    raise TypeError(f"{type(self).__name__} lacks the field {name}")
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(values.keys() - self._known))}")
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self._values()))
        return f"{type(self).__name__}({inside})"

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._fields)

    def replace(self, **changes: Any) -> Self:
        """Return a copy in which the named fields have new values."""
        own = self.__dict__
        if not own.keys() <= self._known:
            # What a class remembers of its values would be wrong for others.
            own = {name: value for name, value in own.items() if name in self._known}
        return type(self)(**{**own, **changes})


def plain(value: object) -> Any:
    """Turn records, and what they hold, into the dicts and lists that JSON knows."""
    if isinstance(value, Record):
        return {name: plain(inner) for name, inner in zip(value._fields, value._values())}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    return value
