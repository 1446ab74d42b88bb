"""Every drill says what it does, what comes of it and how it is undone, and there is code for it."""

from __future__ import annotations

import pytest

from kvmha.cli.drill import ordering
from kvmha.drill import catalogue, faults
from kvmha.drill.faults.daemons import AGENT_ACTIONS, PACEMAKER_DAEMONS
from kvmha.drill.records import (
    AT_NODE,
    CLUSTER,
    COMMANDS,
    ELSEWHERE,
    ENDURED,
    EVERY,
    FENCED,
    GUEST,
    KEPT,
    LEFT,
    MOVED,
    NODE,
    OTHERS,
    PARTED,
    POWER,
    RESTARTED,
    TARGET,
    UNDISTURBED,
)
from kvmha.errors import UserError
from kvmha.whatif import events

DRILLS = {drill.name: drill for drill in catalogue.DRILLS}
INTERRUPTS = (FENCED, RESTARTED, LEFT, PARTED, ENDURED, KEPT)
"""What a guest or a client may notice."""

WANTED = (
    "power-cut", "kernel-crash", "reset", "hang", "reboot", "shutdown",
    "link-cut", "links-cut", "link-one-way", "links-one-way", "link-loss", "link-delay", "link-mtu", "partition",
    "qdevice-lost", "fencing-lost",
    "corosync-killed", "corosync-stopped", "libvirt-killed", "libvirt-stopped", "qemu-killed",
    "drbd-cut", "disk-error", "device-full", "nfs-lost",
    "cpu-load", "memory-load", "io-load", "network-load",
    "drain", "migrate", "migrate-all", "rolling-reboot",
)  # fmt: skip


def test_every_fault_that_a_cluster_may_meet_has_a_drill():
    daemons = [f"{name}-{how}" for name in PACEMAKER_DAEMONS for how in ("killed", "stopped")]
    agents = [f"agent-killed-{action.replace('_', '-')}" for action in AGENT_ACTIONS]
    assert sorted(DRILLS) == sorted([*WANTED, *daemons, *agents])
    assert len(DRILLS) == len(catalogue.DRILLS), "a name is given once"


@pytest.mark.parametrize("name", DRILLS)
def test_each_says_all_that_has_to_be_known_before(name):
    drill = DRILLS[name]
    assert drill.said
    assert drill.undone
    assert drill.family in catalogue.FAMILIES
    assert drill.aim in (NODE, GUEST, CLUSTER)
    assert drill.leads_to in ordering.LEADS_TO
    assert drill.made_by in (AT_NODE, POWER, COMMANDS)
    assert drill.made_on in (TARGET, EVERY, OTHERS, ELSEWHERE)
    assert bool(drill.power) == (drill.made_by == POWER)
    assert drill.is_destructive or drill.leads_to not in INTERRUPTS
    assert drill.leads_to in (UNDISTURBED, MOVED) or drill.is_destructive
    assert drill.has_link or "{link}" not in drill.event


@pytest.mark.parametrize("name", [name for name, drill in DRILLS.items() if drill.event])
def test_what_is_foretold_is_a_question_that_whatif_knows(name):
    word, *values = DRILLS[name].event
    names, _ = events.WORDS[word]
    assert len(values) == len(names)


def test_whatever_a_node_does_to_itself_has_a_fault():
    own = {name for name, drill in DRILLS.items() if drill.made_by == AT_NODE}
    assert own | {catalogue.ROLLING_REBOOT} == set(faults.PLANS)


def test_a_fault_that_lasts_has_a_time():
    for name, drill in DRILLS.items():
        lasts = drill.cuts_off or name.endswith(("-stopped", "-load", "-cut", "-lost", "hang"))
        is_over = name in (catalogue.KERNEL_CRASH, catalogue.POWER_CUT)
        assert drill.hold_s > 0 or is_over or not (lasts or drill.leads_to == UNDISTURBED), name


def test_an_unknown_one_is_named_with_all_that_there_are():
    with pytest.raises(UserError, match='no drill "power"; there are power-cut, reset'):
        catalogue.find("power")
