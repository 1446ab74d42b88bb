"""A DRBD resource of the shell agent changes hands: what Pacemaker's scheduler makes of each stage of it."""

from __future__ import annotations

import hashlib

import pytest

from kvmha.cluster import adopt_plan
from kvmha.host import Host
from kvmha.tools import cib, crm_simulate

HOST = Host()

NAMES = frozenset({"drbd_resource", "drbdconf", "adjust_master_score", "wfc_timeout", "config"})

CIB = """\
<cib crm_feature_set="3.15.0" validate-with="pacemaker-3.7" epoch="1" num_updates="0" admin_epoch="0" have-quorum="1"
     dc-uuid="1">
  <configuration>
    <crm_config><cluster_property_set id="p"><nvpair id="p-f" name="stonith-enabled" value="true"/>
      </cluster_property_set></crm_config>
    <nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
    <resources>
      <primitive id="fence" class="stonith" type="fence_ipmilan"/>
      <clone id="r0-clone">
        <meta_attributes id="r0-m"><nvpair id="r0-p" name="promotable" value="true"/>
          <nvpair id="r0-n" name="notify" value="true"/></meta_attributes>
        <primitive id="r0" class="ocf" provider="linbit" type="drbd">
          <instance_attributes id="r0-ia"><nvpair id="r0-r" name="drbd_resource" value="r0"/>
            <nvpair id="r0-u" name="unfence_if_all_uptodate" value="true"/></instance_attributes>
          <operations><op id="r0-s" name="monitor" interval="20s" role="Unpromoted"/>
            <op id="r0-t" name="monitor" interval="10s" role="Promoted"/></operations>
        </primitive>
      </clone>
      <primitive id="web1" class="ocf" provider="heartbeat" type="VirtualDomain">
        <instance_attributes id="web1-ia"><nvpair id="web1-c" name="config" value="/etc/web1.xml"/>
          </instance_attributes>
        <operations><op id="web1-s" name="monitor" interval="10s"/></operations>
      </primitive>
    </resources>
    <constraints>
      <rsc_colocation id="c" rsc="web1" with-rsc="r0-clone" with-rsc-role="Promoted" score="INFINITY"/>
      <rsc_order id="o" first="r0-clone" first-action="promote" then="web1" then-action="start"/>
    </constraints>
  </configuration>
  <status>{states}</status>
</cib>"""

STATE = """
<node_state id="{number}" uname="n{number}" in_ccm="true" crmd="online" join="member" expected="member">
  <transient_attributes id="{number}"><instance_attributes id="status-{number}">
    <nvpair id="score-{number}" name="master-r0" value="{score}"/></instance_attributes></transient_attributes>
  <lrm id="{number}"><lrm_resources/></lrm>
</node_state>"""

PROMOTED, RUNNING, STOPPED = 8, 0, 7


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> str:
    """Return the CIB of the cluster, promoted on n1 and the guest with it."""
    if HOST.which("crm_simulate") is None:
        pytest.skip("not installed: crm_simulate; it is in a lab node (tests/lab/test_contract_in_node.py)")
    folder = tmp_path_factory.mktemp("adopt")
    text = CIB.format(states="".join(STATE.format(number=number, score=10001 - number) for number in (1, 2)))
    for _ in range(4):
        made = crm_simulate.transition(HOST, text, folder=str(folder))
        text = (folder / crm_simulate.AFTER).read_text()
        if not made.changes:
            break
    return text


def planned(text: str) -> adopt_plan.Plan:
    plan = adopt_plan.make(cib.read(text), (), adopt_plan.FORTH, lambda _agent: NAMES, {})
    assert [swap.resource for swap in plan.swaps] == ["r0", "web1"]
    assert plan.refusals == ()
    return plan


def answered(text: str, found: dict[tuple[str, str], int]) -> str:
    """Forget what the nodes said of these resources, and write down what a probe by the new agents says instead."""
    root = cib.tree(text)
    wanted = {each.id: each for each in cib.read(text).primitives()}
    for (name, node), code in found.items():
        for old in root.xpath(f'//node_state[@uname="{node}"]//lrm_resource[starts-with(@id, "{name}")]'):
            old.getparent().remove(old)
        (owner,) = root.xpath(f'//node_state[@uname="{node}"]/lrm/lrm_resources')
        words = dict(zip(("class", "provider", "type"), wanted[name].agent.split(":")))
        resource = root.makeelement("lrm_resource", {"id": name, **words})
        probe = {
            "id": f"{name}_last_0", "operation_key": f"{name}_monitor_0", "operation": "monitor", "interval": "0",
            "crm_feature_set": "3.15.0", "transition-key": f"1:1:{code}:00000000-0000-0000-0000-000000000000",
            "transition-magic": f"0:{code};1:1:{code}:00000000-0000-0000-0000-000000000000", "call-id": "90",
            "rc-code": str(code), "op-status": "0", "exec-time": "20", "last-rc-change": "1700000000",
            "op-digest": digest(wanted[name].params),
        }  # fmt: skip
        resource.append(root.makeelement("lrm_rsc_op", probe))
        owner.append(resource)
    return cib.text_of(root)


def edited(text: str, *edits) -> str:
    root = cib.tree(text)
    for edit in edits:
        edit(root, planned(text))
    return cib.text_of(root)


def digest(params) -> str:
    """Return what a node writes down of the parameters of an operation (calculate_operation_digest in Pacemaker)."""
    words = "".join(f' {name}="{value}"' for name, value in sorted(params.items()))
    return hashlib.md5(f" <parameters{words}/>\n".encode()).hexdigest()


FOUND = {("r0", "n1"): PROMOTED, ("r0", "n2"): RUNNING, ("web1", "n1"): RUNNING, ("web1", "n2"): STOPPED}


def test_the_cluster_is_at_rest_with_the_shell_agents(running):
    status = {each.id: each for each in cib.read(running).primitives()}
    assert status["r0"].agent == "ocf:linbit:drbd"
    assert crm_simulate.simulate(HOST, running).disturbs() == ()


def test_at_no_stage_does_the_scheduler_touch_the_disk_or_its_guest(running):
    plan = planned(running)
    held = edited(running, adopt_plan.hold)
    assert crm_simulate.simulate(HOST, held).disturbs() == ()
    root = cib.tree(held)
    adopt_plan.replace(root, plan)
    replaced = cib.text_of(root)
    assert cib.read(replaced).resource("r0").params == {"drbd_resource": "r0"}
    assert crm_simulate.simulate(HOST, replaced).disturbs() == ()
    probed = answered(replaced, FOUND)
    assert crm_simulate.simulate(HOST, probed).disturbs() == ()
    root = cib.tree(probed)
    adopt_plan.release(root, plan)
    assert crm_simulate.simulate(HOST, cib.text_of(root)).disturbs() == ()


@pytest.mark.parametrize(
    "found",
    [
        pytest.param({**FOUND, ("r0", "n1"): RUNNING}, id="the-disk-is-not-found-promoted"),
        pytest.param({**FOUND, ("web1", "n1"): STOPPED}, id="the-guest-is-not-found"),
        pytest.param({**FOUND, ("r0", "n2"): STOPPED}, id="the-other-side-is-not-found"),
    ],
)
def test_what_the_new_agents_do_not_find_would_be_acted_on_and_so_the_old_ones_come_back(running, found):
    plan = planned(running)
    root = cib.tree(answered(edited(running, adopt_plan.hold, adopt_plan.replace), found))
    adopt_plan.release(root, plan)
    assert crm_simulate.simulate(HOST, cib.text_of(root)).disturbs("r0", "web1")


def test_without_maintenance_the_change_of_agents_would_restart_them(running):
    replaced = edited(running, adopt_plan.replace)
    assert {change.action for change in crm_simulate.simulate(HOST, replaced).disturbs("web1")} & {"restart", "stop"}


def test_a_side_whose_score_goes_would_be_demoted_under_its_guest(running):
    """That is why sides that are not in step are refused."""
    root = cib.tree(running)
    (score,) = root.xpath('//node_state[@uname="n1"]//nvpair[@name="master-r0"]')
    score.getparent().remove(score)
    assert crm_simulate.simulate(HOST, cib.text_of(root)).disturbs("r0", "web1")
