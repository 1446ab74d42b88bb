"""The words of what-if: what is taken, and what is refused with which sentence."""

from __future__ import annotations

import pytest

from kvmha.errors import UserError
from kvmha.policy import quorum, timing
from kvmha.policy.failover import Trouble
from kvmha.policy.snapshot import GUEST, REMOTE, Node, Resource, Snapshot
from kvmha.whatif import events

CLUSTER = Snapshot(
    nodes=(Node(name="n1"), Node(name="n2"), Node(name="n3", is_online=False), Node(name="r1", kind=REMOTE)),
    resources=(
        Resource(name="web1", agent="a", kind=GUEST, nodes=("n1",)),
        Resource(name="web2", agent="a", kind=GUEST, nodes=()),
    ),
    quorum=quorum.Settings(voters=(quorum.Voter(name="n1", nodeid=1),)),
    totem=timing.totem(3, links=((0, None, None, None), (1, None, None, None))),
)


def test_events_happen_together_and_then_parts_them():
    found = events.parse(["kill", "n1", "fail-fencing", "n1", "then", "migrate", "web1", "n2"], CLUSTER)
    assert [[event.said for event in phase] for phase in found] == [["kill n1", "fail-fencing n1"], ["migrate web1 n2"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("explode n1", 'there is no event "explode"'),
        ("kill", "kill wants NODE: kill NODE"),
        ("kill then kill n1", "kill wants NODE"),
        ("kill n9", "there is no node n9; the nodes are n1, n2, n3, r1"),
        ("kill n3", "n3 is offline already"),
        ("kill r1", "r1 is a remote node"),
        ("online n1", "n1 is not in standby"),
        ("migrate web9 n2", "there is no resource web9; the guests are web1, web2"),
        ("migrate web1 n1", "web1 runs on n1 already"),
        ("migrate web1 n2 kill n2", "n2 is gone at the same time"),
        ("migrate web1 n2 migrate web1 r1", "web1 is sent away twice at the same time"),
        ("fail web2", "web2 does not run"),
        ("add-guest large", '"large" is no size'),
        ("add-guest 0GiB", '"0GiB" is no size'),
        ("add-guest \u00b2GiB", '"\u00b2GiB" is no size'),
        (f"add-guest {'9' * 5000}GiB", "is no size"),
        ("link n1 7", "there is no link 7; the links are 0, 1"),
        ("lose-device", "this cluster has no quorum device"),
        ("kill n1 cut n1", "n1 is struck twice at the same time"),
        ("kill n1 then", '"then" stands between two events'),
        ("then kill n1", '"then" stands between two events'),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(words, said):
    with pytest.raises(UserError) as refused:
        events.check(events.parse(words.split(), CLUSTER)[0], CLUSTER)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("lose-device", "lose-device: no corosync.conf is known, so whether there is a quorum device is not"),
        ("link n1 \u00b2", '"\u00b2" is no link'),
    ],
)
def test_what_no_corosync_conf_tells_is_not_made_up(words, said):
    with pytest.raises(UserError) as refused:
        events.parse(words.split(), CLUSTER.replace(quorum=None, totem=None))
    assert said in str(refused.value)


def test_a_later_event_is_judged_by_what_is_then():
    phases = events.parse(["standby", "n1", "then", "online", "n1", "then", "migrate", "web1", "n1"], CLUSTER)
    (first, second, *others) = CLUSTER.nodes
    resources = (CLUSTER.resources[0].replace(nodes=("n2",)), *CLUSTER.resources[1:])
    then = CLUSTER.replace(nodes=(first.replace(is_standby=True), second, *others), resources=resources)
    events.check(phases[1], then)
    events.check(phases[2], then)
    off = CLUSTER.replace(nodes=(first.replace(is_online=False), second, *others), resources=resources)
    with pytest.raises(UserError, match="migrate: n1 is offline"):
        events.check(phases[2], off)


@pytest.mark.parametrize(("text", "size"), [("8GiB", 8192), ("512MiB", 512), ("2g", 2048), ("1T", 1048576)])
def test_sizes_are_read(text, size):
    assert events.mebibytes(text) == size


def struck(words: str, cluster: Snapshot = CLUSTER) -> tuple[str, ...]:
    """Return the nodes that are cut off by the last of several phases."""
    found, before = Trouble(), ()
    for phase in events.parse(words.split(), cluster):
        found = events.trouble_of(phase, cluster, before=before)
        before += tuple(event for event in phase if event.word == events.LINK_LOST)
    return found.cut


def test_a_node_whose_only_link_is_lost_is_cut_off():
    assert struck("link n1 0", CLUSTER.replace(totem=timing.totem(3))) == ("n1",)
    assert struck("link n1 0") == ()


def test_links_that_are_lost_together_or_one_after_the_other_are_counted_together():
    assert struck("link n1 0 link n1 1") == ("n1",)
    assert struck("link n1 0 then link n1 1") == ("n1",)
    assert struck("link n1 0 link n1 0") == ()
    assert struck("link n1 0 link n2 0") == ()


def test_two_nodes_that_have_lost_different_links_do_not_see_each_other():
    pair = CLUSTER.replace(nodes=CLUSTER.nodes[:2])
    assert struck("link n1 0 link n2 1", pair) == ("n1",)
    assert struck("link n1 0 then link n2 1", pair) == ("n1",)
    assert struck("link n1 0 link n2 1") == ()
    (phase,) = events.parse(["link", "n1", "0", "link", "n2", "1"], CLUSTER)
    assert events.parted(phase, CLUSTER) == (("n1", "n2"),)
