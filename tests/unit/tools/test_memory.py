"""A node's memory, its huge pages, and what QEMU processes were promised of it."""

from __future__ import annotations

import pytest

from kvmha.tools.memory import HugePages, available_kib, default_page_kib, huge_pages
from kvmha.tools.qemu_memory import age, guest_kib, parse_touched, resident_kib, touched_kib
from tests.fakes import FakeHost

MEMINFO = b"""\
MemTotal:       24683712 kB
MemFree:        21263460 kB
MemAvailable:   22612012 kB
HugePages_Total:       8
Hugepagesize:       2048 kB
"""


def host(**files):
    found = FakeHost()
    found.files.update({path: text.encode() for path, text in files.items()})
    return found


def pool(size_kib, **counts):
    folder = f"/sys/kernel/mm/hugepages/hugepages-{size_kib}kB"
    return {f"{folder}/{name}": f"{count}\n" for name, count in counts.items()}


def test_what_is_available_is_not_what_is_free():
    machine = FakeHost()
    machine.files["/proc/meminfo"] = MEMINFO
    assert (available_kib(machine), default_page_kib(machine)) == (22612012, 2048)


def test_a_kernel_that_does_not_tell_is_not_guessed():
    assert (available_kib(FakeHost()), default_page_kib(FakeHost())) == (None, 0)


@pytest.mark.parametrize(
    ("counts", "free"),
    [
        pytest.param({"nr_hugepages": 8, "free_hugepages": 5}, 5, id="free"),
        pytest.param({"nr_hugepages": 8, "free_hugepages": 5, "resv_hugepages": 3}, 2, id="promised-to-a-mapping"),
        pytest.param({"nr_overcommit_hugepages": 4, "surplus_hugepages": 1}, 3, id="the-kernel-may-add-some"),
        pytest.param({"nr_hugepages": 1, "free_hugepages": 1, "surplus_hugepages": 2}, 1, id="limit-was-lowered"),
        pytest.param({"free_hugepages": 1, "resv_hugepages": 2}, 0, id="never-less-than-nothing"),
    ],
)
def test_the_huge_pages_that_a_new_guest_can_have(counts, free):
    found = huge_pages(host(**pool(2048, **counts)), 2048)
    assert found == HugePages(size_kib=2048, total_kib=counts.get("nr_hugepages", 0) * 2048, free_kib=free * 2048)


def test_the_huge_pages_of_single_numa_nodes_are_counted_there():
    folder = "/sys/devices/system/node/node{}/hugepages/hugepages-1048576kB/{}"
    counts = {folder.format(node, name): "2" for node in (0, 1) for name in ("nr_hugepages", "free_hugepages")}
    assert huge_pages(host(**counts), 1048576, (1,)).free_kib == 2 * 1048576
    assert huge_pages(host(**counts), 1048576, (0, 1)).free_kib == 4 * 1048576


def test_a_size_that_the_kernel_does_not_have_has_no_pages():
    assert huge_pages(FakeHost(), 1048576) == HugePages(size_kib=1048576, total_kib=0, free_kib=0)


@pytest.mark.parametrize(
    ("value", "kib"),
    [
        ("256", 262144),
        ("size=262144k", 262144),
        ("size=2097152k,slots=16,maxmem=4194304k", 2097152),
        ("4G", 4194304),
        ("size=1024m", 1048576),
        ("what", 0),
    ],
)
def test_a_guests_memory_is_read_from_qemus_arguments(value, kib):
    assert guest_kib(("qemu-system-x86_64", "-m", value, "-smp", "2")) == kib


def test_the_last_of_several_is_what_counts():
    assert guest_kib(("qemu-system-x86_64", "-m", "256", "-m", "262152k")) == 262152


def test_what_a_process_holds_is_read_with_its_huge_pages():
    machine = host(**{"/proc/7/status": "Name:\tq\nVmRSS:\t   3000 kB\nRssAnon:\t 1 kB\nHugetlbPages:\t 4096 kB\n"})
    assert resident_kib(machine, 7) == 7096
    assert resident_kib(machine, 8) == 0


def test_a_process_is_as_old_as_its_start_says():
    rest = " ".join(["0"] * 18)
    machine = host(**{"/proc/uptime": "1000.50 3000.00\n", "/proc/7/stat": f"7 (a) b c) S {rest} 40050 0 0\n"})
    assert age(machine, 7) == 600.0
    assert age(machine, 8) == 0.0


SMAPS = """\
7f1c00000000-7f1c10000000 rw-p 00000000 00:00 0
Size:             262144 kB
KernelPageSize:        4 kB
Rss:               61440 kB
Pss:               61440 kB
7f1c20000000-7f1c60000000 rwxp 00000000 00:00 0
Size:            1048576 kB
Rss:                8192 kB
"""


def test_the_memory_that_a_guest_ever_used_is_what_its_mapping_holds():
    found = host(**{"/proc/734/smaps": SMAPS})
    found.processes[734] = ("qemu-system-x86_64", "-m", "size=262144k")
    assert touched_kib(found, 734) == 61440
    assert touched_kib(found, 735) is None
    assert parse_touched(SMAPS + SMAPS, 262144) is None, "two mappings could be it"
    assert parse_touched(SMAPS, 4096) is None


def test_a_guest_too_large_to_be_looked_at_page_by_page_is_not():
    found = host(**{"/proc/734/smaps": SMAPS.replace("262144", str(65 * 1024 * 1024))})
    found.processes[734] = ("qemu-system-x86_64", "-m", "65g")
    assert touched_kib(found, 734) is None
