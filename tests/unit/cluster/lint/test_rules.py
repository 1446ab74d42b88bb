"""Each rule is broken once, and finds that and nothing else; next to the break it finds nothing."""

from __future__ import annotations

import re

import pytest

from kvmha.cluster import lint
from kvmha.cluster.facts import DESCRIPTION
from kvmha.cluster.lint.rule import NODES, RING, Fault, Rule
from tests.unit.cluster.lint import breaks_fencing, breaks_ring, breaks_workload, examples

BREAKS = {**breaks_ring.BREAKS, **breaks_fencing.BREAKS, **breaks_workload.BREAKS}

ONLY_SAYS_UNKNOWN = {"guest-size", "cib-unread"}
"""Rules that find no fault, and only say what is not known."""

IDS = [rule.id for rule in lint.RULES]


def found(facts) -> set[str]:
    return {finding.rule for finding in lint.check(facts).findings}


def test_every_rule_has_a_break_and_every_break_a_rule():
    assert sorted(set(IDS) - ONLY_SAYS_UNKNOWN) == sorted(BREAKS)
    assert len(IDS) == len(set(IDS)) >= 50


@pytest.mark.parametrize("example", examples.NODES)
def test_nothing_is_wrong_with_the_examples_and_everything_is_known(example):
    report = lint.check(examples.facts(example))
    assert report.findings == ()
    assert report.unknown == ()
    assert report.rules == len(lint.RULES)


@pytest.mark.parametrize("rule", BREAKS)
def test_a_break_is_found_and_nothing_else_and_told_with_what_mends_it(rule):
    example, change, _, also = BREAKS[rule]
    report = lint.check(examples.facts(example, change))
    assert {finding.rule for finding in report.findings} == {rule, *also}
    finding = next(each for each in report.findings if each.rule == rule)
    assert all(finding.subjects)
    assert finding.said
    assert finding.said[-1] not in ".!"
    assert finding.yaml or finding.commands
    told = " ".join((finding.said, finding.chain, finding.yaml, *finding.commands))
    assert not re.search(r"\bNone\b|object at|\bnan\b|\binf\b", told)


@pytest.mark.parametrize("rule", [rule for rule, case in BREAKS.items() if case[2] is not None])
def test_what_is_next_to_a_break_is_not_found(rule):
    example, _, near, also = BREAKS[rule]
    assert found(examples.facts(example, near)) <= set(also)


RIGHT = {
    # The same guest with the agent's own schedule, which slows it down until it can be copied.
    "a-guest-that-writes-too-fast-is-pushed": examples.Change(
        cib=breaks_workload.BREAKS["migration-endless"][1].cib[:1],
        facts=breaks_workload.BREAKS["migration-endless"][1].facts,
    ),
    "a-remote-node-may-be-fenced": examples.Change(
        cib=(
            ('name="pcmk_host_list" value="n3"', 'name="pcmk_host_list" value="n3 far"'),
            ('uname="n3"/>', 'uname="n3"/><node id="far" uname="far" type="remote"/>'),
        )
    ),
    "devices-of-one-address-by-maps": examples.Change(
        cib=tuple((f'          <nvpair id="power-n{n}-plug" name="plug" value="{n}"/>\n', "") for n in (1, 2, 3))
    ),
    "devices-of-one-address-by-names": examples.Change(
        cib=tuple(
            change
            for n in (1, 2, 3)
            for change in (
                (f'          <nvpair id="power-n{n}-plug" name="plug" value="{n}"/>\n', ""),
                (f'name="pcmk_host_map" value="n{n}:{n}"', f'name="pcmk_host_list" value="n{n}"'),
            )
        )
    ),
    "settings-of-an-sbd-that-nobody-uses": examples.Change(
        fields={"sbd": {"SBD_WATCHDOG_TIMEOUT": "5"}, "sbd_header": {}}
    ),
    "timeouts-of-the-shell-agents-defaults": examples.Change(
        cib=(
            ('provider="kvmha" type="VirtualDomain"', 'provider="heartbeat" type="VirtualDomain"'),
            ('timeout="120s"', 'timeout="105s"'),
        )
    ),
}


@pytest.mark.parametrize("change", RIGHT.values(), ids=RIGHT)
def test_what_is_right_in_another_way_is_right(change):
    assert found(examples.facts("three", change)) == set()


def test_a_delay_that_was_laid_over_a_device_for_the_survivor_is_nothing_to_mend():
    first = '<instance_attributes id="fence-n2-instance_attributes">'
    laid = (
        '<instance_attributes id="fence-n2-kvmha-survivor" score="INFINITY">'
        '<nvpair id="fence-n2-kvmha-survivor-d" name="pcmk_delay_base" value="16s"/></instance_attributes>'
    )
    assert found(examples.facts("pair", examples.Change(cib=((first, laid + first),)))) == set()
    by_hand = (first, f'{first}<nvpair id="by-hand" name="pcmk_delay_base" value="16s"/>')
    assert found(examples.facts("pair", examples.Change(cib=(by_hand,)))) == {"priority-delay-short"}


@pytest.mark.parametrize("rule", [rule for rule in lint.RULES if NODES in rule.needs], ids=lambda rule: rule.id)
def test_a_node_that_says_nothing_is_told_and_not_taken_for_well(rule):
    example, change, _, _ = BREAKS[rule.id]
    facts = examples.facts(example, change)
    silent = facts.replace(nodes=())
    report = lint.check(silent, (rule,))
    said = [each for each in report.unknown if rule.id in each.rules]
    assert said or report.findings
    assert lint.check(silent.replace(source=DESCRIPTION), (rule,)).elsewhere == (rule.id,)


def test_a_guest_of_unknown_size_is_told():
    facts = examples.facts("three")
    facts = facts.replace(guests=tuple(guest.replace(memory_mib=None) for guest in facts.guests))
    report = lint.check(facts)
    assert {each.subject for each in report.unknown} == {"web1", "web2"}
    assert report.findings == ()


@pytest.mark.parametrize(
    ("old", "new", "subject"),
    [
        pytest.param(
            "    <constraints>\n", "    <constraints>\n      <rsc_wish/>\n", "constraints/rsc_wish", id="part"
        ),
        pytest.param(
            '        <meta_attributes id="web1-meta_attributes">\n',
            '        <meta_attributes id="web1-at-night"><rule id="r" score="1"><date_expression id="d" operation="gt" '
            'start="2030-01-01"/></rule><nvpair id="n" name="priority" value="5"/></meta_attributes>\n'
            '        <meta_attributes id="web1-meta_attributes">\n',
            "web1",
            id="rule",
        ),
    ],
)
def test_what_the_cib_says_and_nobody_understands_is_told(old, new, subject):
    report = lint.check(examples.facts("three", examples.Change(cib=((old, new),))))
    assert report.findings == ()
    assert [each.subject for each in report.unknown] == [subject]


def test_without_the_cib_its_rules_do_not_look_and_say_so():
    report = lint.check(examples.facts("three").replace(cib=None, guests=()))
    told = next(each for each in report.unknown if each.subject == "the CIB")
    assert "fencing-off" in told.rules
    assert report.rules < len(lint.RULES)
    assert report.recovery == ()


def test_without_corosync_conf_its_rules_do_not_look_and_say_so():
    report = lint.check(examples.facts("three").replace(ring=None))
    told = next(each for each in report.unknown if each.subject == RING)
    assert "token-short" in told.rules


def test_what_is_the_same_for_several_is_one_finding():
    rule = Rule(
        id="same", severity=lint.NOTE, area="", looks_at="", why="",
        find=lambda _facts: (Fault(subject=name, said="it is", commands=(f"do {name}",)) for name in "ab"),
    )  # fmt: skip
    (finding,) = lint.check(examples.facts("three"), (rule,)).findings
    assert finding.subjects == ("a", "b")
    assert finding.commands == ("do a", "do b")


def test_errors_come_first_and_are_what_an_apply_refuses():
    _, change, _, _ = BREAKS["fencing-off"]
    note = examples.Change(cib=change.cib, conf=(("    token_coefficient: 0\n", ""),))
    report = lint.check(examples.facts("three", note))
    assert [finding.severity for finding in report.findings] == [lint.ERROR, lint.NOTE]
    assert [finding.rule for finding in report.errors] == ["fencing-off"]
