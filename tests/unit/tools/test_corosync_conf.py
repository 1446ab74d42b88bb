"""corosync.conf as it is written by people, and what is wrong with one."""

from __future__ import annotations

import pytest

from kvmha.tools import corosync_conf
from kvmha.tools.corosync_conf import CorosyncConfError, parse

TEXT = """\
# a comment
totem {
        version: 2
    token: 1000
    token:3000
    interface {
        linknumber: 1
        knet_ping_timeout: 500
    }
}
nodelist {
    node {
        ring0_addr: fd00::11
        name: n1
    }
    node {
        name: n2
    }
}
totem {
    secauth: on
}
"""


def test_sections_keys_and_values():
    conf = parse(TEXT)
    totem = conf.section("totem")
    assert totem.number("version") == 2
    assert totem.is_yes("secauth") is True
    assert totem.is_yes("absent") is None
    assert totem.all("interface")[0].value("knet_ping_timeout") == "500"
    assert [node.value("name") for node in conf.section("nodelist").all("node")] == ["n1", "n2"]


def test_of_a_key_that_is_given_twice_the_last_one_holds():
    assert parse(TEXT).section("totem").number("token") == 3000


def test_an_address_keeps_its_colons():
    assert parse(TEXT).section("nodelist").sections[0].value("ring0_addr") == "fd00::11"


def test_a_section_that_is_not_there_is_empty():
    empty = parse("").section("quorum")
    assert (empty.value("provider", "none"), empty.number("votes"), empty.sections) == ("none", None, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("totem {\n", "line 1: the section totem has no end", id="open"),
        pytest.param("}\n", "line 1: a closing brace", id="closed"),
        pytest.param("totem {\nversion 2\n}", 'line 2: "version 2" is neither', id="no-colon"),
        pytest.param("{\n}", 'line 1: "{" is no begin', id="no-name"),
        pytest.param("totem { version: 2 }", "is no begin of a section", id="one-line"),
    ],
)
def test_a_mistake_is_named_with_its_line(text, said):
    with pytest.raises(CorosyncConfError, match=said.replace("{", "[{]")):
        parse(text)


def test_what_the_templates_render_is_read(checkout):
    from kvmha.cluster import description, render

    example = (checkout / "cluster-templates/three-node/cluster.yaml").read_text()
    wanted = description.read(example, "cluster.yaml")
    conf = corosync_conf.parse(render.corosync_conf(wanted))
    names = [node.value("name") for node in conf.section("nodelist").all("node")]
    assert names == [node.name for node in wanted.nodes]
    assert conf.section("totem").number("token") == wanted.timing.token


WRITTEN = """\
# kept
totem {
    token: 1000
    interface {
        token: 5
    }
    consensus: 1200
}
quorum {
    token: 9
}
"""


@pytest.mark.parametrize(
    ("values", "want"),
    [
        pytest.param({"token": "2000"}, {"token": "2000", "consensus": "1200"}, id="changed"),
        pytest.param({"join": "60"}, {"join": "60", "token": "1000", "consensus": "1200"}, id="new"),
        pytest.param({"consensus": None}, {"token": "1000"}, id="gone"),
    ],
)
def test_keys_of_totem_are_set_and_all_else_stays(values, want):
    made = corosync_conf.with_totem(WRITTEN, values)
    root = corosync_conf.parse(made)
    assert dict(root.section("totem").values) == want
    assert root.section("totem").section("interface").value("token") == "5"
    assert root.section("quorum").value("token") == "9"
    assert made.startswith("# kept\n")


def test_totem_is_made_where_there_is_none():
    root = corosync_conf.parse(corosync_conf.with_totem("quorum {\n}\n", {"token": "2000"}))
    assert (root.section("totem").value("token"), len(root.sections)) == ("2000", 2)


def test_a_file_of_another_cluster_is_told_from_what_debian_leaves():
    left = "nodelist {\nnode {\nring0_addr: 127.0.0.1\n}\n}\n"
    assert "pcs cluster destroy" in corosync_conf.why_foreign(left, "debian")
    assert "change the field cluster to far" in corosync_conf.why_foreign(WRITTEN, "far")
