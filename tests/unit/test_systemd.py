"""What the drop-in for the cluster manager orders it after."""

from __future__ import annotations

from pathlib import Path

import pytest

# Each of these has guests to serve as long as there are guests. The other modular daemons end when they are idle, and
# one that a stopping guest needs could not start while a unit stops that is ordered after it.
BUSY_WITH_GUESTS = {"libvirtd", "virtqemud", "virtlogd", "virtlockd"}


@pytest.fixture
def after(checkout: Path) -> set[str]:
    lines = (checkout / "cluster-templates/shared/systemd/pacemaker.conf").read_text(encoding="utf-8").splitlines()
    return {unit for line in lines if line.startswith("After=") for unit in line[len("After=") :].split()}


def test_the_cluster_manager_stops_before_the_daemons_that_have_the_guests(after):
    assert {f"{name}.service" for name in BUSY_WITH_GUESTS} <= after
    assert {"virt-guest-shutdown.target", "libvirt-guests.service", "remote-fs.target"} <= after


def test_no_daemon_that_may_have_to_start_during_a_stop_is_ordered(after):
    daemons = {unit for unit in after if unit.startswith(("virt", "libvirtd")) and unit.endswith(".service")}
    assert daemons == {f"{name}.service" for name in BUSY_WITH_GUESTS}


def test_the_sockets_of_all_daemons_outlive_the_cluster_manager(after):
    modular = {"qemu", "proxy", "log", "lock", "network", "storage", "nodedev", "secret", "nwfilter", "interface"}
    assert {"libvirtd.socket"} | {f"virt{name}d.socket" for name in modular} <= after
