"""rtnetlink(7): what the kernel says of addresses and links, read without a program in between.

A whole question costs a fraction of a millisecond, where ip(8) costs two; and it is answered for the network namespace
that we are in, where /sys may show another one. Only C modules of Python are imported, inside the functions.
"""

from __future__ import annotations

import errno
import posix
import sys

from kvmha.policy.network import STACKED, Address, Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 5.0
"""Seconds. Only a machine in deep trouble takes longer."""

TRIES = 10
"""Dumps of a table that somebody changes meanwhile, before we give up."""

# linux/netlink.h and linux/rtnetlink.h.
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP, _INTERRUPTED = 0x1, 0x4, 0x300, 0x10
_NEWLINK, _GETLINK, _NEWADDR, _GETADDR = 16, 18, 20, 22
_NESTED = 0x8000
# IFA_* in linux/if_addr.h.
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_FLAGS = 1, 2, 3, 8
# IFLA_* in linux/if_link.h.
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINK, _IFLA_MASTER = 1, 3, 5, 10
_IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_EXT_MASK, _IFLA_LINK_NETNSID = 18, 26, 29, 37
_IFLA_PROP_LIST, _IFLA_ALT_IFNAME, _IFLA_INFO_KIND = 52, 53, 1
_SKIP_STATS = 1 << 3
_IFLA_INET_CONF, _PROMOTE_SECONDARIES = 1, 20
# linux/if.h and linux/if_arp.h.
_IFF_UP, _IFF_LOWER_UP, _ETHERNET = 0x1, 0x10000, 1
_IFNAMSIZ = 16


def packed(address: str) -> bytes | None:
    """Return the bytes of an address, the same for all its spellings; None for a text that is none."""
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            return _socket.inet_pton(family, address)
        except (OSError, ValueError):
            continue
    return None


def places(address: str) -> tuple[Address, ...]:
    """Return every place where an address is configured on this node; a text that is no address is nowhere."""
    wanted = packed(address)
    if wanted is None:
        return ()
    return tuple(place for place in _addresses(wanted) if packed(place.address) == wanted)


def addresses() -> tuple[Address, ...]:
    """Return all addresses of this node."""
    return tuple(_addresses(b""))


def link(index: int) -> Link | None:
    """Return a link by its number, or None if there is none."""
    return _one_link(index, b"")


def link_named(name: str) -> Link | None:
    """Return a link by its name or by one of its alternative names, or None if there is none."""
    # As os.fsencode does it.
    text = name.encode(sys.getfilesystemencoding(), "surrogateescape") + b"\0"
    return _one_link(0, _attribute(_IFLA_IFNAME if len(text) <= _IFNAMSIZ else _IFLA_ALT_IFNAME, text))


def links() -> tuple[Link, ...]:
    """Return all links of this node."""
    return tuple(_links(b""))


def below(top: Link) -> tuple[Link, ...]:
    """Return the links that a link lives by: what a VLAN lies on, the members of a bond, the ports of a bridge."""
    found: list[Link] = []
    todo = [top]
    while todo:
        here = todo.pop()
        lower = list(_links(_attribute(_IFLA_MASTER, _u32(here.index)))) if here.gathers else []
        if here.kind in STACKED and here.below:
            one = link(here.below)
            lower += [one] if one else []
        new = [one for one in lower if all(one.index != known.index for known in (top, *found))]
        found += new
        todo += new
    return tuple(found)


def name_of(index: int) -> str:
    """Return a link's present name, or its number for one that has gone."""
    import _socket

    try:
        return _socket.if_indextoname(index)
    except OSError:
        return f"link {index}"


def keep_secondaries(index: int) -> None:
    """Have the kernel keep the other IPv4 addresses of a network when its first one is removed.

    That is net.ipv4.conf.LINK.promote_secondaries=1, set where a read-only /proc/sys does not matter. Raises OSError.
    """
    setting = _attribute(_PROMOTE_SECONDARIES, _u32(1))
    for kind in (_IFLA_INET_CONF, 2, _IFLA_AF_SPEC):  # 2 is AF_INET
        setting = _attribute(kind | _NESTED, setting)
    for _ in _ask(_NEWLINK, _ACK, bytes(4) + _u32(index) + bytes(8) + setting):
        pass


# ------------------------------------------------------------------- messages


def _addresses(wanted: bytes) -> Iterator[Address]:
    family = {4: 2, 16: 10, 0: 0}[len(wanted)]  # AF_INET, AF_INET6, AF_UNSPEC
    for message in _dump(_GETADDR, _NEWADDR, bytes((family, 0, 0, 0)) + _u32(0)):
        # Most of a node's addresses are not the one that is looked for, and need not be taken apart.
        if wanted in message:
            yield parse_address(message)


def _links(filters: bytes) -> Iterator[Link]:
    body = bytes(16) + _attribute(_IFLA_EXT_MASK, _u32(_SKIP_STATS)) + filters
    return map(parse_link, _dump(_GETLINK, _NEWLINK, body))


def _one_link(index: int, name: bytes) -> Link | None:
    body = bytes(4) + _u32(index) + bytes(8) + _attribute(_IFLA_EXT_MASK, _u32(_SKIP_STATS)) + name
    try:
        for kind, _, message in _ask(_GETLINK, 0, body):
            if kind == _NEWLINK:
                return parse_link(message)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
    return None


def parse_address(message: bytes) -> Address:
    """Read an RTM_NEWADDR message: struct ifaddrmsg and its attributes."""
    import _socket

    family, prefix, flags = message[0], message[1], message[2]
    found = dict(attributes(message[8:]))
    if _IFA_FLAGS in found:
        flags = _number(found[_IFA_FLAGS])
    # Only a point-to-point address has two ends that differ: IFA_LOCAL is ours, IFA_ADDRESS is the other.
    local = found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]
    other = found.get(_IFA_ADDRESS, local)
    return Address(
        index=_number(message[4:8]),
        address=_socket.inet_ntop(family, local),
        prefix=prefix,
        peer="" if other == local else _socket.inet_ntop(family, other),
        label=_text(found.get(_IFA_LABEL, b"")),
        flags=flags,
    )


def parse_link(message: bytes) -> Link:
    """Read an RTM_NEWLINK message: struct ifinfomsg and its attributes."""
    hardware, flags = _number(message[2:4]), _number(message[8:12])
    found = dict(attributes(message[16:]))
    info = dict(attributes(found.get(_IFLA_LINKINFO, b"")))
    names = attributes(found.get(_IFLA_PROP_LIST, b""))
    # With a namespace's number beside it, the index is one of that other namespace.
    lower = 0 if _IFLA_LINK_NETNSID in found else _number(found.get(_IFLA_LINK, b""))
    return Link(
        index=_number(message[4:8]),
        name=_text(found[_IFLA_IFNAME]),
        altnames=tuple(_text(value) for kind, value in names if kind == _IFLA_ALT_IFNAME),
        kind=_text(info.get(_IFLA_INFO_KIND, b"")),
        is_up=bool(flags & _IFF_UP),
        has_carrier=bool(flags & _IFF_LOWER_UP),
        below=lower,
        master=_number(found.get(_IFLA_MASTER, b"")),
        mac=found.get(_IFLA_ADDRESS, b"") if hardware == _ETHERNET else b"",
    )


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes of a message, or of one that holds others: length, kind and value, padded to four bytes."""
    at = 0
    while at + 4 <= len(data):
        length = _number(data[at : at + 2])
        if length < 4:
            return
        yield _number(data[at + 2 : at + 4]) & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


# --------------------------------------------------------------------- talking


def _dump(question: int, answer: int, body: bytes) -> list[bytes]:
    """Return the messages of a whole table, none of them from before a change that came in between."""
    for _ in range(TRIES):
        found, is_whole = [], True
        for kind, flags, message in _ask(question, _DUMP, body):
            is_whole = is_whole and not flags & _INTERRUPTED
            if kind == answer:
                found.append(message)
        if is_whole:
            return found
    raise OSError(errno.EAGAIN, f"the kernel's table changed during each of {TRIES} looks")


def _ask(question: int, flags: int, body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Put one question to the kernel and yield its answers: kind, flags, and what follows the header.

    Raises OSError with the kernel's error number.
    """
    import _socket

    kernel = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)
    try:
        kernel.settimeout(TIMEOUT)
        kernel.send(_u32(16 + len(body)) + _u16(question) + _u16(_REQUEST | flags) + _u32(1) + _u32(0) + body)
        while True:
            data = kernel.recv(262144)
            at = 0
            while at + 16 <= len(data):
                length, kind = _number(data[at : at + 4]), _number(data[at + 4 : at + 6])
                said = data[at + 16 : at + length]
                # NLMSG_DONE carries an error number as well, where a dump broke off.
                number = int.from_bytes(said[:4], sys.byteorder, signed=True) if kind in (_ERROR, _DONE) else 0
                if number < 0:
                    raise OSError(-number, posix.strerror(-number))
                yield kind, _number(data[at + 6 : at + 8]), said
                if kind in (_ERROR, _DONE) or not flags & (_DUMP | _ACK):
                    return
                at += (length + 3) & ~3
    finally:
        kernel.close()


def _attribute(kind: int, value: bytes) -> bytes:
    return _u16(4 + len(value)) + _u16(kind) + value + bytes(-len(value) % 4)


def _u16(value: int) -> bytes:
    return value.to_bytes(2, sys.byteorder)


def _u32(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)


def _number(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")
