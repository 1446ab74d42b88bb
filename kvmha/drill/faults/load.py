"""Load: this node's processors, memory, disk or network are kept busy, by programs in a service of their own.

The kernel ends the memory's first when it has to end somebody, and systemd ends each when its time is over.
"""

from __future__ import annotations

from kvmha.drill.faults import corosync_links as of_links
from kvmha.drill.faults.plan import DEFAULT_SIZE_MIB, Fault, Plan, end_work, here, program, work
from kvmha.drill.faults.storage import MOUNTS, SHARED_SPACE, file_system
from kvmha.errors import UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host

SPIN = 'for n in $(seq "$1"); do (while :; do :; done) & done; wait'

PER_PROCESSOR = 2
"""Programs that want each processor: so everybody else waits for it as often as not."""

WRITE = 'while :; do dd if=/dev/zero of="$1" bs=1M count="$2" conv=fsync status=none || sleep 1; done'

WRITTEN_NAME = ".kvmha-drill-io"

LEFT_MIB = 1024
"""What is left free of memory if nobody says how much is taken, or a tenth of it, if that is more."""


def _cpu(host: Host, fault: Fault) -> Plan:
    count = PER_PROCESSOR * host.read("/proc/cpuinfo").count("processor\t:")
    return Plan(
        act=work(fault, "sh", "-c", SPIN, "spin", str(count or PER_PROCESSOR)), undo=(end_work(),),
        said=f"{count} programs want the processors all the time",
    )  # fmt: skip


def _memory(host: Host, fault: Fault) -> Plan:
    told = dict(line.split(":", 1) for line in host.read("/proc/meminfo").splitlines() if ":" in line)
    total, free = (int(told[name].split()[0]) // 1024 for name in ("MemTotal", "MemAvailable"))
    size = fault.size_mib or free - max(LEFT_MIB, total // 10)
    if not 0 < size < free:
        raise UserError(f"{here(host)} has {free} MiB of memory free, which is too little to take any: say --size MiB")
    argv = (program(host), "drill", "at-node", "load", "--memory", str(size))
    return Plan(
        act=work(fault, *argv, properties=("--property=OOMScoreAdjust=1000",)), undo=(end_work(),),
        said=f"{size} MiB of memory are taken of {free} that were free",
    )  # fmt: skip


def _io(host: Host, fault: Fault) -> Plan:
    folder = (fault.path or "/var/tmp").rstrip("/") or "/"  # a big file, which /tmp may not take
    if not host.exists(folder):
        raise UserError(f"{here(host)} has no folder {folder}")
    mount, kind = file_system(host.read(MOUNTS), folder)
    # An overlay is fine here: what is written is small, and taken away.
    if kind in SHARED_SPACE and kind != "overlay":
        raise UserError(f"{folder} lies in {mount}, a file system of kind {kind}, which other machines use as well")
    file, size = f"{folder if folder != '/' else ''}/{WRITTEN_NAME}", fault.size_mib or DEFAULT_SIZE_MIB
    return Plan(
        act=work(fault, "sh", "-c", WRITE, "write", file, str(size)), undo=(end_work(), ("rm", "-f", file)),
        said=f"{size} MiB are written to {mount} again and again",
    )  # fmt: skip


def _network(host: Host, fault: Fault) -> Plan:
    known, name = of_links.links(host), here(host)
    found = [known[number] for number in fault.links if number in known] or [known[number] for number in sorted(known)]
    peers = [address for addresses in found for node, address in sorted(addresses.items()) if node != name]
    if not peers:
        raise UserError(f"corosync.conf has no other node that {name} could send to")
    argv = (program(host), "drill", "at-node", "load", *(f"--send-to={each}" for each in peers))
    return Plan(
        act=work(fault, *argv), undo=(end_work(),), said=f"as much as goes is sent to {', '.join(peers)}, for nothing"
    )


PLANS: dict[str, Callable[[Host, Fault], Plan]] = {
    "cpu-load": _cpu,
    "memory-load": _memory,
    "io-load": _io,
    "network-load": _network,
}
