"""How values are written so that a shell, crmsh, an XML comment or a reader takes each as one thing."""

from __future__ import annotations

import re
import shlex
import textwrap

import markupsafe

WIDTH = 116
CRM_WORD = re.compile(r"[A-Za-z0-9@%+=:,./_^~-]+")


class Raw(str):
    """Text that is shell already."""

    __slots__ = ()


def shell_word(value: object) -> str:
    """Return a value as one word of a POSIX shell, unless it is shell already."""
    return value if isinstance(value, Raw) else shlex.quote(str(value))


def remark(text: str) -> Raw:
    """Return a text as lines of comment for a shell, crmsh or a configuration file."""
    return Raw("\n".join(textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="#   ")))


def crm_value(value: str) -> str:
    """Return a value as crmsh takes it: bare, or in the quotes that it does not hold itself."""
    if CRM_WORD.fullmatch(value):
        return value
    if '"' not in value and "\\" not in value:
        return f'"{value}"'
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def crm_score(score: str) -> str:
    """Return a score in crmsh's short form."""
    return score.replace("INFINITY", "inf")


def comment(text: str) -> markupsafe.Markup:
    """Return a text that may stand in an XML comment, which must not hold two dashes."""
    return markupsafe.Markup(re.sub(r"-(?=-)", "- ", text))


FILTERS = {"remark": remark, "raw": Raw, "crm": crm_value, "crm_score": crm_score, "comment": comment}
