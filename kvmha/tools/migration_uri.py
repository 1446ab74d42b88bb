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


def migrate_uri(address: str, port: int | None) -> str:
    """Return where the guest's memory goes: an address, a port, both, or wherever libvirt chooses (an empty text)."""
    if not address:
        return ""
    return f"tcp://{address}:{port}" if port else f"tcp://{address}"


def host_of(uri: str) -> str:
    """Return the host in a URI of a move; empty for one without."""
    from urllib.parse import urlsplit

    try:
        return urlsplit(uri if "://" in uri else uri.replace(":", "://", 1)).hostname or ""
    except ValueError:
        return ""


def daemon_of(uri: str) -> tuple[str, int] | None:
    """Return the host and port of the libvirt daemon that a URI leads to; None where no connection to one is ours.

    The ports are libvirt's own (https://libvirt.org/uri.html); without a transport it takes TLS.
    """
    from urllib.parse import urlsplit

    ports = {"tcp": 16509, "tls": 16514, "": 16514}
    try:
        parts = urlsplit(uri)
        transport, host, port = parts.scheme.partition("+")[2], parts.hostname, parts.port
    except ValueError:
        return None
    return (host, port or ports[transport]) if host and transport in ports else None


def why_not_remote(uri: str) -> str | None:
    """Return why a text is no URI of another machine's libvirt, or None."""
    scheme, found, rest = uri.partition("://")
    if not _is_word(uri) or not found or scheme.partition("+")[0] != "qemu" or rest.startswith(("/", "?")) or not rest:
        return "is no URI of another node's QEMU driver, such as qemu+ssh://root@%n/system"
    return None


def why_not_stream(uri: str) -> str | None:
    """Return why a text is no URI that libvirt can send a guest's memory to, or None."""
    scheme, found, rest = uri.partition(":")
    if not _is_word(uri) or not found or scheme not in ("tcp", "rdma") or not rest.strip("/"):
        return "is no migration URI, such as tcp://%n or rdma://%n"
    return None


def _is_word(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
