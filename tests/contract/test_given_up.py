"""What Pacemaker's own scheduler makes of a move that is given up, and of a guest that is held for its disks."""

from __future__ import annotations

import hashlib

import pytest

from kvmha.host import Host
from kvmha.tools import cib, crm_simulate
from kvmha.tools.cib import moves

HOST = Host()
LATER, LONG_AGO = 2_000_000_000, 1_500_000_000

MEMBER = 'in_ccm="true" crmd="online" join="member" expected="member"'
LEFT = 'in_ccm="false" crmd="offline" join="down" expected="down"'
LOST = 'in_ccm="false" crmd="offline" join="down" expected="member"'

CIB = """\
<cib validate-with="pacemaker-3.9" epoch="5" num_updates="0" admin_epoch="0" have-quorum="1" dc-uuid="2"
crm_feature_set="3.16.1"><configuration><crm_config><cluster_property_set id="cib-bootstrap-options">
<nvpair id="s" name="stonith-enabled" value="true"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="n1">{standby}</node><node id="2" uname="n2"/></nodes>
<resources><primitive id="web1" class="ocf" provider="kvmha" type="VirtualDomain"><meta_attributes id="m">
<nvpair id="m-a" name="allow-migrate" value="true"/></meta_attributes><operations>
<op id="o" name="migrate_to" interval="0s" timeout="120s"{on_fail}/></operations></primitive>
<primitive id="fence" class="stonith" type="fence_ipmilan"/></resources><constraints/></configuration>
<status><node_state id="1" uname="n1" {state}><transient_attributes id="1"><instance_attributes id="t">{transient}
</instance_attributes></transient_attributes><lrm id="1"><lrm_resources>{here}</lrm_resources></lrm></node_state>
<node_state id="2" uname="n2" {member}><lrm id="2"><lrm_resources>{fence}{there}</lrm_resources></lrm></node_state>
</status></cib>"""
STANDBY = '<instance_attributes id="n"><nvpair id="n-s" name="standby" value="on"/></instance_attributes>'
SHUTDOWN = '<nvpair id="t-s" name="shutdown" value="1790000500"/>'
HISTORY = '<lrm_resource id="{0}" class="{1}" type="{2}"{3}>{4}</lrm_resource>'
OPERATION = """\
<lrm_rsc_op id="{rsc}_{suffix}" operation_key="{rsc}_{name}_0" operation="{name}" crm_feature_set="3.16.1"
transition-key="{key}" transition-magic="0:{rc};{key}" on_node="{node}" call-id="{call}" rc-code="{rc}" op-status="0"
interval="0" op-digest="{digest}" last-rc-change="1790000000" {more}/>"""
DIGEST = hashlib.md5(b" <parameters/>\n").hexdigest()
"""Of no parameters, as Pacemaker makes it: without it the resource would count as defined anew."""


def operation(name, node, call, rc=0, *, rsc="web1", suffix="last_0", more=""):
    key = f"{call}:1:0:11111111-1111-1111-1111-111111111111"
    return OPERATION.format(
        rsc=rsc, suffix=suffix, name=name, key=key, rc=rc, node=node, call=call, digest=DIGEST, more=more
    )


def guest(*operations):
    return HISTORY.format("web1", "ocf", "VirtualDomain", ' provider="kvmha"', "".join(operations))


def cluster(*, is_given_up=True, on_fail="", is_standby=True, state=MEMBER, shutdown=""):
    """A guest that runs on n1, and whose move to n2 has just failed."""
    move = {"name": "migrate_to", "node": "n1", "call": 9, "rc": 1, "more": 'migrate_source="n1" migrate_target="n2"'}
    failed = [operation(**move), operation(**move, suffix="last_failure_0")]
    return CIB.format(
        standby=STANDBY if is_standby else "",
        on_fail=f' on-fail="{on_fail}"' if on_fail else "",
        state=state,
        member=MEMBER,
        transient=shutdown,
        here="" if state == LEFT else guest(*(failed if is_given_up else [operation("start", "n1", 5)])),
        fence=HISTORY.format("fence", "stonith", "fence_ipmilan", "", operation("start", "n2", 4, rsc="fence")),
        there=guest(operation("monitor", "n2", 3, 7)),
    )


@pytest.fixture
def steps(tmp_path):
    """Return what would be done in a cluster: to the guest, in this order, and all of it."""
    if HOST.which("crm_simulate") is None:
        pytest.skip("not installed: crm_simulate; it is in a lab node (tests/lab/test_contract_in_node.py)")

    def found(text):
        made = crm_simulate.transition(HOST, text, folder=str(tmp_path))
        doing = [f"{step.operation} {step.node}" for step in made.steps if step.resource == "web1"]
        return [each for each in doing if not each.startswith("monitor")], made

    return found


def shuts_down(made):
    return [action.node for action in made.graph if action.operation == "do_shutdown"]


def test_left_to_the_cluster_a_move_that_is_given_up_is_an_outage(steps):
    assert steps(cluster())[0][:3] == ["stop n2", "stop n1", "start n2"]


def test_a_guest_that_stays_is_left_alone_in_standby_and_without(steps):
    assert steps(cluster(on_fail="block"))[0] == []
    assert steps(cluster(on_fail="block", is_standby=False))[0] == []


def test_its_node_does_not_leave_the_cluster_before_somebody_ends_that(steps):
    """So nobody starts it elsewhere while it still runs there."""
    doing, made = steps(cluster(on_fail="block", shutdown=SHUTDOWN))
    assert (doing, shuts_down(made)) == ([], [])
    assert shuts_down(steps(cluster(is_given_up=False, shutdown=SHUTDOWN))[1]) == ["n1"]


def test_the_loss_of_its_node_is_recovered_from_all_the_same(steps):
    doing, made = steps(cluster(on_fail="block", is_standby=False, state=LOST))
    assert (made.fenced, doing[-1:]) == (("n1",), ["start n2"])


def held(until, **more):
    root = cib.tree(cluster(is_given_up=False, is_standby=False, **more))
    moves.hold(root, "web1", "n1", until=until)
    return cib.text_of(root)


def test_a_guest_that_is_held_for_its_disks_is_stopped_and_started_nowhere(steps):
    assert steps(held(LATER))[0] == ["stop n1"]
    assert steps(held(LATER, state=LEFT))[0] == []


def test_a_guest_that_nobody_holds_any_more_runs_where_its_disks_are_whole_and_nowhere_else(steps):
    assert steps(held(LONG_AGO))[0] == []
    assert steps(held(LONG_AGO, state=LEFT))[0] == []
