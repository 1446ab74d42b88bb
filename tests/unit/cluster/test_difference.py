"""The wanted and the live configuration side by side: whose doing a difference is, and that it can be made to go."""

from __future__ import annotations

import pytest

from kvmha.cluster import apply_plan, commands, description, difference, difference_items, merge, render
from kvmha.host import Host
from kvmha.tools import cib
from kvmha.tools.cib import editing, steering

EXAMPLES = ("two-node", "two-node-qdevice", "three-node", "stretched-pair")

YAML = """\
cluster: demo
nodes:
  - {name: n1, addresses: [10.0.0.1], fencing: {agent: fence_ipmilan, options: {ip: 10.0.9.1, password: geheim-1}}}
  - {name: n2, addresses: [10.0.0.2], fencing: {agent: fence_ipmilan, options: {ip: 10.0.9.2, password: geheim-2}}}
guests:
  - {name: web1, config: /etc/web1.xml, prefers: n1, options: {migration_transport: tcp, migration_speed: 50}}
  - {name: web2, config: /etc/web2.xml, prefers: n2, options: {migration_transport: tcp}}
floating_ips:
  - {name: vip, ip: 10.0.0.9, cidr_netmask: 24, nic: br0, follows: web1}
"""


class Story:
    """A cluster in memory: described, applied, changed by hand, described anew."""

    def __init__(self, text=YAML):
        self.text = text
        self.root = cib.tree(apply_plan.EMPTY)

    @property
    def wanted(self):
        return apply_plan.of(description.read(self.text, "cluster.yaml"))

    @property
    def live(self):
        return cib.read(cib.text_of(self.root))

    def compare(self, *overwrite):
        return difference.compare(self.wanted.cib(), self.live, overwrite)

    def apply(self, *overwrite):
        found = self.compare(*overwrite)
        apply_plan.edited(self.root, self.wanted, found, found.to_do())
        return self

    def describe(self, old, new):
        assert old in self.text
        self.text = self.text.replace(old, new)
        return self

    def by_hand(self, name, tag, key, value):
        editing.set_value(self.root, editing.element(self.root, name), tag, key, value)
        return self

    def open(self, *overwrite):
        return {each.item.id: each.act for each in self.compare(*overwrite).to_do()}

    def kept(self):
        return {each.item.id: [change.field for change in each.kept] for each in self.compare().by_hand()}


@pytest.fixture
def story():
    return Story().apply()


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_applied_to_nothing_is_what_it_says(example, checkout):
    wanted = apply_plan.of(description.load(Host(), f"{checkout}/cluster-templates/{example}/cluster.yaml"))
    root = cib.tree(apply_plan.EMPTY)
    first = difference.compare(wanted.cib(), cib.read(apply_plan.EMPTY))
    apply_plan.edited(root, wanted, first, first.to_do())
    again = difference.compare(wanted.cib(), cib.read(cib.text_of(root)))
    assert (again.differences, again.was_applied) == ((), True)
    assert difference.REMOVE not in {each.act for each in first.differences}


def test_a_second_application_has_nothing_to_do(story):
    before = cib.text_of(story.root)
    story.apply()
    assert cib.text_of(story.root) == before


def test_a_changed_description_is_followed(story):
    story.describe("migration_speed: 50", "migration_speed: 90").describe("10.0.0.9", "10.0.0.8")
    assert story.open() == {"web1": "change", "vip": "change"}
    story.apply()
    assert story.live.resource("web1").params["migration_speed"] == "90"
    assert story.live.resource("vip").params["ip"] == "10.0.0.8"
    assert story.open() == {}


def test_what_is_no_longer_described_goes_with_its_constraints(story):
    story.describe("floating_ips:\n", "").describe(
        "  - {name: vip, ip: 10.0.0.9, cidr_netmask: 24, nic: br0, follows: web1}\n", ""
    )
    found = story.open()
    assert found.pop("vip") == "remove"
    assert found
    assert set(found.values()) == {"remove"}
    story.apply()
    assert story.live.resource("vip") is None
    assert "vip" not in cib.text_of(story.root).replace(difference.applied.NAME, "")


def test_a_value_changed_by_hand_is_shown_and_kept(story):
    story.by_hand("web1", "instance_attributes", "migration_speed", "10")
    assert (story.open(), story.kept()) == ({}, {"web1": ["params.migration_speed"]})
    story.apply()
    assert story.live.resource("web1").params["migration_speed"] == "10"
    # It stays known as made by hand, also when the description goes on to say something else.
    story.describe("migration_speed: 50", "migration_speed: 60").apply()
    assert (story.live.resource("web1").params["migration_speed"], story.open()) == ("10", {})
    assert story.kept() == {"web1": ["params.migration_speed"]}


def test_it_gives_way_when_that_is_asked_for_by_name_or_for_all(story):
    for asked in ("web1", difference.ALL):
        story.by_hand("web1", "instance_attributes", "migration_speed", "10")
        assert story.open("web2") == {}
        story.apply(asked)
        assert story.live.resource("web1").params["migration_speed"] == "50"
    assert (story.open(), story.kept()) == ({}, {})


def test_the_rest_of_a_thing_that_was_changed_by_hand_follows_the_description(story):
    story.by_hand("web1", "instance_attributes", "migration_speed", "10")
    story.describe("config: /etc/web1.xml", "config: /etc/new.xml").apply()
    params = story.live.resource("web1").params
    assert (params["config"], params["migration_speed"]) == ("/etc/new.xml", "10")


def test_what_somebody_took_away_stays_away(story):
    editing.remove(editing.element(story.root, "web2"))
    for each in [each for each in story.root.iter("rsc_location") if each.get("rsc") == "web2"]:
        editing.remove(each)
    assert story.open() == {}
    assert "web2" in story.kept()
    story.apply()
    assert story.live.resource("web2") is None
    story.apply(difference.ALL)
    assert story.live.resource("web2") is not None


def test_what_somebody_added_stays(story):
    story.by_hand("web1", "meta_attributes", "target-role", "Stopped")
    constraints = editing.section(story.root, "constraints")
    constraints.append(story.root.makeelement(
        "rsc_location", {"id": "cli-ban-web1", "rsc": "web1", "node": "n2", "score": "-INFINITY"}
    ))  # fmt: skip
    assert story.open() == {}
    assert set(story.kept()) == {"web1", "cli-ban-web1"}
    story.apply()
    assert story.live.resource("web1").meta["target-role"] == "Stopped"
    assert "cli-ban-web1" in [each.id for each in story.live.locations]


def test_a_constraint_of_somebody_elses_cannot_outlive_what_it_speaks_of(story):
    constraints = editing.section(story.root, "constraints")
    constraints.append(story.root.makeelement(
        "rsc_location", {"id": "cli-ban-web2", "rsc": "web2", "node": "n1", "score": "-INFINITY"}
    ))  # fmt: skip
    line = "  - {name: web2, config: /etc/web2.xml, prefers: n2, options: {migration_transport: tcp}}\n"
    story.describe(line, "")
    assert story.open()["cli-ban-web2"] == "remove"
    story.apply()
    assert story.live.resource("web2") is None


def test_a_cluster_that_was_never_applied_gets_what_it_lacks_and_keeps_what_it_has():
    made = Story().apply()
    editing.remove(editing.element(made.root, difference.applied.NAME))
    made.by_hand("web1", "instance_attributes", "migration_speed", "10")
    editing.remove(editing.element(made.root, "vip-with-web1"))
    assert not made.compare().was_applied
    assert (made.open(), made.kept()) == ({"vip-with-web1": "make"}, {"web1": ["params.migration_speed"]})


def test_a_constraint_under_another_id_is_the_same_constraint(story):
    editing.element(story.root, "vip-with-web1").set("id", "colocation-vip-web1-INFINITY")
    assert (story.open(), story.kept()) == ({}, {})


@pytest.mark.parametrize(
    ("field", "left", "right", "is_same"),
    [
        ("op monitor.timeout", "30s", "30", True), ("op monitor.timeout", "30s", "31s", False),
        ("meta.failure-timeout", "10min", "600s", True), ("score", "inf", "INFINITY", True),
        ("score", "-inf", "-INFINITY", True), ("score", "-inf", "INFINITY", False), ("score", "+5", "5", True),
        ("stonith-enabled", "1", "true", True), ("params.config", "30s", "30", False),
    ],
)  # fmt: skip
def test_values_that_mean_the_same(field, left, right, is_same):
    assert difference_items.same(field, left, right) is is_same


def test_what_the_cluster_notes_by_itself_is_no_difference(story):
    for name in difference_items.OWN:
        editing.set_value(story.root, editing.section(story.root, "crm_config"), "cluster_property_set", name, "x")
    assert (story.open(), story.kept()) == ({}, {})


def test_what_is_laid_over_a_fence_device_for_the_survivor_is_no_difference_and_outlives_a_change(checkout):
    wanted = render.cib_xml(description.load(Host(), f"{checkout}/cluster-templates/two-node/cluster.yaml"))
    live = cib.tree(wanted)
    steering.set_delays(live, {"fence-n2": "n2:9s"})
    found = difference.compare(cib.read(wanted), cib.read(cib.text_of(live)))
    assert (found.to_do(), found.by_hand(), found.unread) == ((), (), ())
    other = wanted.replace('value="10.77.9.12"', 'value="10.77.9.99"')
    changes = difference.compare(cib.read(other), cib.read(cib.text_of(live)), ("all",)).to_do()
    assert [each.item.id for each in changes] == ["fence-n2"]
    merge.merge(live, cib.tree(other), changes)
    device = cib.read(cib.text_of(live)).resource("fence-n2")
    assert (device.params["ip"], dict(device.steering)) == ("10.77.9.99", {"pcmk_delay_base": "n2:9s"})


def test_an_operation_is_changed_field_by_field(story):
    monitor = next(each for each in editing.element(story.root, "web1").iter("op") if each.get("name") == "monitor")
    monitor.set("timeout", "77s")
    monitor.set("on-fail", "block")
    assert story.kept() == {"web1": ["op monitor.timeout", "op monitor.on-fail"]}
    story.describe("config: /etc/web1.xml", "config: /etc/new.xml").apply()
    assert (monitor.get("timeout"), monitor.get("on-fail")) == ("77s", "block")
    story.apply("web1")
    (op,) = [each for each in story.live.resource("web1").operations if each.name == "monitor"]
    assert (op.timeout == "77s", op.on_fail) == (False, "")


def test_a_spoiled_record_counts_as_none(story):
    pair = next(each for each in editing.element(story.root, difference.applied.NAME).iter("nvpair"))
    pair.set("value", "no record")
    assert not story.compare().was_applied
    assert story.open() == {}


def test_a_resource_that_is_about_to_go_and_is_described_again_runs_again(story):
    merge.stop(story.root, ["web2"])
    assert (story.live.resource("web2").meta["target-role"], story.open(), story.kept()) == ("Stopped", {}, {})
    story.apply()
    assert "target-role" not in story.live.resource("web2").meta


@pytest.mark.parametrize("flavour", list(commands.FLAVOURS))
def test_commands_never_show_a_password(story, flavour):
    story.describe("geheim-1", "geheim-3")
    changed, made = story.compare(), Story().compare()
    live = cib.read(apply_plan.EMPTY)
    lines = commands.lines(changed.to_do(), story.wanted.cib(), story.live, flavour)
    lines += commands.lines(made.to_do(), story.wanted.cib(), live, flavour)
    assert not [line for line in lines if "geheim" in line]
    assert [line for line in lines if "fence-n1" in line and commands.HIDDEN in line]
    assert all(change.is_secret for each in changed.to_do() for change in each.fields)


def test_commands_for_a_change_in_the_words_of_both_tools(story):
    story.describe("migration_speed: 50", "migration_speed: 90")
    found = {
        flavour: commands.lines(story.compare().to_do(), story.wanted.cib(), story.live, flavour)
        for flavour in commands.FLAVOURS
    }
    assert found == {
        "pcs": ["pcs resource update web1 migration_speed=90"],
        "crmsh": ["crm resource param web1 set migration_speed 90"],
    }


def test_what_kvmha_notes_of_a_node_is_nobodys_wish(story):
    nodes = editing.section(story.root, "nodes")
    node = nodes.makeelement("node", {"id": "1", "uname": "n1"})
    nodes.append(node)
    values = {"kvmha-fence-proof": "[]", "rack": "4"}
    editing.add_block(story.root, node, "instance_attributes", "n1-notes", "INFINITY", values)
    fields = difference_items.items(story.live)["node n1"].fields
    assert [name for name in fields if name.startswith("attributes.")] == ["attributes.rack"]
