"""The survivor of a pair: computed, seen to, and then the one that is left when the two no longer see each other."""

from __future__ import annotations

import json
import os

import pytest

from kvmha.host import Host
from kvmha.lab.census import Census
from kvmha.lab.lab import Lab
from kvmha.lab.plan import make_plan
from tests.lab.conftest import LAB, Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HOME = {"web1": "n1", "web2": "n2"}


@pytest.fixture(scope="module")
def made(request):
    """A lab of two nodes, beside that of the session."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root")
    suite = os.environ.get("KVMHA_TEST_SUITE", "bookworm")
    lab = Lab(Host(), make_plan(f"pair-{os.getpid()}", nodes=2, suite=suite))
    before = request.session.stash.get(LAB, None)
    request.session.stash[LAB] = lab
    try:
        lab.up(lambda _phase, _text: None)
        yield lab
    finally:
        lab.down()
        if before is None:
            del request.session.stash[LAB]
        else:
            request.session.stash[LAB] = before


@pytest.fixture
def pair(made):
    """The pair, well and with every guest at home."""
    cluster = Cluster(made, Host())
    if not cluster.is_well() or any(cluster.places()[g.name] != (g.prefers,) for g in cluster.plan.guests):
        cluster.restore()
    return cluster


def set_priority(pair, guest, value):
    pair.run("n1", "crm_resource", "--resource", guest, "--meta", "--set-parameter", "priority",
             "--parameter-value", value)  # fmt: skip
    pair.run("n1", "crm_resource", "--wait", "--timeout", "60s", timeout=90)


def survivor(pair, *words, ok=(0,)):
    return json.loads(pair.run("n1", "kvmha", "survivor", "--json", *words, timeout=90, ok=ok).out)


def whatif(pair, *words):
    return json.loads(pair.run("n1", "kvmha", "whatif", *words, "--json", timeout=120, ok=(0, 1)).out)["phases"][0]


@pytest.mark.parametrize("guest", ["web2", "web1"])
def test_the_node_that_was_computed_is_the_one_that_survives_a_split(pair, guest):
    node = HOME[guest]
    rival = next(name for name in pair.nodes if name != node)
    for name in HOME:
        set_priority(pair, name, "10" if name == guest else "0")
    for name in pair.nodes:
        # As the timer does every day: how long a fence device takes is known from it.
        pair.run(name, "kvmha", "fence", "prove", "--here", timeout=120)
    done = survivor(pair, "--apply")
    assert (done["choice"]["node"], done["choice"]["rival"]) == (node, rival), done
    # What it wrote starts a fence device anew, which has to be over before trouble comes.
    pair.run("n1", "crm_resource", "--wait", "--timeout", "60s", timeout=90)
    seen_to = survivor(pair)
    assert (seen_to["act"], seen_to["choice"]["node"]) == ("keep", node), seen_to
    predicted = whatif(pair, "cut", rival)
    assert predicted["outlook"]["acting"] == [node], predicted["outlook"]
    places = {fate["name"]: tuple(fate["after"]) for fate in predicted["fates"] if fate["name"] in pair.guests}

    leaders = {name: pair.lab.leader(name) for name in pair.nodes}
    census = Census(pair.host, {each.name: f"/run/netns/{each.netns}" for each in pair.plan.nodes})
    with census:
        pair.lab.cut(rival)
        pair.wait("the guests run where it was predicted", lambda: found(pair, node) == places)
        pair.lab.heal(rival)
        pair.wait("the pair is whole again", pair.is_well)
    assert pair.lab.leader(node) == leaders[node], f"{node} was fenced, and {rival} survived"
    assert pair.lab.leader(rival) != leaders[rival], f"{rival} was never fenced"
    assert not census.twice


def found(pair, node):
    places = pair.places(node)
    return {name: places.get(name) for name in pair.guests}


def test_what_was_decided_about_the_survivor_can_be_made_again(pair):
    set_priority(pair, "web1", "0")
    set_priority(pair, "web2", "20")
    survivor(pair, "--apply")
    listed = json.loads(pair.run("n1", "kvmha", "decisions", "--json").out)
    entry = next(each for each in listed if each["kind"] == "survivor")
    assert entry["subject"] == "survivor n2"
    assert "the same answer" in pair.run("n1", "kvmha", "replay", entry["id"]).out
