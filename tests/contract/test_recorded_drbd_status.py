"""kvmha status on pairs with real DRBD, as they were: the configuration and what crm_mon said, taken in the lab.

Two nodes with kernels of their own and DRBD 8.4, Pacemaker 2.1.5. The configuration is that on disk, which has no
state; the state is put together from what crm_mon said at that moment: promotion scores, and what failed.
"""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kvmha.cli.main import main
from kvmha.policy.protection import BAD, REDUCED, WELL
from kvmha.tools import corosync_conf, crm_mon, crm_simulate
from tests.fakes import FakeHost

RECORDED = Path(__file__).parent / "recorded/pacemaker-2.1.5/drbd"
NAMES = sorted(path.name.partition(".")[0] for path in RECORDED.glob("*.crm_mon.xml"))


def state_of(shown):
    """Return the status section that goes with what crm_mon showed."""
    status = ElementTree.Element("status")
    for node in shown.iterfind("nodes/node"):
        state = ElementTree.SubElement(status, "node_state", id=node.get("id"), uname=node.get("name"))
        passing = ElementTree.SubElement(ElementTree.SubElement(state, "transient_attributes"), "instance_attributes")
        for each in shown.iterfind(f"node_attributes/node[@name='{node.get('name')}']/attribute"):
            ElementTree.SubElement(passing, "nvpair", name=each.get("name"), value=each.get("value"))
        ran = ElementTree.SubElement(ElementTree.SubElement(state, "lrm"), "lrm_resources")
        for each in shown.iterfind(f"failures/failure[@node='{node.get('name')}']"):
            name = each.get("op_key").rpartition(f"_{each.get('task')}_")[0]
            ElementTree.SubElement(
                ElementTree.SubElement(ran, "lrm_resource", id=name),
                "lrm_rsc_op",
                {
                    "id": f"{name}_last_failure_0", "operation": each.get("task"), "interval": each.get("interval"),
                    "rc-code": each.get("exitcode"), "exit-reason": each.get("exitreason"),
                },
            )  # fmt: skip
    return status


@pytest.fixture
def ask(capsys, monkeypatch):
    """Return a function that asks on a node of a recorded pair: the exit code, and what was printed."""
    monkeypatch.setenv("COLUMNS", "80")

    def asked(name: str, *words: str) -> tuple[int, str]:
        host = FakeHost()
        said = (RECORDED / f"{name}.crm_mon.xml").read_text()
        shown = ElementTree.fromstring(said)
        root = ElementTree.parse(RECORDED / f"{name}.cib.xml").getroot()
        for old in root.findall("status"):
            root.remove(old)
        root.append(state_of(shown))
        part = ElementTree.Element("cluster_status")
        part.extend([shown.find("nodes"), shown.find("resources")])
        seen = ElementTree.Element("pacemaker-result")
        seen.append(part)
        host.commands["cibadmin", "--query"] = ElementTree.tostring(root, encoding="unicode")
        host.commands[crm_mon.ARGV] = said
        host.commands[crm_simulate.STATE_ARGV] = ElementTree.tostring(seen, encoding="unicode")
        host.files[corosync_conf.PATH] = (RECORDED / "corosync.conf").read_bytes()
        code = main(["status", *words], host)
        return code, capsys.readouterr().out

    return asked


def point(text: str, name: str) -> tuple[str, str]:
    return next((each["level"], each["said"]) for each in json.loads(text)["points"] if each["name"] == name)


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_pair_is_told_as_text_and_as_json(ask, name):
    code, text = ask(name)
    assert code == 1
    assert all(word in text for word in ("nodes", "quorum", "fencing", "disks", "actions", "web1"))
    assert max(len(line) for line in text.splitlines()) <= 80
    _, text = ask(name, "--json")
    assert {node["name"] for node in json.loads(text)["nodes"]} == {"n1", "n2"}
    assert json.loads(text)["unread"] == []


@pytest.mark.parametrize(
    ("name", "level", "said"),
    [
        ("both", WELL, "1 DRBD resources are up to date on two nodes or more"),
        ("alone", REDUCED, "web1 is up to date on n2 alone"),
        ("peer-lost", REDUCED, "web1 is up to date on n2 alone"),
        ("split", REDUCED, "web1 is up to date on n1 alone"),
    ],
)
def test_where_the_data_are_is_told_by_the_scores_that_drbd_had(ask, name, level, said):
    assert point(ask(name, "--json")[1], "disks") == (level, said)


def test_a_split_brain_is_told_in_the_words_of_the_node_that_may_not_go_on(ask):
    level, said = point(ask("split", "--json")[1], "actions")
    assert level in (REDUCED, BAD)
    assert "may both have been written since they parted" in said


def test_the_only_copy_decides_who_should_survive_while_the_pair_is_whole(ask):
    assert (
        "n1 should survive a split (disks that only it has up to date: 1 against 0)"
        in point(ask("split", "--json")[1], "split")[1]
    )
    _, text = ask("alone", "--json")
    assert "split" not in {each["name"] for each in json.loads(text)["points"]}
    assert point(text, "nodes")[0] != WELL
