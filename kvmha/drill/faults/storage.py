"""Faults of storage: DRBD's network, a disk that answers with errors, a file system that is full, an NFS server."""

from __future__ import annotations

from kvmha.drill.faults.network import addresses_of, rules
from kvmha.drill.faults.plan import FOLDER, LIMIT, Fault, Plan, here
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.tools import drbd_conf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host

MOUNTS = "/proc/self/mounts"

NFS_PORT = "2049"

SHARED_SPACE = ("overlay", "nfs", "nfs4", "cifs", "ceph", "fuse.glusterfs", "ocfs2", "gfs2", "9p", "virtiofs")
"""Whoever fills one of these fills another machine's disk as well."""

FILL_NAME = ".kvmha-drill-fill"

FILL = """\
file=$1 size=$(stat --file-system --format='%a' "$2") block=$(stat --file-system --format='%S' "$2") used=0
while [ "$size" -gt 0 ]; do
    if fallocate --offset "$used" --length "$((size * block))" "$file" 2>/dev/null; then
        used=$((used + size * block))
    else
        size=$((size / 2))
    fi
done
[ "$used" -gt 0 ] || fallocate --length "$block" "$file"
"""
"""Takes as much as there is, then half of that as long as it does not fit any more; and says why if nothing does."""

WRITE_AGAIN = "pkill --signal PIPE --exact pacemaker-based || true"
"""The daemon of the configuration stops writing to a disk that was full, for good, and begins again at this signal
(cib_enable_writes in Pacemaker's daemons/based/pacemaker-based.c)."""

KEPT_TABLE = f"{FOLDER}/drill.table"


def _drbd_cut(host: Host, fault: Fault) -> Plan:
    try:
        text = drbd_conf.dump(host, timeout=LIMIT)
    except CommandError as error:
        raise UserError(f"{here(host)} has no DRBD resource that could lose its peer: {error}") from None
    ports = drbd_ports(text)
    if not ports:
        raise UserError(f"{here(host)} has no DRBD resource that could lose its peer")
    found = f"{{ {', '.join(ports)} }}"
    ways = (f"tcp sport {found}", f"tcp dport {found}")
    return rules(said=f"DRBD's ports {', '.join(ports)} are cut off", incoming=ways, outgoing=ways)


def drbd_ports(text: str) -> tuple[str, ...]:
    """Return the ports by which DRBD's resources reach their peers, from what drbdadm dump prints."""
    import re

    found = re.findall(r"\baddress\s+(?:ipv[46]\s+|ssocks\s+)?\S+:(\d+)\s*;", text)
    found += re.findall(r"\bhost\s+\S+\s+address\s+(?:ipv[46]\s+)?\S+:(\d+)\b", text)
    return tuple(sorted(set(found), key=int))


def _disk_error(host: Host, fault: Fault) -> Plan:
    """Have a device of the device mapper answer everything with an error, while DRBD or a guest uses it."""
    if not fault.path:
        raise UserError("disk-error wants --path, a device of the device mapper such as /dev/vg0/web1")
    said = host.run(
        "dmsetup", "info", "--columns", "--noheadings", "--options", "name,major,minor", "--separator", " ", fault.path,
        timeout=LIMIT, ok=None,
    )  # fmt: skip
    words = said.out.split()
    if said.rc != 0 or len(words) != 3:
        # It says why first, and that it failed last.
        why = (said.err or said.out).strip().partition("\n")[0][:120]
        raise UserError(f"{fault.path} is no device of the device mapper, which alone can be told to fail: {why}")
    name, number = words[0], f"{words[1]}:{words[2]}"
    _refuse_mounted(host, fault.path, number)
    table = host.run("dmsetup", "table", "--showkeys", name, timeout=LIMIT).out
    return Plan(
        # dmsetup(8): wait for what is under way, then fail any new I/O.
        act=("dmsetup", "wipe_table", "--noflush", name), keep=(KEPT_TABLE, table),
        undo=(("dmsetup", "load", name, KEPT_TABLE), ("dmsetup", "resume", name), ("sh", "-c", ATTACH)),
        said=f"{fault.path} answers everything with an error",
    )  # fmt: skip


ATTACH = "[ ! -e /proc/drbd ] || drbdadm adjust all"
"""DRBD gives up a disk with errors (on-io-error detach), and takes it again when it is told to."""


def _refuse_mounted(host: Host, path: str, number: str) -> None:
    for line in host.read("/proc/self/mountinfo").splitlines():
        fields = line.split()
        if len(fields) > 4 and fields[2] == number:
            raise UserError(f"{path} is mounted at {fields[4]}: name a device that DRBD or a guest uses")
    if not host.names(f"/sys/dev/block/{number}/holders") and not _is_open(host, number):
        raise UserError(f"nobody uses {path}, so nobody would notice")


def _is_open(host: Host, number: str) -> bool:
    done = host.run(
        "dmsetup", "info", "--columns", "--noheadings", "--options", "open", "--major", number.split(":")[0],
        "--minor", number.split(":")[1], timeout=LIMIT, ok=None,
    )  # fmt: skip
    return done.out.strip() not in ("", "0")


def _device_full(host: Host, fault: Fault) -> Plan:
    folder = (fault.path or "/var/lib/pacemaker").rstrip("/") or "/"
    if not host.exists(folder):
        raise UserError(f"{here(host)} has no folder {folder}")
    mount, kind = file_system(host.read(MOUNTS), folder)
    if kind in SHARED_SPACE or kind.startswith("fuse"):
        raise UserError(f"{folder} lies in {mount}, a file system of kind {kind}, whose space is not this node's alone")
    file = f"{folder if folder != '/' else ''}/{FILL_NAME}"
    return Plan(
        act=("sh", "-c", FILL, "fill", file, folder), said=f"{mount} is full",
        undo=(("rm", "-f", file), ("sh", "-c", WRITE_AGAIN)),
    )  # fmt: skip


def file_system(mounts: str, path: str) -> tuple[str, str]:
    """Return where the file system of a path is mounted, and its kind; proc(5) has the file."""
    found = ("/", "")
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        mount = fields[1].replace("\\040", " ")
        is_above = path == mount or path.startswith(f"{mount.rstrip('/')}/")
        if is_above and len(mount) >= len(found[0]):
            found = (mount, fields[2])
    return found


def _nfs_lost(host: Host, fault: Fault) -> Plan:
    servers = nfs_servers(host.read(MOUNTS))
    if not servers:
        raise UserError(f"{here(host)} has nothing mounted by NFS")
    found = [each for server in servers for each in addresses_of(host, server)]
    families = {each: "ip6" if ":" in each else "ip" for each in found}
    return rules(
        said=f"the NFS server {', '.join(found)} is not reached",
        incoming=[f"{families[each]} saddr {each} tcp sport {NFS_PORT}" for each in found],
        outgoing=[f"{families[each]} daddr {each} tcp dport {NFS_PORT}" for each in found],
    )


def nfs_servers(mounts: str) -> tuple[str, ...]:
    """Return the addresses of the servers of which something is mounted by NFS; nfs(5) calls the option addr."""
    found = []
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[2] in ("nfs", "nfs4"):
            options = dict(word.partition("=")[::2] for word in fields[3].split(","))
            found.append(options.get("addr") or fields[0].rpartition(":")[0])
    return tuple(dict.fromkeys(found))


PLANS: dict[str, Callable[[Host, Fault], Plan]] = {
    "drbd-cut": _drbd_cut,
    "disk-error": _disk_error,
    "device-full": _device_full,
    "nfs-lost": _nfs_lost,
}
