"""What is left of a resource's redundancy, in one sentence."""

from __future__ import annotations

import itertools

import pytest

from kvmha.policy.redundancy import check_invariants, redundancy
from kvmha.policy.replica import REDUCED, WELL, Peer, PeerVolume, Replica, Volume, health
from kvmha.tools.drbd import parse_events
from tests.drbd_recordings import VERSIONS, recorded
from tests.unit.policy.test_replica import AWAY, replica


@pytest.mark.parametrize(
    ("seen", "split", "level", "copies", "sentence"),
    [
        pytest.param(replica(), (), WELL, 2, "r0: 2 current copies, in step", id="well"),
        pytest.param(replica(replication="VerifyS"), (), WELL, 2, "r0: 2 current copies, in step", id="verifying"),
        pytest.param(replica(**AWAY), (), REDUCED, 1, "r0: one current copy; n2 is away", id="away"),
        pytest.param(
            replica(**{**AWAY, "connection": "StandAlone"}),
            (),
            REDUCED,
            1,
            "r0: one current copy; n2 is cut off (StandAlone)",
            id="standalone",
        ),
        pytest.param(
            replica(**{**AWAY, "connection": "StandAlone"}),
            ("n2",),
            REDUCED,
            1,
            "r0: one current copy; split brain with n2, see kvmha drbd heal",
            id="split-brain",
        ),
        pytest.param(
            replica(
                replication="SyncSource", peer_disk="Inconsistent", peer={"percent_done": 12.5, "out_of_sync_kib": 2048}
            ),
            (),
            REDUCED,
            1,
            "r0: one current copy; n2 is being synchronised, 12 % done, 2.0 MiB to go",
            id="source",
        ),
        pytest.param(
            replica("Inconsistent", replication="SyncTarget"),
            (),
            REDUCED,
            1,
            "r0: one current copy; this node's own is Inconsistent",
            id="target",
        ),
        pytest.param(
            replica("Diskless"), (), REDUCED, 1, "r0: one current copy; this node's own is lost", id="disk-lost"
        ),
        pytest.param(
            replica(peer_disk="Diskless"),
            (),
            REDUCED,
            1,
            "r0: one current copy; n2's copy is Diskless",
            id="peers-disk",
        ),
        pytest.param(
            replica("Outdated", **AWAY),
            (),
            REDUCED,
            0,
            "r0: no current copy is seen; this node's own is Outdated; n2 is away",
            id="none",
        ),
        pytest.param(
            replica(suspended="user"),
            (),
            REDUCED,
            2,
            "r0: 2 current copies; its I/O is suspended (user)",
            id="suspended",
        ),
        pytest.param(
            replica(has_quorum=False), (), REDUCED, 2, "r0: 2 current copies; volume 0 has no quorum", id="quorum"
        ),
    ],
)
def test_one_sentence_says_it(seen, split, level, copies, sentence):
    found = redundancy(seen, split=split)
    assert (found.level, found.copies, found.wanted, found.sentence) == (level, copies, 2, sentence)
    assert found.is_split == bool(split)


def test_a_resource_of_one_node_wants_no_other():
    alone = replica().replace(peers=())
    assert redundancy(alone).sentence == "r0: one current copy, and none is wanted beside it"


def test_a_client_adds_no_copy():
    client = Peer(
        name="n3",
        connection="Connected",
        role="Secondary",
        volumes=(PeerVolume(number=0, replication="Established", disk="Diskless", is_client=True),),
    )
    seen = replica()
    found = redundancy(seen.replace(peers=(*seen.peers, client)))
    assert (found.copies, found.wanted, found.level) == (2, 2, WELL)


DISKS = ("UpToDate", "Consistent", "Outdated", "Inconsistent", "Diskless", "Failed", "Attaching", "Negotiating", "New")
CONNECTIONS = ("Connected", "Connecting", "StandAlone", "NetworkFailure", "Unheard")
REPLICATIONS = ("Established", "Off", "SyncSource", "SyncTarget", "PausedSyncS", "VerifyT", "Ahead", "Unheard")


def test_whatever_drbd_says_the_promises_hold():
    for mine, theirs, connection, replication, is_split in itertools.product(
        DISKS, (*DISKS, "DUnknown"), CONNECTIONS, REPLICATIONS, (False, True)
    ):
        seen = replica(mine, peer_disk=theirs, connection=connection, replication=replication)
        check_invariants(seen, redundancy(seen, split=("n2",) if is_split else ()))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", ["connected-primary", "syncsource-primary", "resync-target"])
def test_what_real_drbd_said_is_judged_as_its_health_is(version, case):
    (seen,) = parse_events(recorded(version, case))
    found = redundancy(seen)
    check_invariants(seen, found)
    assert found.level == health(seen, suspended_for=0.0, patience=60.0).level


def test_two_volumes_are_as_good_as_the_worse_one():
    two = Replica(
        resource="r0",
        role="Primary",
        volumes=(Volume(number=0, minor=0, disk="UpToDate"), Volume(number=1, minor=1, disk="UpToDate")),
        peers=(
            Peer(
                name="n2",
                connection="Connected",
                volumes=(
                    PeerVolume(number=0, replication="Established", disk="UpToDate"),
                    PeerVolume(number=1, replication="SyncSource", disk="Inconsistent"),
                ),
            ),
        ),
    )
    assert redundancy(two).sentence == "r0: one current copy; n2 is being synchronised"
