"""kvmha cluster apply refuses what would take a guest's place away, and writes the decision down."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvmha import journal
from kvmha.cli import cluster_admission
from kvmha.errors import UserError
from kvmha.policy import decisions
from kvmha.policy.snapshot import FENCING, GUEST, Node, Resource, Snapshot
from tests.fakes import FakeHost

FENCE = Resource(name="fence", agent="stonith:fence_ipmilan", kind=FENCING)
GIB = 1024


def guest(name: str, node: str = "", memory: int | None = 2 * GIB) -> Resource:
    nodes = (node,) if node else ()
    return Resource(name=name, agent="ocf:kvmha:VirtualDomain", kind=GUEST, nodes=nodes, memory_mib=memory)


def snapshot(*guests: Resource, memory: int | None = 8 * GIB) -> Snapshot:
    nodes = tuple(Node(name=name, memory_mib=memory) for name in ("n1", "n2"))
    return Snapshot(nodes=nodes, resources=(*guests, FENCE), is_quorate=True)


@pytest.fixture
def judged(mocker):
    """Return what speaks against the way from one snapshot to another."""

    def against(before, after, *, is_overridden=False, to_do=("web",), is_there=True):
        host = FakeHost()
        mocker.patch("kvmha.gather.cluster.snapshot_of", side_effect=[before, after])
        mocker.patch("kvmha.gather.cluster.definitions_of", return_value=())
        comparison = SimpleNamespace(to_do=lambda: to_do)
        plan = SimpleNamespace(is_there=is_there, refused=(), before="<b/>", result="<r/>", comparison=comparison)
        said = cluster_admission.against(host, plan, name="lab", is_overridden=is_overridden)
        return said, list(journal.entries(host))

    return against


HALF_FULL = (guest("web1", "n1"), guest("web2", "n2"))


def test_a_new_guest_that_fits_beside_the_reserve_is_admitted(judged):
    said, (entry,) = judged(snapshot(*HALF_FULL), snapshot(*HALF_FULL, guest("web3")))
    assert said == ()
    assert (entry.subject, entry.said, entry.overridden) == ("cluster apply lab", "admitted", False)
    assert decisions.again(entry).is_same


def test_a_new_guest_that_takes_the_reserve_is_refused(judged):
    said, (entry,) = judged(
        snapshot(*HALF_FULL), snapshot(*HALF_FULL, guest("web3", memory=4 * GIB)), is_overridden=True
    )
    assert "were lost afterwards" in said[0]
    assert entry.overridden


def test_a_new_guest_that_fits_nowhere_is_refused(judged):
    said, _ = judged(snapshot(*HALF_FULL), snapshot(*HALF_FULL, guest("web3", memory=9 * GIB)))
    assert any("n1: short of" in each and "for web3" in each for each in said)


def test_where_nothing_is_known_of_sizes_nothing_is_refused(judged):
    before, after = snapshot(*HALF_FULL, memory=None), snapshot(*HALF_FULL, guest("web3"), memory=None)
    assert judged(before, after)[0] == ()


@pytest.mark.parametrize("more", [{"to_do": ()}, {"is_there": False}])
def test_what_changes_nothing_or_makes_a_cluster_is_not_judged(judged, more):
    assert judged(snapshot(*HALF_FULL), snapshot(*HALF_FULL), **more) == ((), [])


def test_what_cannot_be_read_forbids_nothing(judged, mocker):
    assert judged(UserError("it is no CIB"), None) == ((), [])
