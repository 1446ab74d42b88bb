"""The guest of the lab: a Debian kernel with an initramfs of busybox, Python and one service, and its domain XML.

It boots in seconds even where QEMU has to emulate the processor, needs no disk, and answers on the network with what
tells a live migration from a restart (see guest_service).
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil

from kvmha.host import CommandTimeout
from kvmha.lab import initramfs
from kvmha.lab.image import isolated_argv
from kvmha.lab.lock import Lock
from kvmha.lab.plan import LabError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.image import Image, Progress
    from kvmha.lab.plan import GuestPlan

FOLDER = "/var/lib/kvmha/guest"
"""Where a node has the guest's kernel and initramfs."""

CONFIG_FOLDER = "/etc/kvmha/guests"
"""Where a node has the domain XML of the guests."""

MEMORY_MIB = 256
CODE_MIB = 128
"""For translated code, where the processor is emulated: QEMU's default is a gigabyte, and three guests might use it."""

CPU_MODEL = "Nehalem"
"""Known to QEMU's emulation and to KVM on any processor of this century's second decade, and the same on both sides."""

BOOTED = "kvmha-guest-booted"

AGENT = "/usr/sbin/qemu-ga"
AGENT_CHANNEL = "org.qemu.guest_agent.0"
"""The name by which libvirt and the agent know the channel between them (libvirt's formatdomain)."""

# quiet and the rest only save time, most of it where the processor is emulated; a guest that panics starts again.
COMMAND_LINE = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off nopti cryptomgr.notests"

INIT = f"""\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
for module in /modules/*; do $b insmod $module; done
name=guest address= power_button=obey
for word in $($b cat /proc/cmdline); do
    case $word in
        kvmha.name=*) name=${{word#*=}} ;;
        kvmha.address=*) address=${{word#*=}} ;;
        kvmha.ignore_acpi) power_button=ignore ;;
        kvmha.try) echo {BOOTED}; $b poweroff -f ;;
    esac
done
$b hostname $name
$b ip link set lo up
$b ip address add $address dev eth0
$b ip link set eth0 up
[ $power_button = ignore ] || $b acpid -l /dev/null -p /acpid.pid
# The name of a port comes from the host a moment after the port.
for port in /sys/class/virtio-ports/*; do
    [ -e $port ] || break
    ( for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ "$($b cat $port/name 2> /dev/null)" = {AGENT_CHANNEL} ] && exec {AGENT} -p /dev/${{port##*/}} -t /run
        $b sleep 0.1
    done ) > /dev/null 2>&1 &
done
(PS1="$name# " PATH= exec $b setsid -c $b sh) < /dev/ttyS0 > /dev/ttyS0 2>&1 &
# Without a seed that is given Python waits a second for the emulated machine to gather randomness.
PYTHONHASHSEED=0 exec /usr/bin/python3 -sS /service.pyc $name
"""

# The acpid of busybox runs the file that is named after the event; this is the power button's.
POWER_BUTTON = """\
#!/bin/busybox sh
exec /bin/busybox poweroff -f
"""

# Run by the image's own Python with the service as input: prints the interpreter and the files of the standard library
# that are loaded once all is imported that the service imports, and then the service as byte code, which starts sooner.
COLLECT = """\
import __future__, _socket, binascii, os, posix, select, sys, time
import encodings.ascii, encodings.latin_1, encodings.utf_8
print(os.path.realpath(sys.executable))
for module in list(sys.modules.values()):
    for kind in "__file__", "__cached__":
        if getattr(module, kind, None):
            print(getattr(module, kind))
import base64, importlib.util, marshal
code = marshal.dumps(compile(sys.stdin.read(), "service.py", "exec", dont_inherit=True))
print(base64.b64encode(importlib.util.MAGIC_NUMBER + bytes(12) + code).decode())
"""


# QEMU before 9.0 loses pages of an emulated guest that moves while it writes to memory, and the guest then crashes:
# where it reads the dirty bitmap in whole words it does not tell the emulated TLB (mended by "physmem: Fix migration
# dirty bitmap coherency with TCG memory access"; seen with 7.2 in about half of the moves of a guest that dirties
# memory). It reads bit by bit, and is right, if the memory is no multiple of 256 KiB. libvirt rounds to MiB, and so the
# memory is given past it. To go with Debian 12.
ODD_KIB = 8
ODD_MEMORY = """
  <qemu:commandline>
    <qemu:arg value='-object'/>
    <qemu:arg value='memory-backend-ram,id=odd.ram,size={kib}k'/>
    <qemu:arg value='-machine'/>
    <qemu:arg value='memory-backend=odd.ram'/>
    <qemu:arg value='-m'/>
    <qemu:arg value='{kib}k'/>
  </qemu:commandline>"""


class Kit(Record):
    """What a guest is started from: the folder with its kernel and initramfs, and whether it boots under KVM."""

    folder: str
    kvm: bool


def ensure(host: Host, image: Image, progress: Progress) -> Kit:
    """Return what guests of nodes with that image are started from, after making and trying it if need be.

    Raises LabError if the guest does not boot.
    """
    folder = f"{image.guest}/{_key()}"
    with Lock(host, f"{image.guest}/lock", wait=120.0, busy="another run is making the guest"):
        if not host.exists(folder):
            progress("guest", "packing the initramfs")
            draft = f"{image.guest}/draft"
            shutil.rmtree(draft, ignore_errors=True)
            os.makedirs(draft)
            _write(f"{draft}/initrd", _pack(host, image))
            os.link(f"{image.guest}/vmlinuz", f"{draft}/vmlinuz")
            _try(host, image, draft, progress)
            os.rename(draft, folder)
            # Labs have copies of their own, so that nobody uses what an older kvmha has made.
            for name in host.names(image.guest):
                if f"{image.guest}/{name}" != folder and host.exists(f"{image.guest}/{name}/initrd"):
                    shutil.rmtree(f"{image.guest}/{name}")
    return Kit(folder=folder, kvm=host.read(f"{folder}/accelerator") == "kvm")


def domain_xml(
    guest: GuestPlan, *, suite: str, kvm: bool, ignore_acpi: bool = False, has_agent: bool = False, disk: str = "",
    memory_mib: int = MEMORY_MIB, code_mib: int = CODE_MIB,
) -> str:  # fmt: skip
    """Return the libvirt domain of a guest; with ``ignore_acpi`` it takes no notice of its power button.

    ``suite`` is that of the node: its QEMU may need help. ``disk`` is the path of a raw image or of a block device, on
    which the guest writes what it is told to.
    """
    words = f"{COMMAND_LINE} kvmha.name={guest.name} kvmha.address={guest.address}/24"
    if ignore_acpi:
        words += " kvmha.ignore_acpi"
    tcg = "" if kvm else f"<tcg><tb-cache unit='MiB'>{code_mib}</tb-cache></tcg>"
    namespace, arguments = "", ""
    if not kvm and suite == "bookworm":
        namespace = " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
        arguments = ODD_MEMORY.format(kib=memory_mib * 1024 + ODD_KIB)
    devices = []
    if has_agent:
        devices.append(f"\n    <channel type='unix'><target type='virtio' name='{AGENT_CHANNEL}'/></channel>")
    if disk:
        # libvirt moves a guest only if no cache of the source can hold what the target does not see.
        kind, name, cache = ("block", "dev", " cache='none'") if disk.startswith("/dev/") else ("file", "file", "")
        devices.append(
            f"\n    <disk type='{kind}' device='disk'><driver name='qemu' type='raw'{cache} error_policy='stop'/>"
            f"<source {name}='{disk}'/><target dev='vda' bus='virtio'/></disk>"
        )
    return f"""\
<domain type='{"kvm" if kvm else "qemu"}'{namespace}>
  <name>{guest.name}</name>
  <uuid>{guest.uuid}</uuid>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{FOLDER}/vmlinuz</kernel>
    <initrd>{FOLDER}/initrd</initrd>
    <cmdline>{words}</cmdline>
  </os>
  <features><acpi/><apic/>{tcg}</features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>{CPU_MODEL}</model></cpu>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <interface type='bridge'>
      <mac address='{guest.mac}'/>
      <source bridge='br0'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>
    <console type='pty'><target type='serial'/></console>
    <memballoon model='none'/>{"".join(devices)}
  </devices>{arguments}
</domain>
"""


class Answer(Record):
    """What the service in a guest says of itself; ``dirty`` is the rate in MiB/s and the size in MiB."""

    name: str
    boot: str
    answers: int
    ticks: int
    uptime: float
    dirty: tuple[int, int]


def parse_answer(line: str) -> Answer | None:
    """Read a line of the guest's service; None for one that is not whole or not an answer."""
    name, *pairs = line.split() or [""]
    said = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if not line.endswith("\n") or set(said) != {"boot", "answers", "ticks", "uptime", "dirty"}:
        return None
    rate, _, size = said["dirty"].partition("/")
    return Answer(
        name=name,
        boot=said["boot"],
        answers=int(said["answers"]),
        ticks=int(said["ticks"]),
        uptime=float(said["uptime"]),
        dirty=(int(rate), int(size)),
    )


def _service() -> str:
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest_service.py")
    with open(path, encoding="utf-8") as file:
        return file.read()


def _key() -> str:
    parts = (INIT, POWER_BUTTON, AGENT, COLLECT, COMMAND_LINE, CPU_MODEL, _service())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _pack(host: Host, image: Image) -> bytes:
    """Return the initramfs."""
    entries = [
        initramfs.device_entry("dev/console", 5, 1),
        initramfs.folder_entry("proc"),
        initramfs.folder_entry("run"),
        initramfs.folder_entry("sys"),
        initramfs.link_entry("lib", "usr/lib"),
        initramfs.link_entry("lib64", "usr/lib64"),
        initramfs.file_entry("init", INIT.encode(), mode=0o755),
        initramfs.file_entry("etc/acpi/PWRF/00000080", POWER_BUTTON.encode(), mode=0o755),
        # What the guest agent runs when it is told to end the guest (QEMU's qga/commands-posix.c).
        initramfs.file_entry("sbin/shutdown", POWER_BUTTON.encode(), mode=0o755),
        _from_image(image, "/bin/busybox"),
    ]
    modules = f"{image.guest}/modules"
    entries += [initramfs.file_entry(f"modules/{name}", _read(f"{modules}/{name}")) for name in host.names(modules)]
    in_image = ("chroot", image.root)
    said = host.run(*in_image, "python3", "-IS", "-c", COLLECT, given=_service(), timeout=30.0).out.split()
    python, *files, code = said
    needed = host.run(*in_image, "ldd", python, AGENT, timeout=30.0).out.split()
    libraries = [word.rstrip(":") for word in needed if word[0] == "/"]
    # A frozen module names a file that it might have been loaded from.
    present = {path for path in (python, AGENT, *files, *libraries) if os.path.exists(image.root + path)}
    entries += [_from_image(image, path) for path in sorted(present)]
    library = f"usr/lib/{os.path.basename(python)}/lib-dynload"
    entries += [initramfs.folder_entry(library), initramfs.link_entry("usr/bin/python3", os.path.basename(python))]
    entries.append(initramfs.file_entry("service.pyc", base64.b64decode(code)))
    return initramfs.cpio(entries)


def _from_image(image: Image, path: str) -> initramfs.Entry:
    found = os.stat(image.root + path)
    # In the archive /lib and /lib64 are links, as in the image.
    name = f"usr{path}" if path.startswith(("/lib/", "/lib64/")) else path[1:]
    mode, changed = found.st_mode & 0o777, int(found.st_mtime)
    return initramfs.file_entry(name, _read(image.root + path), mode=mode, changed=changed)


def _try(host: Host, image: Image, folder: str, progress: Progress) -> None:
    """Boot the guest, by KVM if that works, and write down how. Raises LabError if it boots in neither way.

    /dev/kvm may be there, and open, and yet hang at the guest's first instruction, where the machine is itself a guest.
    """
    for accelerator in (["kvm"] if host.exists("/dev/kvm") else []) + ["tcg"]:
        progress("guest", f"booting one by {accelerator}")
        if _boots(host, image, folder, accelerator):
            host.write(f"{folder}/accelerator", accelerator)
            return
    raise LabError("the guest of the lab does not boot here; `kvmha lab up` again after freeing the machine may help")


def _boots(host: Host, image: Image, folder: str, accelerator: str) -> bool:
    # fmt: off
    qemu = (
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-machine", f"pc,accel={accelerator}", "-cpu", CPU_MODEL, "-m", str(MEMORY_MIB),
        "-kernel", "/mnt/vmlinuz", "-initrd", "/mnt/initrd", "-append", f"{COMMAND_LINE} kvmha.try",
    )
    # fmt: on
    script = 'mount --bind "$1" "$2/mnt" && mount --bind /dev "$2/dev" && shift && exec chroot "$@"'
    argv = isolated_argv("sh", "-c", script, "kvmha-lab", folder, image.root, *qemu)
    try:
        done = host.run(*argv, timeout=10.0 if accelerator == "kvm" else 60.0, ok=None)
    except CommandTimeout:
        return False
    return BOOTED in done.out


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
