"""How well a replica runs, from what DRBD says of it."""

from __future__ import annotations

import pytest

from kvmha.policy.replica import FAILED, REDUCED, WELL, Peer, PeerVolume, Replica, Volume, health


def replica(disk="UpToDate", *, peer_disk="UpToDate", connection="Connected", replication="Established", **more):
    own = {name: more.pop(name) for name in ("is_client", "has_quorum") if name in more}
    return Replica(
        resource="r0",
        role=more.pop("role", "Secondary"),
        volumes=(Volume(number=0, minor=0, disk=disk, **own),),
        peers=(
            Peer(
                name="n2",
                connection=connection,
                role="Secondary",
                volumes=(PeerVolume(number=0, replication=replication, disk=peer_disk, **more.pop("peer", {})),),
            ),
        ),
        **more,
    )


def judged(seen, *, suspended_for=0.0):
    return health(seen, suspended_for=suspended_for, patience=60.0)


AWAY = {"connection": "Connecting", "replication": "Off", "peer_disk": "DUnknown"}


@pytest.mark.parametrize("role", ["Primary", "Secondary"])
@pytest.mark.parametrize("replication", ["Established", "VerifyS", "VerifyT"])
def test_a_replica_in_step_is_well(role, replication):
    assert judged(replica(role=role, replication=replication)).level == WELL


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        pytest.param(replica(**AWAY), "n2 is not connected (Connecting)", id="peer-away"),
        pytest.param(
            replica(**{**AWAY, "connection": "StandAlone"}),
            "n2 is cut off (StandAlone): split brain, or disconnected by hand",
            id="standalone",
        ),
        pytest.param(replica(peer_disk="Diskless"), "n2, volume 0: its disk is Diskless", id="peer-diskless"),
        pytest.param(replica("Diskless"), "the disk of volume 0 is Diskless", id="diskless"),
        pytest.param(replica("Outdated", **AWAY), "the disk of volume 0 is Outdated", id="outdated"),
        pytest.param(
            replica(replication="SyncSource", peer_disk="Inconsistent", peer={"percent_done": 12.5}),
            "n2, volume 0: SyncSource, 12.5 % done, its disk is Inconsistent",
            id="resync",
        ),
        pytest.param(
            replica(replication="PausedSyncS", peer_disk="Inconsistent", peer={"resync_suspended": "peer"}),
            "n2, volume 0: PausedSyncS, held up (peer), its disk is Inconsistent",
            id="held-up",
        ),
        pytest.param(replica(has_quorum=False), "volume 0 has no quorum", id="no-quorum"),
        pytest.param(replica(suspended="fencing"), "I/O is suspended (fencing)", id="suspended"),
        pytest.param(replica("Novel"), "the disk of volume 0 is Novel", id="a-word-of-a-later-version"),
        pytest.param(replica(replication="Ahead"), "n2, volume 0: Ahead", id="congested"),
    ],
)
def test_a_shortfall_is_named(seen, reason):
    found = judged(seen)
    assert (found.level, found.reasons[0]) == (REDUCED, reason)


def test_a_client_and_its_peers_have_nothing_to_complain_of():
    assert judged(replica("Diskless", is_client=True)).level == WELL
    assert judged(replica(peer_disk="Diskless", peer={"is_client": True})).level == WELL


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        pytest.param(replica("Diskless", **AWAY), "is Diskless, and no peer has its data", id="no-disk-anywhere"),
        pytest.param(replica("Failed", peer_disk="Inconsistent"), "is Failed, and no peer", id="peer-no-better"),
        pytest.param(replica(fails_io=True), "fails since it was demoted by force", id="forced"),
        pytest.param(replica(has_quorum=False), "no quorum, and its I/O fails", id="quorum-io-error"),
    ],
)
def test_a_promoted_device_whose_io_fails_has_failed(seen, word):
    found = judged(seen.replace(role="Primary"))
    assert found.level == FAILED
    assert word in found.reasons[0]
    assert judged(seen).level == REDUCED, "nobody uses an unpromoted one"


def test_a_promoted_device_that_reads_from_its_peer_is_reduced():
    assert judged(replica("Diskless", role="Primary")).level == REDUCED
    assert judged(replica("Inconsistent", replication="SyncTarget", role="Primary")).level == REDUCED


def test_suspended_io_is_let_pass_for_a_while():
    seen = replica(role="Primary", suspended="fencing", **AWAY)
    assert judged(seen, suspended_for=59.0).level == REDUCED
    found = judged(seen, suspended_for=61.0)
    assert (found.level, found.reasons) == (FAILED, ("its I/O has been suspended for 61 s (fencing)",))


def test_suspended_io_without_quorum_is_suspended_and_does_not_fail():
    seen = replica(role="Primary", suspended="quorum", has_quorum=False)
    assert judged(seen, suspended_for=1.0).level == REDUCED
