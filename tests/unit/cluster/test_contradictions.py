"""Fields that are right in themselves and do not go together: each is named by its line, with what would be right."""

from __future__ import annotations

import pytest

from kvmha.cluster import contradictions, description
from kvmha.cluster.description import DescriptionError

PAIR = """\
cluster: demo
nodes:
  - name: n1
    addresses: [10.77.0.11, 10.77.1.11]
    migration_address: 10.77.2.11
    memory: 8192
    vcpu: 8
    fencing: {agent: fence_ipmilan}
  - name: n2
    addresses: [10.77.0.12, 10.77.1.12]
    migration_address: 10.77.2.12
    memory: 8192
    vcpu: 8
    fencing: {agent: fence_ipmilan}
quorum: {}
timing: {token: 2000}
network: {}
sbd: {devices: [/dev/sdx]}
replication: {version: "8.4"}
drbd:
  - {name: d1, minor: 0, disk: /dev/vg0/d1, port: 7788}
  - {name: d2, minor: 1, disk: /dev/vg0/d2, port: 7789, nodes: [n1, n2]}
guests:
  - name: web1
    config: /etc/web1.xml
    disks: [d1]
    ticket: t1
  - name: web2
    config: /etc/web2.xml
    nodes: [n1, n2]
    disks: [d2]
booth:
  here: paris
  nic: br0
  cidr_netmask: 24
  sites: [{name: paris, address: 10.77.0.90}, {name: lyon, address: 10.78.0.90}]
  arbitrators: [10.79.0.90]
  tickets: [{name: t1}]
"""
TRIO = """\
cluster: demo
nodes:
  - {name: n1, addresses: [10.77.0.11], fencing: {agent: fence_ipmilan}}
  - {name: n2, addresses: [10.77.0.12], fencing: {agent: fence_ipmilan}}
  - {name: n3, addresses: [10.77.0.13], fencing: {agent: fence_ipmilan}}
quorum: {}
timing: {token: 2000}
replication: {version: "8.4"}
drbd:
  - {name: d1, minor: 0, disk: /dev/vg0/d1, port: 7788, nodes: [n1, n2]}
guests:
  - {name: web1, config: /etc/web1.xml, disks: [d1]}
  - {name: web2, config: /etc/web2.xml, nodes: [n1, n2]}
"""


def mistakes(text: str) -> list[str]:
    """Return the lines that a text is refused with."""
    with pytest.raises(DescriptionError) as refused:
        description.read(text, "cluster.yaml")
    return str(refused.value).splitlines()


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} must name one place of the text"
    return text.replace(old, new)


def test_what_the_cases_begin_with_is_right():
    assert description.template(description.read(PAIR, "cluster.yaml")) == "stretched-pair"
    assert description.template(description.read(TRIO, "cluster.yaml")) == "three-node"


def test_every_rule_bears_a_document_of_which_nothing_is_right():
    assert mistakes("cluster: a b\nnodes: 1\nquorum: 2\nsbd: 3\nbooth: 4\nguests: [5]\ndrbd: [6]\nfloating_ips: [7]\n")
    assert list(contradictions.find({"nodes": ({},), "guests": ({},), "drbd": ({},), "booth": {}, "sbd": {}}))[:1]


@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [
        pytest.param(PAIR, "    migration_address: 10.77.2.12\n", "",
                     "9: nodes[1]: migration_address is missing; expected it on all nodes as on nodes[0], or on none",
                     id="an address for moves is given for all nodes or for none"),
        pytest.param(PAIR, "    migration_address: 10.77.2.11\n",
                     "    migration_address: 10.77.2.11\n    devices: []\n",
                     "10: nodes[1]: devices is missing; expected it on all nodes as on nodes[0], or on none",
                     id="what a node has for guests is said of all nodes or of none"),
        pytest.param(PAIR, "    memory: 8192\n    vcpu: 8\n    fencing: {agent: fence_ipmilan}\n  - name: n2",
                     "    vcpu: 8\n    fencing: {agent: fence_ipmilan}\n  - name: n2",
                     "3: nodes[0]: memory is missing; expected it on all nodes as on nodes[1], or on none",
                     id="memory is given for all nodes or for none"),
        pytest.param(TRIO, "[10.77.0.13], fencing: {agent: fence_ipmilan}", "[10.77.0.13]",
                     "5: nodes[2].fencing: missing; expected agent and options of the node's fence device, or a list "
                     "of such",
                     id="a node without a fence device needs sbd"),
        pytest.param(PAIR, "[/dev/sdx]", "[]",
                     "18: sbd: without devices in a pair that has no quorum device; expected sbd.devices, "
                     "quorum.device "
                     "or a third node: each half would count as the majority",
                     id="a watchdog alone needs a majority"),
        pytest.param(PAIR, "[/dev/sdx]", "[/dev/sdx, /dev/sdy]",
                     "18: sbd.devices: 2 devices; expected none, 1 or 3: with 2, the loss of either one counts as both",
                     id="two disks for sbd are worse than one"),
        pytest.param(PAIR, "[/dev/sdx]", "[/dev/sdx], watchdog_timeout: 10, msgwait: 15",
                     '18: sbd.msgwait: "15" is too short for watchdog_timeout 10; expected at least 20',
                     id="a poison pill has twice the watchdog's time"),
        pytest.param(PAIR, "[/dev/sdx]", "[/dev/sdx], stonith_watchdog_timeout: 30",
                     "18: sbd.stonith_watchdog_timeout: given together with devices; expected it only without them",
                     id="the watchdog alone fences only where there is no disk"),
        pytest.param(TRIO, "quorum: {}", "quorum: {device: {host: 10.0.0.1}}",
                     '6: quorum.device.algorithm: "ffsplit" suits an even number of nodes; expected lms with 3 nodes',
                     id="three nodes have no fifty-fifty split"),
        pytest.param(PAIR, "quorum: {}", "quorum: {device: {host: n2}}",
                     '15: quorum.device.host: "n2" is a node of the cluster; expected a machine outside of it',
                     id="a quorum device is no node"),
        pytest.param(PAIR, "quorum: {}", "quorum: {device: {host: q, tie_breaker: 3}}",
                     '15: quorum.device.tie_breaker: "3" is the id of no node; expected lowest, highest or one of 1, 2',
                     id="a tie breaker is a node"),
        pytest.param(PAIR, "quorum: {}", "quorum: {device: {host: q, timeout: 20000, sync_timeout: 15000}}",
                     '15: quorum.device.sync_timeout: "15000" is shorter than timeout 20000; expected at least as long',
                     id="a device that is waited for has its time"),
        pytest.param(PAIR, "quorum: {}", "quorum: {wait_for_all: no}",
                     '15: quorum.wait_for_all: "no" in a pair without a quorum device; expected yes: a node that boots '
                     "alone would fence the other one",
                     id="a pair waits for both"),
        pytest.param(TRIO, "token: 2000", "token: 2000, consensus: 2000",
                     '7: timing.consensus: "2000" is not longer than token 2000; expected more than 2000 with '
                     'more than '
                     "two nodes",
                     id="three nodes take longer to agree than the token"),
        pytest.param(PAIR, "token: 2000", "token: 2000, consensus: 60, join: 60",
                     '16: timing.consensus: "60" is not longer than join 60; expected more than 60',
                     id="agreeing takes longer than joining"),
        pytest.param(PAIR, "token: 2000", "token: 2000, knet_ping_interval: 500, knet_ping_timeout: 400",
                     '16: timing.knet_ping_timeout: "400" is shorter than knet_ping_interval 500; expected at least as '
                     "long",
                     id="a ping has its time"),
        pytest.param(PAIR, "network: {}", "network: {crypto_hash: none}",
                     '17: network.crypto_hash: "none" with a cipher; expected a hash, or crypto_cipher none as well',
                     id="what is encrypted is signed"),
        pytest.param(PAIR, "migration_address: 10.77.2.12", "migration_address: 10.77.0.11",
                     '11: nodes[1].migration_address: "10.77.0.11" is also nodes[0].addresses[0]; expected an '
                     'address of '
                     "its own",
                     id="an address for moves is the node's own"),
        pytest.param(PAIR, "address: 10.78.0.90", "address: 10.77.0.12",
                     '36: booth.sites[1].address: "10.77.0.12" is also nodes[1].addresses[0]; expected an '
                     'address of its '
                     "own",
                     id="a site's address is no node's"),
        pytest.param(PAIR, "cidr_netmask: 24", "cidr_netmask: 64",
                     '35: booth.cidr_netmask: "64" is longer than an IPv4 address; expected at most 32',
                     id="the prefix of a site's address fits it"),
        pytest.param(PAIR, "name: web2", "name: primary-d1",
                     '28: guests[1].name: "primary-d1" is also a resource of the DRBD resource d1; expected a '
                     'name of its '
                     "own",
                     id="a guest is not called as what is made for a disk"),
        pytest.param(PAIR, "name: web2", "name: booth-ip",
                     '28: guests[1].name: "booth-ip" is also a resource of booth; expected a name of its own',
                     id="a guest is not called as what is made for booth"),
        pytest.param(PAIR, "name: web2", "name: fence-sbd",
                     '28: guests[1].name: "fence-sbd" is also the fence device of sbd; expected a name of its own',
                     id="a guest is not called as the fence device of sbd"),
        pytest.param(PAIR, "minor: 1", "minor: 0",
                     '22: drbd[1].minor: "0" is also drbd[0].minor; expected a number of its own',
                     id="two disks share no device"),
        pytest.param(PAIR, "port: 7789", "port: 7788",
                     '22: drbd[1].port: "7788" is also drbd[0].port; expected a port of its own',
                     id="two disks share no port"),
        pytest.param(PAIR, "/dev/vg0/d2", "/dev/vg0/d1",
                     '22: drbd[1].disk: "/dev/vg0/d1" is also drbd[0].disk; expected a disk of its own',
                     id="two DRBD resources share no disk"),
        pytest.param(PAIR, 'version: "8.4"', 'version: "8.4", link: 2',
                     '19: replication.link: "2" is no link of the nodes; expected a number from 0 to 1',
                     id="replication goes over a link that exists"),
        pytest.param(TRIO, ", nodes: [n1, n2]}\nguests", "}\nguests",
                     "10: drbd[0]: copies on 3 nodes; expected 2 in nodes, for DRBD 8.4 connects no more",
                     id="DRBD 8.4 has two copies"),
        pytest.param(TRIO, "nodes: [n1, n2]}\nguests", "nodes: [n1, n2], diskless: [n3]}\nguests",
                     "10: drbd[0].diskless: given with replication.version 8.4; expected none, for only DRBD 9 "
                     "has them",
                     id="DRBD 8.4 has no diskless nodes"),
        pytest.param(TRIO, "nodes: [n1, n2]}\nguests", "nodes: [n1]}\nguests",
                     "10: drbd[0].nodes: 1 nodes; expected at least 2",
                     id="one copy is no replication"),
        pytest.param(PAIR, "disks: [d2]", "disks: [d1]",
                     '31: guests[1].disks[0]: "d1" is also guests[0].disks[0]; expected a disk of its own',
                     id="two guests share no disk"),
        pytest.param(TRIO, "disks: [d1]", "disks: [d1], nodes: [n1, n3]",
                     '12: guests[0].nodes[1]: "n3" has no copy of d1; expected nodes among n1, n2',
                     id="a guest runs where its disk is"),
        pytest.param(TRIO, "disks: [d1]", "disks: [d1], prefers: n3",
                     '12: guests[0].prefers: "n3" has no copy of d1; expected one of n1, n2',
                     id="a guest prefers a node where its disk is"),
        pytest.param(TRIO, "web2.xml, nodes: [n1, n2]", "web2.xml, nodes: [n1, n2], prefers: n3",
                     '13: guests[1].prefers: "n3" is not among its nodes; expected one of n1, n2',
                     id="a guest prefers a node that it may run on"),
        pytest.param(TRIO, "disks: [d1]", "apart_from: [web1]",
                     '12: guests[0].apart_from[0]: "web1" is the guest itself; expected another guest',
                     id="a guest is not kept apart from itself"),
        pytest.param(TRIO, "disks: [d1]", "apart_from: [web2], never_with: [web2]",
                     '12: guests[0].never_with[0]: "web2" is also in apart_from; expected it in one of the two',
                     id="two guests are kept apart in one way"),
        pytest.param(PAIR, "    disks: [d1]\n", "    disks: [d1]\n    memory: 9000\n",
                     '27: guests[0].memory: "9000" fits on no node; expected at most 8192 MiB',
                     id="a guest fits on a node"),
        pytest.param(PAIR, "    disks: [d1]\n", "    disks: [d1]\n    vcpu: 16\n",
                     '27: guests[0].vcpu: "16" fits on no node; expected at most 8 virtual CPUs',
                     id="a guest's processors fit on a node"),
        pytest.param(PAIR, "    disks: [d1]\n", "    downtime_limit: 9\n    options: {migration_downtime: 8}\n",
                     "27: guests[0].options.migration_downtime: is given by the guest's own field "
                     "downtime_limit; leave it "
                     "out",
                     id="the limit of a pause is given in one place"),
        pytest.param(PAIR, "    disks: [d1]\n", "    service: {probe: /bin/true}\n    options: {monitor_scripts: /x}\n",
                     "27: guests[0].options.monitor_scripts: is given by the guest's own field service; leave it out",
                     id="a guest's service is asked in one way"),
        pytest.param(PAIR, "    disks: [d1]\n", "    boot_time: 60\n    recovery_limit: 60\n",
                     '27: guests[0].recovery_limit: "60" is over before the guest has booted (60); expected '
                     'more than 60',
                     id="a guest has time to boot"),
        pytest.param(PAIR, "    disks: [d1]\n", "    service: {probe: /bin/true, interval: 10, timeout: 11}\n",
                     '26: guests[0].service.timeout: "11" is longer than interval 10; expected at most 10',
                     id="an answer comes before the next question"),
        pytest.param(PAIR, "ticket: t1", "ticket: t2",
                     '27: guests[0].ticket: "t2" is no ticket; expected one of t1',
                     id="a guest's ticket exists"),
        pytest.param(TRIO, "disks: [d1]", "ticket: t1",
                     '12: guests[0].ticket: "t1" is no ticket; expected the name of a ticket, of which there is none',
                     id="a ticket needs booth"),
        pytest.param(PAIR, "here: paris", "here: rome",
                     '33: booth.here: "rome" is no site; expected one of paris, lyon',
                     id="this cluster is one of the sites"),
        pytest.param(PAIR, "arbitrators: [10.79.0.90]", "arbitrators: []",
                     "36: booth.sites: 2 sites and 0 arbitrators; expected an odd number together, so that one "
                     "part of a "
                     "split has the majority",
                     id="two sites need an arbitrator"),
        pytest.param(PAIR, "name: lyon", "name: paris",
                     '36: booth.sites[1].name: "paris" is also booth.sites[0].name; expected a name of its own',
                     id="two sites have two names"),
        pytest.param(PAIR, "{name: t1}]", "{name: t1, expire: 120, timeout: 10, retries: 5}]",
                     '38: booth.tickets[0].expire: "120" leaves no time to ask 5 times more for 10 s; expected '
                     "more than 120",
                     id="a ticket can be renewed before it expires"),
    ],
)  # fmt: skip
def test_a_contradiction_is_named_by_line_and_field(text: str, old: str, new: str, said: str):
    assert mistakes(changed(text, old, new)) == [f"cluster.yaml:{said}"]
