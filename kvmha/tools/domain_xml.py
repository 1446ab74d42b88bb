"""Domain definitions as XML."""

from __future__ import annotations

from xml.parsers import expat

from kvmha.policy.model import GuestIdentity
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


class DomainXmlError(ValueError):
    """The text is no domain definition that we can use; the message says what is wrong with it."""


def parse_identity(xml: bytes) -> GuestIdentity:
    """Return the name and UUID of a definition: those directly below ``<domain>``, never others of the same name.

    Entities are refused, because a definition needs none and they can make a small file large.
    """
    path: list[str] = []
    texts: dict[str, list[str]] = {}
    parser = expat.ParserCreate()

    def start(tag: str, _attributes: dict[str, str]) -> None:
        path.append(tag)
        if path in (["domain", "name"], ["domain", "uuid"]):
            if tag in texts:
                raise DomainXmlError(f"it has a second <{tag}>")
            texts[tag] = []

    def end(_tag: str) -> None:
        path.pop()

    def characters(text: str) -> None:
        if len(path) == 2 and path[0] == "domain" and path[1] in texts:
            texts[path[1]].append(text)

    def entity(*_arguments: object) -> None:
        raise DomainXmlError("it declares entities")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise DomainXmlError(f"it is not well-formed XML: {error}") from None
    except DomainXmlError:
        raise
    except (LookupError, ValueError) as error:
        # What pyexpat raises for an encoding that Python does not know, or that has more than one byte per character.
        raise DomainXmlError(f"its encoding cannot be read: {error}") from None
    name = "".join(texts.get("name", []))
    if not name.strip():
        raise DomainXmlError("it has no <name> below <domain>")
    return GuestIdentity(name=name, uuid=_canonical("".join(texts.get("uuid", [])).strip()))


def _canonical(uuid: str) -> str:
    """Write a UUID as QEMU's command line has it; libvirt reads it with dashes, without them, and in capitals."""
    digits = uuid.replace("-", "").lower()
    if not digits:
        return ""
    if len(digits) != 32 or any(digit not in "0123456789abcdef" for digit in digits):
        raise DomainXmlError(f'its <uuid> "{uuid}" is not one')
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class DiskNeed(Record):
    """A disk that the guest is started with."""

    kind: str
    """libvirt's word: ``file``, ``block``, ``dir``, ``network``, ``volume`` and others."""
    path: str
    """Empty for a disk that is not a path of this node, and for an empty drive."""
    is_read_only: bool = False
    is_shareable: bool = False
    is_optional: bool = False
    """The guest is started without it where it is not there (startupPolicy)."""


class Needs(Record):
    """What a guest needs of the node that it is started on."""

    memory_kib: int
    """What QEMU takes of ordinary memory, its own share not counted; 0 where the definition does not tell."""
    huge_pages: dict[int, int] = {}  # noqa: RUF012 (a default that nobody changes: records are frozen)
    """KiB by size of the pages in KiB, 0 for the node's own default size."""
    numa_nodes: tuple[int, ...] = ()
    """The NUMA nodes of the host that all its memory must come from; none for a free choice."""
    disks: tuple[DiskNeed, ...] = ()


def parse_needs(xml: str) -> Needs:
    """Return what a definition that parse_identity has accepted needs (libvirt's formatdomain).

    Raises DomainXmlError for a size that cannot be read.
    """
    from xml.etree import ElementTree

    try:
        domain = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError) as error:
        raise DomainXmlError(f"it is not well-formed XML: {error}") from None
    whole = _kib(domain.find("memory"))
    huge_pages = _huge_pages(domain, whole)
    bound = domain.find("numatune/memory[@mode='strict']")
    return Needs(
        memory_kib=max(_taken(domain, whole) - sum(huge_pages.values()), 0),
        huge_pages=huge_pages,
        numa_nodes=_numbers(bound.get("nodeset", "")) if bound is not None and bound.get("nodeset") else (),
        disks=tuple(_disk(disk) for disk in domain.findall("devices/disk")),
    )


class Resources(Record):
    """What libvirt has to provide before a guest can start: by name, each once, in the definition's order."""

    pools: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


def parse_resources(xml: str) -> Resources:
    """Return the storage pools and networks that a definition which parse_identity has accepted draws from."""
    from xml.etree import ElementTree

    domain = ElementTree.fromstring(xml)
    pools = [source.get("pool", "") for source in domain.findall("devices/disk[@type='volume']/source")]
    networks = [source.get("network", "") for source in domain.findall("devices/interface[@type='network']/source")]
    return Resources(
        pools=tuple(dict.fromkeys(name for name in pools if name)),
        networks=tuple(dict.fromkeys(name for name in networks if name)),
    )


def has_connected_agent(xml: str) -> bool:
    """Tell whether the definition of a running guest has a guest agent's channel that the agent has open."""
    from xml.etree import ElementTree

    if not xml:
        return False
    targets = ElementTree.fromstring(xml).findall("devices/channel/target[@name='org.qemu.guest_agent.0']")
    return any(target.get("state") == "connected" for target in targets)


def parse_disk_paths(xml: str) -> dict[str, str]:
    """Return the path of each disk of a running guest by its target, as libvirt's calls name it; it may be empty."""
    from xml.etree import ElementTree

    if not xml:
        return {}
    disks = ElementTree.fromstring(xml).findall("devices/disk")
    targets = [disk.find("target") for disk in disks]
    return {target.get("dev", ""): _disk(disk).path for disk, target in zip(disks, targets) if target is not None}


def parse_nvram(xml: str) -> str:
    """Return the path of the file that holds what the firmware remembers; empty for none."""
    from xml.etree import ElementTree

    found = ElementTree.fromstring(xml).find("os/nvram") if xml else None
    if found is None:
        return ""
    source = found.find("source")
    return source.get("file", "") if source is not None else (found.text or "").strip()


def forgets_tpm(xml: str) -> bool:
    """Tell whether an emulated TPM of the definition does not say what becomes of its state.

    libvirt then removes the state whenever a transient guest ends (qemuTPMEmulatorCleanupHost; seen with 9.0).
    """
    from xml.etree import ElementTree

    backends = ElementTree.fromstring(xml).findall("devices/tpm/backend[@type='emulator']")
    return any(backend.get("persistent_state") is None for backend in backends)


def _taken(domain: Element, whole: int) -> int:
    """Return the memory that the guest may take: less than all where a balloon keeps the rest from it."""
    current = _kib(domain.find("currentMemory"))
    # What is locked, taken in advance, or given to a device by DMA is there from the first moment.
    is_pinned = any(
        domain.find(path) is not None
        for path in (
            "memoryBacking/hugepages",
            "memoryBacking/locked",
            "memoryBacking/allocation[@mode='immediate']",
            "devices/hostdev[@type='pci']",
            "devices/memballoon[@model='none']",
        )
    )
    return current if 0 < current < whole and not is_pinned else whole


def _huge_pages(domain: Element, whole: int) -> dict[int, int]:
    """Return the KiB of guest memory in huge pages, by their size; cells of the guest's NUMA may differ."""
    wanted = domain.find("memoryBacking/hugepages")
    if wanted is None:
        return {}
    by_cell: dict[int, int] = {}
    others = 0 if wanted.find("page") is None else None
    for page in wanted.findall("page"):
        size = _kib(page, "size")
        cells = page.get("nodeset")
        if cells is None:
            others = size
        else:
            by_cell.update(dict.fromkeys(_numbers(cells), size))
    found: dict[int, int] = {}
    cells_of_guest = enumerate(domain.findall("cpu/numa/cell"))
    sizes = [(_number(cell, "id", position), _kib(cell, "memory")) for position, cell in cells_of_guest]
    sizes = sizes or [(0, whole)]
    for number, memory in sizes:
        size_or_none = by_cell.get(number, others)
        if size_or_none is not None:
            found[size_or_none] = found.get(size_or_none, 0) + memory
    return found


def _disk(disk: Element) -> DiskNeed:
    kind, source = disk.get("type", "file"), disk.find("source")
    attribute = {"file": "file", "block": "dev", "dir": "dir"}.get(kind)
    path = source.get(attribute, "") if source is not None and attribute else ""
    policy = source.get("startupPolicy", "") if source is not None else ""
    return DiskNeed(
        kind=kind,
        path=path,
        # What a transient disk is written goes into a file of its own.
        is_read_only=disk.get("device") == "cdrom"
        or any(disk.find(tag) is not None for tag in ("readonly", "transient")),
        is_shareable=disk.find("shareable") is not None,
        is_optional=policy == "optional",
    )


# The units of libvirt's scaled integers, in bytes; k and K alone are KiB.
_UNITS = {
    "b": 1, "bytes": 1, "kb": 1000, "k": 1 << 10, "kib": 1 << 10, "mb": 10**6, "m": 1 << 20, "mib": 1 << 20,
    "gb": 10**9, "g": 1 << 30, "gib": 1 << 30, "tb": 10**12, "t": 1 << 40, "tib": 1 << 40,
}  # fmt: skip


def _kib(element: Element | None, attribute: str = "") -> int:
    """Return a size in KiB: an element's text, or one of its attributes; 0 where there is none."""
    if element is None:
        return 0
    text = ((element.get(attribute, "") if attribute else element.text) or "").strip()
    unit = element.get("unit", "KiB")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or unit.lower() not in _UNITS:
        raise DomainXmlError(f'its size "{text} {unit}" cannot be read')
    return -(-int(text) * _UNITS[unit.lower()] // 1024)


def _number(element: Element, attribute: str, otherwise: int) -> int:
    text = element.get(attribute, "")
    return int(text) if text.isascii() and text.isdigit() else otherwise


def _numbers(text: str) -> tuple[int, ...]:
    """Read a set of numbers such as ``0-3,^2,5``. Raises DomainXmlError."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.lstrip("^").partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise DomainXmlError(f'its set of numbers "{text}" cannot be read')
        numbers = range(int(first), int(last or first) + 1)
        found = found - set(numbers) if part.startswith("^") else found | set(numbers)
    return tuple(sorted(found))
