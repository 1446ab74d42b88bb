"""Make a cluster of nodes on User Mode Linux: the rendered files put in place, services started, the CIB loaded.

The same cluster.yaml and the same templates as elsewhere, without pcs, whose many processes take minutes there.
"""

from __future__ import annotations

import functools
import os

from kvmha.cluster import node_files
from kvmha.lab.plan import LabError
from kvmha.tools import cib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvmha.cluster.fields import ClusterDescription
    from kvmha.lab.image import Progress
    from kvmha.lab.lab import Lab

DISK = "/dev/mapper/data"
"""What DRBD has below it: the data disk through the device mapper, so that a drill can make it fail."""

UNIT = "kvmha-lab-disk.service"
DISK_UNIT = """\
[Unit]
Description=The data disk through the device mapper
Before=corosync.service pacemaker.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'dmsetup create data --table "0 $(blockdev --getsz {device}) linear {device} 0"'
[Install]
WantedBy=multi-user.target
"""

PREPARE = f"""\
set -e
chown -R hacluster:haclient /etc/pacemaker
chmod 750 /etc/pacemaker
chmod 640 /etc/pacemaker/authkey
systemctl daemon-reload
# Without the scripts that `systemctl enable` runs.
for unit in "$@"; do ln -sf "/lib/systemd/system/$unit" "/etc/systemd/system/multi-user.target.wants/$unit"; done
ln -sf "../{UNIT}" "/etc/systemd/system/multi-user.target.wants/{UNIT}"
systemctl start {UNIT}
"""

MADE = 'drbdadm create-md --force "$1" && drbdadm up "$1"'
CONNECTED = 'until [ "$(drbdadm cstate "$1")" = Connected ]; do sleep 0.2; done'

PATIENCE = 3
"""By how much every operation's timeout is longer than on other nodes. Such a node starts processes about ten times
slower; where a third of the machine is taken by its host, a guest's start of 40 s took more than its 90."""

SERVICES = ("corosync.service", "pacemaker.service")

PROBE_QEMU = ("systemd-run", "--quiet", "--no-block", "virsh", "domcapabilities")
"""Has libvirt find out what QEMU can do, which it keeps: ten seconds, which the first guest of each node would wait."""

TIMEOUT = 180.0


def form(lab: Lab, description: ClusterDescription, files: dict[str, str], progress: Progress) -> None:
    """Make the cluster of an empty lab, and hand it the configuration. Raises LabError, CommandError."""
    names = [node.name for node in lab.plan.nodes]
    keys = {f"/etc/{place}/authkey": os.urandom(128).hex() for place in ("corosync", "pacemaker")}

    def configure(name: str) -> None:
        lab.copy_in(name, "/etc/corosync/corosync.conf", files["corosync.conf"])
        lab.copy_in(name, f"/etc/systemd/system/{UNIT}", DISK_UNIT.format(device="/dev/ubdb"))
        for path, key in keys.items():
            lab.copy_in(name, path, key, mode=0o400)
        for file in node_files.of(description):
            # The rest, for which other nodes run node.sh, is left out: starting processes is slow here.
            if file.source.startswith("drbd/"):
                lab.copy_in(name, file.path, files[file.source], mode=file.mode)
        lab.run(name, "sh", "-c", PREPARE, "kvmha-lab", *SERVICES, timeout=TIMEOUT)

    progress("cluster", f"configuring {', '.join(names)}")
    _on_each(lab, names, configure)
    _make_replicas(lab, description, progress)
    progress("cluster", "starting corosync and pacemaker")
    _run_on_each(lab, names, "systemctl", "start", "--no-block", *SERVICES)
    _wait_online(lab, names)
    progress("cluster", "loading the configuration")
    lab.copy_in(names[0], "/root/kvmha-cluster/cib.xml", patient(files["cib.xml"]), mode=0o600)
    load = ("cibadmin", "--replace", "--scope", "configuration", "--xml-file", "/root/kvmha-cluster/cib.xml")
    lab.run(names[0], *load, timeout=TIMEOUT)


def patient(text: str) -> str:
    """Return a configuration in which every operation has the time that it may take on such a node."""
    root = cib.tree(text)
    for operation in root.iter("op"):
        limit = cib.milliseconds(operation.get("timeout", ""))
        if limit is not None:
            operation.set("timeout", f"{limit * PATIENCE // 1000}s")
    return cib.text_of(root)


def _make_replicas(lab: Lab, description: ClusterDescription, progress: Progress) -> None:
    """Make the replicas of every DRBD resource and declare them alike, since all of them are empty."""
    for resource in description.drbd:
        progress("cluster", f"making the replicas of {resource.name}")
        names = resource.nodes or tuple(node.name for node in lab.plan.nodes)
        _run_on_each(lab, names, "sh", "-c", MADE, "kvmha-lab", resource.name)
        lab.run(names[0], "sh", "-c", CONNECTED, "kvmha-lab", resource.name, timeout=TIMEOUT)
        # drbdsetup(8), "new-current-uuid": no resynchronization of disks that are known to be the same.
        clear = ("drbdadm", "new-current-uuid", "--clear-bitmap", f"{resource.name}/0")
        lab.run(names[0], *clear, timeout=TIMEOUT)
        _run_on_each(lab, names, "drbdadm", "down", resource.name)


def _run_on_each(lab: Lab, names: Sequence[str], *argv: str) -> None:
    _on_each(lab, names, lambda name: lab.run(name, *argv, timeout=TIMEOUT))


def _on_each(lab: Lab, names: Sequence[str], do: Callable[[str], object]) -> None:
    """Do the same in several nodes at one time: each has a processor of its own. Raises what one of them raised."""
    calls = [functools.partial(do, name) for name in names]
    for found in lab.host.together(calls, what=f"the work in {', '.join(names)}", timeout=2 * TIMEOUT):
        if isinstance(found, BaseException):
            raise found


def _wait_online(lab: Lab, names: list[str]) -> None:
    """Wait until Pacemaker has all nodes and a coordinator, without which it takes no configuration.

    Pacemaker looks for a coordinator for 20 s (dc-deadtime) before it elects one, and needs no processor for that.
    """
    until = lab.host.now() + TIMEOUT
    is_probed = False
    while True:
        begun = lab.host.now()
        done = lab.run(names[0], "crm_mon", "--one-shot", "--output-as=xml", timeout=30.0, ok=None)
        if done.rc == 0 and not is_probed:
            _on_each(lab, names, lambda name: lab.run(name, *PROBE_QEMU, timeout=TIMEOUT, ok=None))
            is_probed = True
        if done.out.count('online="true"') == len(names) and '<current_dc present="true"' in done.out:
            return
        if lab.host.now() > until:
            raise LabError(f"the nodes are up, but made no cluster within {TIMEOUT:.0f} s: {done.err.strip()}")
        # The question costs the node's one processor a second, which is mostly left to those who join.
        lab.host.sleep(min(max(1.0, lab.host.now() - begun), 3.0))
