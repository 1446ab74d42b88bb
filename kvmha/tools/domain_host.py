"""What a domain definition needs of its host by name: networks, devices, disks, features (libvirt's formatdomain)."""

from __future__ import annotations

from kvmha.policy.guest_needs import GuestNeeds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from xml.etree.ElementTree import Element

DRBD = "/dev/drbd"
"""How the devices of DRBD begin; where these are current is told by promotion scores."""

PCI = (("domain", 4), ("bus", 2), ("slot", 2), ("function", 1))
"""The parts of a PCI address, and how many hexadecimal digits each has in its usual spelling."""


def parse(xml: str) -> GuestNeeds:
    """Return the needs that a definition names; pages and memory are not among them.

    Raises ValueError for what is no definition.
    """
    from xml.etree import ElementTree

    try:
        domain = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is not well-formed XML: {error}") from None
    return GuestNeeds(
        vcpus=_vcpus(domain),
        features=_unique(_features(domain)),
        devices=_unique(_devices(domain)),
        networks=_unique(_networks(domain)),
        storage=_unique(_storage(domain)),
    )


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name}))


def _vcpus(domain: Element) -> int | None:
    element = domain.find("vcpu")
    text = "" if element is None else (element.text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None


def _features(domain: Element) -> Iterator[str]:
    cpu = domain.find("cpu")
    if cpu is None or cpu.get("mode", "custom") != "custom":
        return
    yield (cpu.findtext("model") or "").strip()
    for feature in cpu.findall("feature"):
        if feature.get("policy", "require") in ("require", "force"):
            yield feature.get("name", "")


def _devices(domain: Element) -> Iterator[str]:
    for device in (*domain.findall("devices/hostdev"), *domain.findall("devices/interface[@type='hostdev']")):
        address = device.find("source/address")
        vendor, product = device.find("source/vendor"), device.find("source/product")
        if vendor is not None and product is not None:
            yield ":".join(each.get("id", "").replace("0x", "") for each in (vendor, product))
        elif address is not None and address.get("uuid"):
            yield address.get("uuid", "")
        elif address is not None and address.get("bus") and address.get("slot") is not None:
            digits = [address.get(name, "0").replace("0x", "").rjust(width, "0") for name, width in PCI]
            yield f"{digits[0]}:{digits[1]}:{digits[2]}.{digits[3]}".lower()


def _networks(domain: Element) -> Iterator[str]:
    for kind, attribute in (("bridge", "bridge"), ("network", "network"), ("direct", "dev")):
        for source in domain.findall(f"devices/interface[@type='{kind}']/source"):
            yield source.get(attribute, "")


def _storage(domain: Element) -> Iterator[str]:
    for disk in domain.findall("devices/disk"):
        source = disk.find("source")
        # An image of a CD or a floppy can be ejected, and one that is optional need not be there.
        if source is None or disk.get("device", "disk") not in ("disk", "lun") or source.get("startupPolicy"):
            continue
        path = source.get("file") or source.get("dev") or source.get("dir") or source.get("pool") or ""
        if disk.get("type") != "network" and not path.startswith(DRBD):
            yield path
