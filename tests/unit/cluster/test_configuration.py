"""What goes into the CIB: what follows from a description, and what holds of every configuration."""

from __future__ import annotations

import itertools

import pytest

from kvmha.cluster import configuration, description
from kvmha.cluster.configuration.parts import Colocation, Location, Order
from kvmha.host import Host
from kvmha.policy import timing
from kvmha.policy.placement import offers
from kvmha.policy.snapshot import Node

NODES = "nodes: [{name: n1, addresses: [10.0.0.1]%s}, {name: n2, addresses: [10.0.0.2]%s}%s]\n"
FENCED = ", fencing: {agent: fence_ipmilan}"
THIRD = ", {name: n3, addresses: [10.0.0.3], fencing: {agent: fence_ipmilan}}"
PAIR = "cluster: demo\n" + NODES % (FENCED, FENCED, "")
TRIO = "cluster: demo\n" + NODES % (FENCED, FENCED, THIRD)
DEVICE = "quorum: {device: {host: q}}\n"


def made(text: str) -> configuration.Configuration:
    return configuration.of(description.read(text, "cluster.yaml"))


def properties(text: str) -> dict[str, str]:
    return {setting.name: setting.value for setting in made(text).properties}


def part(text: str, name: str) -> configuration.parts.Part:
    return next(part for part in made(text).parts if part.primitive.id == name)


@pytest.fixture(params=description.TEMPLATES)
def example(request, checkout) -> configuration.Configuration:
    """Return what each example makes."""
    return configuration.of(description.load(Host(), f"{checkout}/cluster-templates/{request.param}/cluster.yaml"))


def test_every_id_is_there_once(example):
    ids = [part.primitive.id for part in example.parts]
    ids += [part.clone.id for part in example.parts if part.clone]
    ids += [constraint.id for constraint in example.constraints]
    ids += [level.id for level in example.levels] + [alert.id for alert in example.alerts]
    ids += [id for alert in example.alerts for id, _ in alert.recipients]
    assert len(ids) == len(set(ids))


def test_a_part_refers_to_nothing_after_it(example):
    known: set[str] = set()
    for part in example.parts:
        known |= {part.primitive.id, *({part.clone.id} if part.clone else ())}
        for constraint in part.constraints:
            named = {value for name, value in zip(constraint._fields, constraint._values())
                     if name in ("resource", "with_resource", "first", "then")}  # fmt: skip
            assert named <= known, constraint


def test_every_operation_has_a_timeout_and_monitors_do_not_share_an_interval(example):
    for part in example.parts:
        operations = part.primitive.operations
        assert all(operation.timeout.endswith("s") and operation.timeout[:-1].isdigit() for operation in operations)
        keys = [(operation.name, operation.interval) for operation in operations]
        assert len(keys) == len(set(keys))
        assert "monitor" in dict(keys)


def test_every_setting_has_its_reason(example):
    assert all(setting.why for setting in (*example.properties, *example.resource_defaults))


def test_an_operators_own_value_takes_the_place_of_ours():
    settings = made(PAIR + "properties: {no-quorum-policy: stop, stop-all-resources: no}\n").properties
    assert [setting.value for setting in settings if setting.name == "no-quorum-policy"] == ["stop"]
    assert {setting.name: setting.value for setting in settings}["stop-all-resources"] == "false"


def test_a_pair_has_a_favourite_and_clusters_that_can_vote_have_none():
    assert properties(PAIR)["priority-fencing-delay"] == "4s"
    assert dict(part(PAIR, "fence-n1").primitive.params)["pcmk_delay_base"] == "n1:2s"
    assert "pcmk_delay_base" not in dict(part(PAIR, "fence-n2").primitive.params)
    for text in (TRIO, PAIR + DEVICE, PAIR + "timing: {fencing_delay: 0}\n"):
        assert "priority-fencing-delay" not in properties(text)
        assert "pcmk_delay_base" not in dict(part(text, "fence-n1").primitive.params)


def test_the_delay_is_said_with_its_node_because_pacemaker_logs_an_error_for_a_bare_time():
    # fenced_commands.c of 2.1.2 to 3.0.1: "pcmk_delay_base: empty value in mapping" for each word without a colon.
    text = PAIR + "sbd: {devices: [/dev/sdx], watchdog_timeout: 30}\n"
    for device in ("fence-n1", "fence-sbd"):
        words = dict(part(text, device).primitive.params)["pcmk_delay_base"].split(";")
        assert all(word.partition(":")[0] in ("n1", "n2") and word.endswith("s") for word in words), words


def test_a_node_whose_name_begins_with_the_other_ones_keeps_its_own_delay():
    # The same code compares as many letters as the mapping has, and takes the first that fits: n1 would stand for n12.
    text = PAIR.replace("n2", "n12") + "sbd: {devices: [/dev/sdx], watchdog_timeout: 30}\n"
    assert dict(part(text, "fence-sbd").primitive.params)["pcmk_delay_base"] == "n12:0s;n1:2s"


def test_a_delay_that_the_operator_gave_stays():
    text = PAIR.replace("agent: fence_ipmilan", "agent: fence_ipmilan, options: {pcmk_delay_base: 9s}", 1)
    assert dict(part(text, "fence-n1").primitive.params)["pcmk_delay_base"] == "9s"


def test_a_device_for_each_node_needs_no_levels():
    assert made(TRIO).levels == ()


def test_devices_of_one_level_act_together_and_levels_one_after_the_other():
    devices = "[{agent: fence_ipmilan}, {agent: fence_apc, level: 2}, {agent: fence_apc, level: 2, name: pdu}]"
    text = PAIR.replace("{agent: fence_ipmilan}", devices, 1)
    assert [(level.node, level.index, level.devices) for level in made(text).levels] == [
        ("n1", 1, ("fence-n1",)), ("n1", 2, ("fence-n1-2", "pdu")), ("n2", 1, ("fence-n2",)),
    ]  # fmt: skip


def test_a_poison_pill_comes_last_and_has_the_time_it_needs():
    text = PAIR + "sbd: {devices: [/dev/sdx, /dev/sdy, /dev/sdz], watchdog_timeout: 30}\n"
    assert [(level.index, level.devices) for level in made(text).levels] == [
        (1, ("fence-n1",)), (2, ("fence-sbd",)), (1, ("fence-n2",)), (2, ("fence-sbd",)),
    ]  # fmt: skip
    params = dict(part(text, "fence-sbd").primitive.params)
    assert params["devices"] == "/dev/sdx,/dev/sdy,/dev/sdz"
    assert params["pcmk_delay_base"] == "n1:2s;n2:0s"
    # msgwait is twice the watchdog's time.
    assert int(params["pcmk_reboot_timeout"][:-1]) > 60 * 1.2
    assert int(properties(text)["stonith-timeout"][:-1]) > 60 * 1.2


def test_a_poison_pill_by_itself_needs_no_level():
    text = PAIR.replace(FENCED, "") + "sbd: {devices: [/dev/sdx]}\n"
    assert [part.primitive.id for part in made(text).parts] == ["fence-sbd"]
    assert made(text).levels == ()


def test_a_watchdog_alone_is_no_resource_but_a_time_and_a_level():
    text = TRIO + "sbd: {watchdog_timeout: 7}\n"
    assert properties(text)["stonith-watchdog-timeout"] == "14s"
    assert {level.devices for level in made(text).levels if level.index == 2} == {("watchdog",)}
    assert "fence-sbd" not in [part.primitive.id for part in made(text).parts]


GUEST = TRIO + "guests:\n  - {name: web1, config: /x.xml%s}\n  - {name: web2, config: /y.xml}\n"


def test_what_a_node_has_for_guests_by_name_are_attributes_of_it():
    said = "networks: [br0, lan], devices: ['0000:03:00.0'], storage: [/srv/guests, /dev/vg0], cpu: [aes]"
    other = "networks: [br0], devices: [], storage: [/srv/guests], cpu: []"
    text = PAIR.replace("{name: n1,", f"{{name: n1, {said},").replace("{name: n2,", f"{{name: n2, {other},")
    first, second = made(f"{text}hosts: {{hugepages: 1024}}\n").nodes
    pages = {"huge-pages": "2048:2048"}
    assert dict(first.attributes) == {
        "has-networks": "br0,lan", "has-devices": "0000:03:00.0", "has-storage": "/srv/guests,/dev/vg0",
        "has-cpu": "aes", **pages,
    }  # fmt: skip
    assert dict(second.attributes) == {
        "has-networks": "br0", "has-devices": "none", "has-storage": "/srv/guests", "has-cpu": "none", **pages
    }  # fmt: skip
    assert made(PAIR).nodes[0].attributes == ()
    assert dict(made(f"{PAIR}hosts: {{hugepages: 0}}\n").nodes[0].attributes) == {"huge-pages": "none"}
    # What is written is what placement reads.
    node = Node(name="n1", attributes=dict(first.attributes))
    assert {kind: offers.listed(node, kind) for kind in offers.ATTRIBUTES} == {
        "network": ("br0", "lan"), "device": ("0000:03:00.0",), "storage": ("/srv/guests", "/dev/vg0"),
        "cpu-feature": ("aes",), "huge-pages": ("2048:2048",),
    }  # fmt: skip
    assert offers.listed(Node(name="n2", attributes=dict(second.attributes)), offers.DEVICE) == ()


@pytest.mark.parametrize("name", ["br 0", "a,b", "", "$(id)", "'x'"])
def test_a_name_that_an_attribute_would_take_apart_is_refused(name):
    with pytest.raises(description.DescriptionError, match="networks"):
        made(PAIR.replace("{name: n1,", f'{{name: n1, networks: ["{name}"],'))


def test_timeouts_follow_the_guest():
    small, large = (part(GUEST % more, "web1").primitive.operations for more in (", memory: 1024", ", memory: 262144"))
    wanted = timing.guest_timeouts(memory_mib=262144, bandwidth_mib_s=110, shutdown_s=60, at_once=2)
    assert {each.name: each.timeout for each in large}["migrate_to"] == f"{wanted.migrate_to}s"
    assert {each.name: each.timeout for each in small}["migrate_to"] != f"{wanted.migrate_to}s"


def test_a_guest_that_may_not_move_says_so():
    assert dict(part(GUEST % ", migrate: no", "web1").primitive.meta)["allow-migrate"] == "false"
    assert dict(part(GUEST % "", "web1").primitive.meta)["allow-migrate"] == "true"


def test_a_guests_own_options_win_over_its_fields():
    found = dict(part(GUEST % ", options: {migration_transport: ssh}", "web1").primitive.params)
    assert found == {"config": "/x.xml", "migration_transport": "ssh"}


def test_guests_move_over_the_network_that_is_theirs():
    text = GUEST.replace("[10.0.0.1]", "[10.0.0.1], migration_address: 10.1.0.1").replace(
        "[10.0.0.2]", "[10.0.0.2], migration_address: 10.1.0.2").replace(
        "[10.0.0.3]", "[10.0.0.3], migration_address: 10.1.0.3")  # fmt: skip
    assert dict(part(text % "", "web1").primitive.params)["migration_network_suffix"] == "-mig"
    assert "migration_network_suffix" not in dict(part(GUEST % "", "web1").primitive.params)


@pytest.mark.parametrize(
    ("probe", "command"),
    [
        pytest.param("tcp://10.0.0.9:22", "/etc/kvmha/probes/web1", id="an address is asked by a command of ours"),
        pytest.param("/usr/local/bin/ask", "/usr/local/bin/ask", id="a command is taken as it is"),
    ],
)
def test_a_guests_service_is_asked_by_its_deep_monitor(probe, command):
    found = part(GUEST % f', service: {{probe: "{probe}", interval: 30, timeout: 5}}', "web1").primitive
    assert dict(found.params)["monitor_scripts"] == command
    deep = [operation for operation in found.operations if operation.options]
    assert [(each.name, each.interval, each.timeout, each.options) for each in deep] == [
        ("monitor", "30s", "15s", (("OCF_CHECK_LEVEL", "20"),))
    ]


def test_guests_keep_apart_weakly_or_for_good():
    weak = made(GUEST % ", apart_from: [web2]").constraints
    strong = made(GUEST % ", never_with: [web2]").constraints
    (weakly,), (surely,) = ([each for each in found if isinstance(each, Colocation)] for found in (weak, strong))
    assert (weakly.resource, weakly.with_resource, surely.score) == ("web1", "web2", "-INFINITY")
    # More than the wish to stay, so that a guest moves away from the other one as soon as there is a place.
    assert -100_000 < int(weakly.score) < -1000


def test_a_guest_runs_on_its_nodes_only():
    found = [each for each in made(GUEST % ", nodes: [n2, n3], prefers: n3").constraints if isinstance(each, Location)]
    web1 = [(each.node, each.score) for each in found if each.resource == "web1"]
    assert web1 == [("n3", "100"), ("n1", "-INFINITY")]


DISK = "drbd: [{name: d1, minor: 0, disk: /dev/d1, port: 7788, nodes: [n1, n2]%s}]\n"


def test_a_guest_follows_the_primary_role_of_its_disk():
    found = made(GUEST % ", disks: [d1]" + DISK % "")
    pairs = {(each.resource, each.with_resource) for each in found.constraints if isinstance(each, Colocation)}
    orders = {(each.first, each.then) for each in found.constraints if isinstance(each, Order)}
    assert pairs == {("primary-d1", "drbd-d1-clone"), ("web1", "primary-d1")}
    assert orders == {("drbd-d1-clone", "primary-d1"), ("primary-d1", "web1")}


def test_a_disk_is_up_where_it_has_a_copy_or_a_vote():
    (clone,) = [part.clone for part in made(GUEST % "" + DISK % "").parts if part.clone]
    assert dict(clone.meta)["clone-max"] == "2"
    away = [each.node for each in made(GUEST % "" + DISK % "").constraints
            if isinstance(each, Location) and each.resource == "drbd-d1-clone"]  # fmt: skip
    assert away == ["n3"]
    (voting,) = [part.clone for part in made(GUEST % "" + DISK % ", diskless: [n3]").parts if part.clone]
    assert dict(voting.meta)["clone-max"] == "3"


def test_a_ticket_holds_a_guest_and_the_disk_that_it_writes_to():
    booth = """booth:
  {here: a, nic: br0, cidr_netmask: 24, sites: [{name: a, address: 10.9.0.1}, {name: b, address: 10.9.1.1}],
   arbitrators: [10.9.2.1], tickets: [{name: t1, loss_policy: stop}]}
"""
    found = [each for each in made(GUEST % ", disks: [d1], ticket: t1" + DISK % "" + booth).constraints
             if each.kind == "ticket"]  # fmt: skip
    assert [(each.resource, each.ticket, each.loss_policy) for each in found] == [
        ("primary-d1", "t1", "stop"), ("web1", "t1", "stop"),
    ]  # fmt: skip


def test_forms_of_cluster_and_parts_of_descriptions_go_together():
    bodies = (GUEST.removeprefix(TRIO) % "", DISK % "", "sbd: {devices: [/dev/sdx]}\n", "")
    for form, chosen in itertools.product((PAIR, PAIR + DEVICE, TRIO), itertools.combinations(bodies, 2)):
        found = made(form + "".join(chosen))
        ids = [each.primitive.id for each in found.parts]
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("guest", "migration", "on_fail"),
    [
        ("", "", "block"),
        ("", "migration: {given_up: restart}\n", ""),
        (", migrate: false", "", ""),
    ],
)
def test_a_guest_whose_move_is_given_up_stays_where_that_can_be(guest, migration, on_fail):
    text = PAIR + migration + f"guests: [{{name: web1, config: /e/web1.xml, memory: 512{guest}}}]\n"
    operations = {each.name: each.on_fail for each in part(text, "web1").primitive.operations}
    assert operations == {"start": "", "stop": "", "migrate_to": on_fail, "migrate_from": "", "monitor": ""}


def test_a_guest_on_drbd_is_not_left_half_moved(example):
    for each in example.parts:
        operation = next((op for op in each.primitive.operations if op.name == "migrate_to"), None)
        if each.primitive.agent == "ocf:kvmha:VirtualDomain" and operation is not None:
            follows = any(getattr(found, "with_resource", "").startswith("primary-") for found in each.constraints)
            is_movable = ("allow-migrate", "true") in each.primitive.meta
            assert operation.on_fail == ("block" if is_movable and not follows else "")
