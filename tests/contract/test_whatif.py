"""What-if with Pacemaker's own scheduler, on the complete example of three nodes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kvmha import journal
from kvmha.cli.main import main
from kvmha.cluster import description, render
from kvmha.gather.cluster import snapshot_of
from kvmha.host import Host

HOST = Host()

STATE = """\
<node_state id="{number}" uname="n{number}" in_ccm="true" crmd="online" join="member" expected="member">
  <transient_attributes id="{number}"><instance_attributes id="status-{number}">
    <nvpair id="score-{number}" name="drbd-promotion-score-web2" value="{score}"/>
  </instance_attributes></transient_attributes>
  <lrm id="{number}"><lrm_resources/></lrm>
</node_state>"""


@pytest.fixture(scope="module")
def files(tmp_path_factory, checkout):
    """Return the CIB of a running cluster, and its corosync.conf."""
    if HOST.which("crm_simulate") is None:
        pytest.skip("not installed: crm_simulate; it is in a lab node (tests/lab/test_contract_in_node.py)")
    folder = tmp_path_factory.mktemp("whatif")
    made = render.render(description.load(HOST, str(checkout / "cluster-templates/three-node/cluster.yaml")))
    states = "".join(STATE.format(number=number, score=10001 - number) for number in (1, 2, 3))
    cib = re.sub(r"<status\s*/>", "", made["cib.xml"]).replace("</cib>", f"<status>{states}</status></cib>")
    cib = cib.replace("<cib ", '<cib have-quorum="1" dc-uuid="1" crm_feature_set="3.16.1" ', 1)
    path = folder / "cib.xml"
    path.write_text(cib)
    for name in ("begun.xml", "running.xml"):
        HOST.run("crm_simulate", "-x", str(path), "-S", "-O", str(folder / name), timeout=60)
        path = folder / name
    (folder / "corosync.conf").write_text(made["corosync.conf"])
    return str(path), str(folder / "corosync.conf")


@pytest.fixture
def ask(files, capsys):
    """Return a function that asks, and returns the exit code and the answer."""

    def asked(words: str):
        code = main(["whatif", *words.split(), "--cib", files[0], "--corosync-conf", files[1], "--json"], HOST)
        return code, json.loads(capsys.readouterr().out)

    return asked


def fates(answer, phase=0):
    return {fate["name"]: fate for fate in answer["phases"][phase]["fates"]}


def codes(answer, phase=0):
    return {caution["code"] for caution in answer["phases"][phase]["cautions"]}


def at(answer, what, subject):
    (found,) = (m for m in answer["phases"][0]["moments"] if (m["what"], m["subject"]) == (what, subject))
    return found


def test_the_snapshot_of_a_saved_cib_is_complete(files, tmp_path):
    cib, conf = (HOST.read(path) for path in files)
    found = snapshot_of(HOST, cib, conf=conf, folder=str(tmp_path))
    assert [node.name for node in found.nodes if node.is_usable] == ["n1", "n2", "n3"]
    web2 = found.resource("web2")
    assert (web2.nodes, web2.disks, web2.memory_mib, web2.is_movable) == (("n2",), ("web2",), 4096, True)
    assert found.replica_scores("web2") == {"n1": 10000, "n2": 9999, "n3": 9998}
    assert [device.level for device in found.node("n1").fencing] == [1, 2, 2]
    assert found.score("db1", "n1") == -1_000_000
    assert found.quorum.voters[0].name == "n1"
    assert found.unread == ()


def test_the_guests_of_a_dead_node_start_elsewhere_after_its_fencing(ask):
    code, answer = ask("kill n1")
    web1 = fates(answer)["web1"]
    assert (code, web1["how"], web1["before"]) == (0, "starts", ["n1"])
    assert web1["after"] in (["n2"], ["n3"])
    assert at(answer, "lost", "n1")["ends"]["usual_s"] < at(answer, "fence", "n1")["ends"]["usual_s"]
    assert at(answer, "fence", "n1")["ends"]["usual_s"] < at(answer, "start", "web1")["begins"]["usual_s"]
    assert {"fencing-unproven", "no-margin"} <= codes(answer)


def test_nothing_of_a_node_that_cannot_be_fenced_is_started_elsewhere(ask):
    code, answer = ask("kill n1 fail-fencing n1")
    assert (code, answer["alarming"]) == (1, True)
    assert fates(answer)["web1"]["how"] == "held"
    assert at(answer, "start", "web1")["begins"] is None
    assert {"not-fenced", "held"} <= codes(answer)


def test_without_quorum_nothing_starts(ask):
    code, answer = ask("kill n1 kill n2")
    assert code == 1
    assert not [m for m in answer["phases"][0]["moments"] if m["what"] in ("start", "fence")]


def test_a_second_failure_comes_after_the_first_has_settled(ask):
    _, answer = ask("kill n1 then kill n2")
    assert [phase["outlook"]["acting"] for phase in answer["phases"]] == [["n2", "n3"], []]
    assert fates(answer, 1)["web1"]["before"] == fates(answer, 0)["web1"]["after"]


def test_an_event_is_judged_in_the_state_that_the_cluster_is_in_by_then(ask):
    _, answer = ask("standby n1 then online n1 then migrate web1 n2")
    assert [fates(answer, phase)["web1"]["before"] != ["n1"] for phase in range(3)] == [False, True, True]


def test_standby_moves_a_guest_live_with_the_right_to_write_first(ask):
    code, answer = ask("standby n2")
    assert (code, fates(answer)["web2"]["how"]) == (0, "moves live")
    arrived = at(answer, "arrive", "primary-web2")["ends"]["usual_s"]
    assert arrived <= at(answer, "move away", "web2")["begins"]["usual_s"]


def test_a_lost_disk_makes_the_guest_leave_live(ask):
    _, answer = ask("lose-storage n2")
    assert (fates(answer)["web2"]["how"], "disk-stale" in codes(answer)) == ("moves live", False)


def test_a_guest_that_fits_nowhere_is_an_error(ask):
    code, answer = ask("add-guest 1TiB")
    assert (code, fates(answer)["new-guest"]["how"], "not-recovered" in codes(answer)) == (1, "stays down", True)
    assert fates(ask("add-guest 8GiB")[1])["new-guest"]["how"] == "starts"


DEFINITION = """\
<domain><name>{0}</name><uuid>3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01</uuid><memory unit='MiB'>1024</memory><devices>
<interface type='bridge'><source bridge='br0'/></interface>{1}</devices></domain>"""
DONGLE = (
    "<hostdev type='usb'><source><vendor id='0x0529'/><product id='0x0001'/></source></hostdev>"
    "<disk type='file'><source file='/srv/guests/licence1.qcow2'/></disk>"
)


def test_a_guest_that_pacemaker_would_start_where_its_device_lacks_is_an_error(files, tmp_path, capsys):
    """What the nodes have, the rendered CIB says; what the guests need, their definitions."""
    for name in ("web1", "web2", "db1", "licence1"):
        (tmp_path / f"{name}.xml").write_text(DEFINITION.format(name, DONGLE if name == "licence1" else ""))
    words = ["--cib", files[0], "--corosync-conf", files[1], "--definitions", str(tmp_path), "--json"]
    for target in ("n2", "n3"):
        # It runs never beside db1, so that this one makes room for it.
        assert main(["whatif", "migrate", "licence1", target, *words], HOST) == 1
        answer = json.loads(capsys.readouterr().out)
        assert fates(answer)["licence1"]["after"] == [target]
        said = [each["said"] for each in answer["phases"][0]["cautions"] if each["code"] == "lacking"]
        assert said == (["n3: it has no device 0529:0001"] if target == "n3" else [])
    assert main(["status", *words], HOST) == 1
    room = next(point for point in json.loads(capsys.readouterr().out)["points"] if point["name"] == "room")
    assert (room["level"], "not looked at" in room["said"]) == ("well", False)


def test_a_guest_that_takes_the_reserve_is_refused_though_pacemaker_would_start_it(ask, capsys):
    code, answer = ask("add-guest 40GiB")
    assert (code, fates(answer)["new-guest"]["how"], answer["alarming"]) == (1, "starts", True)
    said = [each["said"] for each in answer["phases"][0]["cautions"] if each["code"] == "n-plus-one"]
    assert said
    assert all("lost afterwards" in each for each in said)
    assert "n-plus-one" not in codes(ask("add-guest 8GiB")[1])


def test_one_of_two_links_moves_nothing(ask):
    code, answer = ask("link n1 0")
    assert (code, answer["phases"][0]["moments"]) == (0, [])


def test_a_node_that_is_cut_off_is_fenced_before_its_guests_start_elsewhere(ask):
    code, answer = ask("cut n1")
    assert (code, fates(answer)["web1"]["how"], answer["phases"][0]["outlook"]["lost"]) == (0, "starts", ["n1"])
    assert at(answer, "fence", "n1")["ends"]["usual_s"] < at(answer, "start", "web1")["begins"]["usual_s"]
    assert any("n1: no-quorum-policy=freeze" in said for said in answer["phases"][0]["outlook"]["said"])


def test_a_monitor_that_fails_restarts_the_guest(ask):
    code, answer = ask("fail web1")
    assert (code, fates(answer)["web1"]["how"]) == (0, "starts")
    assert at(answer, "stop", "web1")["ends"]["usual_s"] <= at(answer, "start", "web1")["begins"]["usual_s"]


def test_without_quorum_a_cluster_that_freezes_keeps_what_it_runs(ask):
    code, answer = ask("lose-quorum")
    assert (code, answer["phases"][0]["moments"], answer["phases"][0]["outlook"]["acting"]) == (0, [], [])
    assert {fate["how"] for fate in answer["phases"][0]["fates"]} == {"stays"}


@pytest.mark.parametrize("words", ["link n1 0 link n1 1", "link n1 0 then link n1 1"])
def test_a_node_that_loses_all_its_links_is_cut_off_and_fenced(ask, words):
    code, answer = ask(words)
    last = len(answer["phases"]) - 1
    assert (code, answer["phases"][last]["outlook"]["lost"]) == (1, ["n1"])
    assert fates(answer, last)["web1"]["how"] == "starts"


def test_nodes_without_a_common_link_are_an_error(ask):
    code, answer = ask("link n1 0 link n2 1")
    assert (code, answer["alarming"], "link" in codes(answer)) == (1, True, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("nonsense", "is no XML", id="not-xml"),
        pytest.param("<cib><configuration>", "is no XML", id="truncated"),
        pytest.param("<other/>", "has no <configuration>", id="another-document"),
        pytest.param("<cib><configuration/></cib>", "has no nodes", id="empty"),
    ],
)
@pytest.mark.parametrize("words", [["whatif", "kill", "n1"], ["status"], ["survivor"]], ids=lambda words: words[0])
def test_a_cib_that_is_none_ends_with_one_sentence(tmp_path, capsys, words, text, said):
    path = tmp_path / "cib.xml"
    path.write_text(text)
    refused([*words, "--cib", str(path)], said, capsys)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param('validate-with="pacemaker-3.9"', 'validate-with="pacemaker-9.9"', "pacemaker-9.9", id="version"),
        pytest.param("<resources>", "<resources><nonsense/>", "does not take this CIB", id="schema"),
    ],
)
@pytest.mark.parametrize("words", [["whatif", "kill", "n1"], ["status"], ["survivor"]], ids=lambda words: words[0])
def test_a_cib_that_pacemaker_does_not_take_ends_with_one_sentence(files, tmp_path, capsys, words, old, new, said):
    text = Path(files[0]).read_text()
    changed = re.sub(r'validate-with="[^"]*"', 'validate-with="pacemaker-3.9"', text, count=1).replace(old, new, 1)
    assert changed != text
    path = tmp_path / "cib.xml"
    path.write_text(changed)
    refused([*words, "--cib", str(path)], said, capsys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("kill n9", "kill: there is no node n9; the nodes are n1, n2, n3"),
        ("kill web1", "there is no node web1"),
        ("kill", "kill wants NODE"),
        ("explode n1", 'there is no event "explode"'),
        ("migrate web9 n2", "there is no resource web9"),
        ("migrate web1 n1", "web1 runs on n1 already"),
        ("migrate web1 n2 migrate web1 n3", "web1 is sent away twice"),
        ("add-guest 8Gi", '"8Gi" is no size'),
        ("add-guest -3GiB", "-3GiB"),
        ("kill n1 standby n1", "n1 is struck twice"),
        ("kill n1 then", '"then" stands between two events'),
        ("kill n1 then kill n1", "kill: n1 is offline already"),
        ("kill n1 then migrate web2 n1", "migrate: n1 is offline"),
        ("migrate web1 n2 then migrate web1 n2", "web1 runs on n2 already"),
        ("online n1", "n1 is not in standby"),
    ],
)
def test_an_event_that_makes_no_sense_ends_with_one_sentence(files, capsys, words, said):
    refused(["whatif", *words.split(), "--cib", files[0], "--corosync-conf", files[1]], said, capsys)


def refused(words, said, capsys):
    """Assert that a command line leaves with exit code 2 and one line that says so much."""
    try:
        code = main(words, HOST)
    except SystemExit as left:
        code = left.code
    err = capsys.readouterr().err
    assert (code, err.count("\n"), said in err) == (2, 1, True), err


def test_the_picture_has_a_bar_for_each_thing_that_happens(files, tmp_path, capsys):
    path = tmp_path / "timeline.svg"
    words = ["whatif", "kill", "n1", "--cib", files[0], "--corosync-conf", files[1], "--svg", str(path)]
    assert main(words, HOST) == 0
    assert "what if: kill n1" in capsys.readouterr().out
    drawn = path.read_text()
    assert "fence n1" in drawn
    assert "start web1" in drawn


def test_the_status_of_a_saved_cib_names_what_was_never_proven(files, capsys):
    words = ["status", "--cib", files[0], "--corosync-conf", files[1]]
    assert main(words, HOST) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "it answers, and was never proven on n1, n2, n3" in said
    assert "paths were not tried in the last 2 days" in said
    assert main([*words, "--json"], HOST) == 1
    said = json.loads(capsys.readouterr().out)
    assert {point["name"]: point["level"] for point in said["points"]} == {
        "nodes": "well", "quorum": "well", "fencing": "reduced", "room": "well", "disks": "well", "actions": "well",
    }  # fmt: skip
    assert [guest["name"] for guest in said["guests"]] == ["web1", "web2", "db1", "licence1"]


def test_the_status_fits_into_80_columns(files, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    main(["status", "--cib", files[0], "--corosync-conf", files[1]], HOST)
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80


def test_an_answer_is_written_down_with_what_the_scheduler_said_and_judged_again(
    files, ask, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(journal, "FOLDER", str(tmp_path / "decisions"))
    ask("kill n1 then kill n2")
    (entry,) = journal.entries(HOST)
    assert (entry.kind, entry.subject) == ("whatif", "what if kill n1 then kill n2")
    assert "web1" in entry.guests
    assert main(["replay", entry.id], HOST) == 0
    assert "today's code gives the same answer" in capsys.readouterr().out
