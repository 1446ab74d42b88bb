"""Drills that need DRBD, or a kernel of the node's own, run on one of the pair as an administrator does."""

from __future__ import annotations

import json

import pytest

from kvmha.drill import catalogue, faults
from tests.lab.drbd.pair import GUEST
from tests.lab.drbd.writer import Writer, checksum
from tests.lab.root_logins import root_logins

LIMIT = 900
DATA = "/dev/mapper/data"


@pytest.fixture(scope="module")
def logged_in(uml_lab):
    """Each node's root may log in on the other, and all fencing was tried."""
    nodes = [node.name for node in uml_lab.plan.nodes]
    with root_logins(uml_lab, nodes):
        for node in nodes:
            uml_lab.run(node, "kvmha", "fence", "prove", "--here", "--count", "1", timeout=200)
        yield


def run(pair, runner, target, name, *more):
    """Run a drill and return its outcome, whatever it is."""
    words = ["--node", target, "--despite", "room", "--limit", "420", "--json", *more]
    if catalogue.find(name).is_destructive:
        words += ["--destructive", "--confirm", target]
    return json.loads(pair.run(runner, "kvmha", "drill", "run", name, *words, timeout=LIMIT, ok=(0, 1)).out)


def check_whole(pair, outcome):
    """Check that a drill ended as it should, and that no node shows that there was one."""
    assert (outcome["result"], outcome["breaches"]) == ("passed", []), (outcome["said"], outcome["log"])
    pair.wait("the pair is well again", pair.is_well)
    for node in pair.nodes:
        assert pair.run(node, "ls", faults.STATE, ok=None).rc != 0
        assert faults.TABLE not in pair.run(node, "nft", "list", "tables").out
        assert "error" not in pair.run(node, "dmsetup", "table", DATA).out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more"),
    [
        pytest.param("drbd-cut", (), id="drbd-cut"),
        pytest.param("disk-error", ("--path", DATA), id="disk-error"),
        pytest.param("link-delay", (), id="link-delay"),
        pytest.param("link-loss", (), id="link-loss"),
    ],
)
def test_what_only_the_other_side_should_notice_disturbs_no_writer(pair, logged_in, name, more):
    here, there = pair.sides()
    writer = Writer(pair, here, f"{name}{pair.host.now():.0f}")
    try:
        writer.write_at_least(50)
        check_whole(pair, run(pair, here, there, name, *more))
        writer.write_at_least(50)
        writer.stop()
        assert checksum(pair, here, writer.safe) == writer.expected()
    finally:
        writer.close()


@pytest.mark.slow
def test_a_kernel_that_crashes_is_fenced_and_loses_nothing_that_was_acknowledged(guests_pair, logged_in):
    """The guest writes all the time what a client sends it; storage comes before it on the other node's timeline."""
    pair = guests_pair
    (home,) = pair.places(GUEST)
    runner = next(node for node in pair.nodes if node != home)
    address = pair.plan.guest(GUEST).address
    pair.wait("the guest answers", lambda: "boot=" in pair.ask(runner, "python3", "-IS", "-c", HEAR, address))
    outcome = run(pair, runner, home, "kernel-crash", f"--writes={GUEST}=tcp://{address}:7000",
                  f"--watch={GUEST}=tcp://{address}:7000")  # fmt: skip
    check_whole(pair, outcome)
    (written,) = outcome["written"]
    assert (written["lost"], written["said"]) == ([], "")
    assert written["acknowledged"] > 10
    phases = [each["phase"] for each in outcome["moments"] if each["subject"] == GUEST]
    assert phases.index("storage ready") < phases.index("process up") < phases.index("answers")


HEAR = """\
import socket, sys
client = socket.create_connection((sys.argv[1], 7000), 5)
client.settimeout(5)
print(client.recv(200).decode())
"""
