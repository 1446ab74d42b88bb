"""N+1: what fits by bins, what does not, by how much, and what would help."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kvmha.policy import placement
from kvmha.policy.placement import Cluster, GuestNeed, HostRoom, survival
from tests.unit.policy.placement import clusters

cluster = clusters.cluster

GIB = 1024

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""A seed is not made simpler by making it smaller."""


def test_sums_that_fit_are_no_bins_that_fit():
    """Three survivors have 12 GiB free together, and none of them the 6 that the guest needs."""
    rooms = {"n1": 8 * GIB, "n2": 8 * GIB, "n3": 8 * GIB, "n4": 8 * GIB}
    there = cluster(rooms, {"db": ("n1", 6 * GIB), "a": ("n2", 4 * GIB), "b": ("n3", 4 * GIB), "c": ("n4", 4 * GIB)})
    plan = placement.n_plus_one(there).plan("n1")
    assert not plan.holds
    assert plan.is_proven
    assert plan.stranded[0].guest == "db"
    assert plan.stranded[0].short_mib == 2 * GIB
    assert "n2: short of 2.0 GiB for db" in [reason.said for reason in plan.stranded[0].reasons]


def test_largest_first_is_not_enough_and_the_search_finds_the_packing():
    """6+5+5 and 4+4+4+4 fit two bins of 16 in one way only; the best fit of the largest first misses it."""
    rooms = {"n1": 64, "n2": 16, "n3": 16}
    sizes = {"a": 6, "b": 5, "c": 5, "d": 4, "e": 4, "f": 4, "g": 4}
    there = cluster(rooms, {name: ("n1", mib) for name, mib in sizes.items()})
    plan = placement.n_plus_one(there).plan("n1")
    assert plan.holds
    assert sorted(sizes[name] for name, host in plan.placed.items() if host == plan.placed["a"]) == [5, 5, 6]


def test_where_not_all_fit_the_guests_of_high_priority_do():
    there = cluster(
        {"n1": 16, "n2": 8},
        {"large": ("n1", 8), "small": ("n1", 4), "other": ("n1", 4)},
        large={"priority": 10},
    )
    plan = placement.n_plus_one(there).plan("n1")
    assert plan.placed == {"large": "n2"}
    assert [each.guest for each in plan.stranded] == ["other", "small"]


def test_a_move_beforehand_is_the_smallest_change():
    """5 are needed on one host; 3 are free on n2 and 4 on n3, and a guest of 3 can go from n2 to n3."""
    rooms = {"n1": 16, "n2": 8, "n3": 8}
    there = cluster(rooms, {"db": ("n1", 5), "a": ("n2", 3), "b": ("n2", 2), "c": ("n3", 4)})
    plan = placement.n_plus_one(there).plan("n1")
    assert [each.code for each in plan.helps] == ["move", "memory", "shrink"]
    assert plan.helps[0].said == "move b from n2 to n3 beforehand"
    assert {each.mib for each in plan.helps[1:]} == {1, 2} or {each.mib for each in plan.helps[1:]} == {1}


def test_what_can_run_nowhere_else_is_told_what_lacks():
    there = cluster(
        {"n1": 16, "n2": 16}, {"web1": ("n1", 4)}, web1={"networks": ("br7",), "replicas": {"n1": "UpToDate"}}
    )
    there = there.replace(hosts=tuple(host.replace(networks=("br0",)) for host in there.hosts))
    plan = placement.n_plus_one(there).plan("n1")
    assert [reason.code for reason in plan.stranded[0].reasons] == ["network", "replica"]
    assert plan.helps[0].place == "n2"
    assert "it has no network br7" in plan.helps[0].said


def test_an_unknown_size_is_no_protection_and_says_so():
    there = Cluster(
        hosts=(HostRoom(name="n1", memory_mib=64), HostRoom(name="n2", memory_mib=64)),
        guests=(GuestNeed(name="web1", node="n1"),),
    )
    found = placement.n_plus_one(there)
    assert found.holds is None
    assert found.said == "whether any host may be lost is not known: n2: nobody knows how much memory web1 needs"


def test_a_host_with_a_guest_of_unknown_size_takes_no_other():
    there = cluster({"n1": 64, "n2": 64}, {"web1": ("n1", 4)})
    there = there.replace(guests=(*there.guests, GuestNeed(name="web2", node="n2")))
    reasons = placement.why_not(there, "web1", "n2")
    assert [reason.code for reason in reasons] == ["memory-unknown"]


def test_every_pair_on_request():
    rooms = {f"n{number}": 8 for number in range(1, 5)}
    there = cluster(rooms, {f"web{number}": (f"n{number}", 4) for number in range(1, 5)})
    pairs = placement.n_plus_one(there, depth=2)
    assert len(pairs.plans) == 6
    assert pairs.is_protected
    assert not placement.n_plus_one(there, depth=3).is_protected


def test_the_loss_of_the_only_host_leaves_no_place():
    found = placement.n_plus_one(cluster({"n1": 8}, {"web1": ("n1", 4)}))
    assert found.holds is False
    assert found.plans[0].stranded[0].reasons[0].said == "no host is left for web1"


def test_who_is_kept_apart_stays_apart_whoever_of_the_two_says_so():
    there = cluster({"n1": 16, "n2": 16}, {"a": ("n1", 1), "b": ("n2", 1)}, b={"apart": ("a",)})
    assert [reason.code for reason in placement.why_not(there, "a", "n2")] == ["apart"]
    assert not placement.n_plus_one(there).is_protected


def test_guests_that_must_be_together_are_counted_together():
    there = cluster({"n1": 16, "n2": 8}, {"a": ("n1", 5), "b": ("n1", 5)}, a={"together": ("b",)})
    assert [each.guest for each in placement.n_plus_one(there).plan("n1").stranded] == ["a", "b"]
    assert "n2: short of 2 MiB for b" in [reason.said for reason in placement.why_not(there, "a", "n2")]


def test_huge_pages_are_a_pool_of_their_own():
    hosts = tuple(
        HostRoom(name=name, memory_mib=64, huge_pages={"2048": pool}) for name, pool in (("n1", 32), ("n2", 8))
    )
    guest = GuestNeed(name="web1", memory_mib=16, overhead_mib=2, page_kib=2048, node="n1")
    reasons = placement.why_not(Cluster(hosts=hosts, guests=(guest,)), "web1", "n2")
    assert [reason.said for reason in reasons] == ["n2: short of 8 MiB in huge pages of 2048 KiB for web1"]


@pytest.mark.parametrize(
    ("field", "host", "said"),
    [
        pytest.param({"cpus": 8}, {"cpus": 4}, "n2: web1 has 8 processors, it has 4", id="processors"),
        pytest.param({"features": ("avx2",)}, {"features": ()}, "n2: its processors lack avx2", id="feature"),
        pytest.param({"devices": ("gpu",)}, {"devices": ("nic",)}, "n2: it has no device gpu", id="device"),
        pytest.param({"devices": ("gpu",)}, {}, "n2: nobody knows whether it has the device gpu", id="unknown-device"),
        pytest.param({"storage": ("pool",)}, {"storage": ()}, "n2: it has no storage pool", id="storage"),
        pytest.param({"replicas": {}}, {}, "n2: it has no replica of web1's disk", id="no-replica"),
        pytest.param({"replicas": {"n2": "Outdated"}}, {}, "n2: its replica of web1's disk is Outdated", id="outdated"),
        pytest.param({"scores": {"n2": -1_000_000}}, {}, "n2: a location rule bans web1", id="banned"),
        pytest.param({}, {"is_available": False, "why_unavailable": "in standby"}, "n2: is in standby", id="standby"),
        pytest.param({}, {"memory_mib": None}, "n2: nobody knows how much memory it has", id="unknown-memory"),
        pytest.param({}, {"memory_mib": 70, "reserved_mib": 7}, "n2: short of 1 MiB for web1", id="reserved"),
    ],
)
def test_why_not(field, host, said):
    guest = GuestNeed(**{"name": "web1", "memory_mib": 64, "overhead_mib": 0, "node": "n1", **field})
    hosts = (HostRoom(name="n1", memory_mib=64), HostRoom(**{"name": "n2", "memory_mib": 64, **host}))
    assert said in [reason.said for reason in placement.why_not(Cluster(hosts=hosts, guests=(guest,)), "web1", "n2")]


@settings(max_examples=400, deadline=None, phases=PHASES)
@given(clusters.SEEDS, st.integers(1, 2))
def test_a_plan_keeps_its_promises_and_holds_exactly_where_a_packing_exists(seed, depth):
    there = clusters.drawn(seed)
    found = placement.n_plus_one(there, depth)
    for plan in found.plans:
        survival.check_invariants(there, plan)
        assert plan.is_proven
        assert plan.holds == clusters.exists(there, plan.lost)


@settings(max_examples=300, deadline=None, phases=PHASES)
@given(clusters.SEEDS)
def test_a_help_helps(seed):
    there = clusters.drawn(seed)
    for plan in placement.n_plus_one(there).plans:
        for help_ in plan.helps:
            changed = there
            if help_.code == "memory" and help_.mib:
                raised = {host.name: host for host in there.hosts}
                host = raised[help_.place]
                raised[help_.place] = host.replace(memory_mib=host.memory_mib + help_.mib)
                changed = there.replace(hosts=tuple(raised.values()))
                fewer = {**raised, help_.place: host.replace(memory_mib=host.memory_mib + help_.mib - 1)}
                assert not clusters.exists(there.replace(hosts=tuple(fewer.values())), plan.lost)
            elif help_.code in ("move", "shrink"):
                shrunk = 0 if help_.code == "move" else help_.mib
                changed = there.replace(
                    guests=tuple(
                        guest.replace(
                            node=help_.place if help_.code == "move" else guest.node,
                            memory_mib=guest.memory_mib - shrunk,
                        )
                        if guest.name == help_.guest
                        else guest
                        for guest in there.guests
                    )
                )
            else:
                continue
            assert clusters.exists(changed, plan.lost)


@settings(max_examples=100, deadline=None, phases=PHASES)
@given(clusters.SEEDS)
def test_the_same_cluster_in_another_order_has_the_same_plans(seed):
    there = clusters.drawn(seed)
    turned = there.replace(hosts=there.hosts[::-1], guests=there.guests[::-1])
    assert placement.n_plus_one(there) == placement.n_plus_one(turned)
