"""Metadata from a table that holds everything XML has to be careful with."""

from __future__ import annotations

from xml.etree import ElementTree

from kvmha.ocf.agent import Agent
from kvmha.ocf.metadata import render
from kvmha.ocf.spec import Action, Param


class Awkward(Agent):
    """An agent whose texts hold markup."""

    name = "Awkward"
    shortdesc = 'a < b & "c"'
    longdesc = """
    First line <one>,
    second line.

    Second paragraph & more.
    """
    params = (
        Param(
            name="ip",
            shortdesc="s < t",
            longdesc="l & m",
            required=True,
            identity=True,
            unique_group="address",
            default="\"<&'",
        ),
        Param(name="count", shortdesc="s", longdesc="l", kind="integer"),
    )
    actions = (
        Action(name="monitor", timeout=30, interval=10, depth=0, role="Promoted"),
        Action(name="reload-agent", timeout=20),
    )


def tree():
    return ElementTree.fromstring(render(Awkward))


def test_markup_in_a_text_stays_text():
    assert tree().findtext("shortdesc") == 'a < b & "c"'
    assert tree().find("parameters/parameter/content").get("default") == "\"<&'"


def test_a_long_description_keeps_its_paragraphs_and_loses_its_line_ends():
    assert tree().findtext("longdesc") == "First line <one>, second line.\n\nSecond paragraph & more."


def test_what_names_the_resource_is_unique_and_not_reloadable():
    ip, count = tree().findall("parameters/parameter")
    assert ip.attrib == {"name": "ip", "required": "1", "reloadable": "0", "unique-group": "address"}
    assert count.attrib == {"name": "count", "required": "0", "reloadable": "1"}


def test_a_parameter_without_a_default_has_no_default():
    assert tree().findall("parameters/parameter/content")[1].attrib == {"type": "integer"}


def test_times_carry_their_unit():
    assert tree().find("actions/action").attrib == {
        "name": "monitor", "timeout": "30s", "interval": "10s", "depth": "0", "role": "Promoted",
    }  # fmt: skip


def test_the_declaration_names_no_encoding():
    # crmsh gives the document to a parser as text, which then refuses an encoding declaration.
    assert render(Awkward).startswith('<?xml version="1.0"?>\n<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd" [')
