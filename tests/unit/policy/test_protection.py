"""Is the cluster protected: one verdict and one sentence on each thing."""

from __future__ import annotations

import pytest

from kvmha.policy import fencing_proof, protection, quorum, timing
from kvmha.policy.protection import BAD, REDUCED, UNKNOWN, WELL
from kvmha.policy.snapshot import FENCING, GUEST, REPLICA, Device, Failure, Node, Replica, Resource, Snapshot

NOW = 1_800_000_000.0
PATHS = tuple(
    fencing_proof.Path(device=f"fence-{target}", target=target, node=node)
    for target in ("n1", "n2", "n3")
    for node in ("n1", "n2", "n3")
    if node != target
)
TRIALS = tuple(
    fencing_proof.Trial(device=each.device, target=each.target, node=each.node, at=NOW - 60, state="on", seconds=(0.1,))
    for each in PATHS
)
NODES = tuple(
    Node(
        name=name,
        memory_mib=8192,
        fenced_at=NOW - 3600,
        fencing=(Device(name=f"fence-{name}", agent="fence_ipmilan", usual_s=1.0),),
    )
    for name in ("n1", "n2", "n3")
)
FENCES = tuple(Resource(name=f"fence-{n.name}", agent="stonith:x", kind=FENCING, nodes=("n1",)) for n in NODES)
WEB1 = Resource(name="web1", agent="a", kind=GUEST, nodes=("n1",), memory_mib=1024, start_s=2.0, limit_s=30.0)
WHOLE = Snapshot(
    nodes=NODES,
    resources=(*FENCES, WEB1),
    is_quorate=True,
    quorum=quorum.Settings(voters=tuple(quorum.Voter(name=n.name, nodeid=i) for i, n in enumerate(NODES, 1))),
    totem=timing.totem(3, token=1300, coefficient=0, consensus=1560),
    fence_paths=PATHS,
    fence_trials=TRIALS,
)


def failing(*places: int) -> Snapshot:
    """Return the cluster in which the last trial of these paths has failed."""
    trials = [each.replace(state="failed", said="refused") if n in places else each for n, each in enumerate(TRIALS)]
    return WHOLE.replace(fence_trials=tuple(trials))


def points(snapshot: Snapshot) -> dict[str, str]:
    return {point.name: point.level for point in protection.judge(snapshot, now=NOW).points}


def with_node(**changes) -> Snapshot:
    return WHOLE.replace(nodes=(NODES[0].replace(**changes), *NODES[1:]))


def test_a_cluster_that_lacks_nothing_is_well():
    found = protection.judge(WHOLE, now=NOW)
    assert found.level == WELL, found.points


@pytest.mark.parametrize(
    ("snapshot", "point", "level"),
    [
        pytest.param(with_node(is_online=False, is_unclean=True), "nodes", BAD, id="unclean"),
        pytest.param(with_node(is_standby=True), "nodes", REDUCED, id="standby"),
        pytest.param(with_node(is_online=False), "quorum", REDUCED, id="one-node-away"),
        pytest.param(WHOLE.replace(is_quorate=False), "quorum", BAD, id="no-quorum"),
        pytest.param(WHOLE.replace(quorum=None), "quorum", UNKNOWN, id="votes-unknown"),
        pytest.param(WHOLE.replace(properties={"stonith-enabled": "false"}), "fencing", BAD, id="fencing-off"),
        pytest.param(with_node(fencing=()), "fencing", BAD, id="no-device"),
        pytest.param(with_node(fenced_at=None), "fencing", REDUCED, id="unproven"),
        pytest.param(with_node(fenced_at=NOW - 200 * 86400), "fencing", REDUCED, id="proven-long-ago"),
        pytest.param(WHOLE.replace(fence_trials=()), "fencing", REDUCED, id="no-path-tried"),
        pytest.param(WHOLE.replace(fence_trials=TRIALS[1:]), "fencing", REDUCED, id="one-path-never-tried"),
        pytest.param(
            WHOLE.replace(fence_trials=tuple(each.replace(at=NOW - 3 * 86400) for each in TRIALS)),
            "fencing", REDUCED, id="tried-too-long-ago",
        ),
        pytest.param(failing(0), "fencing", REDUCED, id="one-of-two-paths-failed"),
        pytest.param(failing(0, 1), "fencing", BAD, id="no-path-to-a-node-works"),
        pytest.param(
            WHOLE.replace(failures=(Failure(resource="fence-n1", node="n2", operation="monitor", rc=1),)),
            "fencing", BAD, id="device-failed",
        ),
        pytest.param(
            WHOLE.replace(resources=(*FENCES, WEB1.replace(memory_mib=9000))), "room", BAD, id="more-than-there-is"
        ),
        pytest.param(WHOLE.replace(resources=(*FENCES, WEB1.replace(memory_mib=None))), "room", UNKNOWN, id="no-size"),
        pytest.param(WHOLE.replace(resources=(*FENCES, WEB1.replace(nodes=("n1", "n2")))), "actions", BAD, id="twice"),
        pytest.param(
            WHOLE.replace(failures=(Failure(resource="web1", node="n1", operation="monitor", rc=1),)),
            "actions", REDUCED, id="failed",
        ),
        pytest.param(
            WHOLE.replace(resources=(*FENCES, WEB1.replace(pending="Migrating"))), "actions", REDUCED, id="pending"
        ),
    ],
)  # fmt: skip
def test_what_is_amiss_is_said_where_it_belongs(snapshot, point, level):
    assert points(snapshot)[point] == level
    assert protection.judge(snapshot, now=NOW).level != WELL


@pytest.mark.parametrize(("score", "level"), [(10000, WELL), (10, REDUCED), (None, REDUCED)])
def test_a_disk_needs_two_sides_that_are_up_to_date(score, level):
    drbd = Resource(name="drbd-r1", agent="d", kind=REPLICA, nodes=("n1", "n2"), is_clone=True)
    replicas = tuple(Replica(disk="r1", resource="drbd-r1", node=n, score=s) for n, s in (("n1", 10000), ("n2", score)))
    assert points(WHOLE.replace(resources=(*FENCES, WEB1, drbd), replicas=replicas))["disks"] == level


def test_room_after_the_loss_of_any_two_is_told_on_request():
    guests = tuple(WEB1.replace(name=f"web{at}", nodes=(f"n{at}",), memory_mib=3000) for at in (1, 2, 3))
    there = WHOLE.replace(resources=(*FENCES, *guests))
    room = {losses: protection.judge(there, now=NOW, losses=losses).points[3] for losses in (1, 2)}
    assert (room[1].name, room[1].level) == ("room", WELL)
    assert room[2].level == BAD
    assert "without n1 and n2 there is no place for" in room[2].said


def test_recovery_is_detection_decision_fencing_start_and_boot():
    (guest,) = protection.judge(WHOLE, now=NOW).guests
    assert 2.5 + 0.1 + 1.0 + 2.0 < guest.usual_s < 2.9 + 1.1 + 1.0 + 2.0
    assert guest.is_within
    slow = WHOLE.replace(resources=(*FENCES, WEB1.replace(boot_s=60.0)))
    assert protection.judge(slow, now=NOW).guests[0].is_within is False


def test_a_guest_on_a_node_that_cannot_be_fenced_would_not_come_back():
    (guest,) = protection.judge(with_node(fencing=()), now=NOW).guests
    assert (guest.usual_s, guest.is_within) == (None, False)
    assert "cannot be fenced" in guest.said


@pytest.mark.parametrize(("delay", "level"), [(5.0, WELL), (0.0, REDUCED)])
def test_of_a_pair_it_is_said_whether_the_right_one_survives(delay, level):
    first = NODES[0].replace(fencing=(NODES[0].fencing[0].replace(delay_s=delay, delay_most_s=delay),))
    votes = quorum.Settings(voters=WHOLE.quorum.voters[:2], two_node=True)
    pair = WHOLE.replace(nodes=(first, NODES[1]), quorum=votes)
    assert points(pair)["split"] == level


def test_a_quorum_device_that_does_not_vote_is_said_and_its_vote_is_no_margin():
    voters = tuple(quorum.Voter(name=f"n{number}", nodeid=number) for number in (1, 2))
    there = WHOLE.replace(nodes=NODES[:2], quorum=quorum.Settings(voters=voters, device=quorum.Device(votes=1)))
    said = {
        each: protection.judge(there.replace(is_device_alive=each), now=NOW).points[1] for each in (None, True, False)
    }
    assert [said[each].level for each in (None, True, False)] == [WELL, WELL, REDUCED]
    assert said[False].said == (
        "the quorum device does not vote; it has 2 of 3 votes, and 2 are needed; one more failure stops everything"
    )
