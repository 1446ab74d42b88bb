"""The devices and settings of a domain definition that matter for a move (libvirt's formatdomain)."""

from __future__ import annotations

from kvmha.policy.movability import Device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

SAFE_CACHES = ("", "default", "none", "directsync")
"""What libvirt moves without asking what file system lies below; the default is the host's choice where QEMU writes."""

STUCK_FORMATS = ("parallels", "qcow", "vdi", "vhdx", "vmdk", "vpc")
"""Formats of images that QEMU refuses to move, for reading too (seen with 7.2 and --only-migratable)."""

READ = ("disk", "filesystem", "hostdev", "interface", "memory", "redirdev", "shmem", "tpm")
PLAIN = (
    "audio", "channel", "console", "controller", "emulator", "graphics", "hub", "input", "iommu", "lease", "memballoon",
    "nvram", "panic", "parallel", "redirfilter", "rng", "serial", "smartcard", "sound", "video", "vsock", "watchdog",
)  # fmt: skip
"""The other devices of libvirt 9.0 (its domaincommon.rng): they move, but for what is looked for in them below."""

PLAIN_MEMORY = ("", "dimm", "virtio-mem")

CHARACTER_DEVICES = ("serial", "parallel", "console", "channel")

ANY_RANDOM = ("", "/dev/random", "/dev/urandom")

ANY_ADDRESS = ("", "0.0.0.0", "::", "127.0.0.1", "::1", "localhost")


def parse(xml: str) -> tuple[Device, ...]:
    """Return them in the definition's order. Raises ValueError for what is no domain definition."""
    from xml.etree import ElementTree

    try:
        domain = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is not well-formed XML: {error}") from None
    if domain.tag != "domain":
        raise ValueError(f"its root is <{domain.tag}>, and <domain> would be a definition")
    parts = (_settings, _disks, _interfaces, _host_devices, _others, _stuck)
    return tuple(device for part in parts for device in part(domain))


def _settings(domain: Element) -> Iterator[Device]:
    if not (domain.findtext("uuid") or "").strip():
        yield Device(kind="no-uuid")
    cpu = domain.find("cpu")
    mode = cpu.get("mode", "") if cpu is not None else ""
    if mode == "host-passthrough":
        yield Device(kind="cpu-passthrough", name="the processor (host-passthrough)")
    elif mode in ("host-model", "maximum"):
        yield Device(kind="cpu-host-model" if mode == "host-model" else "cpu-maximum", name=f"the processor ({mode})")
    wants_invtsc = cpu is not None and any(
        each.get("name") == "invtsc" and each.get("policy") in ("require", "force") for each in cpu.findall("feature")
    )
    if wants_invtsc and domain.find("clock/timer[@name='tsc'][@frequency]") is None:
        yield Device(kind="cpu-invtsc", name="the processor's feature invtsc")
    if domain.find("memoryBacking/hugepages") is not None:
        yield Device(kind="huge-pages", name="huge pages")
    machine = domain.find("os/type")
    word = machine.get("machine", "") if machine is not None else ""
    if word in ("pc", "q35"):
        yield Device(kind="machine-alias", name=f"the machine type {word}")
    if domain.find("launchSecurity") is not None:
        yield Device(kind="sev", name="launchSecurity")
    nvram = domain.find("os/nvram")
    if nvram is not None:
        source = nvram.find("source")
        path = source.get("file", "") if source is not None else (nvram.text or "").strip()
        yield Device(kind="nvram", name=path or "the NVRAM")
    elif domain.find("os[@firmware='efi']") is not None or domain.find("os/loader[@type='pflash']") is not None:
        # libvirt makes one of its own for it.
        yield Device(kind="nvram", name="the NVRAM")


def _disks(domain: Element) -> Iterator[Device]:
    for disk in domain.findall("devices/disk"):
        source, target, driver = disk.find("source"), disk.find("target"), disk.find("driver")
        kind, device = disk.get("type", "file"), disk.get("device", "disk")
        path = (
            next((source.get(key, "") for key in ("file", "dev", "dir", "volume", "name") if source.get(key)), "")
            if (source is not None)
            else ""
        )
        if source is None or (not path and kind in ("file", "block", "dir")):
            continue
        name = f"{target.get('dev', '') if target is not None else ''} {path}".strip()
        formats = [driver.get("type", "") if driver is not None else ""]
        formats += [each.get("type", "") for each in disk.iterfind(".//backingStore/format")]
        for word in sorted({each for each in formats if each in STUCK_FORMATS}):
            yield Device(kind="disk-format", name=f"{name} ({word})")
        if disk.find("transient") is not None:
            yield Device(kind="disk-transient", name=name)
        if device in ("cdrom", "floppy"):
            yield Device(kind="disk-shared" if kind == "network" else f"{device}-local", name=name)
            continue
        known = {
            "network": "disk-shared", "file": "disk-file", "block": "disk-block", "dir": "disk-file",
            "volume": "disk-volume", "nvme": "disk-nvme", "vhostuser": "disk-vhost", "vhostvdpa": "disk-vhost",
        }  # fmt: skip
        yield Device(kind=known.get(kind, "disk-unknown"), name=name)
        is_written = disk.find("readonly") is None and disk.find("shareable") is None
        cache = driver.get("cache", "") if driver is not None else ""
        if is_written and kind in ("file", "block") and cache not in SAFE_CACHES:
            yield Device(kind="disk-unsafe-cache", name=f"{name} (cache={cache})")


def _interfaces(domain: Element) -> Iterator[Device]:
    known = {
        "bridge": "interface-bridge", "network": "interface-network", "direct": "interface-direct",
        "user": "interface-user", "hostdev": "interface-hostdev", "vhostuser": "interface-vhostuser",
        "vdpa": "interface-vdpa",
    }  # fmt: skip
    for interface in domain.findall("devices/interface"):
        kind, source = interface.get("type", ""), interface.find("source")
        attributes = ("bridge", "network", "dev", "path")
        name = next((source.get(each, "") for each in attributes if source.get(each)), "") if source is not None else ""
        mac = interface.find("mac")
        name = name or (mac.get("address", "") if mac is not None else "") or "an interface"
        if interface.find("teaming[@type='transient']") is not None:
            yield Device(kind="host-pci-failover", name=name)
        else:
            yield Device(kind=known.get(kind, "interface-other"), name=name)


def _host_devices(domain: Element) -> Iterator[Device]:
    known = {"pci": "host-pci", "mdev": "host-mdev", "usb": "host-usb", "scsi": "host-scsi", "scsi_host": "host-scsi"}
    for device in domain.findall("devices/hostdev"):
        kind = device.get("type", "")
        address = device.find("source/address")
        words = [value for key, value in (address.attrib.items() if address is not None else ()) if key != "type"]
        name = " ".join([kind or "host device", ":".join(words)]).strip()
        if device.find("teaming[@type='transient']") is not None:
            yield Device(kind="host-pci-failover", name=name)
        else:
            yield Device(kind=known.get(kind, f"host-{kind or 'device'}"), name=name)
    for _ in domain.findall("devices/redirdev"):
        yield Device(kind="redirected-usb", name="redirdev")


def _others(domain: Element) -> Iterator[Device]:
    devices = domain.find("devices")
    if devices is None:
        return
    for shared in devices.findall("shmem"):
        yield Device(kind="shmem", name=f"shmem {shared.get('name', '')}".strip())
    for folder in devices.findall("filesystem"):
        driver, target = folder.find("driver"), folder.find("target")
        is_virtiofs = driver is not None and driver.get("type") == "virtiofs"
        name = target.get("dir", "") if target is not None else ""
        yield Device(kind="filesystem-virtiofs" if is_virtiofs else "filesystem-9p", name=name or "filesystem")
    for backend in devices.findall("tpm/backend"):
        is_own = backend.get("type") == "passthrough"
        yield Device(kind="tpm-passthrough" if is_own else "tpm-emulated", name="the TPM")
    for memory in devices.findall("memory"):
        model = memory.get("model", "")
        if model in ("nvdimm", "virtio-pmem"):
            is_pmem = memory.find("source/pmem") is not None
            yield Device(kind="nvdimm-pmem" if is_pmem else "nvdimm", name=memory.findtext("source/path") or model)
        elif model not in PLAIN_MEMORY:
            yield Device(kind="device-unknown", name=f"memory of the model {model}")
    for tag in CHARACTER_DEVICES:
        for character in devices.findall(tag):
            path = character.find("source")
            name = path.get("path", "") if path is not None else (character.text or "").strip()
            kind = character.get("type", "")
            if kind == "dev":
                yield Device(kind="serial-host", name=f"{tag} {name}")
            elif kind in ("file", "pipe"):
                yield Device(kind="chardev-host", name=f"{tag} {name}")
    for backend in devices.findall("rng/backend[@model='random']"):
        if (backend.text or "").strip() not in ANY_RANDOM:
            yield Device(kind="chardev-host", name=f"rng {(backend.text or '').strip()}")
    for graphics in devices.findall("graphics"):
        listen = graphics.find("listen")
        address = graphics.get("listen", "") or (listen.get("address", "") if listen is not None else "")
        if address not in ANY_ADDRESS:
            yield Device(kind="graphics-address", name=f"{graphics.get('type', '')} on {address}")


def _stuck(domain: Element) -> Iterator[Device]:
    """Yield what QEMU 7.2 does not move (--only-migratable), and what nobody knows here."""
    devices = domain.find("devices")
    for device in devices if devices is not None else ():
        tag, kind = str(device.tag), device.get("type", "")
        if tag not in READ and tag not in PLAIN:
            yield Device(kind="device-unknown", name=tag)
        elif tag == "input" and kind in ("passthrough", "evdev"):
            source = device.find("source")
            path = (source.get("evdev", "") or source.get("dev", "")) if source is not None else ""
            yield Device(kind="input-host" if kind == "passthrough" else "chardev-host", name=f"input {path}".strip())
        elif tag == "sound" and device.get("model") == "usb":
            yield Device(kind="usb-stuck", name="sound (usb-audio)")
        elif tag == "interface" and device.find("model[@type='usb-net']") is not None:
            yield Device(kind="usb-stuck", name="interface (usb-net)")
        elif tag == "serial" and device.find("target[@type='usb-serial']") is not None:
            yield Device(kind="usb-stuck", name="serial (usb-serial)")
        elif tag == "video" and device.find("model/acceleration[@accel3d='yes']") is not None:
            yield Device(kind="video-3d", name="video")
        elif tag == "smartcard" and device.get("mode") in ("host", "host-certificates"):
            yield Device(kind="smartcard-host", name="smartcard")
