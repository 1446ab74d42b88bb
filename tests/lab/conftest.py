"""One real cluster for all lab tests: three nodes, fencing, three guests and a floating IP.

It is made once per session, put back into its first state between tests, and removed at the end. A test that fails
leaves the logs of all nodes under build/lab/.
"""

from __future__ import annotations

import os
import re

import pytest

from kvmha.host import Host
from kvmha.lab.lab import Lab, find
from kvmha.lab.plan import make_plan
from kvmha.tools import crm_mon
from tests.lab.head_start import HeadStart
from tests.lab.moving_guest import census, unmanaged

__all__ = ["census", "unmanaged"]

BACK_LIMIT = 240.0
"""Seconds until a cluster that was hurt has all its nodes and resources back; far above what it takes."""


def pytest_collection_modifyitems(items):
    """Mark everything in this folder, and let it run last: what is quick to fail should fail first."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.lab)
    items.sort(key=lambda item: item.get_closest_marker("lab") is not None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Keep each phase's result where fixtures can see it, and collect the nodes' logs at once after a failure."""
    result = yield
    report = result.get_result()
    lab = item.session.stash.get(LAB, None)
    if report.failed and lab is not None:
        folder = f"{item.config.rootpath}/build/lab/{re.sub(r'[^A-Za-z0-9._-]+', '-', item.name)}"
        lab.collect_logs(folder)
        report.sections.append(("logs of all nodes", folder))


LAB, AHEAD, BEFORE = pytest.StashKey(), pytest.StashKey(), pytest.StashKey()
"""The lab of this session, the process that makes it while another test runs, and that test."""

ASK = """\
import socket, sys
client = socket.create_connection((sys.argv[1], 7000), 2)
client.settimeout(2)
print(client.recv(200).decode())
"""


class Cluster:
    """What tests do with the lab."""

    def __init__(self, lab: Lab, host: Host) -> None:
        self.lab = lab
        self.host = host
        self.plan = lab.plan
        self.nodes = tuple(node.name for node in lab.plan.nodes)
        self.guests = tuple(guest.name for guest in lab.plan.guests)

    def run(self, node, *argv, timeout=60, ok=(0,), given=""):
        """Run a command in a node."""
        return self.lab.run(node, *argv, timeout=timeout, ok=ok, given=given)

    def status(self, node=None):
        """Return what a node's crm_mon says, or None."""
        node = node or next(name for name in self.nodes if self.lab.leader(name))
        return crm_mon.parse(self.run(node, *crm_mon.ARGV, ok=None).out)

    def places(self, node=None):
        """Return the nodes of every resource, by name, as one node sees them."""
        status = self.status(node)
        return {resource.name: resource.nodes for resource in status.resources} if status else {}

    def wait(self, what, condition, limit=BACK_LIMIT):
        """Wait until a condition holds and return what it returned; fail with ``what`` when it never does."""
        until = self.host.now() + limit
        while True:
            found = condition()
            if found:
                return found
            if self.host.now() > until:
                pytest.fail(f"{what}: not within {limit:.0f} s; the cluster says: {self.status()}")
            self.host.sleep(0.5)

    def agent(self, node, name, action, *, instance="test", ok=None, timeout=120, meta=(), env=(), **params):
        """Run an agent as Pacemaker's executor does, and return the finished command."""
        words = [f"OCF_RESKEY_{key}={value}" for key, value in params.items()]
        words += [f"OCF_RESKEY_CRM_meta_{key}={value}" for key, value in meta]
        words += [f"{key}={value}" for key, value in env]
        return self.run(
            node, "env", "-i", "PATH=/usr/bin:/usr/sbin:/bin:/sbin", "OCF_ROOT=/usr/lib/ocf",
            f"OCF_RESOURCE_INSTANCE={instance}", *words,
            f"/usr/lib/ocf/resource.d/kvmha/{name}", action, timeout=timeout, ok=ok,
        )  # fmt: skip

    def qemu_pids(self, node, guest):
        """Return the ids, in the node, of a guest's QEMU processes."""
        uuid = self.plan.guest(guest).uuid
        return self.run(node, "pgrep", "--full", f"[-]uuid {uuid}", ok=(0, 1)).out.split()

    def boot_id(self, guest):
        """Return the boot id that a guest tells a client, or nothing when it does not answer."""
        done = self.host.run(
            "nsenter", f"--net=/run/netns/{self.plan.netns}", "/usr/bin/python3", "-IS", "-c",
            ASK, self.plan.guest(guest).address, timeout=10, ok=None,
        )  # fmt: skip
        return next((word[5:] for word in done.out.split() if word.startswith("boot=")), "")

    def look_away(self, resource, node):
        """Put a resource into maintenance, in which the cluster does not even monitor it."""
        self._maintenance(resource, node, "--set-parameter", "maintenance", "--parameter-value", "true")

    def look_again(self, resource, node):
        """Let the cluster have a resource back; what it knows of it is asked anew before it acts again."""
        self.run(node, "crm_resource", "--cleanup", "--resource", resource)
        self._settle(node)
        self._maintenance(resource, node, "--delete-parameter", "maintenance")
        self.wait("the cluster is well", self.is_well)

    def _maintenance(self, resource, node, *change):
        self.run(node, "crm_resource", "--resource", resource, "--meta", *change)
        self._settle(node)

    def _settle(self, node):
        self.run(node, "crm_resource", "--wait", "--timeout", "60s", timeout=90)

    def is_well(self):
        """Tell whether all nodes are online and clean, and every resource runs once, unfailed, with nothing pending."""
        status = self.status()
        return (
            status is not None
            and status.is_quorate
            and {node.name for node in status.nodes if node.is_online and not node.is_unclean and not node.is_standby}
            == set(self.nodes)
            and all(len(r.nodes) == 1 and not r.is_failed and not r.pending for r in status.resources)
        )

    def restore(self):
        """Give back power and cables, clear failures and constraints of tests, and bring every guest home."""
        for node in self.nodes:
            self.lab.heal(node)
            self.lab.power(node, "on")
        self.wait("a node answers", lambda: self.status() is not None)
        node = self.nodes[0]
        self.wait("all nodes are online", self._all_online)
        for resource in (*self.guests, "vip"):
            self.run(node, "crm_resource", "--clear", "--resource", resource, ok=None)
        self.run(node, "crm_resource", "--cleanup", ok=None)
        self.wait("the cluster is well", self.is_well)
        for guest in self.plan.guests:
            if self.places().get(guest.name) != (guest.prefers,):
                self.move(guest.name, guest.prefers)
        self.wait("the cluster is well", self.is_well)

    def move(self, resource, node):
        """Move a resource and take the constraint away again."""
        self.run(node, "crm_resource", "--move", "--resource", resource, "--node", node)
        try:
            self.wait(f"{resource} is on {node}", lambda: self.places().get(resource) == (node,))
            self.wait("the cluster is well", self.is_well)
        finally:
            self.run(node, "crm_resource", "--clear", "--resource", resource, ok=None)

    def _all_online(self):
        status = self.status()
        return status is not None and {n.name for n in status.nodes if n.is_online} == set(self.nodes)


def pytest_collection_finish(session):
    """Find the test before the first one that needs the lab."""
    first = next((number for number, item in enumerate(session.items) if "lab" in item.fixturenames), 0)
    if first > 0 and os.geteuid() == 0 and "KVMHA_TEST_LAB" not in os.environ:
        session.stash[BEFORE] = session.items[first - 1]


def pytest_runtest_setup(item):
    """Begin to make the lab beside the test before: that has another lab, and waits for it most of the time."""
    if item.session.stash.get(BEFORE, None) is item:
        host = Host()
        item.session.stash[AHEAD] = HeadStart(host, new_lab(host))


def pytest_sessionfinish(session):
    """Remove what was begun and never needed, as after ^C."""
    if AHEAD in session.stash:
        session.stash[AHEAD].give_up()


def new_lab(host):
    """Return the lab of this session, which is still to be made."""
    return Lab(host, make_plan(f"test-{os.getpid()}", suite=os.environ.get("KVMHA_TEST_SUITE", "bookworm")))


@pytest.fixture(scope="session")
def lab(request):
    """The lab of this session. KVMHA_TEST_LAB names one that is up already, and stays so."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root")
    host = Host()
    if name := os.environ.get("KVMHA_TEST_LAB"):
        request.session.stash[LAB] = find(host, name)
        yield request.session.stash[LAB]
        return
    if AHEAD in request.session.stash:
        request.session.stash[AHEAD].finish()
        del request.session.stash[AHEAD]
    lab = new_lab(host)
    request.session.stash[LAB] = lab
    try:
        lab.up(lambda _phase, _text: None)
        yield lab
    finally:
        lab.down()
        del request.session.stash[LAB]


@pytest.fixture
def cluster(lab):
    """The lab's cluster, well and with every guest at home, before each test and after it."""
    cluster = Cluster(lab, Host())
    if not cluster.is_well() or any(cluster.places()[g.name] != (g.prefers,) for g in cluster.plan.guests):
        cluster.restore()
    return cluster
