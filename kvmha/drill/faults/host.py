"""Faults of a whole node, as far as it can do them to itself; its power is its fence device's business."""

from __future__ import annotations

from kvmha.drill.faults.plan import LIMIT, Fault, Plan, here
from kvmha.errors import UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host

BREATH_S = 1.0
"""Between the answer to whoever orders a hang, and the hang."""

HANG = "sleep {breath}; kill -STOP -1; sleep {hold}; kill -CONT -1"
"""kill -1 spares the process that sends it, and the first one (kill(2)); so this shell goes on."""

SYSRQ = "/proc/sysrq-trigger"


def _hang(host: Host, fault: Fault) -> Plan:
    return Plan(said=f"all processes stand still, for {fault.hold_s:g} s at most")


def _kernel_crash(host: Host, fault: Fault) -> Plan:
    # systemd-detect-virt(1): 0 and its kind for a container, 1 and "none" for a machine with a kernel of its own.
    found = host.run("systemd-detect-virt", "--container", timeout=LIMIT, ok=None)
    name = here(host)
    if found.rc == 0:
        raise UserError(
            f"{name} is a container ({found.out.strip()}): its kernel is the machine's, and everything else that runs "
            "there would crash as well"
        )
    if not host.exists(SYSRQ):
        raise UserError(f"{name} has no {SYSRQ}: its kernel was built without it")
    return Plan(act=("sh", "-c", f"echo c >{SYSRQ}"), said="the kernel crashes", is_late=True)


def _reboot(host: Host, fault: Fault) -> Plan:
    # Late, since the connection by which it was ordered is one of the first things to go.
    return Plan(act=("systemctl", "reboot", "--no-wall"), said="it reboots in an orderly way", is_late=True)


def _shutdown(host: Host, fault: Fault) -> Plan:
    return Plan(act=("systemctl", "poweroff", "--no-wall"), said="it shuts down in an orderly way", is_late=True)


PLANS: dict[str, Callable[[Host, Fault], Plan]] = {
    "hang": _hang,
    "kernel-crash": _kernel_crash,
    "reboot": _reboot,
    "rolling-reboot": _reboot,
    "shutdown": _shutdown,
}
