"""What libvirt 9.0 counts of a guest, as its names are written in virConnectGetAllDomainStats."""

from __future__ import annotations

from kvmha.tools.libvirtd.counters import counters_of

STATS = {
    "cpu.time": 12_500_000_000, "cpu.user": 1, "cpu.system": 2, "vcpu.current": 2, "vcpu.maximum": 4,
    "vcpu.0.state": 1, "vcpu.0.time": 5, "vcpu.0.wait": 0, "vcpu.0.delay": 300_000_000,
    "vcpu.2.state": 1, "vcpu.2.time": 5, "vcpu.2.wait": 0, "vcpu.2.delay": 200_000_000,
    "block.count": 2,
    "block.0.name": "vda", "block.0.rd.reqs": 10, "block.0.rd.times": 20_000_000, "block.0.wr.reqs": 5,
    "block.0.wr.times": 30_000_000, "block.0.fl.reqs": 1, "block.0.fl.times": 50_000_000,
    "block.1.name": "vdb", "block.1.rd.reqs": 4, "block.1.rd.times": 1_000_000,
}  # fmt: skip


def test_processors_and_disks_are_summed():
    found = counters_of(STATS, 7.0)
    assert (found.at_s, found.cpus, found.cpu_s, found.delay_s) == (7.0, 2, 12.5, 0.5)
    assert (found.requests, round(found.request_s, 6)) == (20, 0.101)


def test_a_delay_that_is_not_counted_of_all_is_not_known():
    few = {name: value for name, value in STATS.items() if name != "vcpu.2.delay"}
    assert counters_of(few, 7.0).delay_s is None


def test_a_guest_without_disks_has_no_requests():
    found = counters_of({"cpu.time": 5, "vcpu.maximum": 1, "vcpu.0.state": 1, "vcpu.0.delay": 0}, 7.0)
    assert (found.requests, found.request_s, found.delay_s) == (0, 0.0, 0.0)


def test_an_answer_without_processors_is_none():
    assert counters_of({"state.state": 1}, 7.0) is None
