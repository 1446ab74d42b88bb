"""sbd: fencing by a disk that is shared, or by the watchdog alone."""

from __future__ import annotations

from kvmha.cluster.facts.reading import sbd_from
from kvmha.cluster.lint.rule import CIB, ERROR, NODES, NOTE, RING, WARNING, Fault, Rule, Unknown, each_node, seconds
from kvmha.policy import timing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.facts.records import Sbd
    from kvmha.cluster.lint.rule import Seen

AREA = "sbd"

STONITH_FACTOR = 1.2
"""sbd(8): stonith-timeout is msgwait and a fifth more."""

SOFTDOG = ("softdog", "Software Watchdog")
SETTINGS = "/etc/default/sbd or /etc/sysconfig/sbd"


def _sbd(facts: Facts) -> Iterator[tuple[Sbd | None, Unknown | None]]:
    """Yield sbd's settings where it is used and they are known, what to say where they are not, else nothing."""
    if facts.sbd is not None:
        yield facts.sbd, None
    elif facts.uses_sbd:
        yield None, Unknown(subject="sbd", said=f"its settings are on the nodes, in {SETTINGS}")


def _delay_most(facts: Facts) -> float:
    devices = (device for device in facts.fence_devices if device.agent in ("fence_sbd", "external/sbd"))
    return max((device.delay_max_s for device in devices), default=0.0)


def _msgwait(facts: Facts) -> Iterator[Seen]:
    for sbd, unknown in _sbd(facts):
        if unknown:
            yield unknown
        elif sbd and not sbd.is_diskless and sbd.msgwait_s < 2 * sbd.watchdog_s:
            yield Fault(
                subject="sbd",
                said="a node counts as fenced while its watchdog may still let it run",
                chain=f"msgwait {seconds(sbd.msgwait_s)} < 2 x watchdog timeout {seconds(sbd.watchdog_s)}",
                yaml="sbd: leave msgwait out, so that it follows watchdog_timeout",
                commands=(f"sbd -d DEVICE -1 {sbd.watchdog_s:g} -4 {2 * sbd.watchdog_s:g} create   # cluster stopped",),
            )


def _stonith_timeout(facts: Facts) -> Iterator[Seen]:
    for sbd, unknown in _sbd(facts):
        if unknown:
            yield unknown
        if sbd is None or sbd.is_diskless:
            continue
        limit = facts.seconds("stonith-timeout", timing.STONITH_TIMEOUT_S)
        delay = _delay_most(facts)
        least = STONITH_FACTOR * (sbd.msgwait_s + delay)
        if limit < least:
            more = f" + pcmk_delay_max {delay:g}" if delay else ""
            yield Fault(
                subject="stonith-timeout",
                said="the fencing is given up while the message on the disk has not been read yet",
                chain=f"{STONITH_FACTOR:g} x (msgwait {sbd.msgwait_s:g}{more}) = {least:g} s > {limit:g} s",
                yaml=f"properties: {{stonith-timeout: {_up(least)}s}}",
                commands=(f"pcs property set stonith-timeout={_up(least)}s",),
            )


def _watchdog_wait(facts: Facts) -> Iterator[Seen]:
    wait = facts.seconds("stonith-watchdog-timeout", 0.0)
    for sbd, unknown in _sbd(facts):
        if unknown:
            yield unknown
        elif sbd and sbd.is_diskless and 0 < wait < 2 * sbd.watchdog_s:
            yield Fault(
                subject="stonith-watchdog-timeout",
                said="a node counts as dead while its watchdog may still let it run, and its guests start twice",
                chain=f"stonith-watchdog-timeout {wait:g} s < 2 x SBD_WATCHDOG_TIMEOUT {sbd.watchdog_s:g} s",
                yaml="sbd: leave stonith_watchdog_timeout out, so that it follows watchdog_timeout",
                commands=(f"pcs property set stonith-watchdog-timeout={_up(2 * sbd.watchdog_s)}s",),
            )


def _watchdog_unset(facts: Facts) -> Iterator[Seen]:
    for sbd, _ in _sbd(facts):
        if sbd and sbd.is_diskless and not facts.seconds("stonith-watchdog-timeout", 0.0):
            yield Fault(
                subject="stonith-watchdog-timeout",
                said="sbd resets a node that lost quorum, and Pacemaker does not rely on it: its guests stay down",
                chain="no SBD_DEVICE; stonith-watchdog-timeout 0",
                yaml="sbd: {stonith_watchdog_timeout: twice watchdog_timeout}",
                commands=(f"pcs property set stonith-watchdog-timeout={_up(2 * sbd.watchdog_s)}s",),
            )


def _watchdog_without_sbd(facts: Facts) -> Iterator[Seen]:
    wait = facts.seconds("stonith-watchdog-timeout", 0.0)
    has_watchdog = facts.property_("have-watchdog")
    if wait and has_watchdog == "false":
        yield Fault(
            subject="stonith-watchdog-timeout",
            said="Pacemaker takes a lost node for dead after that time, and no sbd is there to see to it",
            chain=f"stonith-watchdog-timeout {wait:g} s; have-watchdog=false",
            yaml="sbd: the section that sets sbd up",
            commands=("pcs property set stonith-watchdog-timeout=",),
        )


def _diskless_pair(facts: Facts) -> Iterator[Seen]:
    for sbd, unknown in _sbd(facts):
        if unknown:
            yield unknown
        elif sbd and sbd.is_diskless and facts.is_pair:
            yield Fault(
                subject="sbd",
                said="without a disk it fences at the loss of quorum, which two nodes with two_node never lose",
                chain="2 nodes, no quorum device, no SBD_DEVICE",
                yaml="quorum: {device: ...}, or sbd: {devices: [...]}",
                commands=("pcs quorum device add model net host=HOST algorithm=ffsplit",),
            )


def _device_sync(facts: Facts) -> Iterator[Seen]:
    device = facts.ring.quorum.device if facts.ring is not None else None
    for sbd, unknown in _sbd(facts) if device is not None else ():
        if unknown:
            yield unknown
        elif sbd and device and device.times.sync_timeout / 1000.0 > sbd.watchdog_s:
            yield Fault(
                subject="sbd",
                said="it does not believe a quorum that comes so late, and resets nodes that are well",
                chain=f"quorum device sync_timeout {device.times.sync_timeout / 1000:g} s > watchdog timeout "
                f"{sbd.watchdog_s:g} s",
                yaml=f"sbd: {{watchdog_timeout: {int(device.times.sync_timeout / 1000) + 5}}}",
                commands=(f"pcs stonith sbd enable SBD_WATCHDOG_TIMEOUT={int(device.times.sync_timeout / 1000) + 5}",),
            )


def _delay_start(facts: Facts) -> Iterator[Seen]:
    if facts.ring is None:
        return
    for sbd, unknown in _sbd(facts):
        if unknown:
            yield unknown
        if sbd is None or sbd.is_diskless or sbd.delay_start_s is None:
            continue
        lost, delay = facts.ring.totem.lost_ms / 1000.0, _delay_most(facts)
        least = lost + delay + sbd.msgwait_s
        if sbd.delay_start_s < least and facts.is_pair:
            yield Fault(
                subject="sbd",
                said="a node is back from its reset before its fencing is over, and is fenced anew",
                chain=f"SBD_DELAY_START {sbd.delay_start_s:g} s < token + consensus {lost:g} + delay {delay:g} + "
                f"msgwait {sbd.msgwait_s:g} = {least:g} s",
                yaml="sbd: {delay_start: yes}",
                commands=(f"pcs stonith sbd enable SBD_DELAY_START={_up(least)}",),
            )


def _start_limit(facts: Facts) -> Iterator[Seen]:
    for sbd, _ in _sbd(facts):
        if sbd is None or sbd.delay_start_s is None:
            continue
        for node, unknown in each_node(facts, "units"):
            if unknown:
                yield unknown
            unit = node.unit("sbd.service") if node else None
            limit = unit.start_timeout_s if unit and unit.is_installed else None
            if node and limit is not None and limit <= sbd.delay_start_s:
                yield Fault(
                    subject=node.node,
                    said="systemd gives sbd up while it waits, and starts neither corosync nor Pacemaker",
                    chain=f"TimeoutStartSec {limit:g} s <= SBD_DELAY_START {sbd.delay_start_s:g} s",
                    yaml="the templates write the drop-in; render and apply them",
                    commands=(f"systemctl edit sbd.service   # TimeoutStartSec={_up(1.2 * sbd.delay_start_s)}",),
                )


def _softdog(facts: Facts) -> Iterator[Seen]:
    if not facts.uses_sbd:
        return
    for node, unknown in each_node(facts, "has_watchdog"):
        if unknown:
            yield unknown
        elif node and node.watchdog and node.watchdog.identity in SOFTDOG:
            yield Fault(
                subject=node.node,
                said="its watchdog is a program of the kernel that it is to reset: a kernel that hangs resets nothing",
                chain=f"{node.watchdog.device}: {node.watchdog.identity}",
                yaml="sbd: {module: that of the hardware, such as iTCO_wdt or sp5100_tco}",
            )


def _no_watchdog(facts: Facts) -> Iterator[Seen]:
    if not facts.uses_sbd:
        return
    for node, unknown in each_node(facts, "has_watchdog"):
        if unknown:
            yield unknown
        elif node and not node.has_watchdog:
            yield Fault(
                subject=node.node,
                said="it has no watchdog, so sbd does not start, and nothing resets it",
                chain="no /dev/watchdog",
                yaml="sbd: {module: softdog}, if the hardware has none",
                commands=("modprobe softdog   # and /etc/modules-load.d/watchdog.conf",),
            )


def _differs(facts: Facts) -> Iterator[Seen]:
    if not facts.uses_sbd:
        return
    told = {}
    for node, unknown in each_node(facts, "sbd"):
        if node is not None and node.sbd is not None:
            told[node.node] = sbd_from(node.sbd, node.sbd_header or {})
        elif unknown:
            yield unknown
    if len({(each.devices, each.watchdog_s, each.msgwait_s) for each in told.values()}) > 1:
        yield Fault(
            subject="sbd",
            said="the nodes do not agree on its disks or its times, so one of them believes the other dead too early",
            chain="; ".join(
                f"{name}: {len(each.devices)} disks, watchdog {each.watchdog_s:g} s, msgwait {each.msgwait_s:g} s"
                for name, each in sorted(told.items())
            ),
            yaml="sbd: the section; render and apply it",
            commands=("pcs stonith sbd config   # shows what each node has",),
        )


def _two_disks(facts: Facts) -> Iterator[Seen]:
    for sbd, unknown in _sbd(facts):
        if unknown:
            yield unknown
        elif sbd and len(sbd.devices) == 2:
            yield Fault(
                subject="sbd",
                said="of two disks both must be there, so two fail more often than one",
                chain="2 devices; sbd(8): one, or three",
                yaml="sbd: devices: one, or three",
            )


def _up(number: float) -> int:
    return int(-(-number // 1))


RULES = (
    Rule(id="sbd-msgwait", severity=ERROR, area=AREA, find=_msgwait,
         looks_at="msgwait on the disk against twice the watchdog timeout.",
         why="sbd(8): the poison must have worked before anybody relies on it."),
    Rule(id="sbd-stonith-timeout", severity=ERROR, area=AREA, needs=(CIB,), find=_stonith_timeout,
         looks_at="stonith-timeout against 1.2 times msgwait and the delay.",
         why="sbd(8): a fencing by disk takes msgwait, always."),
    Rule(id="sbd-watchdog-wait", severity=ERROR, area=AREA, needs=(CIB,), find=_watchdog_wait,
         looks_at="stonith-watchdog-timeout against twice the watchdog timeout, without a disk.",
         why="Until the watchdog has struck the node may run on."),
    Rule(id="sbd-watchdog-unset", severity=ERROR, area=AREA, needs=(CIB,), find=_watchdog_unset,
         looks_at="stonith-watchdog-timeout, without a disk.",
         why="Pacemaker counts on the watchdog only if told so."),
    Rule(id="watchdog-without-sbd", severity=ERROR, area=AREA, needs=(CIB,), find=_watchdog_without_sbd,
         looks_at="stonith-watchdog-timeout where sbd does not run.",
         why="A node would count as fenced that nothing fences."),
    Rule(id="sbd-diskless-pair", severity=ERROR, area=AREA, needs=(RING,), find=_diskless_pair,
         looks_at="sbd without a disk on two nodes.",
         why="It needs a real majority: three nodes, or a quorum device."),
    Rule(id="sbd-device-sync", severity=ERROR, area=AREA, needs=(RING,), find=_device_sync,
         looks_at="The watchdog timeout against sync_timeout of the quorum device.",
         why="sbd distrusts such a quorum (sbd-cluster.c) and counts it as lost."),
    Rule(id="sbd-delay-start", severity=WARNING, area=AREA, needs=(RING,), find=_delay_start,
         looks_at="SBD_DELAY_START against token, consensus, delay and msgwait, on a pair.",
         why="A node that boots fast is otherwise there before its fencing is over."),
    Rule(id="sbd-start-limit", severity=ERROR, area=AREA, needs=(NODES,), find=_start_limit,
         looks_at="TimeoutStartSec of sbd.service against SBD_DELAY_START.",
         why="systemd must wait at least as long as sbd does."),
    Rule(id="sbd-softdog", severity=WARNING, area=AREA, needs=(NODES,), find=_softdog,
         looks_at="The driver of the watchdog.",
         why="softdog needs a kernel that is well."),
    Rule(id="sbd-no-watchdog", severity=ERROR, area=AREA, needs=(NODES,), find=_no_watchdog,
         looks_at="That each node has a watchdog where sbd is used.",
         why="sbd resets a node by not feeding it."),
    Rule(id="sbd-differs", severity=ERROR, area=AREA, needs=(NODES,), find=_differs,
         looks_at="sbd's disks and times on all nodes.",
         why="They must agree on when a node is dead."),
    Rule(id="sbd-two-disks", severity=NOTE, area=AREA, find=_two_disks,
         looks_at="The number of sbd's disks.",
         why="sbd needs the majority of its disks."),
)  # fmt: skip
