"""Which side of a split brain is which, and what may be given up."""

from __future__ import annotations

import pytest

from kvmha.policy import split_brain
from kvmha.policy.split_brain import Side, amount, relation, span, why_not_discard

COMMON, ONE, OTHER, NONE = "66389A5C7B517562", "16BD152E83A22EB8", "B09805DDEAE622E4", "0" * 16


def side(node="n1", *, current=ONE, base=COMMON, role="Secondary", disk="UpToDate", connection="StandAlone", **more):
    return Side(
        node=node,
        resource="r1",
        role=role,
        disks=(disk,),
        peers=("n2",),
        connections=(connection,),
        current=(current,),
        base=(base,),
        **more,
    )


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        pytest.param(side(), side("n2", current=OTHER), split_brain.PARTED, id="both-were-written"),
        pytest.param(side(), side("n2", current=COMMON, base=NONE), split_brain.AHEAD, id="only-this-one"),
        pytest.param(side(current=COMMON, base=NONE), side("n2"), split_brain.BEHIND, id="only-the-other-one"),
        pytest.param(side(base=NONE), side("n2", base=NONE), split_brain.SAME, id="the-same"),
        pytest.param(side(base=NONE), side("n2", current=OTHER, base=NONE), split_brain.UNRELATED, id="never-met"),
        pytest.param(side(), None, split_brain.UNSEEN, id="not-seen"),
        pytest.param(side(), side("n2").replace(current=()), split_brain.UNSEEN, id="no-generation-told"),
    ],
)
def test_relation(mine, theirs, said):
    assert relation(mine, theirs) == said


def test_two_volumes_that_disagree_are_a_split_brain():
    mine = side().replace(current=(ONE, COMMON), base=(COMMON, NONE))
    theirs = side("n2").replace(current=(COMMON, OTHER), base=(NONE, COMMON))
    assert relation(mine, theirs) == split_brain.PARTED


@pytest.mark.parametrize(
    ("sides", "victim", "said"),
    [
        pytest.param({"n1": side(), "n2": side("n2")}, "n3", "n3 has no replica", id="no-such-node"),
        pytest.param(
            {"n1": side(connection="Connected"), "n2": side("n2", connection="Connected")},
            "n1",
            "is connected",
            id="well",
        ),
        pytest.param({"n1": side(role="Primary"), "n2": side("n2")}, "n1", "n1 is promoted", id="in-use"),
        pytest.param(
            {"n1": side(), "n2": side("n2", disk="Inconsistent")}, "n1", "nothing would be left", id="the-last-good-one"
        ),
    ],
)
def test_what_may_not_be_given_up(sides, victim, said):
    assert said in why_not_discard(sides, victim)


def test_one_side_of_a_split_brain_may_be_given_up_even_if_the_other_was_not_seen():
    assert why_not_discard({"n1": side(), "n2": side("n2", role="Primary")}, "n1") is None
    assert why_not_discard({"n1": side(), "n2": None}, "n1") is None


def test_each_side_is_explained_and_what_was_not_seen_is_said():
    said = split_brain.explain({"n2": None, "n1": side(changed_kib=7168, promoted_at=100.0, parted_at=50.0)}, 160.0)
    assert said == (
        "n1: Secondary, UpToDate, StandAlone",
        f"  generation {ONE}, last common one {COMMON}",
        "  7.0 MiB differ from what both had",
        "  not promoted for 1 min",
        "  alone for 1 min 50 s",
        "n2: not seen from here",
    )


@pytest.mark.parametrize(
    ("kib", "said"),
    [(0, "0 KiB"), (1023, "1023 KiB"), (1024, "1.0 MiB"), (5 * 1024**2, "5.0 GiB"), (3 * 1024**3, "3.0 TiB")],
)
def test_amount(kib, said):
    assert amount(kib) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3725, "1 h 2 min"), (90_000, "1 d 1 h"), (-3, "0 s")],
)
def test_span(seconds, said):
    assert span(seconds) == said
