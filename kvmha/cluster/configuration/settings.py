"""Properties of the cluster and defaults of its resources, with the reasons for them."""

from __future__ import annotations

import math

from kvmha.cluster.configuration.parts import Setting
from kvmha.cluster.description import is_pair
from kvmha.policy import timing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kvmha.cluster.fields import ClusterDescription, Sbd

STICKINESS = 1000
PREFERENCE = 100
APART = 5000
"""How much a resource likes to stay, likes its preferred node, and dislikes a guest that it is kept apart from: it
does not move back by itself, and does move away from the other guest."""

PRIORITY = 1
CHOSEN = "chosen in cluster.yaml"


def properties(description: ClusterDescription) -> tuple[Setting, ...]:
    """Return the properties of the cluster."""
    found = [
        Setting(name="stonith-enabled", value="true",
                why="a guest of a lost node starts elsewhere only after that node was powered off"),
        Setting(name="no-quorum-policy", value="freeze",
                why="a part without quorum starts nothing, and keeps its guests running until the others fence it; "
                '"stop" would shut down every guest for nothing where a broken switch separates all nodes, and no '
                "second copy can start meanwhile, because that takes quorum and fencing"),
        Setting(name="start-failure-is-fatal", value="false",
                why="a passing failure to start (libvirtd restarting, a route not there yet) is tried again on the "
                "same node; migration-threshold says how often"),
        Setting(name="load-threshold", value="1000%",
                why="by default Pacemaker does one thing at a time on nodes with a load above 1.6 per processor, and "
                "the guests of a lost node then wait for each other just when the survivors are busy"),
        Setting(name="migration-limit", value=str(description.migration.limit),
                why="one guest's memory rarely fills a link alone, and many that share it converge late or not at all"),
    ]  # fmt: skip
    if is_pair(description) and description.timing.fencing_delay:
        delay = 2 * description.timing.fencing_delay
        found.append(
            Setting(name="priority-fencing-delay", value=f"{delay}s",
                    why="in a split both halves of a pair are quorate and fence each other; the side with the higher "
                    "total priority of guests fires first. Pacemaker asks for at least twice a device's static delay")
        )  # fmt: skip
    if description.sbd:
        found.append(_sbd_time(description.sbd))
    if any(node.memory is not None or node.vcpu is not None for node in description.nodes):
        found.append(
            Setting(name="placement-strategy", value="balanced",
                    why="guests start only where their memory and processors fit, and spread over the nodes")
        )  # fmt: skip
    return _with_choices(found, description.properties)


def resource_defaults(description: ClusterDescription) -> tuple[Setting, ...]:
    """Return the meta attributes that all resources have."""
    found = [
        Setting(name="resource-stickiness", value=str(STICKINESS),
                why=f"against {PREFERENCE} for the preferred node: a guest starts where it prefers to be, and does not "
                "move back there by itself after a failover; each move is a risk, and an administrator chooses when"),
        Setting(name="migration-threshold", value="3",
                why="after three failures a resource goes to another node"),
        Setting(name="failure-timeout", value="600s",
                why="failures that are ten minutes old count no longer"),
    ]  # fmt: skip
    return _with_choices(found, description.resource_defaults)


def msgwait(sbd: Sbd) -> int:
    """Return sbd's msgwait in seconds."""
    return math.ceil(timing.msgwait_s(sbd.watchdog_timeout, sbd.msgwait))


def watchdog_wait(sbd: Sbd) -> int:
    """Return the seconds after which a node without contact counts as reset by its own watchdog."""
    return sbd.stonith_watchdog_timeout or 2 * sbd.watchdog_timeout


def sbd_fencing_time(sbd: Sbd) -> int:
    """Return the seconds that fencing by a poison pill may take: msgwait, a fifth more, and the agent's own start."""
    return math.ceil(msgwait(sbd) * 1.2) + 10


def sbd_delay_start(description: ClusterDescription, sbd: Sbd) -> int:
    """Return the seconds that a booting node waits, until the others know that it was gone and is fenced."""
    totem = timing.totem(
        len(description.nodes), token=description.timing.token, coefficient=0, consensus=description.timing.consensus
    )
    delay = 3 * description.timing.fencing_delay if is_pair(description) else 0
    wait = msgwait(sbd) if sbd.devices else watchdog_wait(sbd)
    return math.ceil((totem.token + totem.consensus) / 1000) + delay + wait


def _sbd_time(sbd: Sbd) -> Setting:
    if sbd.devices:
        return Setting(name="stonith-timeout", value=f"{max(60, sbd_fencing_time(sbd))}s",
                       why=f"a poison pill counts as taken after msgwait ({msgwait(sbd)} s), and the fencing must not "
                       "be given up before that")  # fmt: skip
    return Setting(name="stonith-watchdog-timeout", value=f"{watchdog_wait(sbd)}s",
                   why=f"a node that is lost counts as fenced after this time; its watchdog resets it after "
                   f"{sbd.watchdog_timeout} s")  # fmt: skip


def _with_choices(found: Iterable[Setting], chosen: Mapping[str, str]) -> tuple[Setting, ...]:
    """Return the settings with the operator's own in place of ours, and after them."""
    kept = [setting for setting in found if setting.name not in chosen]
    return (*kept, *(Setting(name=name, value=value, why=CHOSEN) for name, value in chosen.items()))
