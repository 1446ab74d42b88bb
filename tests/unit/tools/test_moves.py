"""The constraint of a planned move: it comes, it loses its weight, it goes, and all is as it was."""

from __future__ import annotations

import pytest

from kvmha.tools import cib
from kvmha.tools.cib import moves

NOON = 1_800_000_000
CIB = """\
<cib validate-with="pacemaker-3.9" epoch="5" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes/>
<resources><primitive id="web1" class="ocf" provider="kvmha" type="VirtualDomain">{meta}<operations>{op}</operations>
</primitive></resources><constraints/></configuration><status>{status}</status></cib>"""
META = '<meta_attributes id="m"><nvpair id="m-a" name="allow-migrate" value="true"/></meta_attributes>'
OP = '<op id="o" name="migrate_to" interval="0s" timeout="120s"{0}/>'
PLAIN = OP.format("")


def root(meta=META, op=PLAIN, status=""):
    return cib.tree(CIB.format(meta=meta, op=op, status=status))


def text(tree):
    return cib.text_of(tree)


@pytest.mark.parametrize("meta", [META, META.replace("true", "false"), ""], ids=["movable", "not", "unset"])
@pytest.mark.parametrize("op", [PLAIN, OP.format(' on-fail="fence"'), ""], ids=["plain", "fence", "none"])
@pytest.mark.parametrize(
    "settings", [moves.Settings(allow_migrate="true", on_fail="block"), moves.Settings(allow_migrate="false")]
)
def test_after_a_move_the_configuration_is_what_it_was(meta, op, settings):
    tree = root(meta, op)
    before = text(tree)
    moves.wish(tree, "web1", "n2", until=NOON, settings=settings)
    assert moves.wished(tree) == ("web1",)
    moves.withdraw(tree, "web1")
    assert text(tree) == before


def test_a_move_that_was_left_by_a_killed_run_is_undone_by_the_next():
    tree = root()
    before = text(tree)
    moves.wish(tree, "web1", "n2", until=NOON, settings=moves.Settings(allow_migrate="false"))
    moves.wish(tree, "web1", "n3", until=NOON, settings=moves.Settings(allow_migrate="true", on_fail="block"))
    assert len(tree.findall(".//rsc_location")) == 1
    moves.withdraw(tree, "web1")
    assert text(tree) == before


def test_the_wish_names_its_node_and_its_end():
    tree = root()
    settings = moves.Settings(allow_migrate="true", on_fail="block")
    moves.wish(tree, "web1", "n2", until=NOON, settings=settings)
    found = text(tree)
    assert 'attribute="#uname" operation="eq" value="n2"' in found
    assert 'operation="lt" end="2027-01-15 08:00:00Z"' in found
    assert 'on-fail="block"' in found
    moves.silence(tree, "web1")
    assert tree.find(".//rule").get("score") == "0"
    assert 'on-fail="block"' in text(tree)


FAILED = """\
<node_state id="1" uname="n1"><lrm id="1"><lrm_resources><lrm_resource id="web1">
<lrm_rsc_op id="web1_last_0" operation="start" call-id="5" rc-code="0" op-status="0"/>
<lrm_rsc_op id="web1_migrate_to_0" operation="migrate_to" call-id="9" rc-code="1" op-status="0" exit-reason=""/>
<lrm_rsc_op id="web1_last_failure_0" operation="migrate_to" call-id="9" rc-code="1" op-status="0" exit-reason="why"/>
</lrm_resource><lrm_resource id="web2"><lrm_rsc_op operation="start" call-id="7" rc-code="1" op-status="0"/>
</lrm_resource></lrm_resources></lrm></node_state>
<node_state id="2" uname="n2"><lrm id="2"><lrm_resources><lrm_resource id="web1">
<lrm_rsc_op id="web1_last_0" operation="stop" call-id="3" rc-code="1" op-status="2"/>
<lrm_rsc_op id="web1_monitor_0" operation="monitor" call-id="4" rc-code="7" op-status="0"/>
</lrm_resource></lrm_resources></lrm></node_state>"""


def test_the_failures_of_a_move_are_read_from_the_record_of_all_nodes():
    found = moves.failures(root(status=FAILED), "web1")
    assert [(each.operation, each.node, each.call, each.reason) for each in found] == [
        ("migrate_to", "n1", 9, "why"), ("stop", "n2", 3, ""),
    ]  # fmt: skip
    assert moves.failures(root(), "web1") == ()


@pytest.mark.parametrize("meta", [META, ""], ids=["movable", "unset"])
def test_a_guest_that_was_held_has_its_settings_back_whoever_ends_that(meta):
    tree = root(meta)
    before = text(tree)
    for _ in range(2):
        moves.hold(tree, "web1", "n1", until=NOON)
    assert moves.wished(tree) == ("web1",)
    moves.wish(tree, "web1", "n2", until=NOON, settings=moves.Settings(allow_migrate="false"))
    assert len(tree.findall(".//rsc_location/rule")) == 1
    assert moves.held(tree, "web1") == "", "it is asked to go, not held"
    moves.withdraw(tree, "web1")
    assert text(tree) == before


def test_a_guest_that_is_held_runs_nowhere_for_a_time_and_on_no_other_node_until_that_is_withdrawn():
    tree = root()
    moves.hold(tree, "web1", "n1", until=NOON)
    assert (moves.held(tree, "web1"), moves.held(tree, "web2")) == ("n1", "")
    first, second = tree.findall(".//rsc_location/rule")
    assert [rule.get("score") for rule in (first, second)] == ["-INFINITY", "-INFINITY"]
    assert [(each.tag, each.get("operation"), each.get("value")) for each in first] == [("expression", "ne", "n1")]
    assert [(each.tag, each.get("operation")) for each in second] == [
        ("expression", "defined"),
        ("date_expression", "lt"),
    ]
    assert second[1].get("end") == "2027-01-15 08:00:00Z"
