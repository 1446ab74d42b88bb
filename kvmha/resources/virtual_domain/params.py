"""The parameters of ocf:kvmha:VirtualDomain."""

from __future__ import annotations

from kvmha.ocf.spec import Param

_OWN_WORDS = "Uses libvirt's own choice where it is empty."

_JUDGED = ("running", "degraded", "failed")
"""How an operator may have a state judged: well (0), running with a remark (190), or failed (1)."""


def _judged(name: str, default: str, shortdesc: str, longdesc: str, *more: str) -> Param:
    """Return the row of a parameter that says how a state is judged."""
    words = "running (0), degraded (190: it runs, and the cluster shows why it is not well) or failed (1: recover it)"
    longdesc = f"{longdesc} One of {words}."
    return Param(name=name, default=default, choices=(*_JUDGED, *more), shortdesc=shortdesc, longdesc=longdesc)


# In the order in which help pages show them: who, start, health, stop, migration.
PARAMS = (
    Param(
        name="config", identity=True, unique_group="config",
        shortdesc="Path of the guest's libvirt XML definition",
        longdesc="""Absolute path of the guest's libvirt XML definition, readable on every node that may run the guest;
        the guest then runs as a transient domain. Give the definition a UUID: it is what tells a second copy of the
        guest from the first; without one libvirt makes another at every start, and the name alone tells. An emulated
        TPM keeps its content over a stop with persistent_state='yes' in its backend element only, and a start without
        that word, or 'no', is refused. The file is read at start; once the guest runs, the agent remembers who it is,
        so that monitor and stop stay right if the file goes away. Either config or domain names the guest.""",
    ),
    Param(
        name="domain", identity=True, unique_group="domain",
        shortdesc="Name or UUID of a persistent domain",
        longdesc="""Name or UUID of a domain that is defined in libvirt on every node that may run the guest, instead
        of config. Its autostart must be off: the cluster decides where it runs.""",
    ),
    Param(
        name="hypervisor", default="qemu:///system", identity=True,
        shortdesc="Libvirt connection URI of this node",
        longdesc="""Libvirt connection URI of this node. Only the QEMU driver is supported: qemu:///system, which finds
        libvirtd and virtqemud alike.""",
    ),
    Param(
        name="peer_check", default="true", kind="boolean",
        shortdesc="Ask the other nodes before a start",
        longdesc="""Before a start, ask libvirt on every other node that is online whether the guest runs there, by the
        way that a migration would take (migration_transport, remoteuri), and refuse to start a second copy. A node
        whose libvirt does not answer counts as the cluster has it. Nodes that are fenced or off are not asked.""",
    ),
    Param(
        name="memory_check", default="true", kind="boolean",
        shortdesc="Refuse a start that this node has no memory for",
        longdesc="""Refuse to start a guest for which this node has not enough free memory, or free huge pages. Turn
        it off where memory is overcommitted on purpose.""",
    ),
    Param(
        name="start_resources", default="false", kind="boolean",
        shortdesc="Start the guest's storage pools and networks",
        longdesc="""Start the libvirt storage pools and networks that the definition names, if they are not active:
        here before a start, and on the target before a migration.""",
    ),
    Param(
        name="backingfile",
        shortdesc="Base image of a guest on a copy-on-write image",
        longdesc="""Absolute path of a base image. At start a qcow2 image on top of it is made beside the definition
        (its name with .qcow2 instead of its suffix), unless it is there already; the definition names that image as the
        disk.""",
    ),
    Param(
        name="stateless", default="false", kind="boolean",
        shortdesc="Make the copy-on-write image anew at every start",
        longdesc="Make the copy-on-write image of backingfile anew at every start: the guest forgets everything.",
    ),
    Param(
        name="copyindirs",
        shortdesc="Folders copied into the guest's image before a start",
        longdesc="""Folders of the host, separated by spaces, that virt-copy-in (libguestfs) copies into / of the
        guest's image whenever backingfile has one made.""",
    ),
    Param(
        name="snapshot",
        shortdesc="Folder in which a stopped guest's state is saved",
        longdesc="""Absolute path of a folder, reachable from every node. Stop then saves the guest's memory into
        NAME.state there instead of shutting it down, and start continues from that file and removes it. A state is
        used once: where a start was interrupted that had begun to use it, the next one boots the guest.""",
    ),
    Param(
        name="autoset_utilization_cpu", default="false", kind="boolean",
        shortdesc="Write the number of virtual CPUs into the cluster's configuration",
        longdesc="""At start, and when the guest has arrived by a migration, write the number of its virtual CPUs as
        the utilization attribute cpu of the resource, if it is different there.""",
    ),
    Param(
        name="autoset_utilization_host_memory", default="false", kind="boolean",
        shortdesc="Write the guest's memory into the cluster's configuration as host_memory",
        longdesc="""At start, and when the guest has arrived by a migration, write its maximum memory in MiB as the
        utilization attribute host_memory of the resource, if it is different there.""",
    ),
    Param(
        name="autoset_utilization_hv_memory", default="false", kind="boolean",
        shortdesc="Write the guest's memory into the cluster's configuration as hv_memory",
        longdesc="The same as autoset_utilization_host_memory, under the name hv_memory.",
    ),
    _judged(
        "on_paused", "degraded", "A guest that somebody paused",
        "How a guest is judged that an administrator paused (virsh suspend).",
    ),
    _judged(
        "on_ioerror", "failed", "A guest paused by an I/O error",
        """How a guest is judged that QEMU paused because of an I/O error of its disk, such as a full or lost storage.
        With resume the monitor waits for the storage to be readable, as long as its own time allows, and tells the
        guest to go on, once until it is seen running; a guest whose storage stays away, or that is paused again,
        counts as failed.""",
        "resume",
    ),
    _judged(
        "on_pmsuspended", "degraded", "A guest that suspended itself",
        "How a guest is judged that went to sleep by itself (S3).",
    ),
    _judged(
        "on_crashed", "failed", "A guest that crashed",
        "How a guest is judged whose kernel panicked and which libvirt kept for inspection (on_crash=preserve).",
    ),
    _judged(
        "on_agent_silent", "degraded", "A guest whose agent does not answer",
        """How a guest is judged, by monitors of depth 10 and more, that has a guest agent's channel with an agent that
        was there and does not answer a ping. A guest that its host starves of memory or I/O is degraded at worst.""",
    ),
    Param(
        name="monitor_scripts",
        shortdesc="Commands that check the service inside the guest",
        longdesc="""Absolute paths of commands, separated by spaces, run one after the other by monitors of depth 20
        (op monitor OCF_CHECK_LEVEL=20); each gets an equal share of the time that is left. The first that fails makes
        the guest failed, with what it printed last as the reason.""",
    ),
    Param(
        name="force_stop", kind="boolean", default="false",
        shortdesc="Stop by cutting the guest's power",
        longdesc="""Stop by cutting the guest's power at once, without asking it to shut down. Without this the guest
        has the time of the stop action, less a reserve, to shut down by itself before its power is cut.""",
    ),
    Param(
        name="shutdown_mode",
        shortdesc="How the guest is asked to shut down",
        longdesc="""How the guest is asked to shut down: agent, acpi, initctl, signal or paravirt, or several of them
        separated by commas, tried in that order, each for its share of the time. Empty: agent where the guest has one
        that answers, then acpi. QEMU guests know agent and acpi; where libvirt refuses all that are named, acpi is
        tried in the end.""",
    ),
    Param(
        name="save_config_on_stop", default="false", kind="boolean",
        shortdesc="Save the guest's definition when it stops or moves",
        longdesc="""Write the running guest's definition over config when it stops or moves away, so that changes made
        with virsh survive; as a whole or not at all, only if it changed, and only over a definition of the same guest.
        Not with domain, whose definition libvirt keeps.""",
    ),
    Param(
        name="sync_config_on_stop", default="false", kind="boolean",
        shortdesc="Copy the saved definition to the other nodes with csync2",
        longdesc="Save as with save_config_on_stop, and then run csync2 -x on the file if it was written.",
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
        guest's memory take that way. remoteuri and migrateuri replace what it makes of the one and the other.""",
    ),
    Param(
        name="remoteuri",
        shortdesc="How the target's libvirt is called",
        longdesc="""Libvirt connection URI of the target, where %n is replaced by its node name, as in
        qemu+ssh://root@%n/system. Replaces what hypervisor, migration_transport, migration_user and
        migration_network_suffix would make of it.""",
    ),
    Param(
        name="migrateuri",
        shortdesc="Where the target receives the guest's memory",
        longdesc="""Where the target receives the guest's memory, as libvirt's migration URI; %n is replaced by the
        target's node name, as in tcp://%n. It overrides what migration_network_suffix and migrateport would make, and
        --migrateuri in migrate_options.""",
    ),
    Param(
        name="migrateport", kind="integer", minimum=1, maximum=65535,
        shortdesc="Port on which the target receives the guest's memory",
        longdesc="""Port on which the target receives the guest's memory. Not set: libvirt takes a free one of its
        range (49152 to 49215), which is what two moves to one node at a time need.""",
    ),
    Param(
        name="migration_mode", default="live", choices=("live", "hybrid", "cold"),
        shortdesc="Whether the guest may move by post-copy, or not live at all",
        longdesc="""How the guest may move. live: its memory is copied ahead while it runs, and a move that cannot end
        within migration_downtime is aborted with the guest running on. hybrid: it may also run on the target before
        all of its memory is there (post-copy), which always ends, and loses the guest if the path or either node fails
        in those seconds. cold: never live; kvmha migrate shuts it down and starts it on the target, and migrate_to
        refuses.""",
    ),
    Param(
        name="migration_schedule", default="default", choices=("gentle", "default", "impatient", "postcopy"),
        shortdesc="How hard a live migration is pushed",
        longdesc="""How hard a live migration is pushed when rounds of copying bring nothing. gentle: the guest is never
        slowed down. default: longer pauses, up to migration_downtime, and a guest that writes too fast is slowed down
        more and more (auto-converge). impatient: the whole pause at once, slowed down hard, given up early. postcopy:
        one round of copying, then post-copy, with migration_mode=hybrid. With hybrid the others take post-copy in the
        end too.""",
    ),
    Param(
        name="migration_downtime", kind="integer", minimum=0, maximum=2_000_000,
        shortdesc="Limit of the guest's pause in a migration, ms",
        longdesc="""The longest time, in milliseconds, that the guest may stand still by plan at the end of a live
        migration. A move begins with a part of it and is never given more. Not set, or 0: 300 ms, QEMU's own.""",
    ),
    Param(
        name="migration_bandwidth", kind="integer", minimum=0,
        shortdesc="Limit of a migration's bandwidth, MiB/s",
        longdesc="""Limit of a live migration's bandwidth in MiB/s. Not set, or 0: what migration_speed says, else
        libvirt's own.""",
    ),
    Param(
        name="migration_speed", kind="integer", minimum=0,
        shortdesc="The same as migration_bandwidth",
        longdesc="The name that ocf:heartbeat:VirtualDomain has for migration_bandwidth.",
    ),
    Param(
        name="migration_connections", kind="integer", minimum=1, maximum=255, default="1",
        shortdesc="Parallel connections of a migration",
        longdesc="""How many connections carry the guest's memory at one time, for a path that is faster than one
        connection. More than one cannot be had together with migration_mode=hybrid.""",
    ),
    Param(
        name="migration_tls", kind="boolean", default="false",
        shortdesc="Encrypt the guest's memory on its way",
        longdesc="""Send the guest's memory through TLS, with the certificates that libvirt gives to QEMU for migrations
        (migrate_tls_x509_cert_dir in qemu.conf) on both nodes. migration_transport=tls encrypts the orders between the
        nodes only.""",
    ),
    Param(
        name="migrate_options",
        shortdesc="Options of virsh migrate",
        longdesc="""Options of virsh migrate, as it spells them, that are added to a live migration: --auto-converge,
        --postcopy, --parallel, --parallel-connections N, --compressed, --tls and others; %n in a value stands for the
        target's node name. Options that decide where the guest goes, who it is or how long the move may take are not
        taken from here. The agent leads the move itself; with --p2p the source's libvirt does, which lets the guest
        run twice if the target's libvirt hangs, or the link breaks, for half a minute in the last step.""",
    ),
)  # fmt: skip
