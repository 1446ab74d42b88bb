"""Drills of the network."""

from __future__ import annotations

from kvmha.drill.catalogue.words import EACH_TIMER, FENCING_UNDOES, TIMER
from kvmha.drill.records import CLUSTER, EVERY, FENCED, NODE, PARTED, UNDISTURBED, Drill

LINK_CUT, LINKS_CUT, LINK_ONE_WAY, LINKS_ONE_WAY = "link-cut", "links-cut", "link-one-way", "links-one-way"
LINK_LOSS, LINK_DELAY, LINK_MTU = "link-loss", "link-delay", "link-mtu"
PARTITION, QDEVICE_LOST, FENCING_LOST = "partition", "qdevice-lost", "fencing-lost"

RULE_GOES = f"the rule is taken away; {TIMER}"
RULES_GO = f"the rules are taken away; {EACH_TIMER}"

DRILLS = (
    Drill(
        name=LINK_CUT,
        said="all packets on the network of one link of corosync are dropped on the node, in both directions",
        undone=RULE_GOES,
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, event=("link", "{node}", "{link}"), hold_s=20.0,
        has_link=True,
    ),
    Drill(
        name=LINK_ONE_WAY,
        said="all packets that arrive on the network of one link are dropped on the node; what it sends goes out",
        undone=RULE_GOES,
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, event=("link", "{node}", "{link}"), hold_s=20.0,
        has_link=True,
    ),
    Drill(
        name=LINK_LOSS,
        said="some of the packets that arrive on the network of one link are dropped on the node, by chance",
        undone=RULE_GOES,
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=20.0, has_link=True,
    ),
    Drill(
        name=LINK_DELAY,
        said="all packets that leave by the network of one link are held back on the node",
        undone=f"the queueing discipline is taken away; {TIMER}",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=20.0, has_link=True,
    ),
    Drill(
        name=LINK_MTU,
        said="packets of more than 1000 bytes are dropped on the network of one link of the node, and nobody is told",
        undone=RULE_GOES,
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, hold_s=30.0, has_link=True,
    ),
    Drill(
        name=LINKS_CUT,
        said="all packets on all links of corosync are dropped on the node, in both directions; where there are two "
        "nodes, each is then alone",
        undone=f"{FENCING_UNDOES}; {TIMER}",
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("cut", "{node}"), hold_s=60.0, cuts_off=True,
    ),
    Drill(
        name=LINKS_ONE_WAY,
        said="the node hears nothing any more on any link of corosync, and is still heard",
        undone=f"{FENCING_UNDOES}; {TIMER}",
        aim=NODE, leads_to=FENCED, is_destructive=True, event=("cut", "{node}"), hold_s=60.0, cuts_off=True,
    ),
    Drill(
        name=PARTITION,
        said="all packets on all links of corosync are dropped on every node, so that each is alone and none has "
        "quorum; for clusters of three nodes and more",
        undone=RULES_GO,
        aim=CLUSTER, leads_to=PARTED, is_destructive=True, event=("cut", "{node}"), hold_s=30.0, made_on=EVERY,
        cuts_off=True,
    ),
    Drill(
        name=QDEVICE_LOST,
        said="what every node sends to the quorum device is dropped, and what that sends",
        undone=RULES_GO,
        aim=CLUSTER, leads_to=UNDISTURBED, is_destructive=False, event=("lose-device",), hold_s=30.0, made_on=EVERY,
    ),
    Drill(
        name=FENCING_LOST,
        said="no node reaches the fence devices of the node any more",
        undone=f"{RULES_GO}; failures of the devices' monitors are cleaned up",
        aim=NODE, leads_to=UNDISTURBED, is_destructive=False, event=("fail-fencing", "{node}"), hold_s=30.0,
        made_on=EVERY, fails="fence devices",
    ),
)  # fmt: skip
