"""The arithmetic of a cluster's configuration, checked: rules as data, and one function that runs them all."""

from __future__ import annotations

from kvmha.cluster.lint import (
    addresses,
    fate,
    fencing,
    guests,
    hosts,
    links,
    membership,
    migrations,
    operations,
    properties,
    races,
    recovery,
    replicas,
    replication,
    tickets,
    votes,
    watchdog,
)
from kvmha.cluster.lint.rule import ERROR, NOTE, SEVERITIES, WARNING, Finding, NotKnown, Report, Rule, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cluster.facts import Facts

__all__ = ["ERROR", "NOTE", "RULES", "SEVERITIES", "WARNING", "Finding", "NotKnown", "Report", "Rule", "check"]

RULES: tuple[Rule, ...] = (
    *membership.RULES,
    *links.RULES,
    *votes.RULES,
    *fencing.RULES,
    *races.RULES,
    *fate.RULES,
    *watchdog.RULES,
    *properties.RULES,
    *guests.RULES,
    *operations.RULES,
    *migrations.RULES,
    *addresses.RULES,
    *replication.RULES,
    *replicas.RULES,
    *tickets.RULES,
    *hosts.RULES,
    *recovery.RULES,
)
"""All rules, in the order in which a report and the documentation show them."""


def check(facts: Facts, rules: tuple[Rule, ...] = RULES) -> Report:
    """Return what is wrong with a cluster, what could not be looked at, and what a lost node is predicted to cost."""
    findings, unknown, elsewhere, looked = run(facts, rules)
    predictions = ((node, recovery.predict(facts, node)) for node in facts.node_names)
    return Report(
        source=facts.source,
        findings=tuple(findings),
        unknown=tuple(unknown),
        rules=looked,
        elsewhere=tuple(elsewhere),
        recovery=tuple((node, found) for node, found in predictions if found is not None),
    )
