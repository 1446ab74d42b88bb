"""What a rule is, and what it finds.

A rule is data: its id, how bad it is, what it looks at and why, the facts that it needs, and a pure function from the
facts to faults. The function says a fault only on numbers that it knows; what it cannot know it says as Unknown.
"""

from __future__ import annotations

from kvmha.cluster.facts.records import DESCRIPTION, Facts
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Union

    from kvmha.cluster.facts.records import Ring
    from kvmha.policy.node import NodeFacts
    from kvmha.policy.timing import Recovery

    Seen = Union["Fault", "Unknown"]

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)
"""It will lose a guest, data or the cluster; it will cost when something else fails; it is good to know."""

RING, CIB, NODES = "corosync.conf", "the CIB", "the nodes"


class Fault(Record):
    """Something wrong: with what, in one sentence, the numbers that lead there, and the change that mends it."""

    subject: str
    said: str
    chain: str = ""
    yaml: str = ""
    """The change in cluster.yaml."""
    commands: tuple[str, ...] = ()
    """The change as commands on a node."""


class Unknown(Record):
    """Something that a rule could not look at, and why."""

    subject: str
    said: str


class Rule(Record):
    """One thing that is checked."""

    id: str
    severity: str
    area: str
    looks_at: str
    why: str
    find: Callable[[Facts], Iterable[Seen]]
    needs: tuple[str, ...] = ()
    """Which of RING, CIB and NODES it cannot do without."""


class Finding(Record):
    """A fault, with the rule that found it."""

    rule: str
    severity: str
    area: str
    subjects: tuple[str, ...]
    """Whom it concerns; those of whom the same is said are one finding."""
    said: str
    chain: str
    yaml: str
    commands: tuple[str, ...]


class NotKnown(Record):
    """Something that could not be looked at, with the rules that wanted to."""

    subject: str
    said: str
    rules: tuple[str, ...]


class Report(Record):
    """All that a check has to say."""

    source: str
    findings: tuple[Finding, ...]
    unknown: tuple[NotKnown, ...]
    rules: int
    """How many rules had the facts that they need."""
    elsewhere: tuple[str, ...]
    """Rules that look at the nodes themselves, which a description does not tell of."""
    recovery: tuple[tuple[str, Recovery], ...]
    """By node, what is predicted for its loss."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings for which nobody should put the configuration to use."""
        return tuple(finding for finding in self.findings if finding.severity == ERROR)


def run(facts: Facts, rules: tuple[Rule, ...]) -> tuple[list[Finding], list[NotKnown], list[str], int]:
    """Return what rules find, what they could not know, those that a description cannot serve, and how many looked."""
    found: dict[tuple[str, ...], list[tuple[Rule, Fault]]] = {}
    unknown: dict[tuple[str, str], list[str]] = {}
    elsewhere: list[str] = []
    looked = 0
    for rule in rules:
        if NODES in rule.needs and facts.source == DESCRIPTION and not facts.nodes:
            elsewhere.append(rule.id)
            continue
        lacking = [need for need in rule.needs if not _has(facts, need)]
        for need in lacking:
            unknown.setdefault((need, "was not given, or cannot be read"), []).append(rule.id)
        if lacking:
            continue
        looked += 1
        for seen in rule.find(facts):
            if isinstance(seen, Unknown):
                unknown.setdefault((seen.subject, seen.said), []).append(rule.id)
            else:
                key = (rule.id, seen.said, seen.chain, seen.yaml)
                found.setdefault(key, []).append((rule, seen))
    findings = [_finding(rule, [fault for _, fault in same]) for same in found.values() for rule, _ in same[:1]]
    findings.sort(key=lambda each: SEVERITIES.index(each.severity))
    told = [NotKnown(subject=who, said=what, rules=tuple(dict.fromkeys(ids))) for (who, what), ids in unknown.items()]
    return findings, told, elsewhere, looked


def _has(facts: Facts, need: str) -> bool:
    if need == RING:
        return facts.ring is not None
    return need != CIB or facts.cib is not None


def _finding(rule: Rule, faults: list[Fault]) -> Finding:
    """Return one finding of faults of which the same is said."""
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        area=rule.area,
        subjects=tuple(dict.fromkeys(fault.subject for fault in faults)),
        said=faults[0].said,
        chain=faults[0].chain,
        yaml=faults[0].yaml,
        commands=tuple(dict.fromkeys(command for fault in faults for command in fault.commands)),
    )


def each_node(facts: Facts, field: str) -> Iterator[tuple[NodeFacts | None, Unknown | None]]:
    """Yield each node that tells a field of itself, or what to say of one that does not."""
    for name in facts.node_names:
        node = facts.of_node(name)
        if node is None:
            yield None, Unknown(subject=name, said="has not been asked: run kvmha there, or give --facts or --via")
        elif getattr(node, field) is None:
            yield None, Unknown(subject=name, said=node.why_unknown.get(field, f"does not tell {field}"))
        else:
            yield node, None


def ring_in(facts: Facts) -> Ring:
    """Return what corosync.conf says, to a rule that needs it."""
    if facts.ring is None:
        raise LookupError("a rule that looks at corosync.conf must say so in its needs")
    return facts.ring


def set_totem(**values: int) -> tuple[str, ...]:
    """Return the command that changes times of corosync."""
    words = " ".join(f"{name}={value}" for name, value in values.items())
    return (f"pcs cluster config update totem {words}",)


def set_timeout(resource: str, operation: str, value: float) -> tuple[str, ...]:
    """Return the command that changes the timeout of an operation."""
    return (f"pcs resource update {resource} op {operation} timeout={value:g}s",)


def seconds(number: float) -> str:
    """Write a time in seconds, without digits that say nothing."""
    return f"{number:g} s"
