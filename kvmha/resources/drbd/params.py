"""The parameters of ocf:kvmha:DRBD."""

from __future__ import annotations

from kvmha.ocf.spec import Param

# In the order in which help pages show them: what it is, promotion, health, start and stop.
PARAMS = (
    Param(
        name="drbd_resource", required=True, identity=True, unique_group="drbd_resource",
        shortdesc="The DRBD resource",
        longdesc="Name of the DRBD resource, as the configuration files have it.",
    ),
    Param(
        name="drbdconf", default="/etc/drbd.conf",
        shortdesc="DRBD's configuration file",
        longdesc="""Path of DRBD's configuration file. Only bringing the resource up needs it; monitor, demote and stop
        ask and tell the kernel.""",
    ),
    Param(
        name="adjust_master_score", default="0 10 1000 10000",
        shortdesc="Promotion scores of four cases",
        longdesc="""Promotion scores of a replica whose own data are consistent and perhaps not the newest; of one that
        reaches current data only on a peer; of one with current data while a peer is away; and of one with current data
        that knows the same of all its peers, or knows them to be older. Whole numbers, none smaller than the one
        before; 0 is no score. DRBD's own promotion score bounds them (DRBD 9).""",
    ),
    Param(
        name="stale_data_guard", kind="boolean", default="true",
        shortdesc="Do not promote while a peer may hold newer data",
        longdesc="""Keep an account of each peer's data on this node's own disk, and neither give a promotion score nor
        promote while a peer that is away may hold newer data, as after a crash of both. DRBD's own quorum, where it is
        configured, takes the place of the account. kvmha drbd promote overrules it once.""",
    ),
    Param(
        name="node_map",
        shortdesc="Names of nodes that differ between DRBD and the cluster",
        longdesc="""Pairs DRBDNAME:CLUSTERNAME, separated by blanks, for nodes whose name in DRBD's configuration is not
        their name in the cluster.""",
    ),
    Param(
        name="on_degraded", default="degraded", choices=("degraded", "running"),
        shortdesc="How a reduced replica is reported",
        longdesc="""How the monitor reports a replica that serves and falls short of redundancy, such as one whose peer
        is away or that is being resynchronised: degraded (190, or 191 when promoted, with the reason) or running (0 or
        8).""",
    ),
    Param(
        name="suspended_grace", kind="integer", default="60", minimum=0, maximum=86_400,
        shortdesc="How long the I/O of a promoted device may be suspended, s",
        longdesc="""For how many seconds the I/O of a promoted device may be suspended, as DRBD does until a peer has
        been fenced, before the monitor calls the device failed (9) and the cluster recovers it. It is reduced (191)
        until then. As long may drbdsetup leave the monitor
        without an answer.""",
    ),
    Param(
        name="wfc_timeout", kind="integer", default="5", minimum=0, maximum=600,
        shortdesc="How long start waits for the peers, s",
        longdesc="""For how many seconds start waits, once the resource is up, for the connections to its peers. The
        start succeeds without them.""",
    ),
    Param(
        name="force_demote", kind="boolean", default="false",
        shortdesc="Demote by force what is held open",
        longdesc="""Let demote and stop end with drbdsetup secondary --force when a device is still held open near the
        end of their time. Its I/O then fails instead of the whole node being fenced. DRBD 9.1 and newer can do it; for
        an older kernel it is left out.""",
    ),
    Param(
        name="require_drbd_module_version_ge",
        shortdesc="Oldest DRBD module that will do",
        longdesc="""Start and validate-all fail with a kernel module older than this version, such as 9.1.0. Empty: not
        checked.""",
    ),
    Param(
        name="require_drbd_module_version_lt",
        shortdesc="First DRBD module that will not do",
        longdesc="Start and validate-all fail with a kernel module of this version or a newer one. Empty: not checked.",
    ),
)  # fmt: skip
