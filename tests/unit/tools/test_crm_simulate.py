"""What crm_simulate prints, read by those who want the plan and by those who want the state."""

from __future__ import annotations

import pytest

from kvmha.errors import UserError
from kvmha.tools import crm_mon, crm_simulate
from tests.fakes import FakeHost

STATE = """<{part}><nodes><node name="n1" online="true"/></nodes><resources>
  <resource id="web1" resource_agent="ocf:kvmha:VirtualDomain" role="Started" active="true">
    <node name="{node}"/></resource>
</resources></{part}>"""

PLAN = """<actions>
  <rsc_action action="move" resource="web1" source="n1" dest="n2"/><node_action task="Fence (reboot)" node="n1"/>
</actions><transition>
  <rsc_action resource="web1" op="stop" node="n1"/><fencing_action target="n1"/>
</transition>"""

BEFORE = STATE.format(part="cluster_status", node="n1")
AFTER = STATE.format(part="revised_cluster_status", node="n2")


@pytest.mark.parametrize("before", ["", BEFORE])
@pytest.mark.parametrize("after", ["", AFTER])
def test_the_plan_is_the_same_whatever_states_stand_beside_it(before, after):
    found = crm_simulate.parse(f"<pacemaker-result>{before}{PLAN}{after}</pacemaker-result>")
    assert [(change.action, change.subject, change.target) for change in found.changes] == [
        ("move", "web1", "n2"),
        ("Fence (reboot)", "n1", ""),
    ]
    assert ([step.operation for step in found.steps], found.fenced) == (["stop"], ("n1",))


@pytest.mark.parametrize(("part", "node"), [("cluster_status", "n1"), ("revised_cluster_status", "n2")])
def test_each_state_is_read_by_its_name(part, node):
    status = crm_mon.parse_part(f"<r>{BEFORE}{PLAN}{AFTER}</r>", part, is_quorate=True)
    assert status.resources[0].nodes == (node,)


@pytest.mark.parametrize("text", ["", "crm_simulate: it failed", "<r></r>", f"<r>{BEFORE}{AFTER}</r>", f"<r>{PLAN}"])
def test_what_has_no_plan_is_told(text):
    assert crm_simulate.parse(text) is None


@pytest.mark.parametrize("rc", [65, 78])
def test_a_cib_that_it_does_not_take_is_bad_input_and_not_a_failure(rc):
    host = FakeHost()
    host.commands[crm_simulate.STATE_ARGV] = (rc, "", "unknown schema\n")
    with pytest.raises(UserError, match=r"does not take this CIB \(validate-with=pacemaker-9.9\).*unknown schema"):
        crm_simulate.state(host, '<cib validate-with="pacemaker-9.9"/>')
