"""The faults, made and undone on the node itself.

Invariant: before a fault is made, how it is undone lies in a file of this node, and a timer that does it is running. So
a fault ends although whoever ordered it has died, and although this node cannot be reached any more. What a reboot
undoes by itself is kept where a reboot forgets it.
"""

from __future__ import annotations

import json

from kvmha.errors import UserError
from kvmha.host import SIGKILL, CommandError
from kvmha.policy.model import GuestIdentity
from kvmha.record import Record
from kvmha.tools import corosync_conf, ip_address, qemu_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host

STATE = "/run/kvmha/drill.json"
LOG = "/run/kvmha/drill.log"
UNIT = "kvmha-drill-undo"
TABLE = "kvmha_drill"

LIMIT = 15.0
"""Seconds for one command."""

GRACE_S = 5.0
"""How much later than ordered the timer undoes: whoever ordered the fault is given the first word."""

BREATH_S = 1.0
"""Between the answer to whoever orders a hang, and the hang."""

LIBVIRT_UNITS = ("virtqemud.service", "libvirtd.service")

PLAIN_QUEUES = ("noqueue", "pfifo_fast", "fq_codel", "fq", "mq")

GONE = (
    "No such file or directory", "not loaded", "Cannot delete qdisc with handle of zero", "Invalid handle",
    "must match existing qdisc",
)  # fmt: skip
"""What nft, systemctl and tc say of what is not there any more."""

HANG = "sleep {breath}; kill -STOP -1; sleep {hold}; kill -CONT -1"
"""kill -1 spares the process that sends it, and the first one (kill(2)); so this shell goes on."""

RULES = """\
table inet {table} {{
  chain input {{ type filter hook input priority -300; policy accept; {input} }}
  chain output {{ type filter hook output priority -300; policy accept; {output} }}
}}
"""


class Fault(Record):
    """What is to be done to this node."""

    name: str
    id: str
    """The drill's."""
    hold_s: float = 0.0
    links: tuple[str, ...] = ()
    name_of_guest: str = ""
    uuid: str = ""
    percent: int = 0
    delay_ms: int = 0


class Made(Record):
    """What was done, and when it began, in seconds since the epoch."""

    at: float
    said: str


class Plan(Record):
    """How a fault is made and undone: commands, and what they are given."""

    act: tuple[str, ...] = ()
    given: str = ""
    undo: tuple[tuple[str, ...], ...] = ()
    said: str = ""


def strike(host: Host, node: str, fault: Fault) -> Made:
    """Make a fault on this node, which must be the one that is meant. Raises UserError, CommandError."""
    here = host.read("/proc/sys/kernel/hostname").strip()
    if here != node:
        raise UserError(f"the fault is for {node}, and this is {here}")
    if host.exists(STATE):
        raise UserError(f"{node} is in a drill already ({STATE}); kvmha drill abort ends it")
    plan = _PLANS[fault.name](host, fault) if fault.name in _PLANS else None
    if plan is None:
        raise UserError(f'there is no fault "{fault.name}"; there are {", ".join(_PLANS)}')
    if plan.undo:
        host.write(STATE, json.dumps({"id": fault.id, "fault": fault.name, "undo": plan.undo}))
        _set_timer(host, fault)
    try:
        if fault.name == "hang":
            # Its folder may not be there yet after a boot.
            host.write(LOG, "")
            host.start("/bin/sh", "-c", HANG.format(breath=BREATH_S, hold=fault.hold_s), log=LOG)
            return Made(at=host.wall_clock() + BREATH_S, said=plan.said)
        if fault.name == "qemu-killed":
            return _kill_guest(host, fault, plan)
        at = host.wall_clock()
        host.run(*plan.act, given=plan.given, timeout=LIMIT)
    except BaseException:
        undo(host)
        raise
    return Made(at=at, said=plan.said)


def undo(host: Host) -> tuple[str, ...]:
    """Undo what was done to this node, if anything; return what was undone. Raises CommandError where that fails.

    The file stays until all is undone, so that whoever comes next tries again.
    """
    try:
        told = json.loads(host.read(STATE))
    except FileNotFoundError:
        return ()
    except ValueError as error:
        raise UserError(f"{STATE} cannot be read: {error}; look at nft list ruleset and systemctl status") from None
    for argv in told["undo"]:
        done = host.run(*argv, timeout=LIMIT, ok=None)
        if done.rc != 0 and not any(word in done.err for word in GONE):
            raise CommandError(tuple(argv), f"exited with {done.rc}: {done.err.strip()[-160:]}")
    host.remove(STATE)
    _stop_timer(host)
    return (str(told["fault"]),)


def _set_timer(host: Host, fault: Fault) -> None:
    program = host.which("kvmha") or "/usr/bin/kvmha"
    host.run(
        "systemd-run", "--quiet", "--collect", f"--unit={UNIT}", f"--on-active={fault.hold_s + GRACE_S:g}",
        "--timer-property=AccuracySec=100ms", program, "drill", "at-node", "undo", timeout=LIMIT,
    )  # fmt: skip


def _stop_timer(host: Host) -> None:
    # When the timer itself undoes, its own service runs; only the timer is stopped. One that has gone is fine.
    host.run("systemctl", "stop", f"{UNIT}.timer", timeout=LIMIT, ok=None)


# ----------------------------------------------------------------- how each is made


def _hang(host: Host, fault: Fault) -> Plan:
    return Plan(said=f"all processes stand still, for {fault.hold_s:g} s at most")


def _signal(unit: str, signal: str) -> tuple[str, ...]:
    # Only the daemon itself: QEMU's processes may be in the same control group. --kill-whom is its name from
    # systemd 252 on, which still knows this one.
    return ("systemctl", "kill", "--kill-who=main", f"--signal={signal}", unit)


def _corosync_killed(host: Host, fault: Fault) -> Plan:
    return Plan(act=_signal("corosync.service", "SIGKILL"), said="corosync was killed")


def _corosync_stopped(host: Host, fault: Fault) -> Plan:
    unit = "corosync.service"
    return Plan(act=_signal(unit, "SIGSTOP"), undo=(_signal(unit, "SIGCONT"),), said="corosync stands still")


def _libvirt_unit(host: Host) -> str:
    for unit in LIBVIRT_UNITS:
        if host.run("systemctl", "is-active", "--quiet", unit, timeout=LIMIT, ok=None).rc == 0:
            return unit
    raise UserError(f"no daemon of libvirt runs: neither {' nor '.join(LIBVIRT_UNITS)} is active")


def _libvirt_killed(host: Host, fault: Fault) -> Plan:
    unit = _libvirt_unit(host)
    return Plan(act=_signal(unit, "SIGKILL"), said=f"{unit} was killed")


def _libvirt_stopped(host: Host, fault: Fault) -> Plan:
    unit = _libvirt_unit(host)
    return Plan(act=_signal(unit, "SIGSTOP"), undo=(_signal(unit, "SIGCONT"),), said=f"{unit} stands still")


def _qemu_killed(host: Host, fault: Fault) -> Plan:
    return Plan(said=f"the QEMU of {fault.name_of_guest} was killed")


def _kill_guest(host: Host, fault: Fault, plan: Plan) -> Made:
    guest = GuestIdentity(name=fault.name_of_guest, uuid=fault.uuid)
    pids = qemu_process.find(host, guest)
    if len(pids) != 1:
        raise UserError(f"{fault.name_of_guest} has {len(pids)} QEMU processes here, and not one")
    at = host.wall_clock()
    host.kill(pids[0], SIGKILL, still=lambda: qemu_process.is_guest(host, pids[0], guest), wait=LIMIT)
    return Made(at=at, said=plan.said)


def _links_cut(host: Host, fault: Fault) -> Plan:
    found = interfaces(host, fault.links)
    rules = RULES.format(
        table=TABLE,
        input=" ".join(f'iifname "{name}" drop;' for name in found),
        output=" ".join(f'oifname "{name}" drop;' for name in found),
    )
    return Plan(
        act=("nft", "-f", "-"), given=rules, undo=(("nft", "delete", "table", "inet", TABLE),),
        said=f"nothing passes {', '.join(found)} any more",
    )  # fmt: skip


def _link_loss(host: Host, fault: Fault) -> Plan:
    (name,) = interfaces(host, fault.links)
    drop = f'iifname "{name}" numgen random mod 100 < {fault.percent} drop;'
    return Plan(
        act=("nft", "-f", "-"), given=RULES.format(table=TABLE, input=drop, output=""),
        undo=(("nft", "delete", "table", "inet", TABLE),),
        said=f"{fault.percent} % of what arrives by {name} is lost",
    )  # fmt: skip


def _link_delay(host: Host, fault: Fault) -> Plan:
    (name,) = interfaces(host, fault.links)
    shown = host.run("tc", "qdisc", "show", "dev", name, "root", timeout=LIMIT).out.split()
    if shown[1:2] and (shown[1] not in PLAIN_QUEUES or shown[2:3] not in (["0:"], [])):
        raise UserError(f"{name} has a queueing discipline of its own ({shown[1]}), which this drill would replace")
    return Plan(
        act=("tc", "qdisc", "add", "dev", name, "root", "netem", "delay", f"{fault.delay_ms}ms"),
        undo=(("tc", "qdisc", "del", "dev", name, "root", "netem"),),
        said=f"what leaves by {name} is {fault.delay_ms} ms late",
    )  # fmt: skip


_PLANS: dict[str, Callable[[Host, Fault], Plan]] = {
    "hang": _hang,
    "corosync-killed": _corosync_killed,
    "corosync-stopped": _corosync_stopped,
    "libvirt-killed": _libvirt_killed,
    "libvirt-stopped": _libvirt_stopped,
    "qemu-killed": _qemu_killed,
    "link-cut": _links_cut,
    "links-cut": _links_cut,
    "link-loss": _link_loss,
    "link-delay": _link_delay,
}


def links(host: Host) -> dict[str, dict[str, str]]:
    """Return the address of each node on each link, by link and node, as this node's corosync.conf has them."""
    found: dict[str, dict[str, str]] = {}
    for node in corosync_conf.read(host).section("nodelist").all("node"):
        name = node.value("name")
        for number in range(8):
            address = node.value(f"ring{number}_addr")
            if address:
                found.setdefault(str(number), {})[name] = address
    return found


def interfaces(host: Host, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the interfaces that carry links on this node, all links' where none is named. Raises UserError."""
    here = host.read("/proc/sys/kernel/hostname").strip()
    known = links(host)
    of_address = {each.address: each.interface for each in ip_address.look(host, timeout=LIMIT)}
    found = []
    for number in wanted or sorted(known):
        address = known.get(number, {}).get(here)
        if address is None:
            raise UserError(f"there is no link {number} of {here}; the links are {', '.join(sorted(known))}")
        if address not in of_address:
            raise UserError(f"link {number} has the address {address}, which no interface of {here} has")
        found.append(of_address[address])
    return tuple(dict.fromkeys(found))
