"""Short ways to write the rows that many tables have: what is expected follows from what is taken."""

from __future__ import annotations

from kvmha.cluster import words
from kvmha.cluster.document import Field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def amount(name: str, unit: str, least: int, most: int, help: str, **more: Any) -> Field:
    """Return the row of a whole number of units; no unit is a bare number."""
    expects = f"{unit or 'a number'} from {least} to {most}"
    return Field(name=name, parse=words.number(least, most), help=help, expects=expects, **more)


def choice(name: str, known: tuple[str, ...], help: str, **more: Any) -> Field:
    """Return the row of a field that takes one of a few words."""
    expects = f"{', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else known[0]
    return Field(name=name, parse=words.one_of(*known), help=help, expects=expects, **more)


def flag(name: str, help: str, **more: Any) -> Field:
    """Return the row of a field that is yes or no."""
    return Field(name=name, shape="flag", help=help, expects="yes or no, without quotes", **more)


def resource_name(help: str) -> Field:
    """Return the row of a resource's name."""
    expects = "a letter or _, then letters, digits, dots, _ and -"
    return Field(name="name", parse=words.xml_id, required=True, help=help, expects=expects)


PREFERS = Field(
    name="prefers", parse=words.host_name,
    help="The node that it starts on when it may choose. It does not go back there by itself.",
    expects="the name of a node",
)  # fmt: skip

MAY_RUN_ON = Field(
    name="nodes", shape="values", parse=words.host_name, default=(),
    help="The nodes that it may run on; all of them where this is left out.",
    expects="a list of names of nodes",
)  # fmt: skip

TICKET = Field(
    name="ticket", parse=words.ticket_name,
    help="The ticket of the second site's booth that this cluster must hold to run it.",
    expects="the name of a ticket in booth.tickets",
)  # fmt: skip
