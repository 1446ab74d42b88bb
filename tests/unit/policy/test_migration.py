"""No guest is let go that must not move, whatever else is true; and each reason is told with its numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmha.policy.migration import Disk, Guest, Libvirt, Place, View, check_invariants, decide
from kvmha.policy.migration_path import Path
from kvmha.policy.movability import COLD, KINDS, LIVE, REFUSED, VERDICTS, Device

N1, N2 = Place(name="n1", is_online=True), Place(name="n2", is_online=True)
WELL = View(
    guest=Guest(name="web1", nodes=("n1",), memory_mib=4096.0, keeps_running=True, transport="tls"),
    target="n2",
    places=(N1, N2),
    is_quorate=True,
    here=Libvirt(version=9000000, qemu_version=7002000),
    there=Libvirt(version=9000000, qemu_version=7002000, free_mib=8192.0, cpu="identical", has_copy=False),
)


def changed(*, guest=None, there=None, here=None, **view):
    """Return the view in which all is well, with some things different."""
    return WELL.replace(
        guest=WELL.guest.replace(**guest or {}),
        there=WELL.there.replace(**there or {}),
        here=WELL.here.replace(**here or {}),
        **view,
    )


def test_where_all_is_well_it_moves_live_and_nothing_is_said():
    found = decide(WELL)
    assert (found.verdict, found.reasons, found.source) == (LIVE, (), "n1")


@pytest.mark.parametrize(
    ("view", "verdict", "code", "said"),
    [
        (changed(is_quorate=False), REFUSED, "no-quorum", "no quorum"),
        (changed(guest={"nodes": ()}), REFUSED, "not-running", "the cluster has web1 nowhere"),
        (changed(guest={"nodes": ("n1", "n2")}), REFUSED, "not-running", "on n1, n2"),
        (changed(guest={"nodes": ("n2",)}), REFUSED, "already-there", "runs on n2 already"),
        (changed(target="n9"), REFUSED, "target-offline", "n9 is not online"),
        (changed(places=(N1, N2.replace(is_online=False))), REFUSED, "target-offline", "n2 is not online"),
        (changed(places=(N1, N2.replace(is_standby=True))), REFUSED, "target-standby", "n2 is in standby"),
        (changed(places=(N1, N2.replace(is_maintenance=True))), REFUSED, "target-maintenance", "n2 is in maintenance"),
        (changed(guest={"is_managed": False}), REFUSED, "not-managed", "does not manage web1"),
        (changed(places=(N1, N2.replace(is_banned=True))), REFUSED, "target-banned", "keeps web1 from n2"),
        (changed(places=(N1, N2, Place(name="n3", is_online=False, is_unclean=True))), REFUSED, "fencing-pending",
         "n3 is to be fenced"),
        (changed(guest={"state": "paused"}), COLD, "not-well", "web1 is paused"),
        (changed(guest={"is_movable": False}), COLD, "not-allowed", "allow-migrate"),
        (changed(guest={"mode": "cold"}), COLD, "mode-cold", "migration_mode=cold"),
        (changed(guest={"keeps_running": False}), LIVE, "abort-restarts", "Primary role"),
        (changed(guest={"transport": "tcp"}), LIVE, "path-clear", "neither encrypted"),
        (changed(there={"silence": "refused"}), REFUSED, "libvirt-silent", "n2's libvirt does not answer: refused"),
        (changed(there={"has_copy": True}), REFUSED, "copy-there", "n2 has a copy of web1"),
        (changed(there={"has_copy": None}), REFUSED, "copy-unknown", "whether n2 has a copy of web1 already could not"),
        (changed(there={"cpu": "incompatible"}), COLD, "cpu-incompatible", "the processor of n2 lacks"),
        (changed(there={"cpu": None}), LIVE, "cpu-unknown", "could not be compared"),
        (changed(there={"machine_missing": "pc-q35-9.1"}), REFUSED, "machine-missing", "pc-q35-9.1"),
        (changed(there={"qemu_version": 6002000}), LIVE, "qemu-older", "6.2.0, and here 7.2.0"),
        (changed(there={"version": 8000000}), LIVE, "libvirt-older", "8.0.0, and here 9.0.0"),
        (changed(there={"free_mib": 1024.0}), REFUSED, "memory-short", "n2: short of 3.0 GiB for web1 (1.0 GiB free)"),
        (changed(there={"free_mib": None}), LIVE, "memory-unknown", "not known"),
        (changed(guest={"huge_pages_mib": {2048: 4096.0}}, there={"free_pages_mib": {2048: 1024.0}}), REFUSED,
         "huge-pages-short", "short of 3.0 GiB in huge pages of 2048 KiB"),
        (changed(there={"moves": 2}), LIVE, "moves-under-way", "2 other moves"),
        (changed(here={"steal_percent": 40.0}), LIVE, "steal", "the source loses 40 %"),
        (changed(there={"silence": "says: authentication failed"}), REFUSED, "login-refused", "let this node in"),
        (changed(path=Path(device="eth1", mtu=9000, carries_mtu=False)), COLD, "mtu-blocked", "9000 bytes, the MTU of"),
        (changed(path=Path(mtu=1500, carries_mtu=True)), LIVE, "mtu-carried", "1500 bytes reach n2"),
        (changed(guest={"limit_s": 30.0}, path=Path(speed_mib_s=100.0, speed_from="measured")), LIVE, "path-slow",
         "alone takes 41 s at 100 MiB/s (measured), and its move has 30 s"),
        (changed(guest={"limit_s": 50.0}, path=Path(speed_mib_s=100.0, speed_from="measured")), LIVE, "path-speed",
         "carries 100 MiB/s: measured"),
        (changed(path=Path(tried_from="n3")), LIVE, "login-untried", "takes orders from n1 was not tried"),
        (changed(path=Path(tried_from="n1", transport="tls")), LIVE, "login-tried", "lets n1 in (tls)"),
        (changed(path=Path(tls_problem="it has expired", is_tls_expired=True)), COLD, "tls", "expired"),
        (changed(path=Path(tls_problem="it is not there")), LIVE, "tls", "not there"),
        (changed(path=Path(unprivileged_faults="0")), LIVE, "post-copy-faults", "and it is 0"),
        (changed(path=Path(unprivileged_faults="")), LIVE, "post-copy-faults", "could not be looked up"),
        (changed(guest={"devices": (Device(kind="interface-bridge", name="br1"),)}, there={"bridges": ("br0", "lo")}),
         REFUSED, "bridge-missing", "n2 has no bridge br1"),
        (changed(guest={"devices": (Device(kind="interface-network", name="lan"),)}, there={"networks": ()}),
         REFUSED, "network-missing", "no active network lan"),
        (changed(local_files={"/d/web1.img": "xfs"}), COLD, "disk-local", "/d/web1.img lies on xfs"),
        (changed(drbd=(Disk(name="/dev/drbd0", is_connected=False, disk_there="UpToDate"),)), REFUSED,
         "drbd-disconnected", "both would write apart"),
        (changed(drbd=(Disk(name="/dev/drbd0", is_connected=True, disk_there="Inconsistent"),)), REFUSED,
         "drbd-not-current", "Inconsistent on n2"),
    ],
)  # fmt: skip
def test_what_speaks_against_a_move_is_told(view, verdict, code, said):
    found = decide(view)
    assert found.verdict == verdict
    assert [reason.code for reason in found.reasons] == [code]
    assert said in found.reasons[0].said
    check_invariants(view, found)


@pytest.mark.parametrize(
    ("device", "there"),
    [
        (Device(kind="interface-bridge", name="br0"), {"bridges": ("br0", "lo")}),
        (Device(kind="interface-network", name="lan"), {"networks": ("lan",)}),
        (Device(kind="cpu-passthrough", name="the processor"), {"cpu": "identical"}),
    ],
)
def test_what_the_target_provably_has_is_not_mentioned(device, there):
    assert decide(changed(guest={"devices": (device,)}, there=there)).reasons == ()


def test_a_disk_on_drbd_that_is_current_there_is_shared():
    disk = Device(kind="disk-block", name="vda /dev/drbd0")
    ready = Disk(name="/dev/drbd0", is_connected=True, disk_there="UpToDate")
    found = decide(changed(guest={"devices": (disk,)}, drbd=(ready,)))
    assert (found.verdict, [reason.code for reason in found.reasons]) == (LIVE, ["drbd-ready"])


def maybe(values):
    return st.none() | values


views = st.builds(
    View,
    guest=st.builds(
        Guest,
        name=st.just("web1"),
        nodes=st.lists(st.sampled_from(["n1", "n2", "n3"]), max_size=2, unique=True).map(tuple),
        mode=st.sampled_from(["live", "hybrid", "cold"]),
        is_movable=st.booleans(),
        is_managed=st.booleans(),
        state=st.sampled_from(["running", "paused", "not running", "blocked"]),
        memory_mib=maybe(st.floats(min_value=0, max_value=1e6)),
        devices=st.lists(st.builds(Device, kind=st.sampled_from([*KINDS, "new"]), name=st.just("x")), max_size=3).map(
            tuple
        ),
        keeps_running=st.booleans(),
    ),
    target=st.sampled_from(["n1", "n2", "n3"]),
    places=st.just(("n1", "n2"))
    .flatmap(
        lambda names: st.tuples(
            *(
                st.builds(
                    Place,
                    name=st.just(name),
                    is_online=st.booleans(),
                    is_standby=st.booleans(),
                    is_maintenance=st.booleans(),
                    is_unclean=st.booleans(),
                    is_banned=st.booleans(),
                )
                for name in names
            )
        )
    )
    .map(tuple),
    is_quorate=st.booleans(),
    here=st.just(Libvirt()),
    there=st.builds(
        Libvirt,
        silence=st.sampled_from(["", "no"]),
        free_mib=maybe(st.floats(min_value=0, max_value=1e6)),
        cpu=st.sampled_from([None, "identical", "superset", "incompatible"]),
        has_copy=st.sampled_from([None, True, False]),
        bridges=st.sampled_from([None, (), ("x",)]),
        networks=st.sampled_from([None, (), ("x",)]),
    ),
    drbd=st.lists(
        st.builds(
            Disk,
            name=st.just("/dev/drbd0"),
            is_connected=st.booleans(),
            disk_there=st.sampled_from(["UpToDate", "Inconsistent", "DUnknown"]),
        ),
        max_size=2,
    ).map(tuple),
)


@given(views)
def test_no_view_of_the_world_lets_a_guest_go_that_must_not(view):
    found = decide(view)
    assert found.verdict in VERDICTS
    assert found.verdict == LIVE or found.reasons
    check_invariants(view, found)
