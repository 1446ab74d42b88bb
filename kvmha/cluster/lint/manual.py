"""The rules as the tables of a page: made from the data that the check runs."""

from __future__ import annotations

from kvmha.cluster.lint import RULES

TITLES = {
    "membership": "The ring and its links",
    "quorum": "Quorum",
    "fencing": "Fencing",
    "sbd": "sbd and the watchdog",
    "properties": "Properties and defaults",
    "guests": "Guests",
    "addresses": "Floating addresses",
    "drbd": "DRBD",
    "tickets": "Tickets of a second site",
    "hosts": "The nodes themselves",
    "recovery": "Recovery",
}


def markdown() -> str:
    """Return a table of rules for each area."""
    out = []
    for area, title in TITLES.items():
        rows = [rule for rule in RULES if rule.area == area]
        out += [f"### {title}", "", "| Rule | Severity | Looks at | Why |", "| --- | --- | --- | --- |"]
        out += [f"| `{rule.id}` | {rule.severity} | {rule.looks_at} | {rule.why} |" for rule in rows]
        out.append("")
    return "\n".join(out)
