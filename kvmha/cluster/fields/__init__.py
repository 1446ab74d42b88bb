"""The fields of cluster.yaml: the one place where each is named, explained, and checked by itself.

What fields must be to one another is checked in ``kvmha.cluster.contradictions``.
"""

from __future__ import annotations

from kvmha.cluster import words
from kvmha.cluster.document import Field
from kvmha.cluster.fields.membership import LINKS, NETWORK, NODE, QUORUM, SBD, TIMING
from kvmha.cluster.fields.records import (
    Alert,
    Booth,
    ClusterDescription,
    DrbdResource,
    FenceDevice,
    FloatingIP,
    Guest,
    Hosts,
    Migration,
    Network,
    Node,
    Quorum,
    QuorumDevice,
    Replication,
    Sbd,
    Service,
    Site,
    Ticket,
    Timing,
)
from kvmha.cluster.fields.surroundings import ALERT, BOOTH, HOSTS
from kvmha.cluster.fields.workload import DRBD, FLOATING_IP, GUEST, MIGRATION, REPLICATION

BY_PACEMAKER = "is written by Pacemaker itself; leave it out"

CLUSTER = (
    Field(name="cluster", parse=words.cluster_name, required=True,
          help="The cluster's name.",
          expects="at most 32 letters, digits, _ and -"),
    Field(name="nodes", shape="records", inner=NODE, make=Node, required=True,
          help="The hosts, two or three of them.",
          expects="a list of nodes"),
    Field(name="quorum", shape="fields", inner=QUORUM, make=Quorum,
          help="How the nodes find out whether they are the majority.",
          expects="the fields device and wait_for_all"),
    Field(name="timing", shape="fields", inner=TIMING, make=Timing,
          help="How fast corosync calls a node lost.",
          expects="the field token"),
    Field(name="network", shape="fields", inner=NETWORK, make=Network,
          help="How corosync uses its links.",
          expects="the fields link_mode, mtu, crypto_cipher and crypto_hash"),
    Field(name="sbd", shape="fields", inner=SBD, make=Sbd, optional=True,
          help="Fencing by a poison pill on a shared disk, or by the watchdog alone; beside the nodes' devices or "
          "instead of them.",
          expects="devices and watchdog of sbd"),
    Field(name="properties", shape="options", default={},
          help="Further properties of the cluster, or other values for those that the templates set; as "
          "`pcs property describe` shows them.",
          expects="names and values of cluster properties",
          taken=(("dc-version", BY_PACEMAKER), ("cluster-infrastructure", BY_PACEMAKER),
                 ("have-watchdog", BY_PACEMAKER), ("last-lrm-refresh", BY_PACEMAKER),
                 ("cluster-name", "is given by the field cluster; leave it out"),
                 ("migration-limit", "is given by the field migration.limit; leave it out"),
                 ("stonith-watchdog-timeout", "is given by the field sbd.stonith_watchdog_timeout; leave it out"))),
    Field(name="resource_defaults", shape="options", default={},
          help="Further meta attributes that all resources get, or other values for those that the templates set.",
          expects="names and values of meta attributes"),
    Field(name="migration", shape="fields", inner=MIGRATION, make=Migration,
          help="How guests move between the nodes.",
          expects="the fields transport, suffix, bandwidth and limit"),
    Field(name="replication", shape="fields", inner=REPLICATION, make=Replication,
          help="What all DRBD resources have in common.",
          expects="fields such as version, protocol and link"),
    Field(name="drbd", shape="records", inner=DRBD, make=DrbdResource, default=(),
          help="The replicated disks.",
          expects="a list of DRBD resources"),
    Field(name="guests", shape="records", inner=GUEST, make=Guest, default=(),
          help="The guests that Pacemaker runs.",
          expects="a list of guests"),
    Field(name="floating_ips", shape="records", inner=FLOATING_IP, make=FloatingIP, default=(),
          help="The addresses that Pacemaker moves between the nodes.",
          expects="a list of floating IPs"),
    Field(name="alerts", shape="records", inner=ALERT, make=Alert, default=(),
          help="Programs that are told what happens.",
          expects="a list of alerts"),
    Field(name="booth", shape="fields", inner=BOOTH, make=Booth, optional=True,
          help="A second site: tickets that only one of the clusters holds at a time.",
          expects="here, sites and tickets"),
    Field(name="hosts", shape="fields", inner=HOSTS, make=Hosts,
          help="What every node is set up with beside the cluster.",
          expects="fields such as time_servers and hugepages"),
)  # fmt: skip

__all__ = [
    "CLUSTER", "LINKS", "Alert", "Booth", "ClusterDescription", "DrbdResource", "FenceDevice", "FloatingIP",
    "Guest", "Hosts", "Migration", "Network", "Node", "Quorum", "QuorumDevice", "Replication", "Sbd", "Service", "Site",
    "Ticket", "Timing",
]  # fmt: skip
