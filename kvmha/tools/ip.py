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
    """Length of the network part in bits."""
    flags: tuple[str, ...] = ()


def show_argv(address: str = "") -> tuple[str, ...]:
    """Ask for all addresses on all links, or for one wherever it is; ip itself reads any spelling of it."""
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
        if not prefix and len(words) > 5 and words[4] == "peer":
            prefix = words[5].partition("/")[2]
        full = 32 if words[2] == "inet" else 128
        flags = tuple(word for word in words[4:] if word in FLAGS)
        found.append(Address(link=words[1], address=local, prefix=int(prefix or full), flags=flags))
    return tuple(found)


def addresses(host: Host, address: str = "") -> tuple[Address, ...]:
    """Return every place where an address is configured on this node, or all addresses."""
    return parse_show(host.run(*show_argv(address), timeout=TIMEOUT).out)


def add_argv(address: Address) -> tuple[str, ...]:
    """Configure an address on a link; for IPv4 with the broadcast address that its prefix gives."""
    return (
        "ip", "addr", "add", f"{address.address}/{address.prefix}", *(() if ":" in address.address else ("brd", "+")),
        "dev", address.link,
    )  # fmt: skip


def delete_argv(address: Address) -> tuple[str, ...]:
    """Remove an address from a link."""
    return ("ip", "addr", "del", f"{address.address}/{address.prefix}", "dev", address.link)


def link_up_argv(link: str) -> tuple[str, ...]:
    """Set a link up."""
    return ("ip", "link", "set", link, "up")
