"""What the nodes themselves are set up with."""

from __future__ import annotations

from kvmha.cluster.lint.rule import ERROR, NODES, NOTE, WARNING, Fault, Rule, each_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.lint.rule import Seen

AREA = "hosts"

LIBVIRT = ("libvirtd.service", "virtqemud.service")


def _clock(facts: Facts) -> Iterator[Seen]:
    for node, unknown in each_node(facts, "is_clock_synchronised"):
        if unknown:
            yield unknown
        elif node and not node.is_clock_synchronised:
            yield Fault(
                subject=node.node,
                said="its clock runs by itself: failures expire at odd times, and no two logs agree on what came first",
                chain="not synchronised",
                yaml="hosts: time_servers",
                commands=("systemctl enable --now chrony   # chronyd on other systems",),
            )


def _power_key(facts: Facts) -> Iterator[Seen]:
    for node, unknown in each_node(facts, "power_key"):
        if unknown:
            yield unknown
        elif node and node.power_key not in ("ignore", ""):
            yield Fault(
                subject=node.node,
                said="a controller that presses the power button makes it shut down in order, for minutes",
                chain=f"logind HandlePowerKey={node.power_key}; expected ignore",
                yaml="hosts: {power_button: ignore}",
                commands=(
                    "write HandlePowerKey=ignore into /etc/systemd/logind.conf.d/kvmha.conf, then restart logind",
                ),
            )


def _suspends(facts: Facts) -> Iterator[Seen]:
    for node, unknown in each_node(facts, "units"):
        if unknown:
            yield unknown
        unit = node.unit("libvirt-guests.service") if node else None
        if node and unit and unit.is_enabled:
            yield Fault(
                subject=node.node,
                said="at shutdown it suspends or stops guests behind the cluster's back, and at boot it starts them",
                chain="libvirt-guests.service is enabled",
                yaml="the templates turn it off; render and apply them",
                commands=("systemctl disable libvirt-guests.service",),
            )


def _order(facts: Facts) -> Iterator[Seen]:
    for node, unknown in each_node(facts, "units"):
        if unknown:
            yield unknown
        pacemaker = node.unit("pacemaker.service") if node else None
        for name in LIBVIRT if node and pacemaker and pacemaker.is_installed else ():
            unit = node.unit(name) if node else None
            if unit and unit.is_installed and pacemaker and name not in pacemaker.after:
                yield Fault(
                    subject=node.node if node else "",
                    said=f"at its shutdown {name} goes before the cluster has moved the guests, and the node is fenced",
                    chain=f"pacemaker.service is not After={name}",
                    commands=("apt install --reinstall kvmha   # its drop-in of pacemaker.service says it",),
                )


def _not_enabled(facts: Facts) -> Iterator[Seen]:
    for node, unknown in each_node(facts, "units"):
        if unknown:
            yield unknown
        lacking = [
            name
            for name in ("corosync.service", "pacemaker.service")
            if node and (unit := node.unit(name)) and unit.is_installed and not unit.is_enabled
        ]
        if node and lacking:
            yield Fault(
                subject=node.node,
                said="after a fencing it does not come back by itself, and the next failure finds no spare",
                chain=f"{' and '.join(lacking)} not enabled",
                commands=(f"pcs cluster enable {node.node}",),
            )


def _both_libvirts(facts: Facts) -> Iterator[Seen]:
    for node, unknown in each_node(facts, "units"):
        if unknown:
            yield unknown
        units = [node.unit(name) for name in LIBVIRT] if node else []
        if node and len([unit for unit in units if unit and unit.is_enabled]) == 2:
            yield Fault(
                subject=node.node,
                said="two libvirts manage the same guests, and each of them knows only some",
                chain="libvirtd.service and virtqemud.service are enabled",
                commands=("systemctl disable --now libvirtd.service libvirtd.socket   # or the modular ones",),
            )


RULES = (
    Rule(id="clock", severity=WARNING, area=AREA, needs=(NODES,), find=_clock,
         looks_at="That the clock of each node is synchronised.",
         why="Times of failures, tickets and logs are compared."),
    Rule(id="power-key", severity=WARNING, area=AREA, needs=(NODES,), find=_power_key,
         looks_at="What logind does when the power button is pressed.",
         why="Many controllers switch off by pressing it; fencing must be at once."),
    Rule(id="libvirt-guests", severity=ERROR, area=AREA, needs=(NODES,), find=_suspends,
         looks_at="libvirt-guests.service.",
         why="One only may start and stop the guests."),
    Rule(id="shutdown-order", severity=ERROR, area=AREA, needs=(NODES,), find=_order,
         looks_at="The order of pacemaker.service after libvirt's daemons.",
         why="Who starts later stops earlier."),
    Rule(id="cluster-not-enabled", severity=NOTE, area=AREA, needs=(NODES,), find=_not_enabled,
         looks_at="That corosync and Pacemaker start at boot.",
         why="A node that is back is a spare."),
    Rule(id="two-libvirts", severity=ERROR, area=AREA, needs=(NODES,), find=_both_libvirts,
         looks_at="That not both libvirtd and the modular daemons are enabled.",
         why="They share files and do not know of each other."),
)  # fmt: skip
