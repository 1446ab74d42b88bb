"""Guests as the kernel and libvirt's status files show them: an answer that needs no daemon."""

from __future__ import annotations

from kvmha.policy.model import GuestIdentity, GuestState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

STATUS_FOLDER = "/run/libvirt/qemu"
"""Where libvirt's QEMU driver keeps the status of active domains, monolithic and modular daemons alike."""

HEAD = 4096
"""Bytes. The element that we read is the first of the file, below a comment of a few lines."""


def parse_status(text: str) -> GuestState | None:
    """Read ``<domstatus state='running' reason='booted' pid='734'>`` from the head of a status file.

    None for a text that does not carry that element: a file of another kind, or one that is not whole.
    """
    start = text.find("<domstatus ")
    end = text.find(">", start)
    if start < 0 or end < 0:
        return None
    element = text[start:end]
    state, pid = _attribute(element, "state"), _attribute(element, "pid")
    if not state or not pid.isdigit():
        return None
    return GuestState(state=state, reason=_attribute(element, "reason"), pid=int(pid))


def parse_cmdline(arguments: tuple[str, ...]) -> GuestIdentity | None:
    """Return whose QEMU process this is, from the arguments that libvirt gave it; None for any other process."""
    name = uuid = ""
    for option, value in zip(arguments, arguments[1:]):
        if option == "-uuid":
            uuid = value.lower()
        elif option == "-name":
            name = _guest_name(value)
    return GuestIdentity(name=name, uuid=uuid) if name and uuid else None


def same_guest(wanted: GuestIdentity, found: GuestIdentity) -> bool:
    """Tell whether two identities are one guest: by UUID, or by the exact name where a UUID is not known."""
    if wanted.uuid and found.uuid:
        return wanted.uuid == found.uuid
    return wanted.name == found.name


def read_status(host: Host, guest: GuestIdentity) -> GuestState | None:
    """Return the state that libvirt wrote down for a guest, if the process that it names is really this guest's.

    None means that this way of looking shows nothing, not that the guest is absent.
    """
    try:
        head = host.read_bytes(f"{STATUS_FOLDER}/{guest.name}.xml", limit=HEAD)
    except OSError:
        return None
    status = parse_status(head.decode("utf-8", "replace"))
    if status is None or not is_guest(host, status.pid, guest):
        return None
    return status


def is_guest(host: Host, pid: int, guest: GuestIdentity) -> bool:
    """Tell whether a process is this guest's QEMU now."""
    found = parse_cmdline(host.cmdline(pid)) if pid else None
    return found is not None and same_guest(guest, found)


def find(host: Host, guest: GuestIdentity) -> list[int]:
    """Return the ids of all QEMU processes of a guest on this node, by looking at every process."""
    return [pid for pid in host.pids() if is_guest(host, pid, guest)]


def find_any(host: Host) -> list[int]:
    """Return the ids of all QEMU processes of all guests on this node."""
    return [pid for pid in host.pids() if parse_cmdline(host.cmdline(pid)) is not None]


def _attribute(element: str, name: str) -> str:
    _, found, rest = element.partition(f" {name}=")
    if not found or rest[:1] not in ("'", '"'):
        return ""
    return rest[1:].partition(rest[0])[0]


def _guest_name(option: str) -> str:
    """Return NAME of ``guest=NAME,debug-threads=on``; QEMU's option syntax doubles a comma inside a value."""
    value = option[len("guest=") :] if option.startswith("guest=") else option
    name = []
    pieces = value.split(",")
    position = 0
    while position < len(pieces):
        name.append(pieces[position])
        if position + 2 < len(pieces) and pieces[position + 1] == "":
            position += 2
            continue
        break
    return ",".join(name)
