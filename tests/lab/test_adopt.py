"""Guests and an address of the shell agents are taken over while they run, and given back."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvmha.host import Host
from kvmha.lab.observation import Observation
from kvmha.lab.watcher import PATIENCE, longest_gap
from kvmha.tools import cib
from kvmha.tools.cib import editing
from tests.lab.conftest import Cluster

SHELL = {"VirtualDomain": ("heartbeat", "VirtualDomain"), "FloatingIP": ("heartbeat", "IPaddr2")}
OURS = {"VirtualDomain": "VirtualDomain", "IPaddr2": "FloatingIP"}

# Runs a verb, and ends itself after so many changes to the cluster, as an unlucky SIGKILL would.
MORTAL = """\
import os, sys
from kvmha.cli.main import main
from kvmha.host import Host

class Mortal(Host):
    left = int(sys.argv[1])

    def run(self, *argv, **words):
        done = super().run(*argv, **words)
        if "--patch" in argv or "--refresh" in argv:
            self.left -= 1
            if not self.left:
                os._exit(137)
        return done

sys.exit(main(sys.argv[2:], Mortal()))
"""

# What is written between a program's look at the configuration and its own write has to be there in the end.
RIVALS = """\
from kvmha.host import Host
from kvmha.tools import cib
from kvmha.tools.cib import editing

host, seen = Host(), []

def edit(root):
    if not seen:
        host.run("crm_attribute", "--type", "crm_config", "--name", "cluster-recheck-interval", "--update", "11min",
                 timeout=30)
    seen.append(root.get("epoch"))
    owner = editing.element(root, "cib-bootstrap-options")
    editing.set_value(root, owner.getparent(), "cluster_property_set", "dc-deadtime", "21s")

cib.change(host, edit)
print(len(seen))
"""


class Adopted(Cluster):
    """The lab's cluster, with what an adoption is looked at by."""

    def adopt(self, node, *words, ok=(0,), after=0):
        argv = ("python3", "-c", MORTAL, str(after)) if after else ("kvmha",)
        return self.run(node, *argv, "adopt", *words, ok=ok, timeout=400)

    def agents(self):
        seen = cib.read(self.run("n1", "cibadmin", "--query").out)
        return {each.id: each.agent for each in seen.primitives() if each.id in (*self.guests, "vip")}

    def held(self):
        seen = cib.read(self.run("n1", "cibadmin", "--query").out)
        return [each.id for each in seen.primitives() if "maintenance" in each.meta]

    def processes(self):
        return {(guest, node): self.qemu_pids(node, guest) for guest in self.guests for node in self.nodes}


@pytest.fixture(scope="module")
def shell(lab):
    """The lab's cluster with all guests and the address under the shell agents, which have started them."""
    cluster = Adopted(lab, Host())
    if not cluster.is_well():
        cluster.restore()
    saved = cluster.run("n1", "cibadmin", "--query").out
    names = (*cluster.guests, "vip")
    root = cib.tree(saved)
    for name in names:
        primitive = editing.element(root, name)
        provider, kind = SHELL[primitive.get("type")]
        editing.set_agent(primitive, f"ocf:{provider}:{kind}")
    cluster.run("n1", "pcs", "resource", "disable", "--wait=120", *names, timeout=200)
    load(cluster, cib.text_of(root))
    cluster.wait("the shell agents have started all", cluster.is_well)
    yield cluster
    cluster.adopt("n1", "--all")
    load(cluster, saved)
    cluster.wait("the cluster is well", cluster.is_well)


def meanwhile(seen, act):
    """Return what something returns, while the answers of guests are read as they come."""
    with ThreadPoolExecutor(1) as pool:
        doing = pool.submit(act)
        while not doing.done():
            seen.read(0.2)
        return doing.result()


def load(cluster, text):
    """Make a text's resources those of the cluster."""
    cluster.run("n1", "cibadmin", "--replace", "--scope", "resources", "--xml-pipe",
                given=cib.text_of(cib.tree(text).find("configuration/resources")))  # fmt: skip
    cluster.run("n1", "crm_resource", "--wait", "--timeout=120s", timeout=150)


def test_guests_and_their_clients_notice_nothing_forth_and_back(shell):
    processes, places = shell.processes(), shell.places()
    assert {agent.split(":")[1] for agent in shell.agents().values()} == {"heartbeat"}
    boots = {guest: shell.wait(f"{guest} answers", lambda g=guest: shell.boot_id(g)) for guest in shell.guests}
    with Observation(shell.host, shell.lab) as seen:
        seen.read(3)
        first = shell.host.wall_clock()
        done = json.loads(meanwhile(seen, lambda: shell.adopt("n1", "--all", "--json")).out)
        ours = shell.agents()
        meanwhile(seen, lambda: shell.adopt("n2", "--all", "--back"))
        last = shell.host.wall_clock()
        seen.read(3)
        answers = seen.answers
    assert {agent.split(":")[1] for agent in ours.values()} == {"kvmha"}
    assert {agent.split(":")[1] for agent in shell.agents().values()} == {"heartbeat"}
    assert (shell.processes(), shell.places()) == (processes, places)
    assert {each["resource"]: (each["is_same"], each["is_proven"]) for each in done["resources"]} == {
        name: (True, True) for name in (*shell.guests, "vip")
    }
    assert shell.held() == []
    for name, heard in answers.items():
        boot = boots.get(name, "")
        assert {answer.boot for answer in heard} == {boot}, f"{name} booted meanwhile"
        assert heard[0].at < first < last < heard[-1].at
        # A question is given up after PATIENCE; nowhere would three in a row have been in vain.
        gap = longest_gap(heard, first, last)
        assert gap.seconds < 3 * PATIENCE, f"{name} was away for {gap.seconds:.2f} s"


def test_our_agents_are_in_charge_afterwards(shell):
    shell.adopt("n1", "web3", "vip")
    home = shell.places()["web3"][0]
    pid = shell.qemu_pids(home, "web3")
    assert shell.agents()["web3"] == "ocf:kvmha:VirtualDomain"
    shell.run(home, "kill", "-9", *pid)
    shell.wait("it runs again", lambda: shell.is_well() and shell.processes()["web3", home] not in ([], pid))
    shell.run("n1", "crm_resource", "--cleanup", "--resource", "web3")
    shell.wait("the cluster is well", shell.is_well)
    shell.adopt("n1", "web3", "vip", "--back")
    assert shell.agents()["web3"] == "ocf:heartbeat:VirtualDomain"


@pytest.mark.parametrize("changes", [2, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 3, 4))])
@pytest.mark.parametrize("way", ["on", pytest.param("back", marks=pytest.mark.slow)])
def test_a_run_that_was_killed_is_finished_by_another_node_in_either_direction(shell, changes, way):
    processes = shell.processes()
    killed = shell.adopt("n1", "web2", after=changes, ok=(137,))
    assert killed.rc == 137
    shell.adopt("n3", "web2", *(("--back",) if way == "back" else ()))
    wanted = "ocf:kvmha:VirtualDomain" if way == "on" else "ocf:heartbeat:VirtualDomain"
    assert shell.agents()["web2"] == wanted
    assert (shell.held(), shell.processes()) == ([], processes)
    shell.adopt("n2", "web2", "--back")
    assert shell.agents()["web2"] == "ocf:heartbeat:VirtualDomain"
    assert (shell.held(), shell.processes()) == ([], processes)


def test_an_agent_that_does_not_find_its_guest_gives_it_back(shell):
    processes = shell.processes()
    home = shell.places()["web2"][0]
    starter = next(node for node in shell.nodes if node != home)
    agent = "/usr/lib/ocf/resource.d/kvmha/VirtualDomain"
    shell.run(home, "mv", agent, f"{agent}.away")
    try:
        done = shell.adopt(starter, "web2", ok=(1,))
    finally:
        shell.run(home, "mv", f"{agent}.away", agent)
    assert "web2 was" in done.err
    assert "everything has the agent that it had, and runs on" in done.err
    assert shell.agents()["web2"] == "ocf:heartbeat:VirtualDomain"
    assert (shell.held(), shell.processes()) == ([], processes)


def test_what_somebody_else_writes_at_the_same_time_is_kept(shell):
    before = shell.run("n1", "cibadmin", "--query").out
    try:
        assert shell.run("n1", "python3", "-c", RIVALS).out.split() == ["2"]
        seen = cib.read(shell.run("n1", "cibadmin", "--query").out).properties
        assert (seen["cluster-recheck-interval"], seen["dc-deadtime"]) == ("11min", "21s")
    finally:
        shell.run("n1", "cibadmin", "--replace", "--scope", "crm_config", "--xml-pipe",
                  given=cib.text_of(cib.tree(before).find("configuration/crm_config")))  # fmt: skip
