"""Fields of cluster.yaml about the nodes: who they are, how they are fenced, and how they agree."""

from __future__ import annotations

from kvmha.cluster import words
from kvmha.cluster.document import Field
from kvmha.cluster.fields.records import FenceDevice, QuorumDevice
from kvmha.cluster.fields.rows import amount, choice, flag

FENCING_DELAY_S = 2
"""What a management controller takes to power a host off, with a second to spare."""

LINKS = 8
"""knet knows the links 0 to 7 (corosync.conf(5), linknumber)."""

FROM_NODE_NAME = "is set from the node's name; leave it out"

FENCING = (
    Field(name="agent", parse=words.fence_agent, required=True,
          help="The fence agent that powers this node off and on, as `pcs stonith list` shows it: fence_ipmilan, "
          "fence_redfish, fence_virsh, fence_apc_snmp and others.",
          expects="the name of a fence agent, such as fence_ipmilan"),
    Field(name="options", shape="options", default={},
          help="The agent's parameters, as `pcs stonith describe AGENT` shows them.",
          expects="the agent's options, such as {ip: 192.0.2.1, username: admin}",
          taken=(("pcmk_host_list", FROM_NODE_NAME), ("pcmk_host_map", FROM_NODE_NAME),
                 ("pcmk_host_check", FROM_NODE_NAME))),
    amount("level", "", 1, 9, default=1,
           help="When it is tried: level 1 first, the next level only if that failed. Devices of one level act "
           "together, such as the two power supplies of a host."),
    Field(name="name", parse=words.xml_id,
          help="The name of the device's resource; fence-NODE, then fence-NODE-2 and so on where it is left out.",
          expects="a letter or _, then letters, digits, dots, _ and -"),
)  # fmt: skip

NODE = (
    Field(name="name", parse=words.host_name, required=True,
          help="The node's name: what `uname -n` says on it, and what Pacemaker calls it.",
          expects="a host name: letters, digits and -, labels joined by dots"),
    Field(name="addresses", shape="values", parse=words.address, required=True,
          help="One address for each corosync link, as many on every node; link 0 is used while it works.",
          expects="an IPv4 or IPv6 address for each corosync link"),
    Field(name="fencing", shape="records", inner=FENCING, make=FenceDevice, default=(), may_be_one=True,
          help="How the others power this node off, so that its guests can start elsewhere: one device, or a list "
          "of them with levels. Only a cluster with sbd may leave it out.",
          expects="agent and options of the node's fence device, or a list of such"),
    Field(name="migration_address", parse=words.address,
          help="The node's address on the network that guests move over; on all nodes or on none. Where it is left "
          "out, guests move over the network of link 0.",
          expects="an IPv4 or IPv6 address"),
    amount("memory", "MiB", 64, 100_000_000,
           help="Memory that the guests may use on this node, together. With it on all nodes, Pacemaker starts no "
           "guest where its memory does not fit."),
    amount("vcpu", "", 1, 100_000,
           help="Virtual CPUs that the guests may use on this node, together."),
    Field(name="networks", shape="values", parse=words.offer,
          help="Bridges, networks of libvirt's, and cards for a macvtap that it has for guests. What placement and N+1 "
          "compare with the guests' definitions, as the three fields below: give each on all nodes, or on none.",
          expects="a list of names without commas, such as [br0, br1]"),
    Field(name="devices", shape="values", parse=words.offer,
          help="Its own devices that a guest may have: PCI addresses, USB ids (vendor:product), UUIDs of mediated "
          "devices. An empty list says that it has none.",
          expects="a list of addresses, such as ['0000:03:00.0']"),
    Field(name="storage", shape="values", parse=words.offer,
          help="Where it reaches the disks of guests that are not on DRBD: folders, groups of volumes, devices, names "
          "of pools.",
          expects="a list of paths or pools, such as [/srv/guests, /dev/vg0]"),
    Field(name="cpu", shape="values", parse=words.offer,
          help="The models and features that its processors have, in libvirt's words, as far as guests' definitions "
          "name them.",
          expects="a list of models and features, such as [Skylake-Server, aes]"),
)  # fmt: skip

DEVICE = (
    Field(name="host", parse=words.host, required=True,
          help="The host of qnetd: a third machine, at a third place.",
          expects="a host name or an address"),
    choice("algorithm", ("ffsplit", "lms"), default="ffsplit",
           help="ffsplit gives its vote to one half of a split; lms keeps the last node that qnetd sees quorate, and "
           "makes qnetd as important as all nodes but one (corosync-qdevice(8))."),
    amount("port", "", 1, 65535, default=5403, help="The TCP port of qnetd."),
    choice("tls", ("on", "off", "required"), default="on",
           help="Whether the nodes speak TLS with qnetd. Write it in quotes, for a bare on or off is a boolean. pcs "
           "makes the certificates, and takes on only."),
    amount("timeout", "milliseconds", 1000, 300_000, default=4000,
           help="After how long without an answer of the device its vote is lost (corosync-qdevice(8)). A failover "
           "waits for qnetd, which gives a silent node up after 1.2 times as long."),
    amount("sync_timeout", "milliseconds", 1000, 600_000, default=12_000,
           help="How long a change of the membership waits for the vote at most; fencing waits for it as well."),
    Field(name="tie_breaker", default="lowest",
          parse=lambda text: text if text in ("lowest", "highest") else str(words.number(1, 99)(text)),
          help="Which half of an even split gets the vote: that of the lowest or highest node id, or of this one.",
          expects="lowest, highest or the id of a node"),
)  # fmt: skip

QUORUM = (
    Field(name="device", shape="fields", inner=DEVICE, make=QuorumDevice, optional=True,
          help="A quorum device: with it, two nodes tell their own isolation from the other's death.",
          expects="host and algorithm of a quorum device"),
    flag("wait_for_all",
         help="Whether a cluster that boots waits until it has seen all nodes once. Two nodes without a quorum device "
         "always do."),
)  # fmt: skip

TIMING = (
    amount("token", "milliseconds", 500, 60_000,
           # Below half a second a host that is merely busy looks like a dead one.
           help="Milliseconds without corosync's token after which a node counts as lost: where it is left out 1300 "
           "among three nodes and 2000 among two."),
    amount("consensus", "milliseconds", 60, 120_000,
           help="How long the others then take to agree on who is left. Where it is left out, three nodes take 1.2 "
           "times the token; two have nobody to agree with and take 0.3 times (corosync.conf(5): safe with two)."),
    amount("join", "milliseconds", 10, 10_000,
           help="How long corosync waits for the others' answers while they agree; its own 50 where it is left out."),
    amount("knet_ping_interval", "milliseconds", 50, 60_000,
           help="How often knet asks whether a link works: a fifth of the token where it is left out."),
    amount("knet_ping_timeout", "milliseconds", 50, 60_000,
           help="After how long without an answer a link counts as down, and the next one is used: two fifths of the "
           "token where it is left out."),
    amount("knet_pong_count", "", 1, 20, default=2,
           help="How many answers bring a link back."),
    amount("fencing_delay", "seconds", 0, 60, default=FENCING_DELAY_S,
           help="In a pair, how long the fencing of the node that is to win is delayed at least, so that the two do "
           "not kill each other; the guests' priorities add twice as much. Only where there is no quorum device."),
)  # fmt: skip

NETWORK = (
    choice("link_mode", ("passive", "active", "rr"), default="passive",
           help="How corosync uses several links: one at a time, all at once, or by turns. Only passive keeps a slow "
           "link from slowing down all."),
    amount("mtu", "bytes", 576, 65_536,
           help="The MTU that every link must carry; knet finds it out where this is left out."),
    choice("crypto_cipher", ("aes256", "aes192", "aes128", "none"), default="aes256",
           help="The cipher of what corosync sends."),
    choice("crypto_hash", ("sha256", "sha384", "sha512", "sha1", "md5", "none"), default="sha256",
           help="The hash that signs what corosync sends."),
)  # fmt: skip

SBD = (
    Field(name="devices", shape="values", parse=words.device_path, default=(),
          help="One or three shared disks for the poison pill, by a path that is the same everywhere. None: the "
          "watchdog alone, which needs a real majority (three nodes, or a quorum device).",
          expects="a list of devices, such as [/dev/disk/by-id/wwn-0x5000c500a1b2c3d4]"),
    Field(name="watchdog", parse=words.device_path, default="/dev/watchdog",
          help="The watchdog that resets the node. systemd must not use it too.",
          expects="a device, such as /dev/watchdog"),
    Field(name="module", parse=words.module,
          help="The kernel module that drives the watchdog, loaded at boot: iTCO_wdt, ipmi_watchdog, softdog.",
          expects="the name of a kernel module"),
    amount("watchdog_timeout", "seconds", 2, 300, default=5,
           help="After how long without a sign of life the watchdog resets the node."),
    amount("msgwait", "seconds", 4, 600,
           help="After how long a poison pill counts as taken; twice watchdog_timeout where it is left out."),
    amount("stonith_watchdog_timeout", "seconds", 4, 600,
           help="Without devices: after how long a lost node counts as reset; twice watchdog_timeout where it is left "
           "out."),
    flag("delay_start", default=True,
         help="Whether a node that boots waits for msgwait before it joins, so that the others have seen it go."),
    amount("level", "", 1, 9,
           help="When it is tried; after all devices of the nodes where it is left out."),
)  # fmt: skip
