"""stonith_admin: what a fence agent says of its own options, and having a node fenced."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host


REBOOT_LIMIT = 60
"""Seconds that the fencing of a node may take."""


def reboot_argv(node: str, *, limit: int = REBOOT_LIMIT) -> tuple[str, ...]:
    """Return the command that has the cluster fence a node, and ends when that is done (stonith_admin(8))."""
    return ("stonith_admin", "--reboot", node, "--timeout", f"{limit}s", "--tag", "kvmha-drbd")


def metadata_argv(agent: str) -> tuple[str, ...]:
    """Return the command that prints a fence agent's metadata (stonith_admin(8))."""
    return ("stonith_admin", "--metadata", "--agent", agent)


def parse_defaults(xml: str) -> dict[str, str]:
    """Return the defaults of the options in metadata, by their names. Raises ValueError for what is no XML."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"metadata that is no XML: {error}") from None
    found = {}
    for parameter in root.iter("parameter"):
        content = parameter.find("content")
        if content is not None and content.get("default") is not None:
            found[parameter.get("name", "")] = content.get("default", "")
    return found


def defaults(host: Host, agent: str, *, timeout: float) -> dict[str, str]:
    """Return the defaults of a fence agent's options. Raises CommandError, ValueError."""
    return parse_defaults(host.run(*metadata_argv(agent), timeout=timeout).out)
