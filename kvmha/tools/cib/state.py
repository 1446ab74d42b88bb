"""What the nodes say of themselves in the status section of the CIB: their transient attributes and what failed."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Element

FAILURE = "_last_failure_0"
"""The end of the id under which a node keeps the last failure of a resource, until it is cleaned up.

A probe that found something running is kept under it too: it answered something else than the scheduler thought, which
is no failure (unpack_rsc_op in Pacemaker's lib/pengine/unpack.c).
"""

ANSWERS = (0, 7, 8, 190, 191)
"""What a probe may answer: running, not running, promoted, and the same with reduced redundancy."""


class Failed(Record):
    """An operation that failed and was not cleaned up."""

    node: str
    resource: str
    operation: str
    interval_ms: int
    rc: int
    at: int
    reason: str


def transient(root: Element) -> dict[str, dict[str, str]]:
    """Return each node's transient attributes, by the node's name."""
    found: dict[str, dict[str, str]] = {}
    for state in root.iterfind("status/node_state"):
        name = state.get("uname") or state.get("id", "")
        values = found.setdefault(name, {})
        for pair in state.iterfind("transient_attributes/instance_attributes/nvpair"):
            values[pair.get("name", "")] = pair.get("value", "")
    return found


def failed(root: Element) -> tuple[Failed, ...]:
    """Return what failed, by node and resource."""
    found = []
    for state in root.iterfind("status/node_state"):
        node = state.get("uname") or state.get("id", "")
        for resource in state.iterfind("lrm/lrm_resources/lrm_resource"):
            kept = (op for op in resource.iterfind("lrm_rsc_op") if op.get("id", "").endswith(FAILURE))
            kept = (op for op in kept if not _is_answered_probe(op))
            found += [_failed(node, resource.get("id", ""), op) for op in kept]
    return tuple(sorted(found, key=lambda each: (each.node, each.resource, each.operation)))


def _is_answered_probe(op: Element) -> bool:
    is_probe = op.get("operation") == "monitor" and _whole(op.get("interval", "0")) == 0
    return is_probe and _whole(op.get("rc-code", "0")) in ANSWERS


def _failed(node: str, resource: str, op: Element) -> Failed:
    return Failed(
        node=node,
        resource=resource,
        operation=op.get("operation", ""),
        interval_ms=_whole(op.get("interval", "0")),
        rc=_whole(op.get("rc-code", "0")),
        at=_whole(op.get("last-rc-change", "0")),
        reason=op.get("exit-reason", ""),
    )


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
