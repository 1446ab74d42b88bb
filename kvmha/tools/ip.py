"""ip(8): which links carry an address, and how to add and remove one."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

TIMEOUT = 5.0
"""Seconds. It is one netlink question; only a machine in deep trouble takes longer."""

FLAGS = ("tentative", "dadfailed", "deprecated", "noprefixroute", "secondary", "optimistic")


class Address(Record):
    """One address as it is configured on one link."""

    link: str
    address: str
    prefix: int
    """Length of the network part in bits; with a peer, of the peer's network."""
    peer: str = ""
    """The other end, for an address of a point-to-point link."""
    flags: tuple[str, ...] = ()


def show_argv(address: str = "") -> tuple[str, ...]:
    """Ask for all addresses on all links, or for one wherever it is.

    ip reads any spelling of the address, and also a network, "any" and "all": who acts on the answer compares.
    """
    return ("ip", "-o", "addr", "show", *(("to", address) if address else ()))


def parse_show(text: str) -> tuple[Address, ...]:
    r"""Read ``3: br0    inet 10.0.0.9/24 brd 10.0.0.255 scope global secondary br0\  valid_lft ...``, one line each."""
    found = []
    for line in text.splitlines():
        words = line.split("\\")[0].split()
        if len(words) < 4 or words[2] not in ("inet", "inet6"):
            continue
        # A point-to-point address is printed as "inet LOCAL peer REMOTE/PREFIX".
        local, _, prefix = words[3].partition("/")
        peer = ""
        if not prefix and len(words) > 5 and words[4] == "peer":
            peer, _, prefix = words[5].partition("/")
        full = 32 if words[2] == "inet" else 128
        flags = tuple(word for word in words[4:] if word in FLAGS)
        found.append(Address(link=words[1], address=local, prefix=int(prefix or full), peer=peer, flags=flags))
    return tuple(found)


def packed(address: str) -> bytes | None:
    """Return the bytes of an address, the same for all its spellings; None for a text that is none."""
    # The module socket loads enum and selectors; the C module below it does not.
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            return _socket.inet_pton(family, address)
        except (OSError, ValueError):
            continue
    return None


def places(host: Host, address: str) -> tuple[Address, ...]:
    """Return every place where an address is configured on this node; a text that is no address is nowhere."""
    wanted = packed(address)
    if wanted is None:
        return ()
    shown = parse_show(host.run(*show_argv(address), timeout=TIMEOUT).out)
    return tuple(place for place in shown if packed(place.address) == wanted)


def addresses(host: Host) -> tuple[Address, ...]:
    """Return all addresses of this node."""
    return parse_show(host.run(*show_argv(), timeout=TIMEOUT).out)


def add_argv(address: Address) -> tuple[str, ...]:
    """Configure an address on a link; for IPv4 with the broadcast address that its prefix gives."""
    return (
        "ip", "addr", "add", f"{address.address}/{address.prefix}", *(() if ":" in address.address else ("brd", "+")),
        "dev", address.link,
    )  # fmt: skip


def delete_argv(address: Address) -> tuple[str, ...]:
    """Remove an address from a link."""
    # The kernel finds the address of a point-to-point link only by both ends.
    ends = (address.address, "peer", address.peer) if address.peer else (address.address,)
    return ("ip", "addr", "del", *ends[:-1], f"{ends[-1]}/{address.prefix}", "dev", address.link)


def link_up_argv(link: str) -> tuple[str, ...]:
    """Set a link up."""
    return ("ip", "link", "set", link, "up")
