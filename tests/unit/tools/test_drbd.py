"""DRBD's events, of the kernel's 8.4 and of DRBD 9, read into replicas."""

from __future__ import annotations

import pytest

from kvmha.host import CommandMissing
from kvmha.tools.drbd import Replica, events_argv, parse_events, promotes_itself, replicas
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
    assert parse_events(EVENTS_84) == (Replica(resource="r0", role="Secondary", minors=(0, 1)),)


def test_the_events_of_9_are_read():
    assert parse_events(EVENTS_9) == (
        Replica(resource="r0", role="Primary", minors=(1000,)),
        Replica(resource="db", role="Secondary", minors=(1001,), may_promote=True),
    )


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
