"""URIs of a live migration, built from checked parts and never pasted."""

from __future__ import annotations

_SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"


def why_not_host_part(text: str) -> str | None:
    """Return why a text cannot stand in a URI as a user or a part of a host name, or None."""
    if any(character not in _SAFE for character in text):
        return "may only hold letters, digits, dots, dashes and underscores"
    return None


def on_network(node: str, suffix: str) -> str:
    """Name a node on the migration network: the suffix comes behind the first label."""
    first, dot, rest = node.partition(".")
    return f"{first}{suffix}{dot}{rest}"


def target_uri(hypervisor: str, address: str, transport: str, user: str) -> str:
    """Return the URI under which the source's libvirt reaches the target's: ``qemu+ssh://user@n2/system``."""
    scheme, _, path = hypervisor.partition(":///")
    return f"{scheme}{'+' if transport else ''}{transport}://{user}{'@' if user else ''}{address}/{path}"


def migrate_uri(template: str, target: str, address: str) -> str:
    """Return where the guest's memory goes: the operator's own URI, the migration network, or libvirt's choice."""
    if template:
        return template.replace("%n", target)
    return f"tcp://{address}" if address else ""
