"""A CIB, and how the scheduler reads its status, as the values that decisions read."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

import pytest

from kvmha.cluster.facts import of_files
from kvmha.gather.cluster import Configured, assemble
from kvmha.gather.constraints import Reading, compares
from kvmha.policy import fencing_proof, placement
from kvmha.policy.snapshot import INFINITY, MEMBER, REMOTE, Snapshot, add_scores, score_of
from kvmha.tools import cib, crm_mon

CIB = """\
<cib have-quorum="1" dc-uuid="2" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
  <configuration>
    <crm_config/>
    <nodes>
      <node id="1" uname="n1">
        <instance_attributes id="a1"><nvpair id="a1r" name="rack" value="A"/></instance_attributes>
        <utilization id="u1"><nvpair id="u1m" name="hv_memory" value="8192"/></utilization></node>
      <node id="2" uname="n2"/>
    </nodes>
    <resources>
      {resources}
    </resources>
    <constraints>{constraints}</constraints>
    <tags><tag id="all"><obj_ref id="web1"/><obj_ref id="web2"/></tag></tags>
  </configuration>
  <status>
    <node_state id="1" uname="n1" in_ccm="true" crmd="online">
      <transient_attributes id="1"><instance_attributes id="s1">
        <nvpair id="s1s" name="drbd-promotion-score-r1" value="10000"/>
      </instance_attributes></transient_attributes>
      <lrm id="1"><lrm_resources><lrm_resource id="web1" class="ocf" provider="kvmha" type="VirtualDomain">
        <lrm_rsc_op id="web1_last_0" operation="start" interval="0" rc-code="0" call-id="9" exec-time="1500"
                    last-rc-change="1700000000"/>
        <lrm_rsc_op id="web1_last_failure_0" operation="monitor" interval="10000" rc-code="1" call-id="8"
                    exit-reason="it is paused" last-rc-change="1700000000"/>
      </lrm_resource><lrm_resource id="web2" class="ocf" provider="heartbeat" type="VirtualDomain">
        <lrm_rsc_op id="web2_last_failure_0" operation="monitor" interval="0" rc-code="0" call-id="7"/>
      </lrm_resource></lrm_resources></lrm>
    </node_state>
  </status>
</cib>
"""

RESOURCES = """
<primitive id="web1" class="ocf" provider="kvmha" type="VirtualDomain">
  <meta_attributes id="m1">
    <nvpair id="m1p" name="priority" value="5"/><nvpair id="m1r" name="target-role" value="Stopped"/>
  </meta_attributes>
  <utilization id="w1">
    <nvpair id="w1m" name="hv_memory" value="1024"/><nvpair id="w1x" name="odd" value="many"/>
  </utilization>
</primitive>
<primitive id="web2" class="ocf" provider="heartbeat" type="VirtualDomain"/>
<clone id="drbd-r1-clone"><primitive id="drbd-r1" class="ocf" provider="kvmha" type="DRBD">
  <instance_attributes id="d1"><nvpair id="d1r" name="drbd_resource" value="r1"/></instance_attributes>
</primitive></clone>
<primitive id="primary-r1" class="ocf" provider="kvmha" type="DRBDPrimary">
  <instance_attributes id="p1"><nvpair id="p1r" name="drbd_resource" value="r1"/></instance_attributes>
</primitive>
<group id="pair">
  <primitive id="a" class="ocf" provider="x" type="Y"/><primitive id="b" class="ocf" provider="x" type="Y"/>
</group>
"""

SHOWN = """\
<x><cluster_status>
  <nodes>
    <node name="n1" online="true" unclean="false" standby="true" maintenance="false" pending="false" type="member"/>
    <node name="n2" online="false" unclean="true" standby="false" maintenance="true" pending="true" type="member"/>
    <node name="web2" online="true" unclean="false" standby="false" type="remote" id_as_resource="web2"/>
  </nodes>
  <resources>
    <resource id="web1" resource_agent="ocf:kvmha:VirtualDomain" role="Started" active="true" managed="false"
              blocked="true" orphaned="false" failed="true"><node name="n1" id="1"/></resource>
    <clone id="drbd-r1-clone">
      <resource id="drbd-r1" resource_agent="ocf:kvmha:DRBD" role="Master" active="true" managed="true">
        <node name="n1" id="1"/></resource>
      <resource id="drbd-r1:1" resource_agent="ocf:kvmha:DRBD" role="Slave" active="true" managed="true">
        <node name="n2" id="2"/></resource>
    </clone>
    <bundle id="box"><replica id="0"><resource id="inner" resource_agent="ocf:x:Y" role="Started" active="true">
      <node name="n1" id="1"/></resource></replica></bundle>
    <resource id="ghost" resource_agent="ocf:kvmha:VirtualDomain" role="Started" active="true" orphaned="true">
      <node name="n2" id="2"/></resource>
  </resources>
</cluster_status></x>
"""


def reading(constraints: str = "") -> Reading:
    found = cib.read(CIB.format(resources=RESOURCES, constraints=constraints))
    return Reading(found, {"n1": {"rack": "A", "size": "10"}, "n2": {"rack": "B", "size": "9"}})


def scores(constraints: str) -> dict[tuple[str, str], int]:
    return {(each.resource, each.node): each.score for each in reading(constraints).preferences()}


@pytest.fixture
def snapshot() -> Snapshot:
    constraints = """
    <rsc_colocation id="c1" rsc="primary-r1" with-rsc="drbd-r1-clone" score="INFINITY"/>
    <rsc_colocation id="c2" rsc="web1" with-rsc="primary-r1" score="INFINITY"/>"""
    text = CIB.format(resources=RESOURCES, constraints=constraints)
    shown = crm_mon.parse_part(SHOWN, "cluster_status", is_quorate=False)
    return assemble(of_files(cib=text), cib.tree(text), shown, source="test", at=None)


def test_a_configuration_that_is_the_same_is_read_once_and_its_state_each_time():
    one = CIB.format(resources=RESOURCES, constraints="")
    other = one.replace('value="10000"', 'value="10"').replace('have-quorum="1"', 'have-quorum="0"')
    third = other.replace('value="8192"', 'value="4096"')
    read, found, known = [], [], Configured()
    for text in (one, other, third):
        root = cib.tree(text)
        facts = known.facts(root, lambda text=text: read.append(text) or of_files(cib=text))
        found.append(assemble(facts, root, None, source="test", at=None))
    assert read == [one, third]
    assert [each.is_quorate for each in found] == [True, False, False]
    assert [each.replica_scores("r1")["n1"] for each in found] == [10000, 10, 10]
    assert [each.nodes[0].memory_mib for each in found] == [8192, 8192, 4096]
    anew = [assemble(of_files(cib=text), cib.tree(text), None, source="test", at=None) for text in (one, other, third)]
    assert found == anew


def test_nodes_have_their_state_their_size_and_their_attributes(snapshot):
    n1, n2, web2 = (snapshot.node(name) for name in ("n1", "n2", "web2"))
    assert (n1.is_standby, n1.is_usable, n1.memory_mib) == (True, False, 8192)
    assert n1.attributes == {"rack": "A", "drbd-promotion-score-r1": "10000"}
    assert (n2.is_unclean, n2.is_maintenance, n2.is_pending, n2.is_online) == (True, True, True, False)
    assert (n1.kind, web2.kind) == (MEMBER, REMOTE)
    assert (snapshot.dc, snapshot.is_quorate) == ("n2", True)


def test_a_guest_has_its_place_its_size_its_disks_and_its_history(snapshot):
    web1 = snapshot.resource("web1")
    assert (web1.nodes, web1.is_managed, web1.is_blocked, web1.is_failed) == (("n1",), False, True, True)
    assert (web1.memory_mib, web1.utilization, web1.priority) == (1024, {"hv_memory": 1024}, 5)
    assert (web1.disks, web1.start_s, web1.is_wanted) == (("r1",), 1.5, False)
    (failure,) = snapshot.failures
    assert (failure.resource, failure.node, failure.rc, failure.reason) == ("web1", "n1", 1, "it is paused")


GUEST = '<primitive id="web3" class="ocf" provider="kvmha" type="VirtualDomain"/>'

FENCED = """
<primitive id="f1" class="stonith" type="fence_ipmilan"><instance_attributes id="f1p">
  <nvpair id="f1h" name="pcmk_host_list" value="n1"/><nvpair id="f1w" name="power_wait" value="0"/>
</instance_attributes></primitive>
"""

HISTORY = """
<lrm_resource id="f1" class="stonith" type="fence_ipmilan">
  <lrm_rsc_op id="f1_last_0" operation="stop" interval="0" rc-code="0" call-id="5" exec-time="1"/>
  <lrm_rsc_op id="f1_monitor_60000" operation="monitor" interval="60000" rc-code="0" call-id="4" exec-time="280"/>
</lrm_resource>
"""


@pytest.mark.parametrize("text", ["\u00b2", "--5", "many", "", "9" * 400, "1.5"])
def test_a_size_that_is_no_number_is_not_known(text):
    found = CIB.format(resources=RESOURCES.replace('value="1024"', f'value="{text}"'), constraints="")
    shown = crm_mon.parse_part(SHOWN, "cluster_status", is_quorate=False)
    there = assemble(of_files(cib=found), cib.tree(found), shown, source="test", at=None)
    assert there.resource("web1").memory_mib is None
    assert placement.n_plus_one(there).holds is not True


def test_what_a_fence_device_takes_is_not_learned_from_its_stop():
    text = CIB.format(resources=FENCED, constraints="").replace("<lrm_resources>", f"<lrm_resources>{HISTORY}")
    found = assemble(of_files(cib=text), cib.tree(text), None, source="test", at=None).node("n1").fencing[0]
    assert (found.is_measured, found.usual_s > 0.28) == (True, True)


def test_what_a_fence_device_takes_is_what_it_took_when_somebody_tried_it():
    trials = fencing_proof.written(
        fencing_proof.Trial(device="f1", target="n1", node="n2", at=1.0, state=state, seconds=seconds)
        for state, seconds in (("on", (0.5, 0.1, 0.1)), ("failed", (9.0,)))
    )
    assert usual_of(f1_history=HISTORY, attribute=trials) < usual_of(f1_history=HISTORY) / 2


def test_the_start_of_a_fence_agent_comes_once_in_a_fencing_however_slow_the_machine_is():
    trial = fencing_proof.Trial(device="f1", target="n1", node="n2", at=1.0, state="on", seconds=(2.2,), start_s=1.7)
    measured = usual_of(f1_history=HISTORY, attribute=fencing_proof.written([trial]))
    assert measured == pytest.approx(1.7 + 5 * 0.5)
    guessed = usual_of(f1_history=HISTORY, attribute=fencing_proof.written([trial.replace(start_s=None)]))
    assert guessed > measured


def test_trials_of_before_the_start_was_measured_are_read():
    old = '[["f1","n1",1,"on",[0.5],""]]'
    (trial,) = fencing_proof.read("n2", old)
    assert (trial.seconds, trial.start_s) == ((0.5,), None)


def usual_of(f1_history, attribute=""):
    text = CIB.format(resources=FENCED, constraints="").replace("<lrm_resources>", f"<lrm_resources>{f1_history}")
    block = f'<instance_attributes id="a2"><nvpair id="a2f" name="{fencing_proof.ATTRIBUTE}" value=%s/>'
    text = text.replace('uname="n2"/>', f'uname="n2">{block % quoteattr(attribute)}</instance_attributes></node>')
    return assemble(of_files(cib=text), cib.tree(text), None, source="test", at=None).node("n1").fencing[0].usual_s


def test_a_guest_that_has_moved_since_its_start_starts_as_long_as_others_of_its_agent():
    moved = """
    <lrm_resource id="web3" class="ocf" provider="kvmha" type="VirtualDomain">
      <lrm_rsc_op id="web3_last_0" operation="migrate_from" interval="0" rc-code="0" call-id="5" exec-time="90"/>
    </lrm_resource>"""
    text = CIB.format(resources=RESOURCES + GUEST, constraints="").replace("<lrm_resources>", f"<lrm_resources>{moved}")
    found = assemble(of_files(cib=text), cib.tree(text), None, source="test", at=None)
    assert (found.resource("web3").start_s, found.resource("web1").start_s, found.resource("web2").start_s) == (
        1.5, 1.5, None,
    )  # fmt: skip


def test_the_instances_of_a_clone_are_one_and_older_roles_are_read(snapshot):
    drbd = snapshot.resource("drbd-r1")
    assert (drbd.nodes, drbd.promoted, drbd.is_clone) == (("n1", "n2"), ("n1",), True)
    assert snapshot.replica_scores("r1") == {"n1": 10000, "n2": None, "web2": None}


def test_what_runs_and_is_configured_no_more_is_there_and_orphaned(snapshot):
    assert {each.name for each in snapshot.resources if each.is_orphaned} == {"ghost"}
    # What a bundle brings with it stands nowhere in the configuration either, and belongs there.
    assert snapshot.resource("inner").nodes == ("n1",)


def test_a_scheduler_that_shows_nothing_leaves_everybody_offline():
    text = CIB.format(resources=RESOURCES, constraints="")
    found = assemble(of_files(cib=text), cib.tree(text), None, source="test", at=None)
    assert not any(node.is_online for node in found.nodes)
    assert not any(each.nodes for each in found.resources)


@pytest.mark.parametrize(
    ("constraint", "wanted"),
    [
        pytest.param('<rsc_location id="l" rsc="web1" node="n1" score="100"/>', {("web1", "n1"): 100}, id="node"),
        pytest.param(
            '<rsc_location id="l" rsc="all" node="n1" score="-INFINITY"/>',
            {("web1", "n1"): -INFINITY, ("web2", "n1"): -INFINITY},
            id="tag",
        ),
        pytest.param(
            '<rsc_location id="l" rsc-pattern="^web[12]$" node="n2" score="7"/>',
            {("web1", "n2"): 7, ("web2", "n2"): 7},
            id="pattern",
        ),
        pytest.param(
            '<rsc_location id="l" rsc="pair" node="n2" score="7"/>',
            {("pair", "n2"): 7, ("a", "n2"): 7, ("b", "n2"): 7},
            id="group",
        ),
        pytest.param(
            '<rsc_location id="l" rsc="web1"><rule id="r" score="5">'
            '<expression id="e" attribute="rack" operation="eq" value="B"/></rule></rsc_location>',
            {("web1", "n2"): 5},
            id="rule",
        ),
        pytest.param(
            '<rsc_location id="l" rsc="web1"><rule id="r" score-attribute="size">'
            '<expression id="e" attribute="size" operation="gt" value="9" type="number"/></rule></rsc_location>',
            {("web1", "n1"): 10},
            id="score-attribute",
        ),
        pytest.param(
            '<rsc_location id="l" rsc="web1"><rule id="r" score="5" boolean-op="or">'
            '<expression id="e1" attribute="#uname" operation="eq" value="n1"/>'
            '<expression id="e2" attribute="rack" operation="eq" value="B"/></rule></rsc_location>',
            {("web1", "n1"): 5, ("web1", "n2"): 5},
            id="or",
        ),
    ],
)
def test_location_constraints_of_all_forms_become_scores(constraint, wanted):
    assert scores(constraint) == wanted


def test_a_rule_on_the_date_is_left_out_and_said():
    found = reading(
        '<rsc_location id="l" rsc="web1"><rule id="r" score="5">'
        '<date_expression id="e" operation="gt" start="2020-01-01"/></rule></rsc_location>'
    )
    assert found.preferences() == ()
    assert found.unread == ["l: its rule asks for more than node attributes (date_expression), and is left out"]


def test_a_score_that_is_none_is_left_out_and_said():
    found = reading('<rsc_location id="l" rsc="web1" node="n1" score="much"/>')
    assert found.preferences() == ()
    assert found.unread == ["l: the score much cannot be read, and is left out"]


def test_the_members_of_a_colocated_set_follow_each_other():
    found = reading(
        '<rsc_colocation id="c" score="-INFINITY"><resource_set id="s">'
        '<resource_ref id="web1"/><resource_ref id="web2"/></resource_set></rsc_colocation>'
    )
    assert [(p.resource, p.with_resource, p.score) for p in found.pairings()] == [("web2", "web1", -INFINITY)]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"attribute": "x", "operation": "defined"}, False),
        ({"attribute": "rack", "operation": "not_defined"}, False),
        ({"attribute": "rack", "operation": "eq", "value": "a"}, True),
        ({"attribute": "x", "operation": "ne", "value": "a"}, True),
        ({"attribute": "x", "operation": "lt", "value": "1"}, False),
        ({"attribute": "version", "operation": "lt", "value": "2.10.0", "type": "version"}, True),
        ({"attribute": "rack", "operation": "gt", "value": "1", "type": "number"}, None),
        ({"attribute": "rack", "operation": "like", "value": "1"}, None),
    ],
)
def test_expressions_on_attributes(asked, answer):
    assert compares(asked, {"rack": "A", "version": "2.9.1"}) is answer


@pytest.mark.parametrize(
    ("text", "score"),
    [("100", 100), ("-INFINITY", -INFINITY), ("+inf", INFINITY), ("", 0), ("2000000", INFINITY), ("no", None)],
)
def test_scores_are_read(text, score):
    assert score_of(text) == score


def test_a_ban_beats_everything():
    assert (add_scores(INFINITY, -INFINITY), add_scores(INFINITY, 5), add_scores(1, 2)) == (-INFINITY, INFINITY, 3)
