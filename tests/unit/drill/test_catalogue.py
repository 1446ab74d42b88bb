"""Every drill says what it does, what comes of it and how it is undone, and there is code for it."""

from __future__ import annotations

import pytest

from kvmha.drill import catalogue, faults
from kvmha.drill.records import FENCED, GUEST, MOVED, NODE, RESTARTED, UNDISTURBED
from kvmha.errors import UserError
from kvmha.whatif import events

DRILLS = {drill.name: drill for drill in catalogue.DRILLS}


@pytest.mark.parametrize("name", DRILLS)
def test_each_says_all_that_has_to_be_known_before(name):
    drill = DRILLS[name]
    assert drill.said
    assert drill.undone
    assert drill.aim in (NODE, GUEST)
    assert drill.leads_to in (FENCED, UNDISTURBED, RESTARTED, MOVED)
    assert drill.is_destructive == (drill.leads_to in (FENCED, RESTARTED))
    assert drill.has_link == ("{link}" in drill.event or name in (catalogue.LINK_LOSS, catalogue.LINK_DELAY))


@pytest.mark.parametrize("name", [name for name, drill in DRILLS.items() if drill.event])
def test_what_is_foretold_is_a_question_that_whatif_knows(name):
    word, *values = DRILLS[name].event
    names, _ = events.WORDS[word]
    assert len(values) == len(names)


def test_whatever_a_node_does_to_itself_has_a_fault():
    elsewhere = {catalogue.POWER_CUT, catalogue.DRAIN, catalogue.MIGRATE}
    assert set(DRILLS) - elsewhere == set(faults._PLANS)


def test_a_fault_that_lasts_has_a_time():
    for name, drill in DRILLS.items():
        lasting = name in (catalogue.HANG, catalogue.COROSYNC_STOPPED, catalogue.LINKS_CUT)
        assert drill.hold_s > 0 or not (lasting or drill.leads_to == UNDISTURBED)


def test_an_unknown_one_is_named_with_all_that_there_are():
    with pytest.raises(UserError, match='no drill "power"; there are power-cut, hang'):
        catalogue.find("power")
