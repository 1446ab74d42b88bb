"""The parameters of ocf:kvmha:VirtualDomain."""

from __future__ import annotations

from kvmha.ocf.spec import Param

_OWN_WORDS = "Uses libvirt's own choice where it is empty."

PARAMS = (
    Param(
        name="config", required=True, identity=True, unique_group="config",
        shortdesc="Path of the guest's libvirt XML definition",
        longdesc="""Absolute path of the guest's libvirt XML definition, readable on every node that may run the guest.
        Give the definition a UUID: it is what tells a second copy of the guest from the first. The file is read at
        start; once the guest runs, the agent remembers who it is, so that monitor and stop stay right if the file goes
        away.""",
    ),
    Param(
        name="hypervisor", default="qemu:///system", identity=True,
        shortdesc="Libvirt connection URI of this node",
        longdesc="Libvirt connection URI of this node. Only the QEMU driver is supported: qemu:///system.",
    ),
    Param(
        name="force_stop", kind="boolean", default="false",
        shortdesc="Stop by cutting the guest's power",
        longdesc="""Stop by cutting the guest's power at once, without asking it to shut down. Without this the guest
        has the time of the stop action, less a reserve, to shut down by itself before its power is cut.""",
    ),
    Param(
        name="migration_transport", choices=("", "ssh", "tls", "tcp"),
        shortdesc="How the target's libvirt is reached for a live migration",
        longdesc=f"""How the target's libvirt is reached for a live migration: ssh, tls or tcp. {_OWN_WORDS} tcp is not
        encrypted and belongs on a network that only the cluster's nodes can reach.""",
    ),
    Param(
        name="migration_user",
        shortdesc="User name at the target's libvirt",
        longdesc="User name at the target's libvirt, with migration_transport=ssh. Empty: the agent's own, root.",
    ),
    Param(
        name="migration_network_suffix",
        shortdesc="Suffix of the node names on the migration network",
        longdesc="""Appended to the first label of the target's node name to name it on the migration network: with
        -mig, a move to n2.example.org goes to n2-mig.example.org. Both the call to the target's libvirt and the
        guest's memory take that way.""",
    ),
    Param(
        name="migrateuri",
        shortdesc="Where the target receives the guest's memory",
        longdesc="""Where the target receives the guest's memory, as libvirt's migration URI; %n is replaced by the
        target's node name, as in tcp://%n. It overrides what migration_network_suffix would make.""",
    ),
    Param(
        name="migration_speed", kind="integer", minimum=1,
        shortdesc="Limit of a migration's bandwidth, MiB/s",
        longdesc="Limit of a live migration's bandwidth in MiB/s. Not set: libvirt's own.",
    ),
    Param(
        name="migration_downtime", kind="integer", minimum=1, maximum=2_000_000,
        shortdesc="Limit of the guest's pause in a migration, ms",
        longdesc="""How long, in milliseconds, QEMU may expect the guest to stand still at the end of a live migration.
        Not set: QEMU's own, 300 ms.""",
    ),
)  # fmt: skip
