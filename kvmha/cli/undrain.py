"""kvmha undrain: let the cluster use a node again."""

from __future__ import annotations

from kvmha.cli import drain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "undrain",
        help="let the cluster use a node again",
        description="End the standby of a node, and wait until the cluster has done what it wants to do then. Guests "
        "come back only where the configuration says so.",
    )
    parser.add_argument("node", metavar="NODE")
    parser.add_argument("--json", action="store_true", help="print what runs there as JSON")
    parser.set_defaults(handler=drain.undrain)
