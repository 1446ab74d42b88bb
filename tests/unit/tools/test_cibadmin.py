"""The constraint that keeps a DRBD peer from promotion."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from kvmha.tools import cibadmin
from kvmha.tools.cibadmin import Exclusion

PRIMARY = """
<primitive id="primary-r1" class="ocf" provider="kvmha" type="DRBDPrimary">
  <instance_attributes id="a"><nvpair id="b" name="drbd_resource" value="r1"/>
  <nvpair id="c" name="node_map" value="a:n1"/></instance_attributes>
</primitive>"""
PLAIN = """
<clone id="drbd-r1-clone"><primitive id="drbd-r1" class="ocf" provider="kvmha" type="DRBD">
  <instance_attributes id="d"><nvpair id="e" name="drbd_resource" value="r1"/></instance_attributes>
</primitive></clone>"""
PROMOTABLE = PLAIN.replace(
    "<primitive",
    '<meta_attributes id="f"><nvpair id="g" name="promotable" value="True"/></meta_attributes><primitive',
    1,
)
MASTER = PLAIN.replace("clone>", "master>").replace("<clone", "<master")


def cib(resources, constraints=""):
    return (
        f"<cib><configuration><resources>{resources}</resources><constraints>{constraints}</constraints>"
        "</configuration></cib>"
    )


@pytest.mark.parametrize(
    ("resources", "name", "role"),
    [
        pytest.param(PLAIN + PRIMARY, "primary-r1", "", id="the-resource-that-moves"),
        pytest.param(PROMOTABLE, "drbd-r1-clone", "Promoted", id="promotable-clone"),
        pytest.param(MASTER, "drbd-r1-clone", "Promoted", id="master-of-pacemaker-1"),
        pytest.param(PROMOTABLE + PRIMARY, "primary-r1", "", id="both"),
    ],
)
def test_what_promotes_a_resource_is_found(resources, name, role):
    holder = cibadmin.parse(cib(resources), "r1").holder
    assert (holder.name, holder.role) == (name, role)


@pytest.mark.parametrize("resources", [PLAIN, PRIMARY.replace('value="r1"', 'value="r10"'), ""])
def test_where_nothing_promotes_it_nothing_is_found(resources):
    assert cibadmin.parse(cib(resources), "r1").holder is None


def test_its_parameters_tell_the_names_of_nodes():
    assert cibadmin.parse(cib(PRIMARY), "r1").holder.params["node_map"] == "a:n1"


def test_two_nodes_write_one_constraint_of_which_only_the_first_comes_through():
    assert cibadmin.identity("r1", "n1", "n2") == cibadmin.identity("r1", "n2", "n1") == "drbd-fence-r1-n1-n2"
    assert cibadmin.identity("a/b:c", "n 1", "n2") == "drbd-fence-a.b.c-n.1-n2"


@pytest.mark.parametrize("resources", [PRIMARY, PROMOTABLE])
def test_the_constraint_excludes_the_peer_and_is_read_back(resources):
    holder = cibadmin.parse(cib(resources), "r1").holder
    xml = cibadmin.exclusion_xml("r1", holder, own="n2", peer="n1")
    rule = ElementTree.fromstring(xml).find("rule")
    assert (rule.get("score"), rule.get("role")) == ("-INFINITY", holder.role or None)
    found = cibadmin.parse(cib(resources, xml), "r1")
    assert found.exclusions == (Exclusion(identity="drbd-fence-r1-n1-n2", resource=holder.name, node="n1"),)
    assert found.between("n2", "n1") == found.exclusions[0]


def test_a_constraint_of_a_resource_whose_name_begins_alike_is_left_alone():
    other = PRIMARY.replace("primary-r1", "primary-r1-b").replace('value="r1"', 'value="r1-b"')
    xml = cibadmin.exclusion_xml("r1-b", cibadmin.parse(cib(other), "r1-b").holder, own="n1", peer="n2")
    assert cibadmin.parse(cib(PRIMARY + other.replace('id="', 'id="x'), xml), "r1").exclusions == ()


def test_a_value_that_is_no_xml_is_quoted():
    holder = cibadmin.parse(cib(PRIMARY), "r1").holder
    xml = cibadmin.exclusion_xml("r1", holder, own="n1", peer='n"2<')
    assert ElementTree.fromstring(xml).find("rule/expression").get("value") == 'n"2<'


def test_what_is_no_cib_is_refused():
    with pytest.raises(ValueError, match="no XML"):
        cibadmin.parse("Could not connect", "r1")
