"""Whatever a configuration says, the check ends with a report, or with an error that its readers are known for."""

from __future__ import annotations

import random
import re

import pytest

from kvmha.cluster import lint
from kvmha.cluster.facts import LIVE, of_files
from kvmha.errors import UserError
from kvmha.policy.node import NodeFacts
from kvmha.tools.corosync_conf import CorosyncConfError
from tests.unit.cluster.lint import examples

WORDS = (
    "", "0", "-1", "1", "3", "99999999999", "INFINITY", "-INFINITY", "yes", "off", "x y", "10.77.0.11", "n1", "P1D",
    "5s", "n1:5s;n2:0s", ":", "%", "pattern:n.*", "9.9.9.9.9", "::1", "none", "0x10", "\u0661\u0662",
)  # fmt: skip

ATTRIBUTE = re.compile(r'(?<= )(?:value|timeout|interval|index|target|devices|score|node|on-fail|uname|type)="[^"]*"')
SETTING = re.compile(r"(?<=: ).*$", re.MULTILINE)


def scrambled(text, pattern, chance):
    """Put a word of WORDS in a few of the places that a pattern finds."""
    places = range(len(pattern.findall(text)))
    words = {chance.choice(places): chance.choice(WORDS) for _ in range(5)}
    counted = iter(places)

    def other(found):
        place = next(counted)
        if place not in words:
            return found.group()
        name, equals, _ = found.group().partition("=")
        return f'{name}="{words[place]}"' if equals else words[place]

    return pattern.sub(other, text)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("example", examples.NODES)
def test_no_configuration_makes_a_rule_fail(example, seed):
    chance = random.Random(f"{example} {seed}")
    folder = examples.HERE / example
    cib = scrambled((folder / "cib.xml").read_text(), ATTRIBUTE, chance)
    conf = scrambled((folder / "corosync.conf").read_text(), SETTING, chance)
    try:
        facts = of_files(conf=conf, cib=cib, nodes=examples.facts(example).nodes, source=LIVE)
    except (UserError, CorosyncConfError):
        return
    report = lint.check(facts)
    assert report.rules == len(lint.RULES)
    assert all(finding.said for finding in report.findings)


def test_a_fencing_level_with_an_index_that_is_none_counts_for_nothing():
    old = 'id="fl-n1-2" target="n1" index="2"'
    facts = examples.facts("three", examples.Change(cib=((old, 'id="fl-n1-2" target="n1" index="off"'),)))
    assert [[device.id for device in level] for level in facts.fencing_of("n1")] == [["fence-n1"]]


@pytest.mark.parametrize("field", [name for name in NodeFacts._fields if name not in ("node", "why_unknown")])
def test_what_a_node_does_not_know_is_never_a_finding(field):
    """Not knowing may only add to what is not known, or take a finding away."""
    for example in examples.NODES:
        facts = examples.facts(example)
        silent = facts.replace(nodes=tuple(node.replace(**{field: None}) for node in facts.nodes))
        assert lint.check(silent).findings == ()


def test_nodes_that_do_not_answer_at_all_are_no_finding_either():
    for example in examples.NODES:
        assert lint.check(examples.facts(example).replace(nodes=())).findings == ()
