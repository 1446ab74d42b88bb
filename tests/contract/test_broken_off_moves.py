"""What Pacemaker's scheduler makes of a move on DRBD that it has broken off half way, because something else changed.

It then waits for what is under way and plans anew, from what the nodes have reported by then. Each case has the actions
of the move that are done, and what follows.
"""

from __future__ import annotations

import copy
from xml.etree import ElementTree

import pytest

from tests.contract.test_constraints import HOST, ours

MOVE = (
    "primary-r1 migrate_to n1", "primary-r1 migrate_from n2", "web1 migrate_to n1", "web1 migrate_from n2",
    "web1 stop n1", "primary-r1 stop n1",
)  # fmt: skip
KEY = "{number}:5:0:8b2f6a4e-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A pair, its guest on n1."""
    missing = [name for name in ("crm_simulate", "crm_verify", "crm_resource") if HOST.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; they are in a lab node (tests/lab/test_contract_in_node.py)")
    return ours(tmp_path_factory.mktemp("cib"), nodes=2, replicas=2)


def broken_off(cluster, done):
    """Return what follows where so many actions of the move to n2 have succeeded."""
    path = cluster.folder / "broken.xml"
    path.write_text(cluster.path.read_text())
    HOST.run("crm_resource", "-r", "web1", "--move", "-N", "n2", timeout=60, env={"CIB_file": str(path)})
    tree = ElementTree.parse(path)
    digests = {name: last(tree, "n1", name).get("op-digest") for name in ("primary-r1", "web1")}
    for number, (name, task, node) in enumerate((action.split() for action in MOVE[:done]), start=100):
        operation = last(tree, node, name)
        for monitor in of(tree, node, name).findall(f"lrm_rsc_op[@id='{name}_monitor_10000']"):
            of(tree, node, name).remove(monitor)
        key = KEY.format(number=number)
        operation.attrib.update(
            {
                "operation": task, "operation_key": f"{name}_{task}_0", "call-id": str(number), "rc-code": "0",
                "transition-key": key, "transition-magic": f"0:0;{key}", "op-digest": digests[name],
            }
        )  # fmt: skip
        if task.startswith("migrate"):
            operation.attrib.update({"migrate_source": "n1", "migrate_target": "n2"})
    following = copy.copy(cluster)
    following.path = path
    tree.write(path)
    return following.after()


def of(tree, node, name):
    return tree.find(f"status/node_state[@uname='{node}']//lrm_resource[@id='{name}']")


def last(tree, node, name):
    return of(tree, node, name).find(f"lrm_rsc_op[@id='{name}_last_0']")


@pytest.mark.parametrize("done", [0, 1, 4, 5, 6])
def test_what_is_left_of_the_move_is_done(cluster, done):
    move = broken_off(cluster, done)
    assert move.actions == list(MOVE[done:])
    assert move.until_settled() == []


def test_a_guest_that_has_gone_over_is_found_running_by_its_start(cluster):
    """The stop finds nothing on the node that it left, and ocf:kvmha:VirtualDomain starts no guest that runs."""
    assert broken_off(cluster, 3).actions == ["web1 stop n1", "primary-r1 stop n1", "web1 start n2"]


def test_between_the_two_moves_the_guest_is_restarted(cluster):
    """The one moment in which Pacemaker gives a live move up, whatever it was that changed."""
    move = broken_off(cluster, 2)
    assert move.words == {"web1": "Move"}
    assert move.actions == ["web1 stop n1", "primary-r1 stop n1", "web1 start n2"]
    assert move.until_settled() == []
