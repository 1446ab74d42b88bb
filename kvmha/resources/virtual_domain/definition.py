"""The definition that a guest is started from."""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.policy.model import GuestIdentity
from kvmha.record import Record
from kvmha.tools.domain_xml import DomainXmlError, parse_identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.virtual_domain import VirtualDomain


class Definition(Record):
    """Whom a definition defines, and its text."""

    guest: GuestIdentity
    xml: str


def read(agent: VirtualDomain) -> Definition:
    """Read the definition that the parameters name. Raises OcfError, which says what is wrong with it."""
    path = agent.param("config")
    try:
        xml = agent.host.read_bytes(path)
    except OSError as error:
        # It may be on a file system that is not mounted yet, which is no property of the installation.
        raise OcfError(codes.ERR_GENERIC, f"config={path}: {error.strerror}") from None
    try:
        return Definition(guest=parse_identity(xml), xml=xml.decode())
    except UnicodeDecodeError:
        raise OcfError(codes.ERR_CONFIGURED, f"config={path} is not in UTF-8, which libvirt is given") from None
    except DomainXmlError as error:
        raise OcfError(codes.ERR_CONFIGURED, f"config={path} is no domain definition: {error}") from None
