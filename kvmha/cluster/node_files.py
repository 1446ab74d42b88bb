"""The files that every node gets beside the cluster's own configuration: where from, where to, and what then.

node.sh is written from this table, and whatever else has to know what lies where on a node asks here.
"""

from __future__ import annotations

import math

from kvmha.cluster.configuration.running import PROBE_FOLDER
from kvmha.cluster.configuration.settings import sbd_delay_start
from kvmha.record import Record
from kvmha.tools import service_probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kvmha.cluster.fields import ClusterDescription, DrbdResource

SYSTEMD = "/etc/systemd"
RELOAD_UNITS = ("systemctl", "daemon-reload")


class NodeFile(Record):
    """One file: its name below the rendered folder, the template and what it is given, its place on the node.

    ``condition`` is a shell command that decides on the node whether it is wanted there, for the reason ``why``;
    ``after`` are the commands that make a changed file hold, ``node`` the only node that gets it.
    """

    source: str
    template: str
    path: str
    mode: int = 0o644
    words: dict[str, Any]
    condition: str = ""
    why: str = ""
    after: tuple[tuple[str, ...], ...] = ()
    node: str | None = None


def of(description: ClusterDescription) -> tuple[NodeFile, ...]:
    """Return the files of all nodes, in the order in which they are put in place."""
    return (
        *_disks(description),
        *_watchdog(description),
        *_network(description),
        *_time(description),
        *_system(description),
        *_services(description),
    )


def _file(source: str, path: str, **more: Any) -> NodeFile:
    """Return a file whose template is called as it is itself."""
    return NodeFile(**{"source": source, "template": source, "path": path, "words": {}, **more})


def _disks(description: ClusterDescription) -> Iterator[NodeFile]:
    if not description.drbd:
        return
    common = "drbd/global_common.conf"
    yield _file(common, f"/etc/drbd.d/{common.rpartition('/')[2]}", after=(("drbdadm", "adjust", "all"),))
    for disk in description.drbd:
        name = f"{disk.name}.res"
        words = {"disk": disk, "hosts": _drbd_hosts(disk, description)}
        # A resource without metadata is not brought up by this: drbdadm refuses, and says so.
        after = (("drbdadm", "adjust", disk.name),)
        yield _file(f"drbd/{name}", f"/etc/drbd.d/{name}", template="drbd/resource.res", words=words, after=after)


def _drbd_hosts(disk: DrbdResource, description: ClusterDescription) -> list[dict[str, Any]]:
    """Return the sides of a DRBD resource; a node's DRBD id is its place in cluster.yaml, and stays that."""
    copies = disk.nodes or tuple(node.name for node in description.nodes if node.name not in disk.diskless)
    return [
        {"name": node.name, "id": number, "address": node.addresses[description.replication.link],
         "diskless": node.name in disk.diskless}
        for number, node in enumerate(description.nodes)
        if node.name in copies or node.name in disk.diskless
    ]  # fmt: skip


def _watchdog(description: ClusterDescription) -> Iterator[NodeFile]:
    sbd = description.sbd
    if sbd is None:
        return
    wait = sbd_delay_start(description, sbd)
    words = {"delay_start": wait if sbd.delay_start else "no"}
    for folder in ("/etc/default", "/etc/sysconfig"):
        yield _file("sbd/sbd", f"{folder}/sbd", words=words, condition=f"[ -d {folder} ]",
                    why="Debian and its kin have the settings of services there, others elsewhere.")  # fmt: skip
    yield _file("sbd/system.conf", f"{SYSTEMD}/system.conf.d/kvmha-watchdog.conf")
    if sbd.delay_start:
        # sbd(8): the unit's TimeoutStartSec has to be longer than the delay.
        words = {"start_timeout": math.ceil(1.2 * wait) + 30}
        yield _file("sbd/sbd.conf", f"{SYSTEMD}/system/sbd.service.d/kvmha.conf", words=words, after=(RELOAD_UNITS,))
    if sbd.module:
        yield _file("sbd/modules.conf", "/etc/modules-load.d/kvmha-watchdog.conf", after=(("modprobe", sbd.module),))


def _network(description: ClusterDescription) -> Iterator[NodeFile]:
    path = "/etc/sysctl.d/60-kvmha.conf"
    yield _file("sysctl/60-kvmha.conf", path, after=(("sysctl", "--quiet", "--load", path),))
    if description.hosts.firewall:
        unit = "kvmha-firewall.service"
        table = "/etc/kvmha/kvmha.nft"
        yield _file("nftables/kvmha.nft", table, after=(("nft", "--file", table),))
        after = (RELOAD_UNITS, ("systemctl", "enable", unit))
        yield _file(f"nftables/{unit}", f"{SYSTEMD}/system/{unit}", after=after)


def _time(description: ClusterDescription) -> Iterator[NodeFile]:
    for node in description.nodes:
        yield _file(f"chrony/{node.name}.conf", "/etc/chrony/conf.d/kvmha.conf", template="chrony/kvmha.conf",
                    words={"node": node}, node=node.name, condition=f'[ "$(uname -n)" = {node.name} ]',
                    after=(("systemctl", "try-restart", "chrony"),))  # fmt: skip


def _system(description: ClusterDescription) -> Iterator[NodeFile]:
    yield _file("systemd/logind.conf", f"{SYSTEMD}/logind.conf.d/kvmha.conf",
                after=(("systemctl", "kill", "--signal=HUP", "systemd-logind"),))  # fmt: skip
    place = "system/pacemaker.service.d/kvmha.conf"
    yield _file("systemd/pacemaker.conf", f"{SYSTEMD}/{place}", after=(RELOAD_UNITS,),
                condition=f"[ ! -e /usr/lib/systemd/{place} ] && [ ! -e /lib/systemd/{place} ]",
                why="At a node's shutdown guests leave before libvirt does. The package kvmha brings it.")  # fmt: skip
    yield _file("logrotate/kvmha", "/etc/logrotate.d/kvmha",
                condition="! grep -qrE --exclude=kvmha '/var/log/(corosync|pacemaker)/' /etc/logrotate.d",
                why="Two rules for one log would be an error; most packages bring theirs.")  # fmt: skip


def _services(description: ClusterDescription) -> Iterator[NodeFile]:
    if description.booth:
        yield _file("booth/booth.conf", "/etc/booth/booth.conf")
    for guest in description.guests:
        if guest.service and not guest.service.probe.startswith("/"):
            words = {"guest": guest, "service": service_probe.parse(guest.service.probe)}
            yield _file(f"probes/{guest.name}", f"{PROBE_FOLDER}/{guest.name}", template="probes/probe", mode=0o755,
                        words=words)  # fmt: skip
