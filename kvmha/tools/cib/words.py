"""Words of the CIB: booleans, roles and times, as Pacemaker reads them."""

from __future__ import annotations

ROLES = {"Master": "Promoted", "Slave": "Unpromoted"}
"""The older names of the roles, which Pacemaker 2.1 takes and no longer writes."""


def role_of(word: str) -> str:
    """Return a role's name as Pacemaker 2.1 and later write it."""
    return ROLES.get(word, word)


def is_true(word: str) -> bool:
    """Tell whether Pacemaker takes a word for true (crm_str_to_boolean: true, on, yes, y, 1, in any case)."""
    return word.strip().lower() in ("true", "on", "yes", "y", "1")


UNITS = (
    ("msec", 1), ("ms", 1), ("usec", 0.001), ("us", 0.001), ("sec", 1000), ("s", 1000),
    ("min", 60_000), ("m", 60_000), ("hr", 3_600_000), ("h", 3_600_000),
)  # fmt: skip
"""Milliseconds in each unit of time; what has none is in seconds (crm_get_msec in Pacemaker's lib/common/utils.c)."""

ISO_UNITS = {"D": 86_400_000, "H": 3_600_000, "M": 60_000, "S": 1000}


def milliseconds(text: str) -> int | None:
    """Return a time in milliseconds, or None for what Pacemaker cannot read. Empty is 0."""
    text = text.strip()
    if not text:
        return 0
    if text[0] == "P":
        return _iso_milliseconds(text)
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    unit = text[len(digits) :].strip().lower()
    if not digits:
        return None
    factor = 1000 if not unit else dict(UNITS).get(unit)
    return None if factor is None else int(int(digits) * factor)


def _iso_milliseconds(text: str) -> int | None:
    """Read a duration of ISO 8601 as far as intervals use it: PT1H30M, P1D, PT10S; no months or years."""
    total, digits = 0, ""
    is_time = False
    for sign in text[1:]:
        if sign == "T":
            is_time = True
        elif sign.isdigit():
            digits += sign
        elif digits and sign in ISO_UNITS and (sign == "D") != is_time:
            total, digits = total + int(digits) * ISO_UNITS[sign], ""
        else:
            return None
    return None if digits else total
