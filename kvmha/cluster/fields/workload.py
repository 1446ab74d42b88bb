"""Fields of cluster.yaml about what runs: guests, their disks, their addresses, and how they move."""

from __future__ import annotations

from kvmha.cluster import words
from kvmha.cluster.document import Field
from kvmha.cluster.fields.records import Service
from kvmha.cluster.fields.rows import MAY_RUN_ON, PREFERS, TICKET, amount, choice, flag, resource_name

MIGRATION = (
    choice("transport", ("tls", "tcp", "ssh"), default="tls",
           help="How a node calls the other's libvirt. tls needs certificates, which libvirt/certificates.sh makes; "
           "tcp is not encrypted and belongs on a network that only the nodes reach."),
    Field(name="suffix", parse=words.suffix, default="-mig",
          help="What makes a node's name on the migration network of its name, where nodes have a migration_address.",
          expects="a dash, then letters, digits and dashes, such as -mig"),
    amount("bandwidth", "MiB/s", 1, 100_000, default=110,
           help="What the network that carries a guest's memory really moves; 110 is one gigabit. The forecast and the "
           "timeouts of moves are computed from it."),
    amount("limit", "", 1, 100, default=2,
           help="How many guests move from or to one node at a time. One guest's memory rarely fills a link alone, and "
           "many that share it converge late or not at all."),
    choice("given_up", ("stay", "restart"), default="stay",
           help="What becomes of a guest whose move is given up. stay (on-fail=block): it runs on where it is, and the "
           "cluster leaves it alone, whatever happens to it short of the loss of its node, until pcs resource refresh "
           "has been run for the target and then for the source; before that its node's cluster services do not stop. "
           "restart: the cluster stops it and starts it on the target. A guest on DRBD is always restarted."),
)  # fmt: skip

REPLICATION = (
    choice("version", ("8.4", "9"), default="9",
           help="The version of DRBD's kernel module. 8.4, which comes with the kernel, connects two nodes."),
    choice("protocol", ("C", "B", "A"), default="C",
           help="When a write counts as done: C once both disks have it. With A and B a failover may lose writes."),
    amount("link", "", 0, 7, default=0,
           help="The corosync link whose addresses carry the replication."),
    choice("fencing", ("resource-and-stonith", "resource-only", "dont-care"), default="resource-and-stonith",
           help="What a primary does that loses its peer. resource-and-stonith stops all writes until the peer is "
           "fenced or marked as outdated; anything else can lose writes, or split the data."),
    choice("on_io_error", ("detach", "pass_on", "call-local-io-error"), default="detach",
           help="What becomes of a disk with an I/O error; detach goes on with the peer's."),
    amount("ping_interval", "seconds", 1, 120, default=10,
           help="After how long of silence the peer is asked whether it lives (ping-int)."),
    amount("ping_timeout", "tenths of a second", 1, 300, default=5,
           help="How long its answer may take (ping-timeout)."),
    amount("timeout", "tenths of a second", 1, 600, default=60,
           help="How long a write's confirmation may take before the peer counts as gone (timeout)."),
    amount("max_rate", "MiB/s", 1, 4000, default=100,
           help="The most that a resynchronisation may take of disks and network (c-max-rate)."),
    choice("verify_algorithm", ("crc32c", "sha1", "sha256", "md5"), default="crc32c",
           help="How an online verification compares the disks (verify-alg)."),
)  # fmt: skip

DRBD = (
    resource_name("The name of the DRBD resource, in DRBD and in the cluster."),
    amount("minor", "", 0, 1_048_575, required=True,
           help="The number of its device /dev/drbdNUMBER."),
    Field(name="disk", parse=words.device_path, required=True,
          help="The disk below it, under the same path on every node; DRBD keeps its metadata at the end of it.",
          expects="a device, such as /dev/vg0/web1"),
    amount("port", "", 1, 65_535, required=True,
           help="The TCP port of its replication; every resource needs its own."),
    Field(name="nodes", shape="values", parse=words.host_name, default=(),
          help="The nodes with a copy; all of them where this is left out.",
          expects="a list of names of nodes"),
    Field(name="diskless", shape="values", parse=words.host_name, default=(),
          help="Nodes without a copy that vote, so that two copies have a majority. DRBD 9 only.",
          expects="a list of names of nodes"),
    Field(name="options", shape="options", default={},
          help="Further parameters of ocf:kvmha:DRBD.",
          expects="parameters of ocf:kvmha:DRBD",
          taken=(("drbd_resource", "is the resource's own name; leave it out"),)),
)  # fmt: skip

SERVICE = (
    Field(name="probe", parse=words.probe, required=True,
          help="How it is asked: tcp://HOST:PORT (accepts a connection), http://HOST:PORT/PATH (answers with a status "
          "below 400), or the absolute path of a command that ends with 0.",
          expects="tcp://HOST:PORT, http://HOST:PORT/PATH or the absolute path of a command"),
    amount("interval", "seconds", 5, 86_400, default=60, help="How often the cluster asks."),
    amount("timeout", "seconds", 1, 3600, default=20, help="How long the answer may take before the guest has failed."),
)  # fmt: skip

GUEST = (
    resource_name("The name of the guest's resource."),
    Field(name="config", parse=words.absolute_path, required=True,
          help="The guest's domain XML, under the same path on every node.",
          expects="an absolute path"),
    amount("memory", "MiB", 1, 100_000_000,
           help="The guest's memory. Timeouts, the forecast of its moves, and where it fits are computed from it."),
    amount("vcpu", "", 1, 4096,
           help="The guest's virtual CPUs."),
    amount("priority", "", 0, 1_000_000,
           help="The higher, the more important: it runs where not all can, and in a pair its node wins a split. "
           "1 where it is left out."),
    PREFERS,
    MAY_RUN_ON,
    Field(name="apart_from", shape="values", parse=words.xml_id, default=(),
          help="Guests that it is kept apart from as long as there is a node for each.",
          expects="a list of names of guests"),
    Field(name="never_with", shape="values", parse=words.xml_id, default=(),
          help="Guests that it never runs beside; with no node left, it stays down.",
          expects="a list of names of guests"),
    Field(name="disks", shape="values", parse=words.xml_id, default=(),
          help="The DRBD resources that it needs: it runs where they are promoted, and moves with them.",
          expects="a list of names of DRBD resources"),
    flag("migrate", default=True,
         help="Whether it may move live; otherwise it is shut down and started elsewhere."),
    amount("downtime_limit", "milliseconds", 1, 2_000_000,
           help="How long it may stand still at the end of a live move; QEMU's own 300 where it is left out."),
    amount("recovery_limit", "seconds", 1, 86_400,
           help="How long it may be away when its node dies; a check compares the prediction with it."),
    amount("boot_time", "seconds", 1, 86_400,
           help="How long its service takes to answer once QEMU runs; predictions add it."),
    amount("shutdown_time", "seconds", 1, 86_400, default=60,
           help="How long it takes to shut down by itself; its power is cut after that."),
    amount("dirty_rate", "MiB/s", 0, 100_000,
           help="How much of its memory it changes in a second; the forecast of its moves is computed from it."),
    Field(name="service", shape="fields", inner=SERVICE, make=Service, optional=True,
          help="How its service is asked whether it works; a guest that does not answer is restarted.",
          expects="the field probe"),
    TICKET,
    Field(name="options", shape="options", default={},
          help="Further parameters of ocf:kvmha:VirtualDomain.",
          expects="parameters of ocf:kvmha:VirtualDomain, such as {migration_transport: tcp}",
          taken=(("config", "is given by the guest's own field config; leave it out"),)),
)  # fmt: skip

FLOATING_IP = (
    resource_name("The name of the address's resource."),
    Field(name="ip", parse=words.address, required=True,
          help="The address itself, without a prefix length.",
          expects="an IPv4 or IPv6 address"),
    Field(name="cidr_netmask", parse=words.number(0, 128), required=True,
          help="The length of the address's network prefix.",
          expects="a prefix length, such as 24"),
    Field(name="nic", parse=words.interface, required=True,
          help="The interface or bridge that carries the address, under the same name on every node.",
          expects="the name of a network interface"),
    Field(name="prefers", parse=words.host_name,
          help="The node that the address starts on when it may choose. Not together with follows.",
          expects="the name of a node"),
    Field(name="follows", parse=words.xml_id,
          help="The guest whose node the address is always on. Not together with prefers.",
          expects="the name of a guest"),
    MAY_RUN_ON,
    TICKET,
    Field(name="options", shape="options", default={},
          help="Further parameters of ocf:kvmha:FloatingIP.",
          expects="parameters of ocf:kvmha:FloatingIP, such as {check_gateway: 192.0.2.1}",
          taken=tuple((name, f"is given by the field {name}; leave it out") for name in ("ip", "cidr_netmask", "nic"))),
)  # fmt: skip
