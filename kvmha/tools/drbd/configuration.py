"""A DRBD resource as the configuration files have it, read from ``drbdadm dump-xml``.

That leaves out what stands in the common section, so options are asked of the kernel instead (show_argv).
"""

from __future__ import annotations

from kvmha.host import CommandError, CommandFailed
from kvmha.record import Record
from kvmha.tools.drbd.commands import dump_argv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from kvmha.host import Host

LIMIT = 10.0
"""Seconds to read the configuration; drbdadm asks the kernel for its version, and looks for its addresses."""


class ConfigurationError(CommandError):
    """The configuration cannot be read, or has no such resource for this node."""


class DrbdHost(Record):
    """One node of a resource."""

    name: str
    """Its name in the configuration, which is what ``uname -n`` must say there."""
    devices: tuple[str, ...] = ()
    minors: tuple[int, ...] = ()
    disks: tuple[str, ...] = ()
    """The device below each volume, ``none`` for a volume without a disk."""

    @property
    def is_client(self) -> bool:
        """Tell whether it has no disk by intention."""
        return bool(self.disks) and all(disk == "none" for disk in self.disks)


class Configuration(Record):
    """One resource."""

    resource: str
    hosts: tuple[DrbdHost, ...]

    def host(self, name: str) -> DrbdHost | None:
        """Return the node of that name, or None."""
        return next((host for host in self.hosts if host.name == name), None)

    def peers_of(self, name: str) -> tuple[str, ...]:
        """Return the names of all other nodes."""
        return tuple(host.name for host in self.hosts if host.name != name)


def read(host: Host, resource: str, configuration: str, *, timeout: float = LIMIT) -> Configuration:
    """Return a resource as it is configured. Raises ConfigurationError, and CommandError where drbdadm cannot run."""
    argv = dump_argv(resource, configuration)
    try:
        text = host.run(*argv, timeout=timeout).out
    except CommandFailed as error:
        raise ConfigurationError(argv, said(error.done.err or error.done.out)) from None
    return parse(text)


def said(text: str) -> str:
    """Return what drbdadm complained of in one line, without what it says each time."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "not found on this host" not in line]
    return f"says: {' '.join(lines)[:160] or 'nothing'}"


def parse(xml: str) -> Configuration:
    """Read what ``drbdadm dump-xml RESOURCE`` prints. Raises ConfigurationError."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ConfigurationError(("drbdadm",), f"printed no XML: {error}") from None
    found = root if root.tag == "resource" else root.find("resource")
    if found is None:
        raise ConfigurationError(("drbdadm",), "printed no resource")
    return Configuration(
        resource=found.get("name", ""),
        hosts=tuple(_host(host) for host in found.findall("host")),
    )


def _host(host: Element) -> DrbdHost:
    volumes = host.findall("volume")
    minors = [device.get("minor", "") for volume in volumes for device in volume.findall("device")]
    return DrbdHost(
        name=host.get("name", ""),
        devices=tuple(volume.findtext("device", "") for volume in volumes),
        minors=tuple(int(minor) for minor in minors if minor.isdigit()),
        disks=tuple(volume.findtext("disk", "none") for volume in volumes),
    )
