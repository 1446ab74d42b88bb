"""Where the address is when that is a network namespace of its own."""

from __future__ import annotations

from kvmha.tools import netns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.floating_ip import FloatingIP


def paths(agent: FloatingIP, name: str) -> list[str]:
    """Return every path by which a namespace is to be found; none if there is no such namespace.

    One that was deleted by its name lives on while processes are in it, and so does the address; one with the same
    name may have come since.
    """
    named, known = netns.named(name), agent.known()
    was = known.get("namespace_id", "") if known.get("namespace") == name else ""
    try:
        present = netns.identity(named)
    except FileNotFoundError:
        present = ""
    found = [named] if present else []
    if was and was != present:
        holder = netns.holder(agent.host, was)
        found = [holder, *found] if holder else found
    return found


def words(agent: FloatingIP) -> dict[str, str]:
    """Return what to write down of the namespace that we are in."""
    if not agent.namespace:
        return {}
    return {"namespace": agent.namespace, "namespace_id": netns.identity("/proc/self/ns/net")}
