"""What speaks against a start, and what it is told like."""

from __future__ import annotations

import pytest

from kvmha.policy.start import (
    ABSENT,
    ACTIVE,
    ANSWERS,
    UNKNOWN,
    Disk,
    Memory,
    Peer,
    overhead,
    untouched,
    why_not_beside,
    why_not_from,
    why_not_within,
)

MIB = 1024


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        pytest.param(Peer(name="n2", answer=ACTIVE), "web1 runs on n2 already, says its libvirt", id="runs-there"),
        pytest.param(Peer(name="n2", answer=ABSENT), None, id="does-not-run-there"),
        pytest.param(Peer(name="n2", answer=ABSENT, has_guest=True), None, id="the-cluster-is-behind"),
        pytest.param(Peer(name="n2"), None, id="silent-and-the-cluster-has-it-not"),
        pytest.param(
            Peer(name="n2", has_guest=True, silence="did not answer within 3 s"),
            "web1 may run on n2: the cluster has it there, and its libvirt did not answer within 3 s",
            id="silent-and-the-cluster-has-it",
        ),
        pytest.param(Peer(name="n2", is_online=False), None, id="fenced-or-off"),
        pytest.param(Peer(name="n2", is_online=False, has_guest=True), None, id="fenced-and-not-forgotten-yet"),
        pytest.param(
            Peer(name="n2", is_online=False, is_unclean=True),
            "web1 may run on n2, which the cluster has lost and not fenced yet",
            id="lost",
        ),
        pytest.param(
            Peer(name="n2", is_unclean=True),
            "web1 may run on n2, which the cluster has lost and not fenced yet",
            id="to-be-fenced-and-silent",
        ),
        pytest.param(Peer(name="n2", is_unclean=True, answer=ABSENT), None, id="to-be-fenced-and-says-no"),
    ],
)
def test_a_peer(peer, reason):
    assert why_not_beside("web1", peer) == reason


def every_peer():
    for answer in ANSWERS:
        for bits in range(8):
            yield Peer(
                name="n2", answer=answer, is_online=bool(bits & 1), is_unclean=bool(bits & 2), has_guest=bool(bits & 4)
            )


def test_a_start_beside_a_peer_is_right_only_if_the_guest_is_known_not_to_run_there():
    for peer in every_peer():
        if why_not_beside("web1", peer) is None:
            is_down = not peer.is_online and not peer.is_unclean
            assert peer.answer == ABSENT or (
                peer.answer == UNKNOWN and (is_down or (not peer.has_guest and not peer.is_unclean))
            ), peer


@pytest.mark.parametrize(
    ("disk", "reason"),
    [
        pytest.param(Disk(path="/d", wanted="file", found="file"), None, id="file"),
        pytest.param(Disk(path="/d", wanted="block device", found="block device"), None, id="block"),
        pytest.param(Disk(path="/d", wanted="block device", found="special file"), None, id="character-device"),
        pytest.param(
            Disk(path="/d", wanted="block device", found="file"),
            "disk /d is a file, and the definition says block device",
            id="file-instead-of-block",
        ),
        pytest.param(
            Disk(path="/d", wanted="file", found="file", error="Read-only file system"),
            "disk /d: Read-only file system",
            id="cannot-be-opened",
        ),
        pytest.param(
            Disk(path="/dev/drbd0", wanted="block device", found="block device", resource="r0", role="Secondary"),
            "disk /dev/drbd0: DRBD resource r0 is Secondary here, not promoted",
            id="not-promoted",
        ),
    ],
)
def test_a_disk(disk, reason):
    assert why_not_from(disk) == reason


@pytest.mark.parametrize(
    ("memory", "reason"),
    [
        pytest.param(Memory(need_kib=8192 * MIB, free_kib=8192 * MIB), None, id="just-enough"),
        pytest.param(
            Memory(need_kib=8192 * MIB, free_kib=3120 * MIB + 700),
            "web1 needs 8192 MiB and n2 has 3120 MiB free",
            id="too-little",
        ),
        pytest.param(
            Memory(need_kib=8192 * MIB, free_kib=8192 * MIB - 1),
            "web1 needs 8192 MiB and n2 has 8191 MiB free",
            id="rounded-so-that-the-sentence-is-true",
        ),
        pytest.param(
            Memory(need_kib=8192 * MIB, free_kib=10000 * MIB, promised_kib=4096 * MIB),
            "web1 needs 8192 MiB and n2 has 5904 MiB free, 4096 MiB less for guests that have just started",
            id="promised",
        ),
        pytest.param(
            Memory(need_kib=MIB, free_kib=0, promised_kib=MIB),
            "web1 needs 1 MiB and n2 has 0 MiB free, 1 MiB less for guests that have just started",
            id="never-less-than-nothing",
        ),
        pytest.param(
            Memory(need_kib=4096 * MIB, free_kib=2048 * MIB, page_kib=1024 * MIB, numa_nodes=(1,)),
            "web1 needs 4096 MiB in huge pages of 1024 MiB, and NUMA node 1 of n2 has 2048 MiB of them free",
            id="huge-pages-of-one-numa-node",
        ),
        pytest.param(
            Memory(need_kib=4096 * MIB, page_kib=64),
            "web1 needs 4096 MiB in huge pages of 64 KiB, and n2 has 0 MiB of them free",
            id="no-huge-pages",
        ),
    ],
)
def test_memory(memory, reason):
    assert why_not_within(memory, "web1", "n2") == reason


def test_the_overhead_of_qemu_grows_with_the_guest():
    assert overhead(8192 * MIB) == 96 * MIB + 16 * MIB
    assert overhead(0) == 96 * MIB


def test_a_guest_that_holds_more_than_its_memory_takes_no_more():
    assert [untouched(100, 30), untouched(100, 130)] == [70, 0]
