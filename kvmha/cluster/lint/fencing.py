"""Fencing: that it is there, that it reaches the right node, and that it is in time."""

from __future__ import annotations

from kvmha.cluster.lint.rule import CIB, ERROR, NOTE, WARNING, Fault, Rule, seconds
from kvmha.policy import timing
from kvmha.tools.cib import is_true, milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.facts.records import FenceDevice
    from kvmha.cluster.lint.rule import Seen

AREA = "fencing"


def action_of(facts: Facts, device: FenceDevice) -> str:
    """Return what the cluster has the device do, ``reboot`` or ``off`` as a rule."""
    wanted = facts.property_("stonith-action", "reboot")
    return device.params.get(f"pcmk_{wanted}_action", wanted)


def limit_of(facts: Facts, device: FenceDevice) -> tuple[float, str]:
    """Return the time that the fencer gives one run of a device, and whose it is."""
    wanted = facts.property_("stonith-action", "reboot")
    own = device.params.get(f"pcmk_{wanted}_timeout", "")
    read = milliseconds(own) if own else None
    if read:
        return read / 1000.0, f"pcmk_{wanted}_timeout"
    return facts.seconds("stonith-timeout", timing.STONITH_TIMEOUT_S), "stonith-timeout"


def _off(facts: Facts) -> Iterator[Seen]:
    word = facts.property_("stonith-enabled", "true")
    if not is_true(word):
        yield Fault(
            subject="stonith-enabled",
            said="a guest of a node that does not answer is started a second time while the first one may run",
            chain=f"stonith-enabled={word}",
            yaml="properties: leave stonith-enabled out",
            commands=("pcs property set stonith-enabled=true",),
        )


def _none(facts: Facts) -> Iterator[Seen]:
    for node in facts.node_names:
        if not facts.fencing_of(node) and not (facts.uses_sbd and facts.seconds("stonith-watchdog-timeout", 0.0)):
            yield Fault(
                subject=node,
                said="nothing can fence it: when it fails, its guests stay down until somebody comes",
                yaml=f"nodes: {node}: fencing: a device",
                commands=(f"pcs stonith create fence-{node} AGENT pcmk_host_list={node} ...",),
            )


def _stopped(facts: Facts) -> Iterator[Seen]:
    for device in facts.fence_devices:
        if not device.is_enabled:
            yield Fault(
                subject=device.id,
                said="it is disabled, and fences nobody",
                chain="target-role=Stopped",
                commands=(f"pcs stonith enable {device.id}",),
            )


def _stranger(facts: Facts) -> Iterator[Seen]:
    names = facts.member_names
    for device in facts.fence_devices:
        for target in device.targets or ():
            if names and target not in names:
                yield Fault(
                    subject=device.id,
                    said=f"it is for {target}, and there is no such node",
                    chain=f"pcmk_host_list or pcmk_host_map names {target}; the nodes are {', '.join(names)}",
                    yaml="nodes: the name that uname -n says on the host",
                    commands=(f"pcs stonith update {device.id} pcmk_host_list=NODE",),
                )


def _level_stranger(facts: Facts) -> Iterator[Seen]:
    if facts.cib is None:
        return
    devices = {device.id for device in facts.fence_devices}
    if facts.seconds("stonith-watchdog-timeout", 0.0):
        # Pacemaker has a device of this name of its own then (*Pacemaker Explained*, stonith-watchdog-timeout).
        devices.add("watchdog")
    for level in facts.cib.levels:
        lacking = [name for name in level.devices if name not in devices]
        if lacking:
            yield Fault(
                subject=f"level {level.index} of {level.target}",
                said=f"it names {', '.join(lacking)}, and there is no such device: the level fails",
                commands=(f"pcs stonith level remove {level.index} target {level.target}",),
            )


def _startup(facts: Facts) -> Iterator[Seen]:
    if not is_true(facts.property_("startup-fencing", "true")):
        yield Fault(
            subject="startup-fencing",
            said="a node that was never seen counts as off, and its guests are started while it may run them",
            chain="startup-fencing=false",
            commands=("pcs property set startup-fencing=true",),
        )


def _timeout(facts: Facts) -> Iterator[Seen]:
    for device in facts.fence_devices:
        if device.agent in ("fence_sbd", "external/sbd", "fence_watchdog"):
            continue
        times = timing.agent_times(
            device.agent, device.params, facts.agents.get(device.agent), action=action_of(facts, device)
        )
        limit, whose = limit_of(facts, device)
        if limit < times.most_s:
            wanted = int(-(-times.most_s // 10) * 10)
            yield Fault(
                subject=device.id,
                said="Pacemaker gives it up while it still waits for the power, and the node counts as not fenced",
                chain=f"{times.chain} > {whose} {seconds(limit)}",
                yaml=f"nodes: fencing: options: {{pcmk_reboot_timeout: {wanted}s}}",
                commands=(f"pcs stonith update {device.id} pcmk_reboot_timeout={wanted}s pcmk_off_timeout={wanted}s",),
            )


def _cycle(facts: Facts) -> Iterator[Seen]:
    for device in facts.fence_devices:
        if device.params.get("method") == "cycle" and action_of(facts, device) == "reboot":
            yield Fault(
                subject=device.id,
                said="it reports success when the controller has taken the order, whether or not the node went off",
                chain="method=cycle, action reboot",
                yaml="nodes: fencing: options: leave method out",
                commands=(f"pcs stonith update {device.id} method=onoff",),
            )


def _no_monitor(facts: Facts) -> Iterator[Seen]:
    for device in facts.fence_devices:
        if not device.has_monitor:
            yield Fault(
                subject=device.id,
                said="nobody looks whether it works, until it is needed",
                chain="no monitor operation with an interval",
                commands=(f"pcs stonith update {device.id} op monitor interval=60s timeout=60s",),
            )


def _everywhere_banned(facts: Facts) -> Iterator[Seen]:
    names = facts.node_names
    for device in facts.fence_devices:
        for target in device.targets or ():
            others = [name for name in names if name != target]
            if others and all(name in device.banned for name in others):
                yield Fault(
                    subject=device.id,
                    said=f"it may run only on {target}, which is to be fenced by it",
                    chain=f"score -INFINITY on {', '.join(others)}",
                    commands=(f"pcs constraint location {device.id} avoids {target}   # and none of the others",),
                )


def _one_at_a_time(facts: Facts) -> Iterator[Seen]:
    if not is_true(facts.property_("concurrent-fencing", "true")) and len(facts.node_names) > 2:
        yield Fault(
            subject="concurrent-fencing",
            said="of two nodes that fail together the second one is fenced after the first, however long that takes",
            chain="concurrent-fencing=false",
            yaml="properties: leave concurrent-fencing out",
            commands=("pcs property set concurrent-fencing=true",),
        )


def _stays_off(facts: Facts) -> Iterator[Seen]:
    if facts.property_("stonith-action", "reboot") in ("off", "poweroff"):
        yield Fault(
            subject="stonith-action",
            said="a fenced node stays off until somebody switches it on, and there is no spare meanwhile",
            chain=f"stonith-action={facts.property_('stonith-action')}",
            commands=("pcs property set stonith-action=reboot",),
        )


RULES = (
    Rule(id="fencing-off", severity=ERROR, area=AREA, needs=(CIB,), find=_off,
         looks_at="stonith-enabled.",
         why="Without fencing no cluster can know that a node which does not answer is off."),
    Rule(id="fencing-none", severity=ERROR, area=AREA, needs=(CIB,), find=_none,
         looks_at="That each node has a fence device or a watchdog.",
         why="The guests of a node that cannot be fenced are not recovered."),
    Rule(id="fencing-disabled", severity=ERROR, area=AREA, needs=(CIB,), find=_stopped,
         looks_at="target-role of the fence devices.",
         why="A disabled device does not fence."),
    Rule(id="fencing-stranger", severity=ERROR, area=AREA, needs=(CIB,), find=_stranger,
         looks_at="The nodes that a fence device is for.",
         why="A misspelt name is a node that cannot be fenced."),
    Rule(id="fencing-level-stranger", severity=ERROR, area=AREA, needs=(CIB,), find=_level_stranger,
         looks_at="The devices that a fencing level names.",
         why="A level works only if all of its devices do."),
    Rule(id="startup-fencing", severity=ERROR, area=AREA, needs=(CIB,), find=_startup,
         looks_at="startup-fencing.",
         why="Nobody knows what a node does that was not seen yet."),
    Rule(id="fencing-timeout", severity=ERROR, area=AREA, needs=(CIB,), find=_timeout,
         looks_at="stonith-timeout, or the device's own, against what the fence agent may take.",
         why="A fencing that is given up counts as failed, and is begun anew."),
    Rule(id="fencing-cycle", severity=ERROR, area=AREA, needs=(CIB,), find=_cycle,
         looks_at="method=cycle.",
         why="fence_ipmilan(8): a cycle reports success without looking at the power."),
    Rule(id="fencing-unwatched", severity=WARNING, area=AREA, needs=(CIB,), find=_no_monitor,
         looks_at="The monitor of each fence device.",
         why="A password that was changed is found by it, and not by the failover."),
    Rule(id="fencing-self", severity=ERROR, area=AREA, needs=(CIB,), find=_everywhere_banned,
         looks_at="Where a fence device may run.",
         why="A dead node cannot fence itself."),
    Rule(id="fencing-serial", severity=WARNING, area=AREA, needs=(CIB,), find=_one_at_a_time,
         looks_at="concurrent-fencing.",
         why="A fencing that hangs must not hold up another one."),
    Rule(id="fencing-stays-off", severity=NOTE, area=AREA, needs=(CIB,), find=_stays_off,
         looks_at="stonith-action=off.",
         why="The node does not come back by itself."),
)  # fmt: skip
