"""The proof that no guest ran twice must be able to fail."""

from __future__ import annotations

from kvmha.lab.census import Copy, executing_twice


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
