"""The proof that no guest ran twice must be able to fail."""

from __future__ import annotations

import pytest

from kvmha.lab.census import Copy, Turns, executing_twice

MS = 1_000_000


def copy(node, *, executing=True, uuid="u1", pid=1):
    return Copy(uuid=uuid, name="web1", node=node, pid=pid, is_executing=executing)


def test_two_executing_processes_of_one_guest_are_twice():
    assert [[c.node for c in group] for group in executing_twice([copy("n1"), copy("n2", pid=2)])] == [["n1", "n2"]]


def test_two_processes_on_one_node_are_twice_as_well():
    assert executing_twice([copy("n1", pid=1), copy("n1", pid=2)])


def test_a_migration_with_one_side_at_rest_is_not_twice():
    assert executing_twice([copy("n1"), copy("n2", executing=False, pid=2)]) == []


def test_two_guests_are_two_guests():
    assert executing_twice([copy("n1"), copy("n2", uuid="u2", pid=2)]) == []


def proven(*looks):
    """Tell after which look the processor times of processes 1 and 2, in milliseconds, prove that both executed."""
    turns = Turns()
    for number, (one, two) in enumerate(looks):
        if turns.take({1: int(one * MS), 2: int(two * MS)}):
            return number
    return None


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param(((50, 0), (60, 0), (60, 5), (60, 12), (60, 40)), id="one-stops-and-the-other-goes-on"),
        pytest.param(((50, 0), (60, 9), (60, 20), (60, 30)), id="both-within-one-look"),
        # Seen in CI: the status file of the source had gone, and the process that it was about still ended.
        pytest.param(((50, 0), (50.05, 4), (50.05, 9), (0, 14), (0, 19)), id="the-source-is-ending"),
        pytest.param(((50, 0), (60, 0.1), (70, 0.1), (80, 0.2)), id="the-target-is-being-made"),
        pytest.param(((50, 50), (50, 50), (50, 50)), id="both-stand-still"),
    ],
)
def test_a_hand_over_is_not_proof_of_two_that_execute(looks):
    assert proven(*looks) is None


def test_two_that_execute_side_by_side_are_proven_with_the_second_turn_of_each():
    assert proven((50, 10), (55, 14), (60, 18)) == 2


def test_two_that_take_turns_are_proven_when_the_first_goes_on():
    assert proven((50, 10), (55, 10), (55, 15), (60, 15)) == 3


def test_little_by_little_counts_as_well():
    assert proven(*((50 + 0.4 * look, 10 + 0.3 * look) for look in range(12))) is not None
