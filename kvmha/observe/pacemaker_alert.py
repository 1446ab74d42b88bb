"""Pacemaker's alerts: what happened in the cluster, told by the one place from which kvmha tells everything.

Pacemaker starts an alert agent with what happened in its environment (Pacemaker Explained, Alerts). It runs as
hacluster, so nothing here needs root.
"""

from __future__ import annotations

import os

from kvmha import alert
from kvmha.alert import Alert
from kvmha.host import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

SECONDS = 25.0
"""Pacemaker gives an alert agent 30 s, unless it is told otherwise."""

PENDING = 193
"""The exit code of an operation that is under way (PCMK_OCF_UNKNOWN)."""


def alert_of(environ: Mapping[str, str]) -> Alert | None:
    """Return what people should hear of an event; None for what needs nobody: success, and attributes."""

    def value(name: str) -> str:
        return environ.get(f"CRM_alert_{name}", "")

    kind, node, said = value("kind"), value("node"), value("desc")
    if kind == "node":
        is_lost = said == "lost"
        sentence = f"node {node} is lost" if is_lost else f"node {node} is a member of the cluster again"
        return Alert(kind="node-lost" if is_lost else "node-back", subject=node, sentence=sentence)
    if kind == "fencing":
        has_failed = value("rc") != "0"
        facts = {"operation": value("task"), "rc": value("rc")}
        word = "failed: " if has_failed else ""
        return Alert(
            kind="fencing-failed" if has_failed else "fenced", subject=node, facts=facts,
            sentence=f"fencing of {node}: {word}{said or value('rc')}",
        )  # fmt: skip
    if kind == "resource" and value("rc") not in ("", value("target_rc"), str(PENDING)):
        resource, task = value("rsc"), value("task")
        facts = {"node": node, "operation": task, "rc": value("rc"), "interval": value("interval")}
        return Alert(
            kind="operation-failed", subject=resource, facts=facts,
            sentence=f"{task} of {resource} failed on {node} with {value('rc')}: {said}".rstrip(": "),
        )  # fmt: skip
    return None


def run(environ: Mapping[str, str], host: Host) -> int:
    """Serve one call; Pacemaker only logs how it ends."""
    made = alert_of(environ)
    if made is not None:
        alert.send(host, made, seconds=SECONDS, recipient=environ.get("CRM_alert_recipient", ""))
    return 0


def main() -> NoReturn:
    """Be the agent's process."""
    os._exit(run(os.environ, Host()))
