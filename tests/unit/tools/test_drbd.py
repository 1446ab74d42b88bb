"""DRBD's events, of the kernel's 8.4 and of DRBD 9, read into replicas."""

from __future__ import annotations

import pytest

from kvmha.host import CommandError, CommandFailed, CommandMissing
from kvmha.tools.drbd import (
    commands,
    configuration,
    events_argv,
    fences,
    keeps_quorum,
    parse_events,
    promotes_itself,
    replica,
    replicas,
)
from tests.fakes import FakeHost

# As drbdsetup 9 prints them (drbdsetup(8), "events2"), once on the kernel's 8.4 and once on DRBD 9.
EVENTS_84 = """\
exists resource name:r0 role:Secondary suspended:no
exists connection name:r0 peer-node-id:0 conn-name:peer connection:Connected role:Primary
exists device name:r0 volume:0 minor:0 disk:UpToDate
exists device name:r0 volume:1 minor:1 disk:UpToDate
exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Established peer-disk:UpToDate resync-suspended:no
exists -
"""  # noqa: E501
EVENTS_9 = """\
exists resource name:r0 role:Primary suspended:no force-io-failures:no may_promote:no promotion_score:10101
exists connection name:r0 peer-node-id:1 conn-name:n2 connection:Connected role:Secondary
exists device name:r0 volume:0 minor:1000 backing_dev:/dev/vg/r0 disk:UpToDate client:no open:yes quorum:yes
exists path name:r0 peer-node-id:1 conn-name:n2 local:ipv4:10.0.0.1:7000 peer:ipv4:10.0.0.2:7000 established:yes
exists resource name:db role:Secondary suspended:no force-io-failures:no may_promote:yes promotion_score:10101
exists device name:db volume:0 minor:1001 backing_dev:none disk:Diskless client:yes open:no quorum:yes
exists -
"""


def test_the_events_of_8_4_are_read():
    (found,) = parse_events(EVENTS_84)
    assert (found.resource, found.role, found.minors) == ("r0", "Secondary", (0, 1))
    assert (found.may_promote, found.promotion_score, found.suspended) == (None, None, "no")
    (peer,) = found.peers
    assert (peer.name, peer.connection, peer.role, len(peer.volumes)) == ("peer", "Connected", "Primary", 1)


def test_the_events_of_9_are_read():
    r0, db = parse_events(EVENTS_9)
    assert (r0.resource, r0.minors, r0.may_promote, r0.promotion_score) == ("r0", (1000,), False, 10101)
    assert (r0.volumes[0].is_open, r0.volumes[0].has_quorum, r0.volumes[0].is_client) == (True, True, False)
    assert (db.may_promote, db.volumes[0].is_client, db.is_client, db.peers) == (True, True, True, ())
    assert [peer.name for peer in r0.peers] == ["n2"]


def test_out_of_sync_data_that_statistics_leave_out_are_none():
    line = (
        "exists peer-device name:r0 conn-name:n2 volume:0 replication:Established peer-disk:UpToDate received:1 sent:2"
    )
    text = f"exists resource name:r0 role:Secondary\nexists connection name:r0 conn-name:n2\n{line}\n"
    assert parse_events(text)[0].peers[0].volumes[0].out_of_sync_kib == 0


@pytest.mark.parametrize("text", ["", "exists -\n", "exists\n\n", "destroy resource name:r0\n"])
def test_a_node_without_resources_has_no_replicas(text):
    assert parse_events(text) == ()


def test_all_resources_are_asked_for_at_once():
    host = FakeHost()
    host.commands[events_argv()] = EVENTS_9
    assert [replica.resource for replica in replicas(host)] == ["r0", "db"]


def test_a_node_without_drbd_cannot_tell():
    host = FakeHost()
    host.commands[events_argv()] = CommandMissing
    with pytest.raises(CommandMissing):
        replicas(host)


SHOWN = 'resource r0 {{\n    options {{\n        cpu-mask "";\n        auto-promote {};\n    }}\n}}\n'


@pytest.mark.parametrize(
    ("shown", "answer"), [(SHOWN.format("yes"), True), (SHOWN.format("no"), False), ("resource r0 {\n}\n", False)]
)
def test_whether_a_resource_promotes_itself_is_read_from_its_options(shown, answer):
    assert promotes_itself(shown) is answer


@pytest.mark.parametrize(
    ("words", "quorum", "fencing"),
    [
        ("quorum off; fencing dont-care;", False, False),
        ("quorum majority; fencing resource-only;", True, False),
        ("quorum 2; fencing resource-and-stonith;", True, True),
        ("quorum all;", True, False),
        ("", False, False),
    ],
)
def test_what_keeps_a_node_from_going_on_alone_is_read_from_its_options(words, quorum, fencing):
    shown = f"resource r0 {{\n    options {{\n        {words}\n    }}\n}}\n"
    assert (keeps_quorum(shown), fences(shown)) == (quorum, fencing)


@pytest.fixture
def loaded():
    host = FakeHost()
    host.files["/proc/drbd"] = b"version: 8.4.11\n"
    return host


def test_one_resource_is_asked_for_by_its_name(loaded):
    loaded.commands[events_argv("r0")] = EVENTS_84
    assert replica(loaded, "r0").resource == "r0"


@pytest.mark.parametrize("answer", ["exists -\n", (10, "", "Resource unknown\n")])
def test_a_resource_that_the_kernel_does_not_have_is_none(loaded, answer):
    loaded.commands[events_argv("r9")] = answer
    assert replica(loaded, "r9") is None


@pytest.mark.parametrize("answer", [(20, "", "Failed\n"), "", "exists resource name:other role:Primary\n"])
def test_whatever_else_it_says_is_no_answer(loaded, answer):
    loaded.commands[events_argv("r0")] = answer
    with pytest.raises(CommandError):
        replica(loaded, "r0")


def test_without_the_module_no_command_is_run():
    assert replica(FakeHost(), "r0") is None


def test_orders_go_to_each_device_of_8_4_and_to_the_resource_of_9():
    (old,), (new, _) = parse_events(EVENTS_84), parse_events(EVENTS_9)
    assert commands.primary_argvs(old) == [("drbdsetup", "primary", "0"), ("drbdsetup", "primary", "1")]
    assert commands.secondary_argvs(new, force=True) == [("drbdsetup", "secondary", "r0", "--force")]


def test_the_configuration_file_is_named_only_where_it_is_another():
    assert commands.adjust_argv("r0") == ("drbdadm", "adjust", "r0")
    assert commands.dump_argv("r0", "/x.conf") == ("drbdadm", "-c", "/x.conf", "dump-xml", "r0")


DUMP = """<resource name="r0" conf-file-line="/etc/drbd.d/r0.res:1">
    <host name="n1">
        <volume vnr="0"><device minor="0">/dev/drbd0</device><disk>/dev/vg/r0</disk></volume>
        <volume vnr="1"><device minor="7">/dev/drbd7</device><disk>/dev/vg/r1</disk></volume>
    </host>
    <host name="n3"><volume vnr="0"><device minor="0">/dev/drbd0</device></volume></host>
</resource>
"""


def test_the_configuration_tells_nodes_devices_and_who_has_no_disk():
    found = configuration.parse(DUMP)
    assert found.peers_of("n1") == ("n3",)
    assert (found.host("n1").devices, found.host("n1").minors) == (("/dev/drbd0", "/dev/drbd7"), (0, 7))
    assert (found.host("n1").is_client, found.host("n3").is_client, found.host("n9")) == (False, True, None)


@pytest.mark.parametrize("text", ["", "<config/>", "<resource"])
def test_a_text_that_is_no_configuration_is_refused(text):
    with pytest.raises(configuration.ConfigurationError):
        configuration.parse(text)


def test_what_drbdadm_always_says_is_not_its_complaint():
    text = "/etc/drbd.d/r0.res:1: in resource r0, on n1:\n\tIP 10.0.0.1 not found on this host.\n'r9' not defined\n"
    host = FakeHost()
    host.commands[commands.dump_argv("r9")] = (1, "", text)
    with pytest.raises(configuration.ConfigurationError, match=r"^drbdadm says: .*'r9' not defined$") as caught:
        configuration.read(host, "r9", "/etc/drbd.conf")
    assert "not found on this host" not in str(caught.value)
    assert not isinstance(caught.value, CommandFailed)
