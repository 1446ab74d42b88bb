"""What the drills do with two nodes on User Mode Linux, their replicated disk, and the cluster on top."""

from __future__ import annotations

import re

import pytest

from kvmha.host import CommandError
from kvmha.lab.plan import LabError
from kvmha.tools import crm_mon, drbd

RESOURCE, PRIMARY, CLONE, GUEST = "web1", "primary-web1", "drbd-web1", "web1"
LIMIT = 420.0
"""Seconds for a cluster of nodes that boot, join and resynchronize; far above what an idle machine takes."""

STATE = re.compile(r"^ 0: cs:(\w+) ro:(\w+)/(\w+) ds:(\w+)/(\w+)", re.MULTILINE)


class Replica:
    """One side of the DRBD resource as the kernel of its node shows it in /proc/drbd."""

    def __init__(self, connection="", role="", peer_role="", disk="", peer_disk=""):
        self.connection = connection
        self.role = role
        self.peer_role = peer_role
        self.disk = disk
        self.peer_disk = peer_disk

    def __repr__(self):
        return f"{self.connection} {self.role}/{self.peer_role} {self.disk}/{self.peer_disk}"


class Pair:
    """Two nodes and what can be seen of them."""

    def __init__(self, lab, host):
        self.lab = lab
        self.host = host
        self.plan = lab.plan
        self.nodes = tuple(node.name for node in lab.plan.nodes)

    def run(self, node, *argv, timeout=120, ok=(0,), given=""):
        """Run a command in a node."""
        return self.lab.run(node, *argv, timeout=timeout, ok=ok, given=given)

    def ask(self, node, *argv):
        """Return what a command says in a node, or nothing where the node has no power or does not answer."""
        try:
            return self.run(node, *argv, timeout=60, ok=None).out
        except (LabError, CommandError):
            return ""

    def replica(self, node):
        """Return a node's side of the resource; all empty if it has none, or cannot be asked."""
        found = STATE.search(self.ask(node, "cat", "/proc/drbd"))
        return Replica(*found.groups()) if found else Replica()

    def status(self):
        """Return what the first node that answers sees of the cluster, or None."""
        for node in self.nodes:
            status = crm_mon.parse(self.ask(node, *crm_mon.ARGV))
            if status is not None:
                return status
        return None

    def places(self, resource, status=None):
        """Return the nodes on which a resource runs, by a status that is at hand or a new one."""
        status = status or self.status()
        found = [seen for seen in status.resources if seen.name == resource] if status else []
        return tuple(node for seen in found for node in seen.nodes if not seen.is_failed and not seen.pending)

    def primaries(self):
        """Return the nodes on which the device may be written."""
        return tuple(node for node in self.nodes if self.replica(node).role == "Primary")

    def sides(self):
        """Return the node whose device is written, and the other one."""
        (here,) = self.primaries()
        return here, next(node for node in self.nodes if node != here)

    def wait(self, what, condition, limit=LIMIT):
        """Wait until a condition holds and return what it returned; fail with ``what`` when it never does."""
        until = self.host.now() + limit
        while True:
            begun = self.host.now()
            found = condition()
            if found:
                return found
            if self.host.now() > until:
                replicas = {node: self.replica(node) for node in self.nodes}
                pytest.fail(f"{what}: not within {limit:.0f} s; DRBD: {replicas}; the cluster: {self.status()}")
            # Such a node has one processor, and a crm_mon can cost it a second: most is left to what is waited for.
            self.host.sleep(min(max(0.5, 2 * (self.host.now() - begun)), 3.0))

    def is_in_step(self):
        """Tell whether both replicas are connected and alike."""
        return all((seen.connection, seen.disk, seen.peer_disk) == ("Connected", "UpToDate", "UpToDate")
                   for seen in map(self.replica, self.nodes))  # fmt: skip

    def constraints(self):
        """Return the constraints by which a node keeps the others from being promoted."""
        text = self.ask(self.nodes[0], "cibadmin", "--query", "--scope", "constraints")
        return re.findall(r'<rsc_location id="(drbd-fence[^"]*)"', text)

    def is_well(self):
        """Tell whether both nodes are online, the replicas alike, one of them primary, nothing to be repaired."""
        # What is asked of the kernel comes first: crm_mon costs such a node a second, and it may be busy enough.
        if not self.is_in_step() or len(self.primaries()) != 1:
            return False
        status = self.status()
        return (
            status is not None
            and {node.name for node in status.nodes if node.is_online and not node.is_unclean} == set(self.nodes)
            and not any(seen.is_failed or seen.pending for seen in status.resources)
            and len(self.places(PRIMARY, status)) == 1
            and sorted(self.places(CLONE, status)) == sorted(self.nodes)
            and not self.constraints()
        )

    def is_quiet(self):
        """Tell whether the cluster is at work on nothing."""
        status = self.status()
        return status is not None and not any(seen.pending for seen in status.resources)

    def back(self, *nodes):
        """Give nodes power, unless their fencing has, and wait until they have booted."""
        for node in nodes:
            self.lab.power(node, "on")
        for node in nodes:
            self.lab.wait_booted(node)

    def restore(self):
        """Bring everything back that a drill has broken, and wait until the cluster is well."""
        for node in self.nodes:
            self.lab.heal(node)
        self.back(*self.nodes)
        for node in self.nodes:
            self.run(node, "pkill", "-KILL", "-f", f"^{HOLDER}", ok=(0, 1))
            self.ask(node, "sh", "-c", WHOLE_DISK)
        for resource in (PRIMARY, GUEST):
            self.ask(self.nodes[0], "crm_resource", "--clear", "--resource", resource)
        self.ask(self.nodes[0], "crm_resource", "--cleanup")
        self.wait("the pair is well again", self.is_well)

    def guest(self, role):
        """Have the guest started or stopped by the cluster, and wait until it is."""
        change = ("--meta", "--set-parameter", "target-role", "--parameter-value", role)
        self.run(self.nodes[0], "crm_resource", "--resource", GUEST, *change)
        wanted = 1 if role == "Started" else 0
        self.wait(f"the guest is {role}", lambda: len(self.places(GUEST)) == wanted)


HOLDER = "kvmha-holds-the-device"

WHOLE_DISK = """\
size=$(blockdev --getsz /dev/mapper/data)
dmsetup table data | grep -q linear && exit 0
dmsetup suspend --noflush --nolockfs data
for disk in /dev/ubdb /dev/vdb; do [ ! -b $disk ] || break; done
dmsetup load data --table "0 $size linear $disk 0" && dmsetup resume data
drbdadm attach web1
"""
"""Gives the data disk back to DRBD if a drill has put an error in its place."""

BROKEN_DISK = """\
size=$(blockdev --getsz /dev/mapper/data)
dmsetup suspend --noflush --nolockfs data
dmsetup load data --table "0 $size error" && dmsetup resume data
"""
"""Puts an error in the place of the data disk, from one moment to the next."""


def allows_two(pair, node):
    """Tell whether the kernel of a node allows two primaries."""
    return drbd.option(pair.run(node, *drbd.show_argv(RESOURCE)).out, "allow-two-primaries") == "yes"
