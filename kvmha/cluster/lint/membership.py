"""corosync's ring: its times, and who is in it."""

from __future__ import annotations

from kvmha.cluster.lint.rule import (
    CIB,
    ERROR,
    NODES,
    NOTE,
    RING,
    WARNING,
    Fault,
    Rule,
    each_node,
    ring_in,
    set_totem,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.lint.rule import Seen

AREA = "membership"

TOKEN_LEAST_MS, LOST_MOST_MS = 1000, 20_000

CONSENSUS_MOST = 2.0

MINIMUM_MS = 30
"""What corosync takes at least for its timers (MINIMUM_TIMEOUT in exec/totemconfig.c)."""


def _token_short(facts: Facts) -> Iterator[Seen]:
    totem = ring_in(facts).totem
    if totem.token < TOKEN_LEAST_MS:
        yield Fault(
            subject="corosync",
            said=f"a pause of {totem.token} ms, as a busy host or a switch makes it, counts as a dead node",
            chain=f"{totem.token_chain}; at least {TOKEN_LEAST_MS} ms",
            yaml=f"timing: {{token: {TOKEN_LEAST_MS}}}",
            commands=set_totem(token=TOKEN_LEAST_MS),
        )


def _token_long(facts: Facts) -> Iterator[Seen]:
    totem = ring_in(facts).totem
    if totem.lost_ms > LOST_MOST_MS:
        yield Fault(
            subject="corosync",
            said=f"a dead node is noticed only after {totem.lost_ms / 1000:g} s, and its guests are away for longer",
            chain=f"{totem.lost_chain}; more than {LOST_MOST_MS} ms",
            yaml="timing: {token: 3000}",
            commands=set_totem(token=3000),
        )


def _coefficient(facts: Facts) -> Iterator[Seen]:
    totem = ring_in(facts).totem
    if totem.token != totem.configured:
        yield Fault(
            subject="corosync",
            said=f"the token is {totem.token} ms and not the {totem.configured} ms that are written",
            chain=totem.token_chain,
            yaml="the templates set token_coefficient: 0; render and apply them",
            commands=set_totem(token_coefficient=0),
        )


def _consensus_short(facts: Facts) -> Iterator[Seen]:
    totem = ring_in(facts).totem
    if totem.nodes > 2 and totem.consensus <= totem.token:
        yield Fault(
            subject="corosync",
            said="with three nodes a consensus that is not larger than the token makes the membership waver",
            chain=f"{totem.token_chain}; consensus {totem.consensus} ms; it must be larger than the token",
            yaml="timing: leave consensus out, so that it follows the token",
            commands=set_totem(consensus=int(totem.token * 1.2)),
        )


def _consensus_join(facts: Facts) -> Iterator[Seen]:
    totem = ring_in(facts).totem
    if totem.consensus <= totem.join:
        yield Fault(
            subject="corosync",
            said="the consensus is over before a join message has been waited for, and no membership comes about",
            chain=f"join {totem.join} ms; consensus {totem.consensus} ms",
            yaml="timing: leave consensus and join out",
            commands=set_totem(join=50, consensus=max(int(totem.token * 1.2), 100)),
        )


def _consensus_long(facts: Facts) -> Iterator[Seen]:
    totem = ring_in(facts).totem
    if totem.consensus > CONSENSUS_MOST * totem.token:
        yield Fault(
            subject="corosync",
            said=f"each failover takes {(totem.consensus - 1.2 * totem.token) / 1000:g} s more than the token asks for",
            chain=f"{totem.lost_chain}; {CONSENSUS_MOST:g} x token = {CONSENSUS_MOST * totem.token:g} ms",
            yaml="timing: leave consensus out, so that it follows the token",
            commands=set_totem(consensus=int(totem.token * 1.2)),
        )


def _retransmit(facts: Facts) -> Iterator[Seen]:
    totem = ring_in(facts).totem
    if totem.retransmit < MINIMUM_MS:
        yield Fault(
            subject="corosync",
            said="corosync does not start: it cannot send a token again so often",
            chain=f"{totem.token_chain} / ({totem.retransmits} retransmits + 0.2) = {totem.retransmit} ms, "
            f"less than {MINIMUM_MS} ms",
            yaml="timing: a longer token",
            commands=set_totem(token_retransmits_before_loss_const=4),
        )


def _no_name(facts: Facts) -> Iterator[Seen]:
    for place, node in enumerate(ring_in(facts).nodes):
        if not node.name:
            yield Fault(
                subject=f"node {node.nodeid or place + 1}",
                said="corosync.conf gives it no name, and Pacemaker knows it twice once its host name changes",
                commands=(f"add name: NAME to node {node.nodeid or place + 1} in corosync.conf on every node",),
            )


def _node_ids(facts: Facts) -> Iterator[Seen]:
    seen: dict[int, str] = {}
    for node in ring_in(facts).nodes:
        if not node.nodeid:
            yield Fault(
                subject=node.name or "a node",
                said="corosync.conf gives it no nodeid, without which knet does not start",
                commands=("give every node a nodeid of its own in corosync.conf",),
            )
        elif seen.setdefault(node.nodeid, node.name) != node.name:
            yield Fault(
                subject=node.name,
                said=f"it has the nodeid {node.nodeid} of {seen[node.nodeid]}",
                commands=("give every node a nodeid of its own in corosync.conf",),
            )


def _names_differ(facts: Facts) -> Iterator[Seen]:
    ring = {node.name for node in ring_in(facts).nodes if node.name}
    assert facts.cib is not None
    members = {node.name for node in facts.cib.nodes if node.kind in ("", "member")}
    for name in sorted(members - ring) if ring else ():
        yield Fault(
            subject=name,
            said="Pacemaker knows a node of this name, and corosync none",
            chain=f"corosync: {', '.join(sorted(ring))}; the CIB: {', '.join(sorted(members))}",
            yaml="nodes: the name that uname -n says on the host",
            commands=(f"crm_node --force --remove {name}   # if no host is called so any more",),
        )


def _uname_differs(facts: Facts) -> Iterator[Seen]:
    for node, unknown in each_node(facts, "uname"):
        if unknown:
            yield unknown
        elif node and node.uname != node.node:
            yield Fault(
                subject=node.node,
                said=f"the host calls itself {node.uname}, so what goes by uname -n does not find it in the cluster",
                chain=f"corosync.conf {node.node}; uname -n {node.uname}",
                yaml=f"nodes: name: {node.uname}",
                commands=(f"hostnamectl set-hostname {node.node}   # on that host",),
            )


def _conf_differs(facts: Facts) -> Iterator[Seen]:
    told: dict[str, list[str]] = {}
    for node, unknown in each_node(facts, "corosync_conf"):
        if node is not None:
            told.setdefault(node.corosync_conf or "", []).append(node.node)
        elif unknown:
            yield unknown
    if len(told) > 1:
        yield Fault(
            subject="corosync.conf",
            said="it is not the same on all nodes",
            chain="; ".join(f"{' '.join(names)}: {digest[:12]}" for digest, names in sorted(told.items())),
            commands=("pcs cluster sync",),
        )


def _runtime_differs(facts: Facts) -> Iterator[Seen]:
    totem = ring_in(facts).totem
    written = {"token": totem.token, "consensus": totem.consensus}
    for link in totem.links:
        written[f"interface.{link.number}.knet_ping_interval"] = link.ping_interval
        written[f"interface.{link.number}.knet_ping_timeout"] = link.ping_timeout
    for node, unknown in each_node(facts, "runtime"):
        if unknown:
            yield unknown
        running = (node.runtime or {}) if node else {}
        others = [
            f"{key} {running[key]} ms, and {wanted} ms by the file"
            for key, wanted in written.items()
            if key in running and running[key] != wanted
        ]
        if node and others:
            yield Fault(
                subject=node.node,
                said="its corosync runs with other times than its file gives, until it is started again",
                chain="; ".join(others),
                yaml="timing: knet_ping_interval and knet_ping_timeout beside token: written down, they change as well",
                commands=("corosync-cfgtool -R", "pcs cluster stop NODE && pcs cluster start NODE   # one by one"),
            )


RULES = (
    Rule(id="token-short", severity=WARNING, area=AREA, needs=(RING,), find=_token_short,
         looks_at="The token timeout against one second.",
         why="Shorter than what a loaded host or a failing switch port takes, it fences healthy nodes."),
    Rule(id="token-long", severity=WARNING, area=AREA, needs=(RING,), find=_token_long,
         looks_at="Token and consensus together against 20 seconds.",
         why="Nothing is recovered before a node counts as lost."),
    Rule(id="token-coefficient", severity=NOTE, area=AREA, needs=(RING,), find=_coefficient,
         looks_at="What corosync adds to the token for the third node.",
         why="The written token is not the one that holds."),
    Rule(id="consensus-short", severity=ERROR, area=AREA, needs=(RING,), find=_consensus_short,
         looks_at="Consensus against token, with three nodes and more.",
         why="corosync.conf(5) wants it larger than the token; else memberships change oddly."),
    Rule(id="consensus-join", severity=ERROR, area=AREA, needs=(RING,), find=_consensus_join,
         looks_at="Consensus against the join timeout.",
         why="corosync refuses to start otherwise."),
    Rule(id="consensus-long", severity=WARNING, area=AREA, needs=(RING,), find=_consensus_long,
         looks_at="Consensus against twice the token.",
         why="A silent node is waited for during the whole consensus, at each failover."),
    Rule(id="retransmit-short", severity=ERROR, area=AREA, needs=(RING,), find=_retransmit,
         looks_at="Token over retransmits against corosync's smallest timer.",
         why="corosync refuses to start otherwise."),
    Rule(id="node-name-missing", severity=ERROR, area=AREA, needs=(RING,), find=_no_name,
         looks_at="The name of each node in corosync.conf.",
         why="Fencing and constraints go by name; a node known under two is fenced for nothing, or not at all."),
    Rule(id="node-id", severity=ERROR, area=AREA, needs=(RING,), find=_node_ids,
         looks_at="The nodeid of each node in corosync.conf.",
         why="knet needs them, each once."),
    Rule(id="node-name-differs", severity=ERROR, area=AREA, needs=(RING, CIB), find=_names_differ,
         looks_at="The names of the nodes in corosync.conf and in the CIB.",
         why="A node that Pacemaker knows and corosync does not is down for ever, and gets fenced."),
    Rule(id="uname-differs", severity=WARNING, area=AREA, needs=(NODES,), find=_uname_differs,
         looks_at="uname -n of each node against its name in the cluster.",
         why="DRBD's configuration, and much else, goes by uname -n."),
    Rule(id="runtime-differs", severity=WARNING, area=AREA, needs=(RING, NODES), find=_runtime_differs,
         looks_at="The times with which corosync runs against those of its file.",
         why="A new token is taken over while corosync runs, and knet's times that follow it are not."),
    Rule(id="conf-differs", severity=ERROR, area=AREA, needs=(NODES,), find=_conf_differs,
         looks_at="corosync.conf on all nodes.",
         why="Nodes with other times or another list of nodes do not find together."),
)  # fmt: skip
