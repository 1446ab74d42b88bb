"""Guests as the kernel and libvirt's status files show them: an answer that needs no daemon."""

from __future__ import annotations

from kvmha.policy.model import GuestIdentity, GuestState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

STATUS_FOLDER = "/run/libvirt/qemu"
"""Where libvirt's QEMU driver keeps the status of active domains, monolithic and modular daemons alike."""

CARRIERS = frozenset((
    "sh", "dash", "bash", "zsh", "ksh", "mksh", "fish", "busybox", "python", "perl", "ruby", "env", "nice", "nohup",
    "timeout", "xargs", "watch", "sudo", "su", "runuser", "ssh", "sshd", "screen", "tmux", "strace", "ltrace", "gdb",
    "grep", "pgrep", "pkill", "ps", "rg", "sed", "awk", "gawk", "mawk", "find", "cat", "tail", "less", "more", "tee",
    "vi", "vim.basic", "vim.tiny", "vim", "nano", "emacs", "virsh", "logger", "echo", "printf", "sleep",
))  # fmt: skip
"""Programs, without the digits of their version, that may be given a guest's arguments and are not its QEMU."""

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


def macs(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Return the MAC addresses of a QEMU's network cards: ``"mac":"..."`` or ``mac=...`` in what follows -device."""
    found = []
    for option, value in zip(arguments, arguments[1:]):
        if option != "-device":
            continue
        for mark in ('"mac":"', "mac="):
            start = value.find(mark)
            if start >= 0:
                found.append(value[start + len(mark) :][:17].lower())
    return tuple(found)


def same_guest(wanted: GuestIdentity, found: GuestIdentity) -> bool:
    """Tell whether two identities are one guest: by UUID, or by the exact name where a UUID is not known."""
    if wanted.uuid and found.uuid:
        return wanted.uuid == found.uuid
    return wanted.name == found.name


def read_status(host: Host, guest: GuestIdentity) -> GuestState | None:
    """Return the state that libvirt wrote down for a guest, if the process that it names is really this guest's.

    None means that this way of looking shows nothing, not that the guest is absent.
    """
    # The file is named after the guest; of one that is known by its UUID alone, the process tells the name.
    name = guest.name or complete(host, guest).name
    if not name:
        return None
    status = _written(host, name)
    # What libvirt noted needs no look at the program: it is QEMU, whatever it is called.
    found = parse_cmdline(host.cmdline(status.pid)) if status is not None and status.pid else None
    return status if found is not None and same_guest(guest, found) else None


def parse_operation(text: str) -> str:
    """Return what libvirt does with a guest at the moment: ``<job async='migration out' ...>`` of its status file.

    The element stands before the guest's definition, and only while there is an operation that takes long.
    """
    private = text.partition("<domain ")[0]
    start = private.find("<job ")
    operation = _attribute(private[start : private.find(">", start)], "async") if start >= 0 else ""
    return "" if operation == "none" else operation


def read_operation(host: Host, guest: GuestIdentity) -> tuple[GuestState, str] | None:
    """Return a guest's state and what libvirt does with it, both of one moment; None if that is not written down."""
    try:
        text = host.read(f"{STATUS_FOLDER}/{guest.name or complete(host, guest).name}.xml")
    except OSError:
        return None
    status = parse_status(text)
    # A file that is not whole may lack the very element.
    return (status, parse_operation(text)) if status is not None and "</domstatus>" in text else None


def parse_agent_channel(text: str) -> str:
    """Return whether somebody has opened the guest agent's channel from inside the guest, in libvirt's words:
    ``connected`` or ``disconnected`` of a status file; nothing where the guest has no such channel.
    """
    start = text.find(" name='org.qemu.guest_agent.0'")
    return _attribute(text[start : text.find(">", start)], "state") if start >= 0 else ""


def read_agent_channel(host: Host, name: str) -> str:
    """Return the same for a guest of this node, by its name; nothing also where it cannot be read."""
    try:
        return parse_agent_channel(host.read(f"{STATUS_FOLDER}/{name}.xml"))
    except OSError:
        return ""


def monitor_path(host: Host, guest: GuestIdentity) -> str:
    """Return the socket at which QEMU serves its monitor, as libvirt noted it; nothing where it noted none."""
    try:
        text = host.read(f"{STATUS_FOLDER}/{guest.name}.xml")
    except OSError:
        return ""
    start = text.find("<monitor ")
    path = _attribute(text[start : text.find(">", start)], "path") if start >= 0 else ""
    for escaped, letter in (("&lt;", "<"), ("&gt;", ">"), ("&apos;", "'"), ("&quot;", '"'), ("&amp;", "&")):
        path = path.replace(escaped, letter)
    return path


def owner(host: Host, pid: int) -> GuestIdentity | None:
    """Return whose QEMU a process is, or may be; None for one that is certainly nobody's."""
    found = parse_cmdline(host.cmdline(pid))
    if found is None or may_be_qemu(host.exe(pid)):
        return found
    status = _written(host, found.name)
    return found if status is not None and status.pid == pid else None


def may_be_qemu(exe: str) -> bool:
    """Tell whether a program may be QEMU; not those that only carry its arguments: shells, searches, editors.

    QEMU goes by many names, so what is not known to be something else may be it, and so may what cannot be told. A
    script that wraps QEMU hands the arguments on, and is itself known by the process id that libvirt noted.
    """
    name = exe[: -len(" (deleted)")] if exe.endswith(" (deleted)") else exe
    return name.rpartition("/")[2].rstrip("0123456789.-") not in CARRIERS


def is_guest(host: Host, pid: int, guest: GuestIdentity) -> bool:
    """Tell whether a process is this guest's QEMU now, or may be."""
    found = owner(host, pid) if pid else None
    return found is not None and same_guest(guest, found)


def find(host: Host, guest: GuestIdentity) -> list[int]:
    """Return the ids of all QEMU processes of a guest on this node, by looking at every process.

    One that is ending has lost its arguments and may still have its disks open: it counts where libvirt noted its id.
    """
    return [pid for pid in host.pids() if is_guest(host, pid, guest)] or _ending(host, guest)


def complete(host: Host, guest: GuestIdentity) -> GuestIdentity:
    """Return the name and the UUID of a guest, as its process has them where one is not known."""
    if guest.name and guest.uuid:
        return guest
    for pid in host.pids():
        found = owner(host, pid)
        if found is not None and same_guest(guest, found):
            return found
    return guest


def find_any(host: Host) -> list[int]:
    """Return the ids of all QEMU processes of all guests on this node."""
    return [pid for pid in host.pids() if owner(host, pid) is not None]


def _written(host: Host, name: str) -> GuestState | None:
    """Return what libvirt wrote down for the guest of a name; its process may be another's by now."""
    try:
        head = host.read_bytes(f"{STATUS_FOLDER}/{name}.xml", limit=HEAD)
    except OSError:
        return None
    return parse_status(head.decode("utf-8", "replace"))


def _ending(host: Host, guest: GuestIdentity) -> list[int]:
    """Return the id of a process that libvirt noted for a guest and that has not let go of everything on its way out.

    Its first thread may be a zombie for long, while others wait in the kernel for the storage (proc(5)).
    """
    status = _written(host, guest.name) if guest.name else None
    if status is None or not status.pid or host.cmdline(status.pid):
        return []
    process = host.process(status.pid)
    is_over = process is None or process.is_kernel or (process.state in "ZX" and process.threads <= 1)
    return [] if is_over else [status.pid]


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
