"""kvmha migrate, drain and undrain on a real cluster: guests that arrive, and guests that stay, never restarted."""

from __future__ import annotations

import json

import pytest

GUEST, NODE, TARGET = "web3", "n3", "n2"


@pytest.fixture
def slow(cluster):
    """A guest that has no time to arrive: its memory takes minutes, and its move has less."""
    change(cluster, "--set-parameter", "migration_bandwidth", "--parameter-value", "1")
    set_timeout(cluster, "40s")
    yield cluster
    set_timeout(cluster, "120s")
    change(cluster, "--delete-parameter", "migration_bandwidth")


def change(cluster, *words):
    cluster.run(NODE, "crm_resource", "--resource", GUEST, *words)
    cluster.run(NODE, "crm_resource", "--wait", "--timeout", "60s", timeout=90)


def set_timeout(cluster, timeout):
    op = f'<op id="{GUEST}-migrate_to-interval-0s" name="migrate_to" interval="0s" timeout="{timeout}"/>'
    cluster.run(NODE, "cibadmin", "--modify", "--xml-text", op)


def kvmha(cluster, *words, node=NODE, timeout=240, ok=(0,)):
    return cluster.run(node, "kvmha", *words, timeout=timeout, ok=ok)


def remains(cluster):
    """Return what a move has left in the configuration."""
    text = cluster.run(NODE, "cibadmin", "--query", "--scope", "configuration").out
    return [word for word in ("kvmha-move", "on-fail") if word in text]


def test_a_guest_arrives_with_its_memory_and_nothing_is_left_in_the_configuration(cluster):
    before = cluster.wait("the guest answers", lambda: cluster.boot_id(GUEST))
    found = json.loads(kvmha(cluster, "migrate", GUEST, TARGET, "--json").out)
    assert (found["result"], found["source"], found["target"]) == ("moved", NODE, TARGET)
    assert found["downtime_ms"] is not None
    assert all(each["is_well"] for each in found["check"])
    assert (cluster.boot_id(GUEST), cluster.places()[GUEST]) == (before, (TARGET,))
    assert remains(cluster) == []
    past = json.loads(cluster.run(NODE, "cat", f"/var/lib/kvmha/migrations/{GUEST}.json").out)[-1]
    assert (past["result"], past["target"], past["forecast_s"] > 0) == ("moved", TARGET, True)


def test_a_guest_whose_move_is_given_up_keeps_its_process(slow):
    before = slow.qemu_pids(NODE, GUEST)
    done = kvmha(slow, "migrate", GUEST, TARGET, "--json", ok=(1,))
    found = json.loads(done.out)
    assert (found["result"], "it had not ended after" in found["reason"]) == ("stayed", True)
    assert (slow.qemu_pids(NODE, GUEST), slow.qemu_pids(TARGET, GUEST)) == (before, [])
    assert remains(slow) == []
    slow.wait("the cluster is well", slow.is_well)
    assert slow.qemu_pids(NODE, GUEST) == before


def test_an_interrupted_command_aborts_the_move(slow):
    before = slow.qemu_pids(NODE, GUEST)
    done = slow.run(
        NODE, "timeout", "--preserve-status", "--signal=INT", "10", "kvmha", "migrate", GUEST, TARGET,
        timeout=120, ok=None,
    )  # fmt: skip
    assert (done.rc, "aborted by the operator" in done.out) == (130, True)
    slow.wait("the cluster is well", slow.is_well)
    assert (slow.qemu_pids(NODE, GUEST), remains(slow)) == (before, [])


def test_a_guest_that_is_shut_down_and_started_elsewhere(cluster):
    found = json.loads(kvmha(cluster, "migrate", GUEST, TARGET, "--cold", "--json").out)
    assert (found["result"], found["is_cold"]) == ("moved", True)
    assert cluster.places()[GUEST] == (TARGET,)
    assert remains(cluster) == []


def test_a_node_is_drained_and_used_again(cluster):
    boots = {name: cluster.wait(f"{name} answers", lambda name=name: cluster.boot_id(name)) for name in cluster.guests}
    plan = json.loads(kvmha(cluster, "drain", NODE, "--dry-run", "--json").out)
    assert [item["guest"] for item in plan["items"]] == [GUEST]
    found = json.loads(kvmha(cluster, "drain", NODE, "--json", node="n1").out)
    assert (found["is_empty"], [move["result"] for move in found["moves"]]) == (True, ["moved"])
    assert all(NODE not in nodes for nodes in cluster.places("n1").values())
    assert {name: cluster.boot_id(name) for name in cluster.guests} == boots
    kvmha(cluster, "undrain", NODE, node="n1")
    cluster.wait("the cluster is well", cluster.is_well)
    assert remains(cluster) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("migrate", "web9", TARGET), '"web9" is no guest of this cluster'),
        (("migrate", GUEST, "n9"), '"n9" is no node of this cluster'),
        (("migrate", GUEST, NODE), f"{GUEST} runs on {NODE} already"),
        (("drain", "n9"), '"n9" is no node of this cluster'),
        (("undrain", TARGET), f"{TARGET} is not in standby"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(cluster, words, said):
    done = kvmha(cluster, *words, ok=(2,))
    assert done.err.startswith("kvmha: ")
    assert said in done.err
    assert len(done.err.splitlines()) == 1
