"""The definition that a guest is started from: a file, or what libvirt keeps of a persistent domain."""

from __future__ import annotations

from kvmha.host import CommandTimeout
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.policy.model import GuestIdentity
from kvmha.record import Record
from kvmha.tools.domain_xml import DomainXmlError, parse_identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.virtual_domain import VirtualDomain

READ_LIMIT = 10.0
"""Seconds that a file may take, which on the file system of a server that is away it does."""


class Definition(Record):
    """Whom a definition defines, and its text."""

    guest: GuestIdentity
    xml: str
    is_persistent: bool = False
    """It is libvirt's own, of the domain that the parameter ``domain`` names, and no file's."""


def read(agent: VirtualDomain) -> Definition:
    """Read the definition that the parameters name. Raises OcfError, which says what is wrong with it.

    A persistent domain's definition is asked of libvirt; raises LibvirtError where that cannot be done.
    """
    if agent.param("config"):
        return _of_file(agent.param("config"), read_file(agent))
    return _of_libvirt(agent)


def read_file(agent: VirtualDomain) -> bytes:
    """Return what is in the file ``config``. Raises OcfError, soon, if that cannot be had."""
    path = agent.param("config")
    timeout = min(READ_LIMIT, agent.left() * 0.4)
    try:
        return agent.host.bounded(lambda: agent.host.read_bytes(path), what=path, timeout=timeout)
    except OSError as error:
        # It may be on a file system that is not mounted yet, which is no property of the installation.
        raise OcfError(codes.ERR_GENERIC, f"config={path}: {error.strerror}") from None
    except CommandTimeout:
        raise OcfError(codes.ERR_GENERIC, f"config={path} could not be read within {timeout:.0f} s") from None


def of_domain(text: str) -> GuestIdentity:
    """Return whom the parameter ``domain`` names: a UUID in its usual form is one, anything else is a name."""
    pieces = text.lower().split("-")
    digits = "".join(pieces)
    if [len(piece) for piece in pieces] == [8, 4, 4, 4, 12] and all(digit in "0123456789abcdef" for digit in digits):
        return GuestIdentity(uuid=text.lower())
    return GuestIdentity(name=text)


def _of_file(path: str, xml: bytes) -> Definition:
    try:
        return Definition(guest=parse_identity(xml), xml=xml.decode())
    except UnicodeDecodeError:
        raise OcfError(codes.ERR_CONFIGURED, f"config={path} is not in UTF-8, which libvirt is given") from None
    except DomainXmlError as error:
        raise OcfError(codes.ERR_CONFIGURED, f"config={path} is no domain definition: {error}") from None


def _of_libvirt(agent: VirtualDomain) -> Definition:
    name = agent.param("domain")
    found = agent.libvirt().defined(of_domain(name))
    if found is None:
        raise OcfError(
            codes.ERR_INSTALLED,
            f'domain="{name}": libvirt has no persistent domain of that name or UUID on this node; '
            "virsh define makes one, on each node that may run the guest",
        )
    return Definition(guest=found.identity, xml=found.xml, is_persistent=True)
