"""The rows of an agent's table: its parameters and its actions.

The table is the only place where a parameter is named. It drives parsing, defaults, validation, the metadata XML and
the tables in the documentation.
"""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The words that ocf_is_true knows (resource-agents, ocf-shellfuncs), whatever their case, and their opposites. A word
# that is neither is an error here, where the shell reads it as "no".
_TRUE = ("1", "yes", "true", "on", "y", "t", "ja")
_FALSE = ("0", "no", "false", "off", "n", "f", "nein")


class ParamError(ValueError):
    """A parameter's text is wrong; the message names the parameter, the value and what would be right."""


class Param(Record):
    """One parameter of an agent."""

    name: str
    shortdesc: str
    longdesc: str
    kind: str = "string"
    """``string``, ``integer`` or ``boolean``: the content types that every metadata reader knows."""
    default: str = ""
    required: bool = False
    identity: bool = False
    """Names the thing itself: needed, and looked at, by stop, probe and monitor too. Never reloadable."""
    unique_group: str = ""
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()

    @property
    def reloadable(self) -> bool:
        """Tell whether a change may be taken over without a restart: true for all that does not name the resource."""
        return not self.identity

    def parse(self, text: str) -> Any:
        """Return the value that a text stands for: str, int or bool. Raises ParamError."""
        if self.kind == "boolean":
            word = text.strip().lower()
            if word in _TRUE:
                return True
            if word in _FALSE:
                return False
            raise self._wrong(text, "true or false")
        if self.kind == "integer":
            return self._integer(text)
        if self.choices and text not in self.choices:
            raise self._wrong(text, f"one of {', '.join(choice or '(empty)' for choice in self.choices)}")
        return text

    def _integer(self, text: str) -> int:
        expected = "a whole number"
        if self.minimum is not None and self.maximum is not None:
            expected += f" from {self.minimum} to {self.maximum}"
        elif self.minimum is not None:
            expected += f" of at least {self.minimum}"
        # int() alone would also take 1_000 and the digits of other scripts.
        if "_" in text or not text.isascii():
            raise self._wrong(text, expected)
        try:
            value = int(text, 10)
        except ValueError:
            raise self._wrong(text, expected) from None
        too_small = self.minimum is not None and value < self.minimum
        too_large = self.maximum is not None and value > self.maximum
        if too_small or too_large:
            raise self._wrong(text, expected)
        return value

    def _wrong(self, text: str, expected: str) -> ParamError:
        return ParamError(f'{self.name}="{text}" is not {expected}')


class Action(Record):
    """One action that an agent advertises; times in seconds."""

    name: str
    timeout: int
    interval: int | None = None
    depth: int | None = None
    role: str = ""


def read_params(table: tuple[Param, ...], given: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Turn texts into values by the table; return the values, and a sentence for each that is wrong or missing.

    A wrong value is replaced by its default, so that an action which must not fail on a tuning parameter can go on. A
    parameter that was given as an empty text counts as not given, as in Pacemaker's own handling.
    """
    values: dict[str, Any] = {}
    errors: list[str] = []
    for param in table:
        text = given.get(param.name, "")
        fallback = param.parse(param.default) if param.default else _empty(param)
        if not text:
            if param.required:
                errors.append(f"{param.name} is not set")
            values[param.name] = fallback
            continue
        try:
            values[param.name] = param.parse(text)
        except ParamError as error:
            errors.append(str(error))
            values[param.name] = fallback
    return values, errors


def _empty(param: Param) -> Any:
    return {"string": "", "integer": None, "boolean": False}[param.kind]
