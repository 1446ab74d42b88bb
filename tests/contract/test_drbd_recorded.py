"""What real DRBD 8.4 and 9 said, byte by byte, and the one value that we must read in both.

What is wanted was written by hand from what each case is, and is the same for every version that has the case.
"""

from __future__ import annotations

import pytest

from kvmha.policy.peer_data import Knowledge, learn
from kvmha.policy.promotion import Scores, check_invariants, score
from kvmha.policy.replica import FAILED, REDUCED, WELL, health
from kvmha.policy.two_primaries import why_not_join, why_not_open
from kvmha.tools.drbd import parse_events
from tests.drbd_recordings import RECORDED, VERSIONS, recorded

AWAY = "Connecting Unknown Off DUnknown"
CUT_OFF = "StandAlone Unknown Off DUnknown"
IN_STEP = "Connected Secondary Established UpToDate"

# Our role and disk; the connection, the peer's role, the replication and the peer's disk; how well that is while it is
# promoted or unpromoted as it is; the promotion score of a node that knows nothing from before.
WANT = {
    "connected-inconsistent": ("Secondary Inconsistent", "Connected Secondary Established Inconsistent", REDUCED, None),
    "connected-primary": ("Primary UpToDate", IN_STEP, WELL, 10000),
    "connected-secondaries": ("Secondary UpToDate", IN_STEP, WELL, 10000),
    "connected-secondary": ("Secondary UpToDate", "Connected Primary Established UpToDate", WELL, 10000),
    "connecting-primary": ("Primary UpToDate", AWAY, REDUCED, 10000),
    "connecting-primary-behind-peer": ("Primary UpToDate", AWAY, REDUCED, 10000),
    "connecting-secondary": ("Secondary UpToDate", AWAY, REDUCED, None),
    "connecting-secondary-ahead": ("Secondary UpToDate", AWAY, REDUCED, None),
    "consistent": ("Secondary Consistent", AWAY, REDUCED, None),
    "consistent-forced-primary": ("Primary UpToDate", "Connecting Unknown Off Outdated", REDUCED, 10000),
    "crashed-primary-alone": ("Secondary UpToDate", AWAY, REDUCED, None),
    "diskless-alone": ("Secondary Diskless", AWAY, REDUCED, None),
    "diskless-primary": ("Primary Diskless", IN_STEP, REDUCED, 10),
    "diskless-secondaries": ("Secondary Diskless", IN_STEP, REDUCED, 10),
    "diskless-secondary": ("Secondary Diskless", "Connected Primary Established UpToDate", REDUCED, 10),
    "fencing-secondary": ("Secondary UpToDate", AWAY, REDUCED, None),
    "held-open-primary": ("Primary UpToDate", IN_STEP, WELL, 10000),
    "held-open-primary-after-force": ("Primary UpToDate", IN_STEP, WELL, 10000),
    "mounted-primary": ("Primary UpToDate", IN_STEP, WELL, 10000),
    "outdated-standalone": ("Secondary Outdated", CUT_OFF, REDUCED, None),
    "outdated-forced-primary": ("Primary UpToDate", CUT_OFF, REDUCED, 10000),
    "pausedsyncsource-primary": ("Primary UpToDate", "Connected Secondary PausedSyncS Inconsistent", REDUCED, 10000),
    "pausedsynctarget": ("Secondary Inconsistent", "Connected Primary PausedSyncT UpToDate", REDUCED, 10),
    "peer-disconnected-primary": ("Primary UpToDate", AWAY, REDUCED, 10000),
    "peer-diskless-primary": ("Primary UpToDate", "Connected Secondary Established Diskless", REDUCED, 10000),
    "peer-diskless-secondary": ("Secondary UpToDate", "Connected Primary Established Diskless", REDUCED, 10000),
    "peer-lost-power-secondary": ("Secondary UpToDate", AWAY, REDUCED, None),
    "resync-source-primary": ("Primary UpToDate", "Connected Secondary SyncSource Inconsistent", REDUCED, 10000),
    "resync-source-secondary": ("Secondary UpToDate", "Connected Secondary SyncSource Inconsistent", REDUCED, 10000),
    "resync-target": ("Secondary Inconsistent", "Connected Primary SyncTarget UpToDate", REDUCED, 10),
    "resync-target-other-direction": (
        "Secondary Inconsistent",
        "Connected Secondary SyncTarget UpToDate",
        REDUCED,
        10,
    ),
    "resync-target-promoted": ("Primary Inconsistent", "Connected Secondary SyncTarget UpToDate", REDUCED, 10),
    "split-brain": ("Secondary UpToDate", CUT_OFF, REDUCED, None),
    "split-brain-before-connecting": ("Secondary UpToDate", AWAY, REDUCED, None),
    "split-brain-other-side": ("Secondary UpToDate", CUT_OFF, REDUCED, None),
    "split-brain-primary": ("Primary UpToDate", CUT_OFF, REDUCED, 10000),
    "standalone-primary": ("Primary UpToDate", CUT_OFF, REDUCED, 10000),
    "standalone-secondary": ("Secondary UpToDate", CUT_OFF, REDUCED, None),
    "suspended-fencing-primary": ("Primary UpToDate", AWAY, FAILED, 10000),
    "suspended-no-data-primary": ("Primary Diskless", AWAY, FAILED, None),
    "suspended-user-primary": ("Primary UpToDate", IN_STEP, FAILED, 10000),
    "syncsource-primary": ("Primary UpToDate", "Connected Secondary SyncSource Inconsistent", REDUCED, 10000),
    "synctarget": ("Secondary Inconsistent", "Connected Primary SyncTarget UpToDate", REDUCED, 10),
    "two-primaries": ("Primary UpToDate", "Connected Primary Established UpToDate", WELL, 10000),
    "verifys-primary": ("Primary UpToDate", "Connected Secondary VerifyS UpToDate", WELL, 10000),
    "verifyt": ("Secondary UpToDate", "Connected Primary VerifyT UpToDate", WELL, 10000),
}

# Where DRBD 9 differs: it scores a replica without its disk lower, it marks a replica that left a promoted peer as
# Outdated, and it demotes by force what is held open, whose I/O then fails.
WANT_OF_9 = {
    "diskless-primary": (*WANT["diskless-primary"][:3], 1),
    "diskless-secondaries": (*WANT["diskless-secondaries"][:3], 1),
    "diskless-secondary": (*WANT["diskless-secondary"][:3], 1),
    "held-open-primary-after-force": ("Secondary UpToDate", IN_STEP, REDUCED, None),
    "standalone-secondary": ("Secondary Outdated", CUT_OFF, REDUCED, None),
}
RECORDINGS = {version: {file.stem for file in (RECORDED / version).iterdir()} for version in VERSIONS}
CASES = [(version, case) for version in VERSIONS for case in WANT if case in RECORDINGS[version]]


@pytest.mark.parametrize(("version", "case"), CASES)
def test_a_case_is_read_alike_whatever_the_version(version, case):
    want = WANT_OF_9 if version.startswith("9") and case in WANT_OF_9 else WANT
    ours, theirs, level, value = want[case]
    (seen,) = parse_events(recorded(version, case))
    (volume,), (peer,) = seen.volumes, seen.peers
    (copy,) = peer.volumes
    assert f"{seen.role} {volume.disk}" == ours
    assert f"{peer.connection} {peer.role} {copy.replication} {copy.disk}" == theirs
    assert health(seen, suspended_for=100.0, patience=60.0).level == level
    known = learn(Knowledge(), seen, life="l", now=1.0)
    given = score(seen, known, Scores(), is_guarded=True)
    check_invariants(seen, known, Scores(), given)
    assert given.value == value


@pytest.mark.parametrize("version", [version for version in VERSIONS if "diskless-primary" in RECORDINGS[version]])
def test_a_guest_whose_disk_is_gone_is_wanted_on_the_other_node_and_may_move_there(version):
    (source,) = parse_events(recorded(version, "diskless-primary"))
    (target,) = parse_events(recorded(version, "peer-diskless-secondary"))
    scores = [score(seen, Knowledge(), Scores(), is_guarded=False).value for seen in (source, target)]
    # So much more than a guest's stickiness that Pacemaker moves it: a refusal would have it restarted.
    assert scores[1] - scores[0] > 9000
    assert why_not_open(source, source.peers[0], None) is None
    assert why_not_join(target, target.peers[0], None) is None


def test_every_version_tells_what_only_it_can_tell():
    (old,) = parse_events(recorded("8.4.11", "connected-secondaries"))
    assert (old.may_promote, old.promotion_score, old.volumes[0].has_quorum) == (None, None, None)
    (new,) = parse_events(recorded("9.2.16", "connected-secondaries"))
    assert (new.may_promote, new.promotion_score, new.volumes[0].has_quorum) == (True, 10102, True)
    assert [peer.name for peer in new.peers] == ["n2"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", ["unknown-resource", "unconfigured"])
def test_what_the_kernel_does_not_have_is_no_replica(version, case):
    assert parse_events(recorded(version, case)) == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_statistics_tell_how_much_of_a_resynchronisation_is_done(version):
    (seen,) = parse_events(recorded(version, "syncsource-primary", "events2-statistics"))
    (copy,) = seen.peers[0].volumes
    size = seen.volumes[0].size_kib
    assert 0 < copy.out_of_sync_kib < size
    assert abs(copy.percent_done - 100 * (1 - copy.out_of_sync_kib / size)) < 0.1


@pytest.mark.parametrize("version", VERSIONS)
def test_statistics_of_disks_in_step_show_nothing_out_of_sync(version):
    (seen,) = parse_events(recorded(version, "connected-primary", "events2-statistics"))
    (copy,) = seen.peers[0].volumes
    assert (copy.out_of_sync_kib, copy.percent_done) == (0, None)
