"""Quorum: who may go on after a split."""

from __future__ import annotations

from kvmha.cluster.lint.rule import CIB, ERROR, NODES, NOTE, RING, WARNING, Fault, Rule, each_node, ring_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.facts.records import Quorum
    from kvmha.cluster.lint.rule import Seen

AREA = "quorum"


def _quorum(facts: Facts) -> Quorum:
    return ring_in(facts).quorum


def _update(**values: str) -> tuple[str, ...]:
    words = " ".join(f"{name}={value}" for name, value in values.items())
    return (f"pcs quorum update {words}   # with the cluster stopped",)


def _no_provider(facts: Facts) -> Iterator[Seen]:
    provider = _quorum(facts).provider
    if provider != "corosync_votequorum":
        yield Fault(
            subject="quorum",
            said="corosync counts no votes, and every part of a split goes on",
            chain=f'provider "{provider}"; expected corosync_votequorum',
            commands=("write quorum { provider: corosync_votequorum } into corosync.conf on every node",),
        )


def _pair_needs_two_node(facts: Facts) -> Iterator[Seen]:
    quorum = _quorum(facts)
    if len(ring_in(facts).nodes) == 2 and not quorum.two_node and quorum.device is None:
        yield Fault(
            subject="quorum",
            said="when one of the two nodes is lost, the other one has no quorum, and no guest comes back",
            chain="2 votes expected, quorum 2; 1 node left has 1",
            yaml="two nodes without quorum.device are rendered with two_node; render and apply",
            commands=_update(two_node="1", wait_for_all="1"),
        )


def _two_node_on_more(facts: Facts) -> Iterator[Seen]:
    nodes = len(ring_in(facts).nodes)
    if _quorum(facts).two_node and nodes != 2:
        yield Fault(
            subject="quorum",
            said=f"two_node is meant for two nodes, and here are {nodes}: a single one would have quorum",
            chain=f"two_node 1, {nodes} nodes",
            commands=_update(two_node="0"),
        )


def _no_wait(facts: Facts) -> Iterator[Seen]:
    quorum = _quorum(facts)
    if quorum.two_node and not quorum.waits and quorum.device is None:
        yield Fault(
            subject="quorum",
            said="a node that boots without a network fences its healthy peer, is fenced by that in turn, and so on",
            chain="two_node 1, wait_for_all 0",
            yaml="quorum: {wait_for_all: yes}",
            commands=_update(wait_for_all="1"),
        )


def _two_node_and_device(facts: Facts) -> Iterator[Seen]:
    quorum = _quorum(facts)
    if quorum.two_node and quorum.device is not None:
        yield Fault(
            subject="quorum",
            said="two_node and a quorum device exclude each other: corosync does not start",
            chain=f"two_node 1, device {quorum.device.host}",
            commands=_update(two_node="0"),
        )


def _device_options(facts: Facts) -> Iterator[Seen]:
    quorum = _quorum(facts)
    if quorum.device is None:
        return
    for name in ("last_man_standing", "auto_tie_breaker", "allow_downscale"):
        if getattr(quorum, name):
            yield Fault(
                subject="quorum",
                said=f"{name} and a quorum device exclude each other: corosync does not start",
                chain=f"{name} 1, device {quorum.device.host}",
                commands=_update(**{name: "0"}),
            )


def _last_man(facts: Facts) -> Iterator[Seen]:
    quorum = _quorum(facts)
    if quorum.last_man_standing and not quorum.waits:
        yield Fault(
            subject="quorum",
            said="votes shrink with each node that goes, so after a cold start two halves can both have quorum",
            chain="last_man_standing 1, wait_for_all 0",
            yaml="quorum: {wait_for_all: yes}",
            commands=_update(wait_for_all="1"),
        )


def _expected_votes(facts: Facts) -> Iterator[Seen]:
    ring, quorum = ring_in(facts), _quorum(facts)
    if quorum.expected_votes is None or not ring.nodes:
        return
    votes = sum(node.votes for node in ring.nodes)
    votes += (quorum.device.votes or 0) if quorum.device is not None else 0
    if quorum.expected_votes < votes:
        yield Fault(
            subject="quorum",
            said="fewer votes are expected than there are, so two parts of a split can both have quorum",
            chain=f"expected_votes {quorum.expected_votes}; the nodes and the device have {votes}",
            commands=("take expected_votes out of corosync.conf on every node, then corosync-cfgtool -R",),
        )


def _votes_differ(facts: Facts) -> Iterator[Seen]:
    wanted = ring_in(facts).expected_votes
    for node, unknown in each_node(facts, "expected_votes"):
        if unknown:
            yield unknown
        elif node and node.expected_votes != wanted:
            yield Fault(
                subject=node.node,
                said="the majority is another one than the file says, until corosync is started again",
                chain=f"it expects {node.expected_votes} votes; the file has {wanted}",
                commands=(f"corosync-quorumtool -e {wanted}",),
            )


def _device_sync(facts: Facts) -> Iterator[Seen]:
    device = _quorum(facts).device
    if device is not None and device.times.sync_timeout <= device.times.forgotten_ms:
        yield Fault(
            subject="quorum device",
            said="corosync stops waiting for its vote before it can give one, and the survivor of a pair has no quorum",
            chain=f"{device.times.chain}; sync_timeout {device.times.sync_timeout} ms",
            yaml="quorum: device: {sync_timeout: 30000}",
            commands=("pcs quorum device update sync_timeout=30000",),
        )


def _device_slow(facts: Facts) -> Iterator[Seen]:
    ring, device = ring_in(facts), _quorum(facts).device
    if device is None or device.algorithm != "ffsplit":
        return
    if device.times.forgotten_ms > ring.totem.lost_ms * 2:
        wanted = max(int(ring.totem.lost_ms / 1.2), 1000)
        yield Fault(
            subject="quorum device",
            said=f"it holds a failover up by as much as {(device.times.forgotten_ms - ring.totem.lost_ms) / 1000:g} s",
            chain=f"{ring.totem.lost_chain}; {device.times.chain}",
            yaml=f"quorum: device: {{timeout: {wanted}}}",
            commands=(f"pcs quorum device update timeout={wanted}",),
        )


def _device_poll(facts: Facts) -> Iterator[Seen]:
    device = _quorum(facts).device
    if device is not None and device.times.timeout < 1000:
        yield Fault(
            subject="quorum device",
            said="qnetd is given up by the nodes at the least delay of the network between them",
            chain=f"timeout {device.times.timeout} ms; heartbeat {device.times.heartbeat} ms; at least 1000 ms",
            yaml="quorum: device: {timeout: 3000}",
            commands=("pcs quorum device update timeout=3000",),
        )


def _device_inside(facts: Facts) -> Iterator[Seen]:
    ring, device = ring_in(facts), _quorum(facts).device
    if device is None:
        return
    for node in ring.nodes:
        if device.host and (device.host == node.name or device.host in (address for _, address in node.addresses)):
            yield Fault(
                subject="quorum device",
                said=f"it runs on the node {node.name}, and votes for nobody when that is lost",
                chain=f"host {device.host} is an address of {node.name}",
                yaml="quorum: device: {host: a third machine}",
                commands=("pcs quorum device update model host=HOST",),
            )


def _device_open(facts: Facts) -> Iterator[Seen]:
    device = _quorum(facts).device
    if device is not None and device.tls == "off":
        yield Fault(
            subject="quorum device",
            said="whoever is between the nodes and qnetd can forge its votes",
            chain="tls off",
            yaml="quorum: device: {tls: required}",
            commands=("pcs quorum device update model tls=required",),
        )


def _device_votes(facts: Facts) -> Iterator[Seen]:
    ring, device = ring_in(facts), _quorum(facts).device
    if device is None or device.votes is None:
        return
    wanted = 1 if device.algorithm == "ffsplit" else len(ring.nodes) - 1
    if device.votes != wanted:
        yield Fault(
            subject="quorum device",
            said=f"with {device.algorithm} and {len(ring.nodes)} nodes it must have {wanted} votes",
            chain=f"algorithm {device.algorithm}, votes {device.votes}",
            yaml="the templates set the votes; render and apply them",
            commands=(f"set votes: {wanted} in quorum.device of corosync.conf on every node",),
        )


def _device_algorithm(facts: Facts) -> Iterator[Seen]:
    ring, device = ring_in(facts), _quorum(facts).device
    if device is not None and device.algorithm not in ("ffsplit", "lms"):
        yield Fault(
            subject="quorum device",
            said=f"the algorithm {device.algorithm} is for those who develop qnetd (corosync-qdevice(8))",
            chain=f"algorithm {device.algorithm}; ffsplit or lms, {len(ring.nodes)} nodes",
            yaml="quorum: device: {algorithm: ffsplit}",
            commands=("pcs quorum device update model algorithm=ffsplit",),
        )


def _policy_ignore(facts: Facts) -> Iterator[Seen]:
    if facts.property_("no-quorum-policy") == "ignore":
        yield Fault(
            subject="no-quorum-policy",
            said="a part without quorum starts guests, which may run in the other part as well",
            chain=f"no-quorum-policy=ignore, {len(facts.node_names)} nodes",
            yaml="properties: leave no-quorum-policy out; the templates set freeze",
            commands=("pcs property set no-quorum-policy=freeze",),
        )


def _policy_stop(facts: Facts) -> Iterator[Seen]:
    if facts.property_("no-quorum-policy", "stop") == "stop" and len(facts.node_names) > 2:
        yield Fault(
            subject="no-quorum-policy",
            said="when a broken switch separates all nodes, each of them shuts down all of its guests",
            chain="no-quorum-policy=stop, which is the default",
            yaml="properties: leave no-quorum-policy out; the templates set freeze",
            commands=("pcs property set no-quorum-policy=freeze",),
        )


RULES = (
    Rule(id="quorum-provider", severity=ERROR, area=AREA, needs=(RING,), find=_no_provider,
         looks_at="quorum.provider.",
         why="Without votequorum there is no quorum to lose."),
    Rule(id="two-node-missing", severity=ERROR, area=AREA, needs=(RING,), find=_pair_needs_two_node,
         looks_at="two_node, with two nodes and no quorum device.",
         why="One of two votes is no majority."),
    Rule(id="two-node-on-more", severity=ERROR, area=AREA, needs=(RING,), find=_two_node_on_more,
         looks_at="two_node, with any other number of nodes.",
         why="It makes one vote a majority."),
    Rule(id="wait-for-all-off", severity=ERROR, area=AREA, needs=(RING,), find=_no_wait,
         looks_at="wait_for_all, with two_node.",
         why="A booting node without a network must not fence the one that works."),
    Rule(id="two-node-and-device", severity=ERROR, area=AREA, needs=(RING,), find=_two_node_and_device,
         looks_at="two_node together with a quorum device.",
         why="votequorum refuses both at once."),
    Rule(id="device-options", severity=ERROR, area=AREA, needs=(RING,), find=_device_options,
         looks_at="last_man_standing, auto_tie_breaker and allow_downscale together with a quorum device.",
         why="votequorum refuses them."),
    Rule(id="last-man-standing", severity=ERROR, area=AREA, needs=(RING,), find=_last_man,
         looks_at="last_man_standing without wait_for_all.",
         why="votequorum(5) asks for both."),
    Rule(id="expected-votes", severity=ERROR, area=AREA, needs=(RING,), find=_expected_votes,
         looks_at="expected_votes against the votes of the nodes and of the device.",
         why="A majority of too few votes is none."),
    Rule(id="votes-differ", severity=WARNING, area=AREA, needs=(RING, NODES), find=_votes_differ,
         looks_at="The votes that corosync expects at the moment against those of its file.",
         why="Somebody lowered them by hand in an emergency, and it is over."),
    Rule(id="device-sync-timeout", severity=ERROR, area=AREA, needs=(RING,), find=_device_sync,
         looks_at="sync_timeout of the quorum device against the time until qnetd gives up a silent node.",
         why="With ffsplit the vote for the survivor comes only then."),
    Rule(id="device-slow", severity=WARNING, area=AREA, needs=(RING,), find=_device_slow,
         looks_at="The time until qnetd gives up a silent node against token and consensus.",
         why="With ffsplit the survivor has no quorum before, and recovers nothing."),
    Rule(id="device-poll", severity=WARNING, area=AREA, needs=(RING,), find=_device_poll,
         looks_at="timeout of the quorum device against one second.",
         why="qnetd is elsewhere, and the way there is slower than a switch."),
    Rule(id="device-inside", severity=ERROR, area=AREA, needs=(RING,), find=_device_inside,
         looks_at="The host of the quorum device against the nodes.",
         why="It is to outlive each of them."),
    Rule(id="device-tls", severity=WARNING, area=AREA, needs=(RING,), find=_device_open,
         looks_at="tls of the quorum device.",
         why="Its vote decides which side lives."),
    Rule(id="device-votes", severity=ERROR, area=AREA, needs=(RING,), find=_device_votes,
         looks_at="The votes of the quorum device against its algorithm.",
         why="corosync-qdevice(8): ffsplit has one vote, lms one less than there are nodes."),
    Rule(id="device-algorithm", severity=ERROR, area=AREA, needs=(RING,), find=_device_algorithm,
         looks_at="The algorithm of the quorum device.",
         why="test and 2nodelms are not for use."),
    Rule(id="no-quorum-ignore", severity=ERROR, area=AREA, needs=(CIB,), find=_policy_ignore,
         looks_at="no-quorum-policy=ignore.",
         why="Without quorum nobody knows what the others do."),
    Rule(id="no-quorum-stop", severity=NOTE, area=AREA, needs=(CIB,), find=_policy_stop,
         looks_at="no-quorum-policy=stop, with three nodes.",
         why="freeze keeps guests running until somebody has quorum and fences."),
)  # fmt: skip
