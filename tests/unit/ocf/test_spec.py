"""The rows of an agent's table: what a text means, and what is said about one that means nothing."""

from __future__ import annotations

import pytest

from kvmha.ocf.spec import Param, ParamError, read_params

TEXT = Param(name="config", shortdesc="c", longdesc="c", required=True, identity=True)
CHOICE = Param(name="transport", shortdesc="t", longdesc="t", choices=("", "ssh", "tcp"))
NUMBER = Param(name="count", shortdesc="n", longdesc="n", kind="integer", default="3", minimum=0, maximum=100)
OPEN = Param(name="speed", shortdesc="s", longdesc="s", kind="integer", minimum=1)
FLAG = Param(name="force", shortdesc="f", longdesc="f", kind="boolean", default="false")


@pytest.mark.parametrize("text", ["1", "yes", "true", "on", "y", "t", "ja", "On", "TRUE", "Yes", "tRUE", " true\n"])
def test_every_way_to_say_yes_is_understood(text):
    assert FLAG.parse(text) is True


@pytest.mark.parametrize("text", ["0", "no", "false", "off", "n", "f", "nein", "Off", "FALSE", "No"])
def test_every_way_to_say_no_is_understood(text):
    assert FLAG.parse(text) is False


@pytest.mark.parametrize("text", ["2", "maybe", "yess", "-1", "None", " "])
def test_a_word_that_is_neither_is_an_error_and_not_a_no(text):
    with pytest.raises(ParamError) as caught:
        FLAG.parse(text)
    assert str(caught.value) == f'force="{text}" is not true or false'


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("100", 100), (" 7 ", 7), ("007", 7)])
def test_a_number_within_its_bounds_is_read(text, value):
    assert NUMBER.parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "101",
        "10M",
        "1.5",
        "0x10",
        "1_0",
        "",
        "\N{SUPERSCRIPT TWO}",
        "\N{ARABIC-INDIC DIGIT THREE}",
        "9" * 5000,
        "1 0",
        "+-1",
    ],
)
def test_what_is_no_number_within_the_bounds_is_refused_with_the_bounds(text):
    with pytest.raises(ParamError) as caught:
        NUMBER.parse(text)
    assert str(caught.value) == f'count="{text}" is not a whole number from 0 to 100'


def test_a_bound_on_one_side_is_told():
    with pytest.raises(ParamError, match='speed="0" is not a whole number of at least 1'):
        OPEN.parse("0")


def test_a_choice_is_exact_and_the_others_are_told():
    assert CHOICE.parse("ssh") == "ssh"
    with pytest.raises(ParamError, match=r'transport="SSH" is not one of \(empty\), ssh, tcp'):
        CHOICE.parse("SSH")


def test_values_and_errors_come_together_and_a_wrong_value_becomes_its_default():
    values, errors = read_params((TEXT, NUMBER, FLAG), {"config": "/x", "count": "many", "force": "1"})
    assert values == {"config": "/x", "count": 3, "force": True}
    assert errors == ['count="many" is not a whole number from 0 to 100']


def test_every_error_is_told_at_once():
    _, errors = read_params((TEXT, NUMBER, FLAG), {"count": "many", "force": "?"})
    assert len(errors) == 3
    assert errors[0] == "config is not set"


def test_an_empty_text_counts_as_not_given():
    values, errors = read_params(
        (TEXT, NUMBER, OPEN, FLAG, CHOICE), dict.fromkeys(("config", "count", "speed", "force"), "")
    )
    assert values == {"config": "", "count": 3, "speed": None, "force": False, "transport": ""}
    assert errors == ["config is not set"]


def test_a_parameter_that_the_table_does_not_know_is_left_alone():
    assert read_params((FLAG,), {"forced": "maybe"}) == ({"force": False}, [])


def test_only_what_names_the_resource_needs_a_restart():
    assert (TEXT.reloadable, NUMBER.reloadable) == (False, True)
