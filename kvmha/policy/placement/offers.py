"""What nodes have for guests by name, as attributes of theirs in the CIB say; and what nobody said.

Invariant: what no node says is not reckoned with, for or against, and is told; what one node says and another does not
speaks against the other.
"""

from __future__ import annotations

from kvmha.policy.snapshot import GUEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.guest_needs import GuestNeeds
    from kvmha.policy.snapshot import Node, Snapshot

NETWORK, DEVICE, STORAGE, FEATURE, PAGES = "network", "device", "storage", "cpu-feature", "huge-pages"

ATTRIBUTES = {
    NETWORK: "has-networks", DEVICE: "has-devices", STORAGE: "has-storage", FEATURE: "has-cpu", PAGES: "huge-pages"
}  # fmt: skip
"""By kind, the name of the node's attribute: names with commas between; of huge pages SIZE:MIB, the size in KiB.
``none`` is nothing."""

NOTHING = ("", "none")

WORDS = {
    NETWORK: "networks", DEVICE: "devices", STORAGE: "storage", FEATURE: "features of processors", PAGES: "huge pages"
}  # fmt: skip


def listed(node: Node, kind: str) -> tuple[str, ...] | None:
    """Return the names that a node says it has; None where it says nothing of that kind."""
    text = node.attributes.get(ATTRIBUTES[kind])
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip() not in NOTHING)


def pools(node: Node) -> dict[str, int]:
    """Return the MiB of each pool of huge pages that a node says it has, by the size of its pages in KiB."""
    found = {}
    for pair in listed(node, PAGES) or ():
        size, _, amount = pair.partition(":")
        if size.isascii() and size.isdecimal() and amount.isascii() and amount.isdecimal() and len(amount) < 10:
            found[str(int(size))] = int(amount)
    return found


def known(snapshot: Snapshot) -> frozenset[str]:
    """Return the kinds of which at least one node says what it has."""
    said = {name for node in snapshot.members for name in node.attributes}
    return frozenset(kind for kind, name in ATTRIBUTES.items() if name in said)


def wanted(needs: GuestNeeds, kind: str) -> tuple[str, ...]:
    """Return what a guest needs of a kind."""
    names = {
        NETWORK: needs.networks, DEVICE: needs.devices, STORAGE: needs.storage, FEATURE: needs.features,
        PAGES: tuple(f"{size} KiB" for size in needs.huge_pages),
    }  # fmt: skip
    return names[kind]


def not_looked_at(snapshot: Snapshot) -> str:
    """Return in a sentence what guests need and no node says that it has; empty where nothing was left out."""
    said, kinds = [], known(snapshot)
    guests = [each for each in snapshot.resources if each.kind == GUEST and (each.nodes or each.is_wanted)]
    parts = []
    for kind, attribute in ATTRIBUTES.items():
        needy = [guest for guest in guests if guest.needs is not None and wanted(guest.needs, kind)]
        if needy and kind not in kinds and needy[0].needs is not None:
            parts.append(f"{WORDS[kind]} ({attribute}; {wanted(needy[0].needs, kind)[0]} of {needy[0].name})")
    if parts:
        said.append(f"not looked at, as no node says what it has: {', '.join(parts)}")
    unread = [guest.name for guest in guests if guest.needs is None]
    if unread and kinds:
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        said.append(f"no definition was read of {unread[0]}{more}, and so not what it needs of a node by name")
    return "; ".join(said)
