"""What the nodes report of their resources: the operations in the status section of the CIB."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Element

PENDING = 193
"""The exit code of an operation that is under way (PCMK_OCF_UNKNOWN in Pacemaker's crm/services.h)."""


class Executed(Record):
    """The last result of one operation of one resource on one node."""

    node: str
    resource: str
    agent: str
    operation: str
    interval_ms: int
    rc: int
    """The agent's exit code, or PENDING."""
    call: int
    """Pacemaker's number of the call on that node: a higher one was later."""
    at: int
    """When that result was first seen, in seconds since the epoch; 0 if not told."""
    reason: str
    took_ms: int
    """How long the agent ran."""
    can_reload: bool
    """Whether the result came with the list of parameters whose change needs a restart. Without it all need one."""


def executed(root: Element) -> tuple[Executed, ...]:
    """Return every operation in the history of every node, by node, resource and call."""
    found: list[Executed] = []
    for state in root.iterfind("status/node_state"):
        for resource in state.iterfind("lrm/lrm_resources/lrm_resource"):
            agent = ":".join(filter(None, (resource.get(word) for word in ("class", "provider", "type"))))
            names = state.get("uname", ""), resource.get("id", ""), agent
            found += [_executed(*names, op) for op in resource.iterfind("lrm_rsc_op")]
    return tuple(sorted(found, key=lambda each: (each.node, each.resource, each.call)))


def _executed(node: str, resource: str, agent: str, op: Element) -> Executed:
    return Executed(
        node=node,
        resource=resource,
        agent=agent,
        operation=op.get("operation", ""),
        interval_ms=_whole(op.get("interval", "0")),
        rc=_whole(op.get("rc-code", str(PENDING))),
        call=_whole(op.get("call-id", "-1")),
        at=_whole(op.get("last-rc-change", "0")),
        reason=op.get("exit-reason", ""),
        took_ms=_whole(op.get("exec-time", "0")),
        can_reload="op-force-restart" in op.attrib,
    )


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
