"""Pacemaker's configuration, read and changed; the documents are written by hand after the schema."""

from __future__ import annotations

import pytest

from kvmha.errors import UserError
from kvmha.tools import cib
from kvmha.tools.cib import editing, history

WHOLE = """\
<cib epoch="7" admin_epoch="0" num_updates="3" validate-with="pacemaker-3.9" have-quorum="1"><configuration>
<crm_config>
  <cluster_property_set id="second" score="100"><nvpair id="s1" name="no-quorum-policy" value="ignore"/>
    <nvpair id="s2" name="cluster-delay" value="60s"/></cluster_property_set>
  <cluster_property_set id="cib-bootstrap-options"><nvpair id="b1" name="no-quorum-policy" value="stop"/>
    <!-- a remark --></cluster_property_set>
  <cluster_property_set id="night"><rule id="nr" score="0"><date_expression id="nd" operation="date_spec">
    <date_spec id="ns" hours="0-5"/></date_expression></rule><nvpair id="n1" name="batch-limit" value="1"/>
  </cluster_property_set>
</crm_config>
<nodes><node id="1" uname="n1">
  <instance_attributes id="na"><nvpair id="na1" name="rack" value="a"/></instance_attributes>
  <utilization id="nu"><nvpair id="nu1" name="hv_memory" value="4096"/></utilization></node></nodes>
<resources>
  <template id="guest" class="ocf" provider="kvmha" type="VirtualDomain">
    <meta_attributes id="gm"><nvpair id="gm1" name="allow-migrate" value="true"/>
    </meta_attributes>
    <operations><op id="go1" name="start" interval="0s" timeout="90s"/><op id="go2" name="monitor" interval="10s"/>
    </operations></template>
  <primitive id="web1" template="guest"><instance_attributes id="wi"><nvpair id="wi1" name="config" value="/a.xml"/>
      </instance_attributes>
    <instance_attributes id="wr" score="9"><rule id="wrr" score="0" boolean-op="or">
      <expression id="wre" attribute="#uname" operation="eq" value="n2"/><rule id="wrn">
      <rsc_expression id="wrx" class="ocf"/></rule></rule>
      <nvpair id="wr1" name="migration_speed" value="9"/></instance_attributes>
    <operations><op id="wo1" name="monitor" interval="PT10S" timeout="40s" on-fail="restart">
      <instance_attributes id="woi"><nvpair id="woi1" name="OCF_CHECK_LEVEL" value="10"/></instance_attributes></op>
    </operations></primitive>
  <master id="disk-master"><meta_attributes id="mm"><nvpair id="mm1" name="master-max" value="1"/></meta_attributes>
    <group id="both"><primitive id="disk" class="ocf" provider="linbit" type="drbd"><operations>
      <op id="do1" name="monitor" interval="10s" role="Master"/></operations></primitive></group></master>
  <bundle id="box"><podman image="img" replicas="2"/><network ip-range-start="10.0.0.9">
      <port-mapping id="pm" port="80"/>
    </network><storage><storage-mapping id="sm" source-dir="/a" target-dir="/b"/></storage></bundle>
  <primitive id="fence-n1" class="stonith" type="fence_ipmilan"/>
  <strange id="x"/>
</resources>
<constraints>
  <rsc_location id="l1" rsc="web1" node="n1" score="INFINITY"/>
  <rsc_location id="l2" rsc-pattern="^web" score="-1" node="n2" resource-discovery="never"/>
  <rsc_location id="l3" rsc="disk-master"><rule id="l3r" role="Slave" score-attribute="rack"><expression id="l3e"
    attribute="rack" operation="defined"/></rule></rsc_location>
  <rsc_colocation id="c1" rsc="web1" with-rsc="disk-master" with-rsc-role="Master" score="INFINITY"/>
  <rsc_order id="o1" kind="Mandatory"><resource_set id="os" action="promote" sequential="false">
    <resource_ref id="disk-master"/><resource_ref id="web1"/></resource_set></rsc_order>
  <rsc_ticket id="t1" rsc="web1" ticket="site" loss-policy="stop"/>
</constraints>
<fencing-topology><fencing-level id="f1" target="n1" index="1" devices="fence-n1,pdu"/>
  <fencing-level id="f2" target-attribute="rack" target-value="a" index="2" devices="pdu"/></fencing-topology>
<alerts><alert id="a1" path="/alert"><select><select_nodes/></select>
  <recipient id="a1r" value="ops"><instance_attributes id="a1i"><nvpair id="a1n" name="x" value="y"/>
  </instance_attributes></recipient></alert></alerts>
<tags><tag id="t"><obj_ref id="web1"/></tag></tags>
<acls><acl_role id="reader"/></acls>
<rsc_defaults><meta_attributes id="rd"><nvpair id="rd1" name="resource-stickiness" value="100"/></meta_attributes>
</rsc_defaults>
<op_defaults><meta_attributes id="od"><nvpair id="od1" name="timeout" value="33s"/></meta_attributes></op_defaults>
</configuration>
<status><node_state uname="n1"><lrm><lrm_resources><lrm_resource id="web1" class="ocf" provider="kvmha"
  type="VirtualDomain"><lrm_rsc_op id="web1_last_0" operation="monitor" interval="0" rc-code="0" call-id="12"
  last-rc-change="5" op-force-restart=" config " exit-reason=""/></lrm_resource></lrm_resources></lrm></node_state>
</status>
</cib>"""


@pytest.fixture(scope="module")
def whole():
    return cib.read(WHOLE)


def test_properties_of_the_set_that_counts_first_and_none_that_have_a_rule(whole):
    assert whole.properties == {"no-quorum-policy": "stop", "cluster-delay": "60s"}
    night = next(block for block in whole.property_sets if block.id == "night")
    assert night.rule.expressions[0].attributes == {"operation": "date_spec", "date_spec.hours": "0-5"}


def test_a_resource_and_what_its_template_and_the_defaults_add(whole):
    web1 = whole.resource("web1")
    assert (web1.agent, web1.params, web1.meta) == ("", {"config": "/a.xml"}, {})
    full = whole.effective(web1)
    assert (full.agent, full.meta) == (
        "ocf:kvmha:VirtualDomain",
        {"allow-migrate": "true", "resource-stickiness": "100"},
    )
    # PT10S and 10s are one interval, so that the template's monitor is not a second one.
    assert [(op.name, op.timeout) for op in full.operations] == [("monitor", "40s"), ("start", "90s")]
    assert whole.operation(web1, "monitor", "10s").options == {"OCF_CHECK_LEVEL": "10"}
    assert whole.operation(whole.resource("disk"), "monitor", "10s").timeout == "33s"
    assert whole.operation(web1, "stop") is None


def test_a_parameter_with_a_rule_is_kept_apart(whole):
    ((word, block),) = whole.resource("web1").conditional
    assert (word, block.values, block.rule.join) == ("params", {"migration_speed": "9"}, "or")
    assert block.rule.expressions[1].expressions[0].kind == "rsc_expression"


def test_nesting_old_names_and_roles(whole):
    master = whole.resource("disk-master")
    assert (master.kind, master.is_promotable, master.children[0].id) == ("clone", True, "both")
    disk = whole.resource("disk")
    assert (disk.parent, disk.operations[0].role) == ("both", "Promoted")
    assert [each.id for each in whole.primitives()] == ["web1", "disk", "fence-n1"]
    assert [each.id for each in whole.primitives() if each.is_fence_device] == ["fence-n1"]
    assert whole.resource("box").container["network.pm.port"] == "80"


def test_constraints_levels_alerts_and_tags(whole):
    first, pattern, ruled = whole.locations
    assert (first.resource, first.node, first.score) == ("web1", "n1", "INFINITY")
    assert (pattern.pattern, pattern.discovery) == ("^web", "never")
    assert (ruled.rules[0].role, ruled.rules[0].score_attribute) == ("Unpromoted", "rack")
    assert whole.colocations[0].with_role == "Promoted"
    assert whole.orders[0].sets[0].resources == ("disk-master", "web1")
    assert (whole.tickets[0].ticket, whole.tickets[0].loss_policy) == ("site", "stop")
    assert [(level.target, level.devices) for level in whole.levels] == [
        ("n1", ("fence-n1", "pdu")), ("attribute:rack=a", ("pdu",)),
    ]  # fmt: skip
    assert whole.alerts[0].events == ("select_nodes",)
    assert whole.alerts[0].recipients[0].params == {"x": "y"}
    assert whole.tags[0].references == ("web1",)
    assert (whole.nodes[0].attributes, whole.nodes[0].utilization) == ({"rack": "a"}, {"hv_memory": "4096"})


def test_what_is_not_understood_is_said(whole):
    assert {each.place.rpartition("/")[2] for each in whole.unread} == {"strange", "acls"}


def test_references_are_followed():
    text = WHOLE.replace(
        '<primitive id="fence-n1" class="stonith" type="fence_ipmilan"/>',
        '<primitive id="fence-n1" class="stonith" type="fence_ipmilan"><operations id-ref="none"/>'
        '<instance_attributes id-ref="wi"/></primitive>',
    )
    assert cib.read(text).resource("fence-n1").params == {"config": "/a.xml"}


@pytest.mark.parametrize("text", ["", "no xml", "<cib/>", "<cib><configuration></cib>"])
def test_what_is_no_cib_is_refused_in_a_sentence(text):
    with pytest.raises(UserError, match="give what cibadmin --query prints"):
        cib.read(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [("", 0), ("20", 20_000), ("20s", 20_000), ("500ms", 500), ("2min", 120_000), ("1h", 3_600_000), ("2 s", 2000),
     ("PT1M30S", 90_000), ("P1D", 86_400_000), ("soon", None), ("P1M", None), ("5 parsecs", None)],
)  # fmt: skip
def test_times_as_pacemaker_reads_them(text, found):
    assert cib.milliseconds(text) == found


def test_a_value_is_changed_where_it_stands_and_added_where_the_others_are():
    root = cib.tree(WHOLE)
    web1 = editing.element(root, "web1")
    editing.set_value(root, web1, "instance_attributes", "config", "/b.xml")
    editing.set_value(root, web1, "instance_attributes", "domain", "x")
    editing.set_value(root, web1, "meta_attributes", "priority", "5")
    seen = cib.read(cib.text_of(root)).resource("web1")
    assert (seen.params, seen.meta) == ({"config": "/b.xml", "domain": "x"}, {"priority": "5"})
    assert seen.conditional == cib.read(WHOLE).resource("web1").conditional
    for name in ("config", "domain"):
        editing.set_value(root, web1, "instance_attributes", name, None)
    assert cib.read(cib.text_of(root)).resource("web1").params == {}
    assert editing.element(root, "wi") is None


def test_no_id_is_given_twice():
    root = cib.tree(WHOLE)
    assert editing.free_id(root, "web1") == "web1-1"
    assert editing.free_id(root, "free") == "free"


def test_what_the_cluster_remembers_of_a_resource_that_has_gone_takes_no_id():
    root = cib.tree(WHOLE)
    root.find("status").append(root.makeelement("lrm_resource", {"id": "gone"}))
    assert editing.free_id(root, "gone") == "gone"


def test_history_of_the_nodes():
    (probe,) = history.executed(cib.tree(WHOLE))
    assert (probe.node, probe.resource, probe.agent, probe.rc) == ("n1", "web1", "ocf:kvmha:VirtualDomain", 0)
    assert probe.can_reload
