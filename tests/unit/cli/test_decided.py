"""Decisions about moves in the journal: written whole, and made again from what was written."""

from __future__ import annotations

import pytest

from kvmha import journal
from kvmha.cli.moving import decided
from kvmha.policy import convergence, copying, decisions, draining, forecast, migration
from kvmha.policy.movability import Device
from tests.fakes import FakeHost

GUEST = migration.Guest(
    name="web1", nodes=("n1",), memory_mib=2048.0, huge_pages_mib={2048: 512.0, 4: 8.0},
    devices=(Device(kind="disk-file", name="vda /d/web1.img"), Device(kind="interface-bridge", name="br0")),
)  # fmt: skip
PLACES = (migration.Place(name="n1", is_online=True), migration.Place(name="n2", is_online=True))
VIEW = migration.View(
    guest=GUEST, target="n2", places=PLACES, is_quorate=True,
    here=migration.Libvirt(version=9000000), there=migration.Libvirt(version=8000000, free_mib=100.0, bridges=("br1",)),
    drbd=(migration.Disk(name="/dev/drbd0", is_connected=True, disk_there="UpToDate"),),
)  # fmt: skip
PAST = forecast.Past(
    at=1.0, source="n1", target="n2", result=forecast.MOVED, seconds=9.0, memory_mib=2048.0, speed_mib_s=100.0,
    dirty_mib_s=10.0, forecast_s=8.0,
)  # fmt: skip
FORECAST = {
    "memory_mib": 2048.0, "path_mib_s": 117.0, "dirty_mib_s": None, "schedule": convergence.SCHEDULES["default"],
    "limits": convergence.Limits(downtime_ms=300, deadline_s=105.0), "past": (PAST,),
}  # fmt: skip


@pytest.fixture
def host():
    return FakeHost()


def written(host):
    (entry,) = journal.entries(host)
    return entry


def test_where_a_guest_goes(host):
    found = migration.decide(VIEW)
    other = migration.decide(VIEW.replace(target="n3"))
    decided.target(host, VIEW, found, [other])
    entry = written(host)
    assert (entry.kind, entry.subject, entry.guests) == ("preflight", "migrate web1 n2", ("web1",))
    assert entry.said.startswith("cannot; ")
    assert "n2: short of 1.4 GiB for web1 (100 MiB free)" in entry.said
    assert len(entry.alternatives) == 1
    assert decisions.again(entry).is_same


def test_what_a_move_will_take(host):
    decided.forecast(host, "web1", "n2", FORECAST, forecast.forecast(**FORECAST))
    entry = written(host)
    assert (entry.kind, entry.said.partition(",")[0]) == ("forecast", "plain")
    assert decisions.again(entry).is_same


def test_which_disks_are_copied(host):
    disk = copying.File(path="/d/web1.img", size=4, allocated=4, is_there=False)
    seen = copying.View(
        guest="web1", source="n1", target="n2", is_on_source=True, files=(disk,), free_bytes={"/d": 100, "/e": None}
    )
    decided.disks(host, seen, copying.decide(seen))
    entry = written(host)
    assert (entry.kind, entry.said) == ("copy-disks", "copies /d/web1.img")
    assert decisions.again(entry).is_same


@pytest.mark.parametrize("forced", [True, False])
def test_how_a_node_is_emptied(host, forced):
    movers = (draining.Mover(
        guest="web1", memory_mib=2048.0, priority=0,
        candidates=(draining.Candidate(preflight=migration.decide(VIEW), seconds=20.0),),
    ),)  # fmt: skip
    inputs = {"movers": movers, "free_mib": {"n2": 100.0}, "at_once": 2, "may_be_cold": False}
    found = draining.plan(**inputs)
    decided.drain(host, "n1", inputs, found, refusals=["web1 has nowhere to go"], forced=forced)
    entry = written(host)
    assert (entry.kind, entry.subject, entry.guests) == ("drain-plan", "drain n1", ("web1",))
    assert (entry.said, entry.overridden) == ("web1 has nowhere to go; nothing to move", forced)
    assert decisions.again(entry).is_same
