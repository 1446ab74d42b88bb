"""What a lab consists of: names, addresses and paths, worked out from its name and size before anything is made.

All labs use the same addresses, since each has network namespaces of its own. The plan is the first file that a lab
writes and the last one that it removes: with it, whatever was made can be found and undone.
"""

from __future__ import annotations

import os

from kvmha.errors import UserError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SUITES = ("bookworm", "trixie")
CONTAINER, UML, VAGRANT = "container", "uml", "vagrant"
KERNELS = (CONTAINER, UML, VAGRANT)
DISK, DISKLESS = "disk", "diskless"
SBD = ("", DISK, DISKLESS)
SIZES = (2, 3)
LINKS = (0, 1)
MOST_GUESTS = 3
REPLICATED_GUESTS = 1
"""One processor that emulates another has enough to do with one, and the nodes have one data disk each."""

QUORUM_DEVICE = "q1"
QUORUM_NUMBER = 9
"""The machine of the quorum device, and what its addresses end with beside 20 (the same in vagrant/Vagrantfile)."""

MACHINE_PREFIX = "kvmha-"
"""What libvirt calls the machines and networks of Vagrant begins with it (the same stands in vagrant/Vagrantfile)."""

STATE = "/var/lib/kvmha/lab"
CACHE = "/var/cache/kvmha/lab"

MARK = "KVMHA_LAB"
"""In the environment of every process that a lab starts on the machine itself: the folder of the lab."""

BMC_USER = "kvmha"
BMC_PASSWORD = "kvmha"
HACLUSTER_PASSWORD = "kvmha-lab"
"""Both guard nothing: they are reachable only from inside the lab's own namespaces."""


class LabError(UserError):
    """A lab cannot be made, found or changed as asked; one sentence."""


class NodePlan(Record):
    """A node: its namespace, its folder, and its addresses on the links, on the management network and of its BMC."""

    name: str
    number: int
    netns: str
    folder: str
    addresses: tuple[str, ...]
    management: str
    bmc: str


class GuestPlan(Record):
    """A guest: identity, address on link 0, and the node that it prefers."""

    name: str
    uuid: str
    mac: str
    address: str
    prefers: str


class LabPlan(Record):
    """A lab; ``folder`` holds all its files, ``netns`` its bridges."""

    name: str
    suite: str
    folder: str
    netns: str
    nodes: tuple[NodePlan, ...]
    guests: tuple[GuestPlan, ...]
    floating_ip: str
    watch_address: str
    sbd: str = ""
    """How nodes fence themselves beside their BMCs: by a shared "disk", or "diskless"; or not at all."""
    quorum_device: bool = False
    """Whether one more machine, q1, gives one half of a split its vote."""
    kernel: str = CONTAINER
    """What the nodes run on: the machine's kernel, or one each of their own (User Mode Linux, virtual machines)."""

    @property
    def has_kernels(self) -> bool:
        """Tell whether every node has a kernel of its own, and with it DRBD."""
        return self.kernel != CONTAINER

    def node(self, name: str) -> NodePlan:
        """Return the node of that name. Raises LabError."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise LabError(f"the lab {self.name} has no node {name}; its nodes are {known}")

    def guest(self, name: str) -> GuestPlan:
        """Return the guest of that name. Raises LabError."""
        for guest in self.guests:
            if guest.name == name:
                return guest
        known = ", ".join(guest.name for guest in self.guests)
        raise LabError(f"the lab {self.name} has no guest {name}; its guests are {known}")


def state_folder() -> str:
    """Return the folder that holds the folders of all labs."""
    return os.environ.get("KVMHA_LAB_STATE", STATE).rstrip("/")


def cache_folder() -> str:
    """Return the folder that holds the images."""
    return os.environ.get("KVMHA_LAB_CACHE", CACHE).rstrip("/")


def why_not_name(name: str) -> str | None:
    """Tell why a lab cannot be called so, or return None.

    The names of namespaces are made of it, and n1 of a lab "a" must not get the namespace of a lab "a-n1".
    """
    import re

    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name) or name.endswith("-"):
        return "it must be 1 to 20 lower-case letters, digits and inner dashes, a letter first"
    if re.search(r"-n[0-9]+$", name):
        return "a name that ends like a node's is ambiguous"
    return None


def make_plan(
    name: str, *, nodes: int = 3, suite: str = "bookworm", kernel: str = CONTAINER, sbd: str = "",
    quorum_device: bool = False, state: str | None = None,
) -> LabPlan:  # fmt: skip
    """Return the plan of a lab. Raises LabError for a name, a size, a suite, a kernel or sbd that no lab can have."""
    reason = why_not_name(name)
    if reason:
        raise LabError(f"--name: {name!r} cannot name a lab: {reason}")
    if nodes not in SIZES:
        raise LabError(f"--nodes: a lab has 2 or 3 nodes, not {nodes}")
    if suite not in SUITES:
        raise LabError(f"--suite: a lab runs {' or '.join(SUITES)}, not {suite!r}")
    if kernel not in KERNELS:
        raise LabError(f"--kernel: the nodes of a lab are {' or '.join(KERNELS)}, not {kernel!r}")
    if sbd not in SBD:
        raise LabError(f"--sbd: nodes fence themselves by {DISK} or {DISKLESS}, not {sbd!r}")
    if quorum_device and (kernel != VAGRANT or nodes != min(SIZES)):
        raise LabError(f"--quorum-device: it is for two nodes of --kernel {VAGRANT}")
    if sbd and kernel != VAGRANT:
        raise LabError(f"--sbd: only nodes of --kernel {VAGRANT} have the watchdog and the disk for it")
    if sbd == DISKLESS and nodes == min(SIZES) and not quorum_device:
        raise LabError("--sbd: without a disk two nodes that lose each other would both have their watchdogs fed; take "
                       f"{DISK}, --quorum-device or --nodes 3")  # fmt: skip
    guests = MOST_GUESTS if kernel == CONTAINER else REPLICATED_GUESTS
    folder = f"{state or state_folder()}/{name}"
    node_plans = tuple(_node(name, number, folder) for number in range(1, nodes + 1))
    return LabPlan(
        name=name,
        suite=suite,
        folder=folder,
        netns=f"kvmha-{name}",
        nodes=node_plans,
        guests=tuple(_guest(name, number, node_plans) for number in range(1, guests + 1)),
        floating_ip="10.77.0.100",
        watch_address="10.77.0.1",
        sbd=sbd,
        quorum_device=quorum_device,
        kernel=kernel,
    )


def _node(lab: str, number: int, folder: str) -> NodePlan:
    return NodePlan(
        name=f"n{number}",
        number=number,
        netns=f"kvmha-{lab}-n{number}",
        folder=f"{folder}/n{number}",
        addresses=tuple(f"10.77.{link}.{10 + number}" for link in LINKS),
        management=f"10.77.9.{20 + number}",
        bmc=f"10.77.9.{10 + number}",
    )


def _guest(lab: str, number: int, nodes: tuple[NodePlan, ...]) -> GuestPlan:
    import uuid

    name = f"web{number}"
    return GuestPlan(
        name=name,
        uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"kvmha:lab:{lab}:{name}")),
        mac=f"52:54:00:6b:00:{50 + number:02x}",
        address=f"10.77.0.{50 + number}",
        prefers=nodes[(number - 1) % len(nodes)].name,
    )


def plan_from(values: dict[str, Any]) -> LabPlan:
    """Return the plan that was written as JSON. Raises KeyError or TypeError for what is none."""
    nodes = tuple(NodePlan(**{**node, "addresses": tuple(node["addresses"])}) for node in values["nodes"])
    guests = tuple(GuestPlan(**guest) for guest in values["guests"])
    return LabPlan(**{**values, "nodes": nodes, "guests": guests})
