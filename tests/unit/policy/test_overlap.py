"""What was in two places at the same time, and what had only moved."""

from __future__ import annotations

import itertools

import pytest

from kvmha.policy.overlap import MARGIN_S, Overlaps

GUEST = frozenset({"guest web1"})
NONE: frozenset[str] = frozenset()


def found(looks) -> list[tuple[str, ...]]:
    overlaps = Overlaps()
    return [each.holders for at, holder, held in looks for each in overlaps.take(holder, held, at)]


@pytest.mark.parametrize(
    ("looks", "twice"),
    [
        pytest.param([(0, "n1", GUEST), (1, "n1", GUEST), (2, "n2", GUEST), (3, "n2", GUEST)], False, id="moved"),
        pytest.param(
            [(0, "n1", GUEST), (1, "n2", GUEST), (2, "n1", NONE), (3, "n2", GUEST)], False, id="moved-between-two-looks"
        ),
        pytest.param([(0, "n1", GUEST), (1, "n2", GUEST), (2, "n1", GUEST)], False, id="not-yet-proven"),
        pytest.param([(0, "n1", GUEST), (1, "n2", GUEST), (2, "n1", GUEST), (3, "n2", GUEST)], True, id="twice"),
        pytest.param(
            [(0, "n1", GUEST), (0.1, "n2", GUEST), (0.15, "n1", GUEST), (0.2, "n2", GUEST)], False,
            id="within-what-clocks-may-differ",
        ),
        pytest.param(
            [(0, "n1", GUEST), (1, "n2", GUEST), (2, "n2", NONE), (3, "n1", GUEST), (4, "n2", GUEST), (5, "n2", GUEST)],
            False, id="there-and-back",
        ),
    ],
)  # fmt: skip
def test_twice_is_what_both_had_before_and_after_the_other(looks, twice):
    assert found(looks) == ([("n1", "n2")] if twice else [])


def test_one_holder_at_a_time_is_never_twice_however_it_is_looked_at():
    """A guest goes n1, n2, n1, a second each, with a pause between; the nodes are looked at in every order."""
    owner = ["n1"] * 4 + [""] + ["n2"] * 4 + [""] + ["n1"] * 4
    for delays in itertools.product((0.0, MARGIN_S), repeat=2):
        late = dict(zip(("n1", "n2"), delays))
        looks = [
            (place * 0.25 + late[node], node, GUEST if who == node else NONE)
            for place, who in enumerate(owner)
            for node in ("n1", "n2")
        ]
        assert found(sorted(looks, key=lambda look: look[0])) == []


def test_it_is_told_once_and_a_dead_node_has_nothing():
    overlaps = Overlaps()
    made = [overlaps.take(node, GUEST, at) for at, node in enumerate(("n1", "n2") * 4)]
    assert [len(each) for each in made].count(1) == 1
    overlaps.take("n2", NONE, 10)
    again = [overlaps.take(node, GUEST, 11 + at) for at, node in enumerate(("n1", "n2") * 4)]
    assert [len(each) for each in again].count(1) == 1, "what comes back is told again"
    overlaps = Overlaps()
    for at in (0, 1, 2):
        overlaps.take("n1", GUEST, at)
    overlaps.gone("n1")
    for at in (3, 4, 5):
        assert overlaps.take("n2", GUEST, at) == ()
