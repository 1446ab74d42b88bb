"""What failed, as the status section of the CIB has it."""

from __future__ import annotations

import pytest

from kvmha.tools import cib
from kvmha.tools.cib import state

CIB = """<cib><configuration/><status><node_state uname="n3"><lrm><lrm_resources><lrm_resource id="web3">
<lrm_rsc_op id="{id}" operation="monitor" interval="{interval}" rc-code="{rc}" op-status="0" last-rc-change="5"/>
</lrm_resource></lrm_resources></lrm></node_state></status></cib>"""


@pytest.mark.parametrize(
    ("name", "interval", "rc", "has_failed"),
    [
        pytest.param("web3_last_failure_0", "10000", "7", True, id="it-was-gone"),
        pytest.param("web3_last_failure_0", "0", "1", True, id="a-look-that-failed"),
        # As Pacemaker 2.1.5 keeps it after crm_resource --cleanup of a guest that runs.
        pytest.param("web3_last_failure_0", "0", "0", False, id="looked-at-anew-and-found-running"),
        pytest.param("drbd_last_failure_0", "0", "8", False, id="looked-at-anew-and-found-promoted"),
        pytest.param("web3_monitor_10000", "10000", "0", False, id="well"),
    ],
)
def test_what_runs_has_not_failed(name, interval, rc, has_failed):
    root = cib.tree(CIB.format(id=name, interval=interval, rc=rc), "a test")
    assert [each.resource for each in state.failed(root)] == (["web3"] if has_failed else [])
