"""Records: what they promise to whoever would otherwise use a dataclass."""

from __future__ import annotations

import copy
import pickle
from functools import cached_property

import pytest

from kvmha.record import Record, plain


class Point(Record):
    """Two numbers, of which the second has a default."""

    across: int
    up: int = 7


class Named(Point):
    """A point with a name, and with another default of what it inherits."""

    up: int = 8
    name: str = ""


class Holder(Record):
    """A record that holds others."""

    points: tuple[Point, ...]
    by_name: dict[str, Point] = {}  # noqa: RUF012 (records are frozen)


def test_a_field_without_a_value_takes_its_default():
    assert Point(across=1).up == 7


def test_a_missing_field_is_named():
    with pytest.raises(TypeError, match="Point lacks the field across"):
        Point(up=1)


def test_an_unknown_field_is_named():
    with pytest.raises(TypeError, match="Point has no field down, left"):
        Point(across=1, left=1, down=2)


def test_values_come_by_name_only():
    with pytest.raises(TypeError):
        Point(1, 2)  # type: ignore[misc]


def test_a_record_cannot_be_changed():
    point = Point(across=1)
    with pytest.raises(AttributeError, match=r"Point\.across is frozen"):
        point.across = 2
    with pytest.raises(AttributeError, match=r"Point\.across is frozen"):
        del point.across
    with pytest.raises(AttributeError, match=r"Point\.anything is frozen"):
        point.anything = 2
    assert point.across == 1


def test_fields_are_inherited_in_order_and_a_default_can_be_overridden():
    assert Named._fields == ("across", "up", "name")
    assert Named(across=1) == Named(across=1, up=8, name="")


def test_a_subclass_does_not_change_its_base():
    assert Point._fields == ("across", "up")
    with pytest.raises(TypeError):
        Point(across=1, name="x")


def test_equal_values_are_equal_and_hash_alike_whether_given_or_defaulted():
    assert Point(across=1) == Point(across=1, up=7)
    assert hash(Point(across=1)) == hash(Point(across=1, up=7))
    assert len({Point(across=1), Point(across=1, up=7), Point(across=2)}) == 2


def test_records_of_two_classes_are_never_equal():
    assert Named(across=1, up=7) != Point(across=1, up=7)
    assert Point(across=1) != (1, 7)
    assert Point(across=1) != {"across": 1, "up": 7}


def test_replace_returns_a_changed_copy():
    point = Point(across=1)
    assert point.replace(up=2) == Point(across=1, up=2)
    assert point.up == 7


def test_what_a_value_remembers_of_itself_is_not_taken_over_by_a_changed_copy():
    class Sum(Record):
        one: int
        other: int = 1

        @cached_property
        def total(self) -> int:
            return self.one + self.other

    first = Sum(one=1)
    assert (first.total, first.replace(other=5).total, first) == (2, 6, Sum(one=1))


def test_replace_refuses_an_unknown_field():
    with pytest.raises(TypeError, match="has no field down"):
        Point(across=1).replace(down=2)


def test_repr_can_be_read_back():
    point = Named(across=1, name="it's")
    assert eval(repr(point)) == point


def test_a_record_survives_copy_and_pickle():
    point = Named(across=1, name="n1")
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point


def test_plain_goes_through_everything_that_a_record_holds():
    holder = Holder(points=(Point(across=1), Point(across=2)), by_name={"n1": Point(across=3)})
    assert plain(holder) == {
        "points": [{"across": 1, "up": 7}, {"across": 2, "up": 7}],
        "by_name": {"n1": {"across": 3, "up": 7}},
    }


def test_plain_leaves_alone_what_is_plain():
    assert plain([1, "a", None, True, 2.5]) == [1, "a", None, True, 2.5]
    assert plain({1: "a"}) == {"1": "a"}


def test_private_annotations_are_no_fields():
    class Private(Record):
        shown: int
        _hidden: int = 3

    assert Private._fields == ("shown",)
