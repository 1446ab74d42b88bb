"""What may be done to a cluster: nothing that destroys a plan which holds, and everything that repairs."""

from __future__ import annotations

import random

from hypothesis import given, settings

from kvmha.policy.placement import GuestNeed, admission
from kvmha.policy.placement.admission import admit, moved, why_not_drain, with_guest
from tests.unit.policy.placement import clusters
from tests.unit.policy.placement.test_survival import PHASES

cluster = clusters.cluster


def codes(answer):
    return [reason.code for reason in answer.reasons]


def test_a_guest_that_fits_and_takes_the_reserve_is_refused():
    there = cluster({"n1": 8, "n2": 8}, {"a": ("n1", 4), "b": ("n2", 4)})
    after, reasons = with_guest(there, GuestNeed(name="c", memory_mib=4, overhead_mib=0))
    assert reasons == ()
    answer = admit(there, after)
    assert not answer.is_admitted
    assert set(codes(answer)) == {"n-plus-one"}
    assert "were lost afterwards" in answer.said


def test_a_guest_that_leaves_the_reserve_is_admitted():
    there = cluster({"n1": 12, "n2": 12}, {"a": ("n1", 4), "b": ("n2", 4)})
    after, _ = with_guest(there, GuestNeed(name="c", memory_mib=4, overhead_mib=0))
    assert admit(there, after).is_admitted


def test_where_the_plan_is_lost_already_nothing_is_refused_on_its_account():
    there = cluster({"n1": 8, "n2": 8}, {"a": ("n1", 6), "b": ("n2", 6)})
    after, _ = with_guest(there, GuestNeed(name="c", memory_mib=1, overhead_mib=0))
    assert admit(there, after).is_admitted


def test_a_guest_that_fits_nowhere_is_told_why_on_each_host():
    there = cluster({"n1": 8, "n2": 8}, {"a": ("n1", 6), "b": ("n2", 7)})
    _, reasons = with_guest(there, GuestNeed(name="c", memory_mib=4, overhead_mib=0))
    assert [reason.said for reason in reasons] == ["n1: short of 2 MiB for c", "n2: short of 3 MiB for c"]


def test_a_move_to_where_a_guest_does_not_fit_is_refused():
    there = cluster({"n1": 8, "n2": 8}, {"a": ("n1", 6), "b": ("n2", 6)})
    answer = admit(there, moved(there, "a", "n2"))
    assert not answer.is_admitted
    assert answer.reasons[0].said == "n2: short of 4 MiB for a"


def test_a_move_that_mends_more_than_it_breaks_is_repair():
    """Of the two guests of n1 one has no place elsewhere; with one on n3, every host can be lost."""
    rooms = {"n1": 12, "n2": 6, "n3": 6}
    guests = {"a": ("n1", 5), "b": ("n1", 5), "c": ("n2", 1)}
    there = cluster(rooms, guests)
    answer = admit(there, moved(there, "a", "n3"))
    assert answer.is_admitted


def test_a_drain_uses_the_reserve_and_is_refused_only_where_a_guest_would_be_left_over():
    there = cluster({"n1": 8, "n2": 8}, {"a": ("n1", 4), "b": ("n2", 4)})
    assert why_not_drain(there, "n1") == ()
    full = cluster({"n1": 8, "n2": 8}, {"a": ("n1", 5), "b": ("n2", 4)})
    assert [reason.said for reason in why_not_drain(full, "n1")] == ["n2: short of 1 MiB for a"]
    assert why_not_drain(full, "n9")[0].code == "unknown"


def test_where_sizes_are_not_known_a_move_is_admitted_and_that_is_said():
    there = cluster({"n1": 8, "n2": 8}, {"a": ("n1", 4)})
    there = there.replace(hosts=tuple(host.replace(memory_mib=None) for host in there.hosts))
    answer = admit(there, moved(there, "a", "n2"))
    assert answer.is_admitted
    assert answer.said == "n2: nobody knows how much memory it has"


def test_the_first_guests_of_a_cluster_whose_sizes_nobody_knows_are_admitted():
    """Without guests every plan holds; with these none can be judged, which is no reason to refuse them."""
    empty = cluster({"n1": 8, "n2": 8}, {})
    empty = empty.replace(hosts=tuple(host.replace(memory_mib=None) for host in empty.hosts))
    first = [GuestNeed(name=name, node=node, memory_mib=None) for name, node in (("a", "n1"), ("b", "n2"))]
    after = empty.replace(guests=tuple(first))
    answer = admit(empty, after)
    admission.check_invariants(empty, after, answer)
    assert answer.is_admitted
    assert set(codes(answer)) == {"memory-unknown"}


def test_guests_that_must_be_together_move_together():
    there = cluster({"n1": 8, "n2": 8}, {"a": ("n1", 4), "b": ("n1", 4)}, a={"together": ("b",)})
    assert {guest.node for guest in moved(there, "a", "n2").guests} == {"n2"}


@settings(max_examples=300, deadline=None, phases=PHASES)
@given(clusters.SEEDS)
def test_what_is_admitted_destroys_nothing_and_what_is_refused_would(seed):
    there = clusters.drawn(seed)
    chance = random.Random(seed)
    guest, host = chance.choice(there.guests), chance.choice(there.hosts)
    acts = [moved(there, guest.name, host.name)]
    acts.append(with_guest(there, GuestNeed(name="new", memory_mib=chance.randint(1, 9), overhead_mib=0))[0])
    acts.append(there.replace(hosts=tuple(each for each in there.hosts if each is not host)))
    for after in acts:
        answer = admit(there, after)
        admission.check_invariants(there, after, answer)
        assert admit(there, there).reasons == ()
