"""What is laid over a fence device for the survivor of a pair, as Pacemaker's own tools take it."""

from __future__ import annotations

import json
import re

import pytest

from kvmha.cli.main import main
from kvmha.cluster import description, render
from kvmha.host import Host
from kvmha.tools import cib, crm_simulate, crm_verify
from kvmha.tools.cib import steering

HOST = Host()

STATE = """\
<node_state id="{number}" uname="n{number}" in_ccm="true" crmd="online" join="member" expected="member">
  <lrm id="{number}"><lrm_resources/></lrm>
</node_state>"""


@pytest.fixture(scope="module")
def running(tmp_path_factory, checkout):
    """Return the CIB of the example of two nodes, all of it running, and its corosync.conf as a file."""
    if HOST.which("crm_simulate") is None:
        pytest.skip("not installed: crm_simulate; it is in a lab node (tests/lab/test_contract_in_node.py)")
    folder = tmp_path_factory.mktemp("survivor")
    made = render.render(description.load(HOST, str(checkout / "cluster-templates/two-node/cluster.yaml")))
    states = "".join(STATE.format(number=number) for number in (1, 2))
    text = re.sub(r"<status\s*/>", "", made["cib.xml"]).replace("</cib>", f"<status>{states}</status></cib>")
    text = text.replace("<cib ", '<cib have-quorum="1" dc-uuid="1" crm_feature_set="3.16.1" ', 1)
    (folder / "corosync.conf").write_text(made["corosync.conf"])
    for _ in range(2):
        crm_simulate.transition(HOST, text, folder=str(folder))
        text = (folder / crm_simulate.AFTER).read_text()
    return text, str(folder / "corosync.conf")


def steered(text: str, delays: dict[str, str]) -> str:
    root = cib.tree(text)
    steering.set_delays(root, delays)
    return cib.text_of(root)


def test_it_restarts_the_fence_device_and_touches_nothing_else(running):
    before = crm_simulate.simulate(HOST, running[0])
    after = crm_simulate.simulate(HOST, steered(running[0], {"fence-n2": "n2:9s"}))
    assert (before.disturbs(), before.fenced) == ((), ())
    assert [(change.action, change.subject) for change in after.changes] == [("restart", "fence-n2")]
    assert ({step.resource for step in after.steps}, after.fenced) == ({"fence-n2"}, ())


def test_pacemaker_and_pcs_take_it(running, tmp_path):
    text = steered(running[0], {"fence-n2": "n1:0s;n2:9s"})
    assert crm_verify.complaints(HOST, text, timeout=60) == crm_verify.complaints(HOST, running[0], timeout=60)
    if HOST.which("pcs") is None:
        pytest.skip("not installed: pcs; it is in a lab node (tests/lab/test_contract_in_node.py)")
    path = tmp_path / "cib.xml"
    path.write_text(text)
    # pcs 0.11 shows the first block of a device only, and changes that one: ours stands behind it.
    assert "pcmk_host_list=n2" in HOST.run("pcs", "-f", str(path), "stonith", "config", "fence-n2", timeout=120).out
    HOST.run("pcs", "-f", str(path), "stonith", "update", "fence-n2", "pcmk_delay_base=3s", "--force", timeout=120)
    device = cib.read(path.read_text()).resource("fence-n2")
    assert (device.params[steering.DELAY], device.steering[steering.DELAY]) == ("3s", "n1:0s;n2:9s")


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_the_prediction_of_a_split_follows_it(running, node, tmp_path, capsys):
    path = tmp_path / "cib.xml"
    path.write_text(steered(running[0], {f"fence-{node}": f"{node}:30s"}))
    main(["whatif", "cut", "n1", "--cib", str(path), "--corosync-conf", running[1], "--json"], HOST)
    (phase,) = json.loads(capsys.readouterr().out)["phases"]
    assert phase["outlook"]["acting"] == [node]


def test_a_disk_that_only_one_side_has_up_to_date_is_seen_to(running, tmp_path, capsys):
    def judged(text: str) -> dict:
        path = tmp_path / "cib.xml"
        path.write_text(text)
        main(["survivor", "--cib", str(path), "--corosync-conf", running[1], "--json"], HOST)
        return json.loads(capsys.readouterr().out)

    scores = {"n1": "10", "n2": "10000"}
    root = cib.tree(running[0])
    for state in root.iterfind("status/node_state"):
        outer = root.makeelement("transient_attributes", {"id": state.get("id")})
        block = root.makeelement("instance_attributes", {"id": f"status-{state.get('id')}"})
        for disk in {name for name in re.findall(r'name="drbd_resource" value="([^"]+)"', running[0])}:
            pair = {"name": f"drbd-promotion-score-{disk}", "value": scores[state.get("uname")]}
            block.append(root.makeelement("nvpair", {"id": f"{disk}-{state.get('id')}", **pair}))
        outer.append(block)
        state.append(outer)
    found = judged(cib.text_of(root))
    assert (found["act"], found["choice"]["node"], list(found["delays"])) == ("change", "n2", ["fence-n2"])
    steering.set_delays(root, found["delays"])
    assert judged(cib.text_of(root))["act"] == "keep"
